//! The word of a sleeping lock: whether one holds it alone, and whether it is kept for those who wait.
//!
//! What excludes is `HELD`: set in one step by whoever found it clear, and cleared by that holder alone. `KEPT`
//! excludes nobody: it turns away whoever comes by, and makes who leaves look for those who wait. Every change is one
//! read-modify-write, so who sets `KEPT` either finds the lock free or is seen by its holder.
use core::sync::atomic::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const HELD: u8 = 1;
const KEPT: u8 = 2;

/// The word. Whoever waits may change only whom it is kept for.
pub struct Gate(AtomicU8);

/// Who waits for a lock, and gets it from those who leave.
pub trait HandOn {
    /// Somebody has left who found that the lock is kept for others: their first is to be woken.
    fn hand_on(&self, gate: &Gate);
}

/// Nobody waits.
impl HandOn for () {
    fn hand_on(&self, gate: &Gate) {
        gate.open();
    }
}

impl Gate {
    /// Open.
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(OPEN))
    }

    /// Whether whoever comes by may enter.
    #[inline(always)]
    pub(super) fn is_open(&self, order: Ordering) -> bool {
        self.0.load(order) == OPEN
    }

    /// Whether somebody is inside alone, or looks whether he may be.
    #[inline(always)]
    pub(super) fn is_held(&self, order: Ordering) -> bool {
        self.0.load(order) & HELD != 0
    }

    /// Takes the open gate.
    #[inline(always)]
    pub(super) fn take(&self, order: Ordering) -> bool {
        self.0.compare_exchange(OPEN, HELD, order, Ordering::Relaxed).is_ok()
    }

    /// Takes the gate, kept or not, for the first of those who wait. If it is held, it is kept from now on.
    pub(super) fn take_as_first(&self) -> bool {
        self.0.fetch_or(HELD | KEPT, Ordering::SeqCst) & HELD == 0
    }

    /// The holder leaves; false if the lock is kept for others.
    #[inline(always)]
    pub(super) fn leave(&self) -> bool {
        self.0.fetch_sub(HELD, Ordering::Release) == HELD
    }

    /// Whether it is kept, and nobody is inside alone.
    pub fn is_kept(&self) -> bool {
        self.0.load(Ordering::Relaxed) == KEPT
    }

    /// Keeps it for the first of those who wait; whether nobody holds it alone.
    pub fn keep(&self) -> bool {
        self.0.fetch_or(KEPT, Ordering::SeqCst) & HELD == 0
    }

    /// Keeps it for nobody any longer.
    pub fn open(&self) {
        self.0.fetch_and(!KEPT, Ordering::Relaxed);
    }
}
