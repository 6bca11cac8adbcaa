//! When a CPU or a task is called stuck: what ticks find out, put together. Pure; the kernel's clock and CPUs ask.
//!
//! A CPU that takes no timer interrupts is asked where it is, several times. It is stuck if it has answered each time
//! with interrupts off; if it does not answer at all, that may be the fault of a host that does not run it.

use crate::clock::SECOND_NS;

/// How often ticks look, and after how long something is called stuck: Linux's `watchdog_thresh` and what it derives
/// from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Between two ticks of a CPU, in nanoseconds.
    pub period_ns: u64,
    /// A CPU may take no timer interrupt for so long.
    pub silent_ns: u64,
    /// A task may use so much processor time without leaving the kernel.
    pub inside_ns: u64,
}

impl Thresholds {
    /// As Linux, five ticks come in the time after which a task is called stuck.
    pub const fn new(seconds: u64) -> Self {
        let silent_ns = seconds * SECOND_NS;
        Self { period_ns: silent_ns * 2 / 5, silent_ns, inside_ns: 2 * silent_ns }
    }
}

/// A CPU as others see it.
#[derive(Debug)]
pub struct Silence {
    heartbeat_ns: u64,
    questions: u32,
    answers_before: u32,
    is_told: bool,
}

/// What to do about a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Nothing.
    Fine,
    /// Ask it where it is.
    Ask,
    /// It is stuck with interrupts off, since so many nanoseconds. Said once.
    Stuck(u64),
    /// It takes no interrupt of any kind, since so many nanoseconds. Said once.
    Silent(u64),
}

impl Silence {
    /// Nothing is known yet.
    pub const fn new() -> Self {
        Self { heartbeat_ns: 0, questions: 0, answers_before: 0, is_told: false }
    }

    /// So many answers with interrupts off make a CPU stuck: one or two may be chance, when a host lets it run again.
    const ANSWERS: u32 = 3;
    /// So many questions are asked.
    const QUESTIONS: u32 = 5;

    /// `heartbeat_ns` is when the CPU took its last timer interrupt, `answers` how often it has answered with
    /// interrupts off.
    pub fn look(&mut self, now_ns: u64, heartbeat_ns: u64, answers: u32, thresholds: &Thresholds) -> Look {
        let silent_ns = now_ns.saturating_sub(heartbeat_ns);
        if heartbeat_ns != self.heartbeat_ns || silent_ns < thresholds.silent_ns {
            *self = Silence { heartbeat_ns, answers_before: answers, ..Silence::new() };
        }
        if silent_ns < thresholds.silent_ns || self.is_told {
            return Look::Fine;
        }
        let answers = answers.wrapping_sub(self.answers_before);
        if answers < Self::ANSWERS && self.questions < Self::QUESTIONS {
            self.questions += 1;
            return Look::Ask;
        }
        self.is_told = true;
        if answers < Self::ANSWERS { Look::Silent(silent_ns) } else { Look::Stuck(silent_ns) }
    }
}

/// The stay of one task in the kernel, as the ticks of its CPU find it.
#[derive(Debug)]
pub struct Stay {
    task: u32,
    sleeps: u64,
    /// The task's processor time when the stay was first noticed.
    since_ns: u64,
    /// Whether some tick could have preempted it.
    was_preemptible: bool,
    is_told: bool,
}

/// What a tick finds of the task that it interrupts.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The task's number.
    pub task: u32,
    /// It has not left the kernel since the last tick that found it.
    pub is_inside: bool,
    /// How often it has slept.
    pub sleeps: u64,
    /// It could be preempted now.
    pub is_preemptible: bool,
    /// Its processor time.
    pub runtime_ns: u64,
}

/// A task that does not leave the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inside {
    /// Processor time that it has used there, in nanoseconds.
    pub ns: u64,
    /// Whether others could run meanwhile.
    pub is_preemptible: bool,
}

impl Stay {
    /// Nothing is known yet.
    pub const fn new() -> Self {
        Self { task: 0, sleeps: 0, since_ns: 0, was_preemptible: false, is_told: false }
    }

