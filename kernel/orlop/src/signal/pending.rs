//! Signals that were sent and wait for delivery.
//!
//! Each is charged to the user of whom it is for, until it is taken or forgotten; the signal of a timer by the charge
//! of that.
//!
//! A few stand in one short queue, which is all that most programs ever need. Once that is full, others line up behind
//! it, each number by itself: whoever takes a signal does not walk past those of other numbers, and adding one copies
//! none.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::signal::{NSIG, SI_KERNEL, SI_USER};
use subject::User;
use subject::users::SignalCharge;

use super::{SigInfo, Signal, SignalSet};

/// A queue of pending signals. A standard signal is in it once; real-time signals queue up in the order of their
/// coming.
#[derive(Default)]
pub struct Pending {
    set: SignalSet,
    /// The first ones, at most [`FEW`].
    queue: VecDeque<Queued>,
    /// Those that came when the queue was full or somebody was here, by their index; `None` while there are none.
    lines: Option<Box<[Line]>>,
    /// How many are in the lines.
    in_lines: usize,
    /// How often signals have been forgotten.
    discards: u64,
    /// Set when whom it is for is gone: nothing is queued any more.
    is_closed: bool,
}

/// A queued signal.
struct Queued {
    info: SigInfo,
    _charge: Charge,
}

/// What is given back when the signal is taken.
enum Charge {
    /// Its own.
    Own { _charge: SignalCharge },
    /// That of the timer which sent it, once the timer is deleted, too.
    Timer { _charge: Arc<SignalCharge> },
}

/// How many signals stand in the short queue.
const FEW: usize = 8;

/// The signals of one number in the order of their coming, a block at a time.
#[derive(Default)]
struct Line(VecDeque<VecDeque<Queued>>);

impl Line {
    /// How many signals are in a block.
    const BLOCK: usize = 32;

    /// Adds one at the end; false without memory.
    fn push(&mut self, info: &SigInfo, charge: Charge) -> bool {
        if self.0.back().is_none_or(|block| block.len() == Line::BLOCK) {
            let mut block = VecDeque::new();
            if block.try_reserve_exact(Line::BLOCK).is_err() || self.0.try_reserve(1).is_err() {
                return false;
            }
            self.0.push_back(block);
        }
        if let Some(block) = self.0.back_mut() {
            block.push_back(Queued { info: *info, _charge: charge });
        }
        true
    }

    fn pop(&mut self) -> Option<Queued> {
        let block = self.0.front_mut()?;
        let queued = block.pop_front();
        // The last block is kept while signals come into it.
        if block.is_empty() {
            self.0.pop_front();
        }
        queued
    }

    fn len(&self) -> usize {
        self.0.iter().map(VecDeque::len).sum()
    }
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
    /// It is not pending: there was no room for its information, without which it would mean nothing.
    Refused,
}

impl Pending {
    /// Nothing pending.
    pub const fn new() -> Pending {
        Pending {
            set: SignalSet::EMPTY,
            queue: VecDeque::new(),
            lines: None,
            in_lines: 0,
            discards: 0,
            is_closed: false,
        }
    }

    /// The signals in it.
    pub const fn set(&self) -> SignalSet {
        self.set
    }

    /// How many signals are queued.
    pub fn queued(&self) -> usize {
        self.queue.len() + self.in_lines
    }

    /// Puts a signal behind the others; false without memory.
    fn push(&mut self, signal: Signal, info: &SigInfo, charge: Charge) -> bool {
        if self.in_lines == 0 && self.queue.len() < FEW {
            let room = !self.is_closed && self.queue.try_reserve(1).is_ok();
            if room {
                self.queue.push_back(Queued { info: *info, _charge: charge });
            }
            return room;
        }
        self.push_to_line(signal, info, charge)
    }

    /// Puts a signal at the end of its number's line; false without memory.
    #[cold]
    fn push_to_line(&mut self, signal: Signal, info: &SigInfo, charge: Charge) -> bool {
        if self.lines.is_none() {
            let mut lines = Vec::new();
            if lines.try_reserve_exact(NSIG as usize).is_err() {
                return false;
            }
            lines.resize_with(NSIG as usize, Line::default);
            self.lines = Some(lines.into_boxed_slice());
        }
        let added = self.line_mut(signal).is_some_and(|line| line.push(info, charge));
        self.in_lines += usize::from(added);
        added
    }

    /// The line of a signal, while there are any.
    fn line(&self, signal: Signal) -> Option<&Line> {
        self.lines.as_ref()?.get(signal.index())
    }

    fn line_mut(&mut self, signal: Signal) -> Option<&mut Line> {
        self.lines.as_mut()?.get_mut(signal.index())
    }

