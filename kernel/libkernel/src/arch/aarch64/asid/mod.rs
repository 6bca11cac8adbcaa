//! Address-space identifiers: whose translations a CPU may keep, and when it must forget.
//!
//! A user translation is kept under the ASID that it was walked with, so those of an address space survive while the
//! CPU runs another one. There are fewer ASIDs than address spaces may live at once. An address space therefore has its
//! ASID for one *generation*: when none is free, a new generation begins, in which only the address spaces that CPUs
//! are on keep theirs; every other one gets a new ASID when it next runs. What CPUs keep from older generations they
//! forget late: each CPU once, before it first runs an address space that the new generation gave an ASID to.
//!
//! [`Tag`] belongs to an address space, [`Asids`] is what CPUs read and write without a lock, [`Pool`] is under one.
//! [`Asids::activate`] succeeds in all switches but the first of an address space in its generation, and of a CPU.
//!
//! Invariants, which the tests check on models of the CPUs' TLBs:
//! - at any time at most one living address space owns a *stamp* (generation and ASID);
//! - a CPU runs under an ASID only if all that it keeps under it was walked from the tables of the stamp's owner: what
//!   it kept of others was forgotten when the generation changed for it, or by broadcast before [`Asids::release`];
//! - an ASID under which a CPU runs is not given away: a new generation finds it in `active`, or, if the CPU has not
//!   switched since the last one, in `reserved`.
//!
//! Orderings are relaxed: `active` of a CPU changes by read-modify-write, which either comes before a new generation's
//! exchange of it, and is seen there, or after, and fails. All else is ordered by the lock around the pool. What must
//! be ordered against the tables themselves is the caller's part, who has the barriers that table walks obey.

#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The ASID of CPUs that have no user memory: its tables are empty, so nothing is ever kept under it.
pub const NOBODY: u16 = 0;
/// Bits of an ASID that every CPU has (ID_AA64MMFR0_EL1.ASIDBits).
pub const BITS_MIN: u32 = 8;
/// Bits of an ASID at most.
pub const BITS_MAX: u32 = 16;

const WORDS: usize = (1 << BITS_MAX) / u64::BITS as usize;

/// A generation in the upper 48 bits, an ASID in the lower 16. Zero is no stamp: the first generation is 1.
#[inline]
const fn stamp(generation: u64, asid: u16) -> u64 {
    generation << BITS_MAX | asid as u64
}

#[inline]
const fn generation_of(stamp: u64) -> u64 {
    stamp >> BITS_MAX
}

#[inline]
const fn asid_of(stamp: u64) -> u16 {
    stamp as u16
}

/// What an address space is known by: the stamp it was given last.
#[derive(Default)]
pub struct Tag(AtomicU64);

impl Tag {
    /// The ASID under which CPUs may keep translations of the address space. `None`: it never ran, so there are none.
    /// A stale answer is harmless once the change to the tables is visible to walks: see `hal`'s flush.
    #[inline]
    pub fn asid(&self) -> Option<u16> {
        let stamp = self.0.load(Relaxed);
        (stamp != 0).then_some(asid_of(stamp))
    }
}

/// The generation, and what each CPU runs.
pub struct Asids<const CPUS: usize> {
    generation: AtomicU64,
    active: [Slot; CPUS],
}

/// The stamp under which a CPU runs; zero when it has not switched in this generation. On a line of its own: its CPU
/// writes it at each switch.
#[repr(align(64))]
struct Slot(AtomicU64);

/// What [`Asids::assign`] decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// The ASID to run under.
    pub asid: u16,
    /// The CPU must forget all user translations before it runs under the ASID.
    pub forget: bool,
}

/// A switch that was found possible.
struct Attempt {
    found: u64,
    stamp: u64,
}

impl<const CPUS: usize> Asids<CPUS> {
    /// The first generation, in which nobody has run.
    pub const fn new() -> Self {
        Self { generation: AtomicU64::new(1), active: [const { Slot(AtomicU64::new(0)) }; CPUS] }
    }

    /// Makes the address space of `tag` the one that `cpu`, the executing CPU, runs; its ASID. `None`: [`Self::assign`]
    /// must look.
    #[inline]
    pub fn activate(&self, cpu: usize, tag: &Tag) -> Option<u16> {
        self.look(cpu, tag).and_then(|attempt| self.commit(cpu, attempt))
    }

    #[inline]
    fn look(&self, cpu: usize, tag: &Tag) -> Option<Attempt> {
        let stamp = tag.0.load(Relaxed);
        let found = self.active[cpu].0.load(Relaxed);
        let current = generation_of(stamp) == self.generation.load(Relaxed);
        (current && found != 0).then_some(Attempt { found, stamp })
    }

    /// Fails if a new generation began since the look: it left zero.
    #[inline]
    fn commit(&self, cpu: usize, attempt: Attempt) -> Option<u16> {
        let Attempt { found, stamp } = attempt;
        self.active[cpu].0.compare_exchange(found, stamp, Relaxed, Relaxed).ok()?;
        Some(asid_of(stamp))
    }