    /// Takes note of a tick; tells, once for each stay, that it has become too long.
    pub fn look(&mut self, found: Found, thresholds: &Thresholds) -> Option<Inside> {
        let Found { task, sleeps, .. } = found;
        if !found.is_inside || (task, sleeps) != (self.task, self.sleeps) {
            *self = Stay { task, sleeps, since_ns: found.runtime_ns, ..Stay::new() };
        }
        self.was_preemptible |= found.is_preemptible;
        let ns = found.runtime_ns.saturating_sub(self.since_ns);
        if ns < thresholds.inside_ns || self.is_told {
            return None;
        }
        self.is_told = true;
        Some(Inside { ns, is_preemptible: self.was_preemptible })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    use crate::clock::SECOND_NS as SECOND;
    const THRESHOLDS: Thresholds = Thresholds::new(10);

    #[test]
    fn the_thresholds_are_those_of_linux() {
        assert_eq!(
            THRESHOLDS,
            Thresholds { period_ns: 4 * SECOND, silent_ns: 10 * SECOND, inside_ns: 20 * SECOND }
        );
    }

    /// Looks every four seconds from `from_s` on.
    fn looks(silence: &mut Silence, from_s: u64, heartbeat_s: u64, answers: &[u32]) -> Vec<Look> {
        let at = |index: usize| (from_s + 4 * index as u64) * SECOND;
        let look = |(index, &answers)| silence.look(at(index), heartbeat_s * SECOND, answers, &THRESHOLDS);
        answers.iter().enumerate().map(look).collect()
    }

    #[test]
    fn a_cpu_that_answers_with_interrupts_off_is_stuck() {
        let mut silence = Silence::new();
        let seen = looks(&mut silence, 4, 1, &[7, 7, 7, 8, 9, 10, 11]);
        use Look::*;
        assert_eq!(seen, [Fine, Fine, Ask, Ask, Ask, Stuck(23 * SECOND), Fine]);
    }

    #[test]
    fn a_cpu_that_the_host_does_not_run_is_silent_and_forgiven() {
        let mut silence = Silence::new();
        use Look::*;
        let seen = looks(&mut silence, 12, 1, &[0; 7]);
        assert_eq!(seen, [Ask, Ask, Ask, Ask, Ask, Silent(31 * SECOND), Fine]);
        // It runs again, answers the last question in some critical section, and goes on.
        assert_eq!(looks(&mut silence, 41, 40, &[1, 1]), [Fine, Fine]);
        // The next silence is a new one.
        assert_eq!(looks(&mut silence, 51, 40, &[1, 2, 3, 4]), [Ask, Ask, Ask, Stuck(23 * SECOND)]);
    }

    #[test]
    fn a_machine_that_stood_still_is_fine() {
        let mut silence = Silence::new();
        // All CPUs stop for a minute; this one is the first to run, the other one is next.
        assert_eq!(looks(&mut silence, 4, 1, &[0]), [Look::Fine]);
        assert_eq!(looks(&mut silence, 64, 1, &[0]), [Look::Ask]);
        assert_eq!(looks(&mut silence, 68, 65, &[1]), [Look::Fine]);
    }

    fn found(task: u32, is_inside: bool, runtime_s: u64, is_preemptible: bool) -> Found {
        Found { task, is_inside, sleeps: 0, is_preemptible, runtime_ns: runtime_s * SECOND }
    }

    #[test]
    fn a_task_that_stays_inside_is_told_once() {
        let mut stay = Stay::new();
        let mut told = Vec::new();
        for tick in 0..12 {
            told.extend(stay.look(found(3, tick != 0, 100 + 4 * tick, false), &THRESHOLDS));
        }
        assert_eq!(told, [Inside { ns: 20 * SECOND, is_preemptible: false }]);
        // Back from a program, it is as good as any.
        assert_eq!(stay.look(found(3, false, 200, true), &THRESHOLDS), None);
        assert_eq!(stay.look(found(3, true, 219, true), &THRESHOLDS), None);
        let long = Inside { ns: 20 * SECOND, is_preemptible: true };
        assert_eq!(stay.look(found(3, true, 220, false), &THRESHOLDS), Some(long));
    }

    #[test]
    fn a_task_that_sleeps_is_fine() {
        let mut stay = Stay::new();
        for tick in 0..100 {
            let found = Found { sleeps: tick, ..found(3, true, 4 * tick, false) };
            assert_eq!(stay.look(found, &THRESHOLDS), None);
        }
    }

    #[test]
    fn tasks_that_take_turns_are_fine() {
        let mut stay = Stay::new();
        for tick in 0..100 {
            assert_eq!(stay.look(found(tick % 2, true, u64::from(tick) * 4, false), &THRESHOLDS), None);
        }
    }
}