    /// Adds a signal, which `user` is charged for. Beyond `limit` only its number is kept, and a real-time signal with
    /// its information refused. What the kernel or a process says with a standard signal is kept all the same: there is
    /// one of each at most (Linux: `__send_signal_locked`).
    pub fn add(&mut self, signal: Signal, info: &SigInfo, user: &Arc<User>, limit: u64) -> Added {
        if self.set.contains(signal) && !signal.is_realtime() {
            return Added::Merged;
        }
        let limit = if !signal.is_realtime() && info.si_code >= 0 { u64::MAX } else { limit };
        let charge = SignalCharge::take(user, limit);
        let added = charge.is_some_and(|own| self.push(signal, info, Charge::Own { _charge: own }));
        // `kill` may not fail for lack of room, and the kernel has nobody to tell.
        if !added && signal.is_realtime() && ![SI_USER, SI_KERNEL].contains(&info.si_code) {
            return Added::Refused;
        }
        self.set = self.set.with(signal);
        if added { Added::Queued } else { Added::WithoutInformation }
    }

    /// Adds the signal of a timer, which is in it once at most: `before` is what was said when it was added last and
    /// not taken since. Unlike others it stands beside a standard signal that is pending already. Without memory its
    /// number alone is pending.
    pub fn add_of_timer(
        &mut self,
        signal: Signal,
        info: &SigInfo,
        before: Option<u64>,
        charge: &Arc<SignalCharge>,
    ) -> Fate {
        if before.is_some_and(|discards| discards == self.discards || self.holds(signal, info)) {
            return Fate::StillQueued;
        }
        self.set = self.set.with(signal);
        let charge = Charge::Timer { _charge: charge.clone() };
        if self.push(signal, info, charge) { Fate::Queued(self.discards) } else { Fate::Lost }
    }

    /// Whether a signal of this timer is queued.
    fn holds(&self, signal: Signal, info: &SigInfo) -> bool {
        let line = self.line(signal).into_iter().flat_map(|line| line.0.iter().flatten());
        self.queue.iter().chain(line).any(|queued| queued.info.sent_by_timer() == info.sent_by_timer())
    }

    /// Takes the first signal that is in `wanted`; its information goes to `info`.
    #[inline(always)]
    pub fn take(&mut self, wanted: SignalSet, info: &mut SigInfo) -> Option<Signal> {
        // Mostly there is none, which is seen without a call.
        let signal = self.set.intersection(wanted).first()?;
        self.take_pending(signal, info);
        Some(signal)
    }

    #[inline(never)]
    fn take_pending(&mut self, signal: Signal, info: &mut SigInfo) {
        if let Some(only) = self.only().filter(|only| only.info.signal() == signal.number()) {
            *info = only.info;
            self.queue.pop_front();
            self.set = self.set.without(signal);
        } else {
            self.take_one_of_several(signal, info);
        }
    }

    /// The one that is queued, if there is exactly one.
    fn only(&self) -> Option<&Queued> {
        self.queue.front().filter(|_| self.queued() == 1)
    }

    /// Takes the first with this number, and looks whether there are more.
    #[inline(never)]
    fn take_one_of_several(&mut self, signal: Signal, info: &mut SigInfo) {
        let same = |queued: &Queued| queued.info.signal() == signal.number();
        match self.queue.iter().position(same).and_then(|index| self.queue.remove(index)) {
            Some(queued) => *info = queued.info,
            None => self.take_from_line(signal, info),
        }
        let line_is_empty = self.line(signal).is_none_or(|line| line.0.is_empty());
        if line_is_empty && !self.queue.iter().any(same) {
            self.set = self.set.without(signal);
        }
    }

    /// Moves the first of a line out. A signal that is nowhere has lost its information.
    #[cold]
    fn take_from_line(&mut self, signal: Signal, info: &mut SigInfo) {
        match self.line_mut(signal).and_then(Line::pop) {
            Some(queued) => {
                *info = queued.info;
                self.leave_lines(1);
            }
            None => *info = SigInfo::user(signal.number(), abi::signal::SI_USER, 0, 0),
        }
    }

    fn leave_lines(&mut self, count: usize) {
        self.in_lines -= count;
        if self.in_lines == 0 {
            self.lines = None;
        }
    }

    /// Forgets the signals in `set`.
    pub fn discard(&mut self, set: SignalSet) {
        if self.set.intersection(set).is_empty() {
            return;
        }
        self.set = self.set.difference(set);
        self.discards += 1;
        self.queue
            .retain(|queued| Signal::new(queued.info.signal()).is_some_and(|signal| !set.contains(signal)));
        let mut left = 0;
        let signals = (1..=NSIG).filter_map(Signal::new);
        for (line, _) in
            self.lines.iter_mut().flatten().zip(signals).filter(|(_, signal)| set.contains(*signal))
        {
            left += line.len();
            *line = Line::default();
        }
        self.leave_lines(left);
    }

