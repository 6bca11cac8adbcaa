//! Process-context identifiers (SDM volume 3, 4.10.1): a CPU keeps the translations of the address spaces that it ran
//! last, each under an identifier, and need not forget them when it runs another one.
//!
//! Identifiers are each CPU's own: a few, given in turn to the address spaces that come. An address space is flushed on
//! the CPUs that are on it; the others see at their next switch to it, by the count of its changes, that they have
//! missed one, and forget all that they kept of it. A CPU that was interrupted to forget counts as one that has missed
//! a change, too: when it has answered it may be on another address space already, and then it has forgotten nothing of
//! this one. Only who flushes knows what its own CPU has not missed.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// How many address spaces a CPU keeps translations of. More find little left of theirs in a TLB.
pub const KEPT: usize = 8;

/// The identifier under which the kernel's own tables, without user memory, are active.
pub const KERNEL: u16 = 0;

/// What the CPUs know of an address space.
pub struct Space {
    /// Its number, which no other one had or will have.
    number: u64,
    /// How often its translations had to be forgotten.
    changes: AtomicU64,
    /// The CPUs that are on it, bit N for CPU N.
    cpus: AtomicU64,
}

impl Space {
    /// An address space that no CPU is on.
    pub fn new() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self { number: NUMBERS.fetch_add(1, Relaxed), changes: AtomicU64::new(0), cpus: AtomicU64::new(0) }
    }

    /// `cpu` is about to be on it: [`Identifiers::choose`] comes after this, the write of CR3 last.
    #[inline]
    pub fn enter(&self, cpu: usize) {
        self.cpus.fetch_or(1 << cpu, SeqCst);
    }

    /// `cpu` has left it.
    #[inline]
    pub fn leave(&self, cpu: usize) {
        self.cpus.fetch_and(!(1 << cpu), SeqCst);
    }

    /// Tables were changed so that translations must be forgotten: which CPUs are on it, and the count before this
    /// change.
    ///
    /// A CPU that is not among them comes later, and [`Identifiers::choose`] finds the change counted: one or the other
    /// has come first, in the order that all sequentially consistent operations have.
    #[inline]
    pub fn change(&self) -> (u64, u64) {
        let before = self.changes.fetch_add(1, SeqCst);
        (self.cpus(), before)
    }

    /// The CPUs that are on it.
    #[inline]
    pub fn cpus(&self) -> u64 {
        self.cpus.load(SeqCst)
    }
}

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

/// What is written to CR3 besides the root table's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The identifier.
    pub pcid: u16,
    /// Whether what the CPU has kept under it is good.
    pub keep: bool,
}

/// Who has which identifier on one CPU, which alone uses this, one use at a time.
pub struct Identifiers {
    owners: [AtomicU64; KEPT],
    /// For each, the count of changes up to which nothing of its owner was missed.
    changes: [AtomicU64; KEPT],
    /// Who loses its identifier to the next one that has none.
    next: AtomicU64,
}

/// What no address space has as its number.
const NOBODY: u64 = 0;

impl Identifiers {
    /// All identifiers are free.
    pub const fn new() -> Self {
        Self {
            owners: [const { AtomicU64::new(NOBODY) }; KEPT],
            changes: [const { AtomicU64::new(0) }; KEPT],
            next: AtomicU64::new(0),
        }
    }

    /// The identifier for `space`, which this CPU has entered.
    pub fn choose(&self, space: &Space) -> Choice {
        let changes = space.changes.load(SeqCst);
        let found = self.find(space);
        let slot = found.unwrap_or_else(|| self.take_next());
        self.owners[slot].store(space.number, Relaxed);
        let keep = found.is_some() && self.changes[slot].load(Relaxed) == changes;
        self.changes[slot].store(changes, Relaxed);
        Choice { pcid: slot as u16 + 1, keep }
    }

    /// This CPU, which is on `space`, has forgotten what the change after `before` made stale.
    pub fn note_forgotten(&self, space: &Space, before: u64) {
        if let Some(slot) = self.find(space)
            && self.changes[slot].load(Relaxed) == before
        {
            self.changes[slot].store(before + 1, Relaxed);
        }
    }

    fn find(&self, space: &Space) -> Option<usize> {
        self.owners.iter().position(|owner| owner.load(Relaxed) == space.number)
    }

    fn take_next(&self) -> usize {
        let next = self.next.load(Relaxed);
        self.next.store(next + 1, Relaxed);
        next as usize % KEPT
    }
}

impl Default for Identifiers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
