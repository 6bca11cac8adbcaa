//! Signals that were sent and wait for delivery.

use alloc::collections::VecDeque;

use super::{SigInfo, Signal, SignalSet};

/// A queue of pending signals. A standard signal is in it once; real-time signals queue up in the order of their coming.
#[derive(Default)]
pub struct Pending {
    set: SignalSet,
    queue: VecDeque<SigInfo>,
    /// How often signals have been forgotten.
    discards: u64,
}

/// What became of the signal of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is queued. The number helps to find out later whether it still is.
    Queued(u64),
    /// The one before is still queued.
    StillQueued,
    /// It is ignored, or there is no memory for it: nobody will take it.
    Lost,
    /// Whom it is for has ended.
    NobodyThere,
}

/// What became of a signal that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is pending with its information.
    Queued,
    /// It was pending already, and standard signals do not queue.
    Merged,
    /// It is pending, but there was no room for its information.
    WithoutInformation,
}

impl Pending {
    /// Nothing pending.
    pub const fn new() -> Pending {
        Pending { set: SignalSet::EMPTY, queue: VecDeque::new(), discards: 0 }
    }

    /// The signals in it.
    pub const fn set(&self) -> SignalSet {
        self.set
    }

    /// How many signals are queued.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Adds a signal; beyond `limit` queued ones only its number is kept.
    pub fn add(&mut self, signal: Signal, info: &SigInfo, limit: u64) -> Added {
        if self.set.contains(signal) && !signal.is_realtime() {
            return Added::Merged;
        }
        self.set = self.set.with(signal);
        let room = (self.queue.len() as u64) < limit && self.queue.try_reserve(1).is_ok();
        if !room {
            return Added::WithoutInformation;
        }
        self.queue.push_back(*info);
        Added::Queued
    }

    /// Adds the signal of a timer, which is in it once at most: `before` is what was said when it was added last and not taken since.
    /// Unlike others it stands beside a standard signal that is pending already. Without memory its number alone is pending.
    pub fn add_of_timer(&mut self, signal: Signal, info: &SigInfo, before: Option<u64>) -> Fate {
        if before.is_some_and(|discards| discards == self.discards || self.holds(info)) {
            return Fate::StillQueued;
        }
        self.set = self.set.with(signal);
        if self.queue.try_reserve(1).is_err() {
            return Fate::Lost;
        }
        self.queue.push_back(*info);
        Fate::Queued(self.discards)
    }

    /// Whether a signal of this timer is queued.
    fn holds(&self, info: &SigInfo) -> bool {
        self.queue.iter().any(|queued| queued.sent_by_timer() == info.sent_by_timer())
    }

    /// Takes the first signal that is in `wanted`; its information goes to `info`.
    pub fn take(&mut self, wanted: SignalSet, info: &mut SigInfo) -> Option<Signal> {
        let signal = self.set.intersection(wanted).first()?;
        let same = |queued: &SigInfo| queued.signal() == signal.number();
        if self.queue.len() == 1 && self.queue.front().is_some_and(same) {
            self.take_at(0, info);
            self.set = self.set.without(signal);
            return Some(signal);
        }
        match self.queue.iter().position(same) {
            Some(index) => self.take_at(index, info),
            None => *info = SigInfo::user(signal.number(), abi::signal::SI_USER, 0, 0),
        }
        if !self.queue.iter().any(same) {
            self.set = self.set.without(signal);
        }
        Some(signal)
    }

    /// Moves one entry out. Information is large, and alone in most queues: it is copied once.
    fn take_at(&mut self, index: usize, info: &mut SigInfo) {
        if let [only] = self.queue.make_contiguous() {
            *info = *only;
            self.queue.clear();
        } else if let Some(queued) = self.queue.remove(index) {
            *info = queued;
        }
    }

