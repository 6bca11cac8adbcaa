//! Alarms on processor time: of a process or a thread, served by its own threads when a tick samples them.
//!
//! A clock of processor time stands still while nobody runs for it, so nothing else has to look at it. How soon an
//! alarm can be due follows from how many threads can work towards it at once: until then a sample costs one load.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::sync::SpinLock;
use libkernel::sched::cpu_time::CpuTime;
use libkernel::timeouts::{Base, Key, Timeouts};

use super::alarm::{AlarmNode, Listener};

/// What a clock of processor time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// User and system time.
    Total,
    /// User time.
    User,
}

impl Measure {
    /// What such a clock shows, in nanoseconds.
    pub const fn of(self, cpu: CpuTime) -> u64 {
        match self {
            Measure::Total => cpu.total_ns(),
            Measure::User => cpu.user_ns,
        }
    }
}

/// Names one alarm.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuKey(Measure, Key);

/// The alarms on the time of one process or thread.
pub struct CpuAlarms {
    /// Before this time of the monotonic clock none is due; [`NEVER`] where none is set. Changed with `lists` locked.
    quiet_until_ns: AtomicU64,
    /// Made with the first alarm.
    lists: SpinLock<Option<Box<Lists>>>,
}

#[derive(Default)]
struct Lists {
    total: Timeouts<Listener>,
    user: Timeouts<Listener>,
}

/// No alarm is set.
const NEVER: u64 = u64::MAX;

impl Lists {
    fn of(&mut self, measure: Measure) -> &mut Timeouts<Listener> {
        match measure {
            Measure::Total => &mut self.total,
            Measure::User => &mut self.user,
        }
    }

    fn pop_expired(&mut self, cpu: CpuTime) -> Option<(Box<AlarmNode>, Listener)> {
        self.total.pop_expired(cpu.total_ns(), 0).or_else(|| self.user.pop_expired(cpu.user_ns, 0))
    }

    /// The least time that has to be used until one is due.
    fn distance_ns(&self, cpu: CpuTime) -> Option<u64> {
        let total = self.total.next_deadline(0).map(|due| due.saturating_sub(cpu.total_ns()));
        let user = self.user.next_deadline(0).map(|due| due.saturating_sub(cpu.user_ns));
        [total, user].into_iter().flatten().min()
    }
}

impl CpuAlarms {
    /// No alarms.
    pub const fn new() -> CpuAlarms {
        CpuAlarms { quiet_until_ns: AtomicU64::new(NEVER), lists: SpinLock::new(None) }
    }

    /// Lets somebody hear when so much time has been used.
    pub(super) fn set(
        &self,
        measure: Measure,
        node: Box<AlarmNode>,
        due_ns: u64,
        listener: Listener,
    ) -> CpuKey {
        let mut lists = self.lists.lock();
        let list = lists.get_or_insert_default().of(measure);
        let key = list.insert(node, Base::Monotonic, due_ns, listener);
        self.quiet_until_ns.store(0, Ordering::Relaxed);
        CpuKey(measure, key)
    }

    /// Takes an alarm back, if it has not been served.
    pub(super) fn cancel(&self, CpuKey(measure, key): CpuKey) -> Option<(Box<AlarmNode>, Listener)> {
        self.lists.lock().as_mut().and_then(|lists| lists.of(measure).remove(key))
    }

    /// Makes the next sample look, whatever was known before.
    pub fn look_again(&self) {
        let _lists = self.lists.lock();
        self.quiet_until_ns.store(0, Ordering::Relaxed);
    }

    /// As [`CpuAlarms::look_again`], if there are any alarms.
    pub fn look_again_if_set(&self) {
        if self.quiet_until_ns.load(Ordering::Relaxed) != NEVER {
            self.look_again();
        }
    }

    /// Whether one may be due.
    pub fn may_be_due(&self) -> bool {
        let quiet_until_ns = self.quiet_until_ns.load(Ordering::Relaxed);
        quiet_until_ns != NEVER && quiet_until_ns <= hal::time::now_ns()
    }

    /// Serves those that are due when `cpu` has been used. `limit_ns` is another total of interest; `speed` is how many
    /// threads can use time at once, and is asked with the alarms locked.
    pub fn serve(&self, cpu: CpuTime, limit_ns: Option<u64>, speed: impl Fn() -> usize) {
        while let Some((node, listener)) = self.pop_expired(cpu) {
            listener.tell(node);
        }
        let lists = self.lists.lock();
        let to_limit = limit_ns.map(|limit| limit.saturating_sub(cpu.total_ns()));
        let distance =
            [lists.as_ref().and_then(|lists| lists.distance_ns(cpu)), to_limit].into_iter().flatten().min();
        let quiet_until_ns =
            distance.map_or(NEVER, |ns| hal::time::now_ns().saturating_add(ns / speed().max(1) as u64));
        self.quiet_until_ns.store(quiet_until_ns, Ordering::Relaxed);
    }

    fn pop_expired(&self, cpu: CpuTime) -> Option<(Box<AlarmNode>, Listener)> {
        self.lists.lock().as_mut()?.pop_expired(cpu)
    }
}
