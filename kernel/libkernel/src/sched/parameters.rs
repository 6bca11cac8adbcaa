//! What a task asks of the scheduler: policy, nice value, real-time priority.

/// The weight of a `SCHED_IDLE` task (Linux: `WEIGHT_IDLEPRIO`).
pub const IDLE_WEIGHT: u32 = 3;
/// The most favourable nice value.
pub const NICE_MIN: i32 = -20;
/// The least favourable nice value.
pub const NICE_MAX: i32 = 19;
/// The highest real-time priority.
pub const PRIORITY_MAX: u8 = 99;

/// Weights of the nice values -20 to 19: each step is a factor of 1.25, nice 0 is 1024 (Linux: `sched_prio_to_weight`).
#[rustfmt::skip]
const WEIGHTS: [u32; 40] = [
    88761, 71755, 56483, 46273, 36291,
    29154, 23254, 18705, 14949, 11916,
     9548,  7620,  6100,  4904,  3906,
     3121,  2501,  1991,  1586,  1277,
     1024,   820,   655,   526,   423,
      335,   272,   215,   172,   137,
      110,    87,    70,    56,    45,
       36,    29,    23,    18,    15,
];

/// The weight of a nice value; values out of range count as the nearest.
pub fn weight_of_nice(nice: i32) -> u32 {
    WEIGHTS[(nice.clamp(NICE_MIN, NICE_MAX) - NICE_MIN).unsigned_abs() as usize]
}

/// How a task is scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// `SCHED_OTHER`: a fair share.
    #[default]
    Normal,
    /// `SCHED_FIFO`: until it sleeps or a higher priority comes.
    Fifo,
    /// `SCHED_RR`: as FIFO, in turn with its equals.
    RoundRobin,
    /// `SCHED_BATCH`: a fair share that does not take the CPU away on waking.
    Batch,
    /// `SCHED_IDLE`: a fair share of very little weight.
    Idle,
}

/// Policy, nice value and real-time priority of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The class and its manners.
    pub policy: Policy,
    /// -20 to 19. Kept while a real-time policy makes no use of it.
    pub nice: i8,
    /// 1 to 99 for real-time policies, 0 for others.
    pub priority: u8,
    /// Children start as `SCHED_OTHER` with nice 0 or more (`SCHED_FLAG_RESET_ON_FORK`).
    pub reset_on_fork: bool,
    /// The real-time priority of a waiter, to which the task is boosted meanwhile; 0 for none.
    pub boost: u8,
}

impl Parameters {
    /// Whether the policy is a real-time one.
    pub const fn is_real_time(self) -> bool {
        matches!(self.policy, Policy::Fifo | Policy::RoundRobin)
    }

    /// What the scheduler goes by: boosted above its own priority, a task is one of `SCHED_FIFO`.
    #[must_use]
    pub const fn effective(self) -> Parameters {
        if self.boost > self.real_time_priority() {
            return Parameters { policy: Policy::Fifo, priority: self.boost, boost: 0, ..self };
        }
        Parameters { boost: 0, ..self }
    }

    /// The priority, if the policy is a real-time one; else 0.
    pub const fn real_time_priority(self) -> u8 {
        if self.is_real_time() { self.priority } else { 0 }
    }

    /// The share in the fair class.
    pub fn weight(self) -> u32 {
        match self.policy {
            Policy::Idle => IDLE_WEIGHT,
            _ => weight_of_nice(i32::from(self.nice)),
        }
    }

    /// What a child starts with.
    #[must_use]
    pub fn of_child(self) -> Parameters {
        if !self.reset_on_fork {
            return Parameters { boost: 0, ..self };
        }
        let nice = if self.is_real_time() { 0 } else { self.nice.max(0) };
        let policy = if self.is_real_time() { Policy::Normal } else { self.policy };
        Parameters { policy, nice, ..Parameters::default() }
    }

    /// All of it in one word, for an atomic; zero is the default.
    pub const fn pack(self) -> u32 {
        self.policy as u32
            | (self.nice.cast_unsigned() as u32) << 8
            | (self.priority as u32) << 16
            | (self.reset_on_fork as u32) << 24
            | (self.boost as u32) << 25
    }

    /// The inverse of [`Parameters::pack`].
    pub const fn unpack(word: u32) -> Parameters {
        let [policy, nice, priority, flags] = word.to_le_bytes();
        let policy = match policy {
            1 => Policy::Fifo,
            2 => Policy::RoundRobin,
            3 => Policy::Batch,
            4 => Policy::Idle,
            _ => Policy::Normal,
        };
        Parameters {
            policy,
            nice: nice.cast_signed(),
            priority,
            reset_on_fork: flags & 1 != 0,
            boost: flags >> 1,
        }
    }
}