    /// As [`Self::activate`], and gives the address space an ASID of this generation if it has none. The caller forgets
    /// what it is told to before it lets go of the pool.
    pub fn assign(&self, pool: &mut Pool<CPUS>, cpu: usize, tag: &Tag) -> Assignment {
        let mut stamp = tag.0.load(Relaxed);
        if generation_of(stamp) != self.generation.load(Relaxed) {
            stamp = self.renew(pool, stamp);
            tag.0.store(stamp, Relaxed);
        }
        self.active[cpu].0.store(stamp, Relaxed);
        let own = 1 << cpu;
        let forget = pool.outdated & own != 0;
        pool.outdated &= !own;
        Assignment { asid: asid_of(stamp), forget }
    }

    /// A stamp of the current generation for the owner of `old`.
    fn renew(&self, pool: &mut Pool<CPUS>, old: u64) -> u64 {
        let generation = self.generation.load(Relaxed);
        let kept = stamp(generation, asid_of(old));
        if old != 0 && pool.renew_reserved(old, kept) {
            return kept;
        }
        if let Some(asid) = pool.take() {
            return stamp(generation, asid);
        }
        let generation = generation + 1;
        self.generation.store(generation, Relaxed);
        self.roll_over(pool);
        let asid = pool.take().expect("there are more ASIDs than CPUs");
        stamp(generation, asid)
    }

    /// Frees the ASIDs of all address spaces that no CPU is on.
    #[cold]
    fn roll_over(&self, pool: &mut Pool<CPUS>) {
        for (slot, reserved) in self.active.iter().zip(&mut pool.reserved) {
            // Zero: the CPU has not switched since the last generation began, and is still where it was then.
            match slot.0.swap(0, Relaxed) {
                0 => {}
                active => *reserved = active,
            }
        }
        pool.outdated = u64::MAX;
        pool.free_all();
        for cpu in 0..CPUS {
            pool.mark(asid_of(pool.reserved[cpu]));
        }
    }

    /// Takes the ASID of an address space back that has ended: no CPU runs it, and all CPUs have forgotten what they
    /// kept under its ASID.
    pub fn release(&self, pool: &mut Pool<CPUS>, tag: &Tag) {
        let stamp = tag.0.load(Relaxed);
        // The ASID of an older stamp may be another's in this generation.
        if generation_of(stamp) == self.generation.load(Relaxed) {
            pool.unmark(asid_of(stamp));
        }
    }
}

impl<const CPUS: usize> Default for Asids<CPUS> {
    fn default() -> Self {
        Self::new()
    }
}

/// The ASIDs of the current generation.
pub struct Pool<const CPUS: usize> {
    /// A bit for each ASID that is not to be given away.
    used: [u64; WORDS],
    /// Where to look for a free one first.
    word: usize,
    /// How many ASIDs there are.
    count: usize,
    /// For each CPU the stamp under which it ran when a generation began; it may run under it still.
    reserved: [u64; CPUS],
    /// The CPUs that may keep translations of older generations.
    outdated: u64,
}

impl<const CPUS: usize> Pool<CPUS> {
    /// All ASIDs of so many bits, up to [`BITS_MAX`]. Each CPU may need one while another is given away.
    pub const fn new(bits: u32) -> Self {
        assert!(CPUS <= u64::BITS as usize && bits <= BITS_MAX && (1 << bits) - 1 > CPUS);
        let mut pool =
            Self { used: [0; WORDS], word: 0, count: 1 << bits, reserved: [0; CPUS], outdated: u64::MAX };
        pool.free_all();
        pool
    }

    /// Sees that there are more ASIDs than [`Self::new`] was told. Before the first is given away.
    pub fn widen(&mut self, bits: u32) {
        self.count = self.count.max(1 << bits.min(BITS_MAX));
        self.free_all();
    }

    const fn free_all(&mut self) {
        self.used = [0; WORDS];
        self.word = 0;
        self.used[0] = 1 << NOBODY;
        if self.count < u64::BITS as usize {
            self.used[0] |= u64::MAX << self.count;
        }
    }

    fn mark(&mut self, asid: u16) {
        self.used[usize::from(asid) / 64] |= 1 << (asid % 64);
    }

    fn unmark(&mut self, asid: u16) {
        self.used[usize::from(asid) / 64] &= !(1 << (asid % 64));
    }

    /// A free ASID, which is in use from here on.
    fn take(&mut self) -> Option<u16> {
        let words = self.count.div_ceil(64);
        let word = (self.word..words).chain(0..self.word).find(|&word| self.used[word] != u64::MAX)?;
        let asid = (word * 64) as u16 + self.used[word].trailing_ones() as u16;
        self.word = word;
        self.mark(asid);
        Some(asid)
    }

    /// Replaces `old` by `new` where it is reserved; whether it is. All CPUs that run under it are found, so that they
    /// still are when the next generation begins.
    fn renew_reserved(&mut self, old: u64, new: u64) -> bool {
        let mut found = false;
        for reserved in self.reserved.iter_mut().filter(|reserved| **reserved == old) {
            *reserved = new;
            found = true;
        }
        found
    }
}