    /// Forgets the signals in `set`.
    pub fn discard(&mut self, set: SignalSet) {
        if self.set.intersection(set).is_empty() {
            return;
        }
        self.set = self.set.difference(set);
        self.discards += 1;
        self.queue.retain(|info| Signal::new(info.signal()).is_some_and(|signal| !set.contains(signal)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(signal: u32, code: i32) -> (Signal, SigInfo) {
        (Signal::new(signal).expect("a signal"), SigInfo::new(signal, code))
    }

    fn take(pending: &mut Pending) -> Option<(Signal, SigInfo)> {
        let mut info = SigInfo::default();
        pending.take(SignalSet::ALL, &mut info).map(|signal| (signal, info))
    }

    fn add(pending: &mut Pending, signal: u32, code: i32) -> Added {
        let (signal, info) = info(signal, code);
        pending.add(signal, &info, 10)
    }

    #[test]
    fn a_standard_signal_is_pending_once() {
        let mut pending = Pending::new();
        assert_eq!(add(&mut pending, 10, 1), Added::Queued);
        assert_eq!(add(&mut pending, 10, 2), Added::Merged);
        assert_eq!(take(&mut pending), Some(info(10, 1)));
        assert_eq!(take(&mut pending), None);
    }

    #[test]
    fn realtime_signals_queue_in_order() {
        let mut pending = Pending::new();
        for code in 1..=3 {
            assert_eq!(add(&mut pending, 40, code), Added::Queued);
        }
        add(&mut pending, 2, 0);
        assert_eq!(take(&mut pending), Some(info(2, 0)));
        for code in 1..=3 {
            assert_eq!(take(&mut pending), Some(info(40, code)));
        }
        assert!(pending.set().is_empty());
    }

    #[test]
    fn a_timer_has_one_signal_beside_that_of_others() {
        let (signal, _) = info(10, 0);
        let timer = |private| SigInfo::timer(10, 3, private, 0);
        let mut pending = Pending::new();
        add(&mut pending, 10, 0);
        let Fate::Queued(stamp) = pending.add_of_timer(signal, &timer(1), None) else { panic!("not queued") };
        assert_eq!(pending.add_of_timer(signal, &timer(1), Some(stamp)), Fate::StillQueued);
        assert!(matches!(pending.add_of_timer(signal, &timer(2), None), Fate::Queued(_)));
        let private = |taken: Option<(Signal, SigInfo)>| taken.map(|(_, info)| info.sent_by_timer());
        assert_eq!(private(take(&mut pending)), Some(None));
        assert_eq!(private(take(&mut pending)), Some(Some((3, 1))));
        assert_eq!(private(take(&mut pending)), Some(Some((3, 2))));
        assert_eq!(take(&mut pending), None);
    }

    #[test]
    fn a_timer_learns_that_its_signal_was_forgotten() {
        let (signal, _) = info(10, 0);
        let timer = SigInfo::timer(10, 3, 1, 0);
        let mut pending = Pending::new();
        let Fate::Queued(stamp) = pending.add_of_timer(signal, &timer, None) else { panic!("not queued") };
        add(&mut pending, 20, 0);
        pending.discard(SignalSet::STOPPING);
        assert_eq!(pending.add_of_timer(signal, &timer, Some(stamp)), Fate::StillQueued);
        pending.discard(SignalSet::EMPTY.with(signal));
        assert!(matches!(pending.add_of_timer(signal, &timer, Some(stamp)), Fate::Queued(_)));
    }

    #[test]
    fn beyond_the_limit_the_number_survives() {
        let mut pending = Pending::new();
        let (signal, info) = info(40, 7);
        assert_eq!(pending.add(signal, &info, 0), Added::WithoutInformation);
        assert_eq!(take(&mut pending).map(|(signal, _)| signal), Some(signal));
    }

    #[test]
    fn discarded_signals_are_gone() {
        let mut pending = Pending::new();
        add(&mut pending, 20, 0);
        add(&mut pending, 2, 0);
        pending.discard(SignalSet::STOPPING);
        assert_eq!(take(&mut pending), Some(info(2, 0)));
        assert_eq!(pending.queued(), 0);
    }
}
