//! Registers of AArch64 in a core dump. Source: Linux 6.1, `arch/arm64/include/uapi/asm/ptrace.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The general registers of a thread: `struct user_pt_regs`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct GeneralRegisters {
    /// x0 to x30.
    pub regs: [u64; 31],
    /// The stack pointer.
    pub sp: u64,
    /// Where the thread was.
    pub pc: u64,
    /// Flags and mode.
    pub pstate: u64,
}

/// The vector registers of a thread: `struct user_fpsimd_state`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VectorRegisters {
    /// v0 to v31.
    pub vregs: [u128; 32],
    /// Status.
    pub fpsr: u32,
    /// Control.
    pub fpcr: u32,
    /// Zero.
    pub reserved: [u32; 2],
}
