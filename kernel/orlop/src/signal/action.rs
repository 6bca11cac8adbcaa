//! What a process does at each signal.

use alloc::sync::Arc;

use abi::signal::{NSIG, SIG_DFL, SIG_IGN, Sigaction};
use hal::sync::SpinLock;

use super::{DefaultAction, Signal, SignalSet};

const NO_ACTION: Sigaction = Sigaction { sa_handler: SIG_DFL, sa_flags: 0, sa_restorer: 0, sa_mask: 0 };

/// The action table, shared by threads.
pub struct Actions(SpinLock<[Sigaction; NSIG as usize]>);

/// What a signal leads to, from its action and its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// A handler of the program runs.
    Handle,
    /// Nothing happens.
    Ignore,
    /// The default, which is not to ignore it.
    Default(DefaultAction),
}

/// What an action makes of its signal.
pub fn disposition(signal: Signal, action: &Sigaction) -> Disposition {
    match (action.sa_handler, signal.default_action()) {
        (SIG_IGN, _) | (SIG_DFL, DefaultAction::Ignore) => Disposition::Ignore,
        (SIG_DFL, default) => Disposition::Default(default),
        _ => Disposition::Handle,
    }
}

impl Actions {
    /// Default actions for all.
    pub fn new() -> Arc<Actions> {
        Arc::new(Actions(SpinLock::new([NO_ACTION; NSIG as usize])))
    }

    /// A table that changes independently.
    pub fn duplicate(&self) -> Arc<Actions> {
        Arc::new(Actions(SpinLock::new(*self.0.lock())))
    }

    /// The action of a signal.
    #[inline]
    pub fn get(&self, signal: Signal) -> Sigaction {
        self.0.lock()[signal.index()]
    }

    /// Replaces an action.
    #[inline]
    pub fn set(&self, signal: Signal, action: Sigaction) {
        self.0.lock()[signal.index()] = action;
    }

    /// Takes the action for a delivery: a handler with `SA_RESETHAND` is the default from now on.
    #[inline]
    pub(super) fn take(&self, signal: Signal) -> Sigaction {
        let mut table = self.0.lock();
        let action = table[signal.index()];
        if action.sa_flags & abi::signal::SA_RESETHAND != 0 && action.sa_handler > SIG_IGN {
            table[signal.index()].sa_handler = SIG_DFL;
        }
        action
    }

    /// Makes every handled signal default: `execve`, or `CLONE_CLEAR_SIGHAND`. Ignored ones stay ignored.
    pub fn reset_handlers(&self) {
        for action in self.0.lock().iter_mut() {
            let handler = if action.sa_handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = Sigaction { sa_handler: handler, ..NO_ACTION };
        }
    }

    /// The signals that are ignored, and those that are handled: `/proc/PID/status`.
    pub fn summary(&self) -> (SignalSet, SignalSet) {
        let table = self.0.lock();
        (1..=NSIG).filter_map(Signal::new).fold(
            (SignalSet::EMPTY, SignalSet::EMPTY),
            |(ignored, handled), signal| match table[signal.index()].sa_handler {
                SIG_DFL => (ignored, handled),
                SIG_IGN => (ignored.with(signal), handled),
                _ => (ignored, handled.with(signal)),
            },
        )
    }
}