    /// Forgets everything, and all that comes from now on.
    pub fn close(&mut self) {
        self.discard(SignalSet::ALL);
        self.is_closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(signal: u32, code: i32) -> (Signal, SigInfo) {
        (Signal::new(signal).expect("a signal"), SigInfo::new(signal, code))
    }

    /// One of its own for each test.
    #[track_caller]
    fn user() -> Arc<User> {
        let namespace = subject::UserNamespace::initial();
        let number = 60_000 + core::panic::Location::caller().line();
        User::find(namespace, namespace.user(number).expect("a user"))
    }

    #[track_caller]
    fn charge() -> Arc<SignalCharge> {
        Arc::new(SignalCharge::take(&user(), 1).expect("nobody else has that user"))
    }

    fn take(pending: &mut Pending) -> Option<(Signal, SigInfo)> {
        let mut info = SigInfo::default();
        pending.take(SignalSet::ALL, &mut info).map(|signal| (signal, info))
    }

    fn add(pending: &mut Pending, signal: u32, code: i32) -> Added {
        let (signal, info) = info(signal, code);
        pending.add(signal, &info, &user(), 10)
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
    fn many_line_up_by_their_numbers() {
        let mut pending = Pending::new();
        let mut expected = [Vec::new(), Vec::new(), Vec::new()];
        let user = user();
        for code in 1..=500 {
            let kind = (code * 7 % 3) as usize;
            let (signal, info) = info(40 + kind as u32, code);
            assert_eq!(pending.add(signal, &info, &user, 500), Added::Queued);
            expected[kind].push((signal, info));
        }
        let (signal, one_more) = info(41, 501);
        assert_eq!(pending.add(signal, &one_more, &user, 500), Added::Refused);
        pending.discard(SignalSet::EMPTY.with(Signal::new(42).expect("a signal")));
        assert_eq!(pending.queued(), expected[0].len() + expected[1].len());
        for expected in expected[..2].iter().flatten() {
            assert_eq!(take(&mut pending).as_ref(), Some(expected));
        }
        assert_eq!((take(&mut pending), pending.queued()), (None, 0));
        assert_eq!(add(&mut pending, 40, 1), Added::Queued);
        assert_eq!(take(&mut pending), Some(info(40, 1)));
    }

    #[test]
    fn a_timer_has_one_signal_beside_that_of_others() {
        let charge = charge();
        let (signal, _) = info(10, 0);
        let timer = |private| SigInfo::timer(10, 3, private, 0);
        let mut pending = Pending::new();
        add(&mut pending, 10, 0);
        let Fate::Queued(stamp) = pending.add_of_timer(signal, &timer(1), None, &charge) else {
            panic!("not queued")
        };
        assert_eq!(pending.add_of_timer(signal, &timer(1), Some(stamp), &charge), Fate::StillQueued);
        assert!(matches!(pending.add_of_timer(signal, &timer(2), None, &charge), Fate::Queued(_)));
        let private = |taken: Option<(Signal, SigInfo)>| taken.map(|(_, info)| info.sent_by_timer());
        assert_eq!(private(take(&mut pending)), Some(None));
        assert_eq!(private(take(&mut pending)), Some(Some((3, 1))));
        assert_eq!(private(take(&mut pending)), Some(Some((3, 2))));
        assert_eq!(take(&mut pending), None);
    }

    #[test]
    fn a_timer_learns_that_its_signal_was_forgotten() {
        let charge = charge();
        let (signal, _) = info(10, 0);
        let timer = SigInfo::timer(10, 3, 1, 0);
        let mut pending = Pending::new();
        let Fate::Queued(stamp) = pending.add_of_timer(signal, &timer, None, &charge) else {
            panic!("not queued")
        };
        add(&mut pending, 20, 0);
        pending.discard(SignalSet::STOPPING);
        assert_eq!(pending.add_of_timer(signal, &timer, Some(stamp), &charge), Fate::StillQueued);
        pending.discard(SignalSet::EMPTY.with(signal));
        assert!(matches!(pending.add_of_timer(signal, &timer, Some(stamp), &charge), Fate::Queued(_)));
    }

    #[test]
    fn beyond_the_limit_the_number_survives() {
        let mut pending = Pending::new();
        let (signal, queued) = info(40, SI_USER);
        assert_eq!(pending.add(signal, &queued, &user(), 0), Added::WithoutInformation);
        assert_eq!(take(&mut pending).map(|(signal, _)| signal), Some(signal));
        let (signal, with_value) = info(40, -1);
        assert_eq!(pending.add(signal, &with_value, &user(), 0), Added::Refused);
        assert_eq!(take(&mut pending), None);
        let (signal, of_the_kernel) = info(10, SI_KERNEL);
        assert_eq!(pending.add(signal, &of_the_kernel, &user(), 0), Added::Queued);
        assert_eq!(take(&mut pending), Some((signal, of_the_kernel)));
        let (signal, of_a_queue) = info(10, -1);
        assert_eq!(pending.add(signal, &of_a_queue, &user(), 0), Added::WithoutInformation);
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
