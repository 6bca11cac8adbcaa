//! The data page behind the vDSO's clock functions.
//!
//! The page lies right below the vDSO's image in every program. The kernel writes it through [`VdsoData`], the
//! assembly in `hal/src/arch/*/vdso.rs` reads it by the same offsets, guarded by `sequence`: odd while the kernel
//! changes it, and a reader retries if it was odd or has moved.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The sequence number of clocks whose counter programs cannot read: the functions ask the kernel. Odd, so that only
/// who would wait looks.
pub const CLOSED: u32 = u32::MAX;

/// A clock over the counter: `((counter - origin) * nanoseconds_per_cycle >> 32) + offset_ns`, the sum wrapping.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VdsoClock {
    /// Odd while the kernel writes the rest.
    pub sequence: u32,
    /// Keeps the layout without padding.
    pub reserved: u32,
    /// The counter's value at time zero.
    pub origin: u64,
    /// What is added to the time that the counter gives, in nanoseconds.
    pub offset_ns: u64,
    /// Nanoseconds for one count, a fixed-point number with 32 fraction bits.
    pub nanoseconds_per_cycle: u64,
    /// What to add to get the time since 1970, in nanoseconds.
    pub wall_offset_ns: u64,
}

/// What user code needs to turn the cycle counter into clocks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VdsoData {
    /// The monotonic clock, which the kernel lives by.
    pub steered: VdsoClock,
    /// CLOCK_MONOTONIC_RAW.
    pub raw: VdsoClock,
}

impl VdsoData {
    /// The same for a counter that programs cannot read.
    pub const fn closed(mut self) -> Self {
        self.steered.sequence = CLOSED;
        self.raw.sequence = CLOSED;
        self
    }

    /// Counts the sequences of both clocks on: to odd before they change, to even after.
    pub const fn count_on(&mut self) {
        self.steered.sequence = self.steered.sequence.wrapping_add(1);
        self.raw.sequence = self.raw.sequence.wrapping_add(1);
    }
}

/// The clock ids that the vDSO answers by the steered clock, as bits: REALTIME, MONOTONIC, REALTIME_COARSE,
/// MONOTONIC_COARSE, BOOTTIME (Linux's `clock_gettime(2)`). It answers [`RAW_CLOCK`] too; others go to the kernel.
pub const CLOCKS: u32 = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7;

/// Those of [`CLOCKS`] that count from 1970.
pub const WALL_CLOCKS: u32 = 1 << 0 | 1 << 5;

/// CLOCK_MONOTONIC_RAW.
pub const RAW_CLOCK: u32 = 4;
