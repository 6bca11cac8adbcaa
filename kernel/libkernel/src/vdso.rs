//! The data page behind the vDSO's clock functions.
//!
//! The page lies right below the vDSO's image in every program. The kernel writes it through [`VdsoData`], the
//! assembly in `hal/src/arch/*/vdso.rs` reads it by the same offsets, guarded by `sequence`: odd while the kernel
//! changes it, and a reader retries if it was odd or has moved.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What user code needs to turn the cycle counter into clocks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VdsoData {
    /// Odd while the kernel writes the page.
    pub sequence: u32,
    /// Keeps the layout without padding.
    pub reserved: u32,
    /// The counter's value at `base_ns`.
    pub base_cycles: u64,
    /// Monotonic time at `base_cycles`, in nanoseconds.
    pub base_ns: u64,
    /// Nanoseconds for one count, a fixed-point number with 32 fraction bits.
    pub nanoseconds_per_cycle: u64,
    /// What to add to monotonic time to get the time since 1970, in nanoseconds.
    pub wall_offset_ns: u64,
}

/// The clock ids the vDSO answers itself, as bits: REALTIME, MONOTONIC, MONOTONIC_RAW, REALTIME_COARSE,
/// MONOTONIC_COARSE, BOOTTIME (Linux's `clock_gettime(2)`). Others go to the kernel.
pub const CLOCKS: u32 = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7;

/// Those of [`CLOCKS`] that count from 1970.
pub const WALL_CLOCKS: u32 = 1 << 0 | 1 << 5;
