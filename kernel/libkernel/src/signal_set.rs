//! Signal numbers and sets of them.
//!
//! A set is one word as programs pass it: bit n-1 is signal n. Which of several pending signals comes first is decided
//! here: those that an instruction caused, then the lowest number (`signal(7)`).

use abi::signal::NSIG;

/// A signal's number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Signal(u8);

/// Names the signals of Linux: `signals! { HUP = 1, }` is `pub const HUP: Signal = Signal(1);`.
macro_rules! signals {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Signal {
            $(#[doc = $text] pub const $name: Signal = Signal($number);)*
        }
    };
}

signals! {
    HUP = 1, "The terminal hung up.";
    INT = 2, "Ctrl-C.";
    QUIT = 3, "Ctrl-\\.";
    ILL = 4, "Illegal instruction.";
    TRAP = 5, "Breakpoint or single step.";
    ABRT = 6, "Abort.";
    BUS = 7, "Access beyond an object, or unaligned.";
    FPE = 8, "Arithmetic error.";
    KILL = 9, "Ends the process; cannot be caught.";
    USR1 = 10, "Free for programs.";
    SEGV = 11, "Bad memory access.";
    USR2 = 12, "Free for programs.";
    PIPE = 13, "Write to a pipe without readers.";
    ALRM = 14, "`ITIMER_REAL` expired.";
    TERM = 15, "Please end.";
    STKFLT = 16, "Unused.";
    CHLD = 17, "A child changed state.";
    CONT = 18, "Continue.";
    STOP = 19, "Stops the process; cannot be caught.";
    TSTP = 20, "Ctrl-Z.";
    TTIN = 21, "Background read from the terminal.";
    TTOU = 22, "Background write to the terminal.";
    URG = 23, "Urgent data on a socket.";
    XCPU = 24, "`RLIMIT_CPU` exceeded.";
    XFSZ = 25, "`RLIMIT_FSIZE` exceeded.";
    VTALRM = 26, "`ITIMER_VIRTUAL` expired.";
    PROF = 27, "`ITIMER_PROF` expired.";
    WINCH = 28, "The terminal's size changed.";
    IO = 29, "I/O possible.";
    PWR = 30, "Power failure.";
    SYS = 31, "Bad system call.";
}

/// What a signal does to a process that has not arranged otherwise (`signal(7)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// Ends it.
    Terminate,
    /// Ends it, with a core dump where those are enabled.
    Core,
    /// Nothing.
    Ignore,
    /// Stops it.
    Stop,
    /// Continues it.
    Continue,
}

impl Signal {
    /// The signal with this number, if there is one.
    pub fn new(number: u32) -> Option<Signal> {
        if (1..=NSIG).contains(&number) { u8::try_from(number).ok().map(Signal) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0 as u32
    }

    /// The place in an array of all signals.
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Whether several of it can be pending at once.
    pub const fn is_realtime(self) -> bool {
        self.0 >= 32
    }

    /// What it does by default.
    pub const fn default_action(self) -> DefaultAction {
        match self {
            Signal::CHLD | Signal::URG | Signal::WINCH => DefaultAction::Ignore,
            Signal::CONT => DefaultAction::Continue,
            Signal::STOP | Signal::TSTP | Signal::TTIN | Signal::TTOU => DefaultAction::Stop,
            Signal::QUIT
            | Signal::ILL
            | Signal::TRAP
            | Signal::ABRT
            | Signal::BUS
            | Signal::FPE
            | Signal::SEGV
            | Signal::XCPU
            | Signal::XFSZ
            | Signal::SYS => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }
}

/// A set of signals.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: SignalSet = SignalSet(0);
    /// Every signal.
    pub const ALL: SignalSet = SignalSet(u64::MAX);
    /// Those that cannot be blocked, caught or ignored.
    pub const UNSTOPPABLE: SignalSet = SignalSet::EMPTY.with(Signal::KILL).with(Signal::STOP);
    /// Those that stop a process by default.
    pub const STOPPING: SignalSet =
        SignalSet::EMPTY.with(Signal::STOP).with(Signal::TSTP).with(Signal::TTIN).with(Signal::TTOU);
    /// Those that an instruction of the thread can cause; they are delivered before others.
    pub const SYNCHRONOUS: SignalSet = SignalSet::EMPTY
        .with(Signal::SEGV)
        .with(Signal::BUS)
        .with(Signal::ILL)
        .with(Signal::TRAP)
        .with(Signal::FPE)
        .with(Signal::SYS);

    /// The set with these bits.
    pub const fn from_bits(bits: u64) -> SignalSet {
        SignalSet(bits)
    }

    /// The word that programs see.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `signal` is in it.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & SignalSet::bit(signal) != 0
    }

    /// The set with `signal` added.
    #[must_use]
    pub const fn with(self, signal: Signal) -> SignalSet {
        SignalSet(self.0 | SignalSet::bit(signal))
    }

    /// The set with `signal` taken out.
    #[must_use]
    pub const fn without(self, signal: Signal) -> SignalSet {
        SignalSet(self.0 & !SignalSet::bit(signal))
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & other.0)
    }

    /// What is in this and not in `other`.
    #[must_use]
    pub const fn difference(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & !other.0)
    }

    /// The signal to deliver first.
    pub const fn first(self) -> Option<Signal> {
        let synchronous = self.intersection(SignalSet::SYNCHRONOUS);
        let candidates = if synchronous.is_empty() { self } else { synchronous };
        if candidates.is_empty() { None } else { Some(Signal(candidates.0.trailing_zeros() as u8 + 1)) }
    }

    const fn bit(signal: Signal) -> u64 {
        1 << (signal.0 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_checked() {
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(Signal::new(64).map(Signal::number), Some(64));
        assert_eq!(Signal::new(17), Some(Signal::CHLD));
    }

    #[test]
    fn faults_come_first_then_the_lowest() {
        let set = SignalSet::EMPTY.with(Signal::INT).with(Signal::SEGV).with(Signal::USR1);
        assert_eq!(set.first(), Some(Signal::SEGV));
        assert_eq!(set.without(Signal::SEGV).first(), Some(Signal::INT));
        assert_eq!(SignalSet::EMPTY.first(), None);
    }

    proptest! {
        #[test]
        fn a_set_behaves_as_a_set(bits: u64, number in 1u32..=64) {
            let set = SignalSet::from_bits(bits);
            let signal = Signal::new(number).expect("in range");
            prop_assert!(set.with(signal).contains(signal));
            prop_assert!(!set.without(signal).contains(signal));
            prop_assert_eq!(set.with(signal).without(signal), set.without(signal));
            if let Some(first) = set.first() {
                prop_assert!(set.contains(first));
            }
        }
    }
}
