//! The signal frame of AArch64.
//!
//! Source: Linux 6.1, `arch/arm64/include/uapi/asm/{sigcontext,ucontext}.h`, `arch/arm64/kernel/signal.c`. The kernel
//! lays [`RtSigframe`] at the handler's stack pointer and a frame record (x29, x30) above it. The records in
//! [`SigContext::__reserved`] start on 16-byte boundaries with a [`ContextHeader`]; one of magic 0 ends them.

use crate::signal::{SigInfo, StackT};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The interrupted registers, and room for the records.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SigContext {
    /// Address of the fault.
    pub fault_address: u64,
    /// x0 to x30.
    pub regs: [u64; 31],
    /// Stack pointer.
    pub sp: u64,
    /// Program counter.
    pub pc: u64,
    /// Processor state.
    pub pstate: u64,
    /// Zero: the records are aligned to 16 bytes.
    pub pad: u64,
    /// [`FpsimdContext`], [`EsrContext`], [`ExtraContext`] and the end.
    pub __reserved: [u8; RESERVED_SIZE],
}

/// Bytes for the records of a [`SigContext`].
pub const RESERVED_SIZE: usize = 4096;

/// What the handler's third argument points to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct UContext {
    /// 0.
    pub uc_flags: u64,
    /// 0.
    pub uc_link: u64,
    /// The alternate stack to restore.
    pub uc_stack: StackT,
    /// The mask to restore.
    pub uc_sigmask: u64,
    /// Zero: the C library's mask has 1024 bits.
    pub __unused: [u8; 120],
    /// Zero: `uc_mcontext` is aligned to 16 bytes.
    pub pad: u64,
    /// The registers to restore.
    pub uc_mcontext: SigContext,
}

/// What lies at the stack pointer when the handler starts.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RtSigframe {
    /// The handler's second argument.
    pub info: SigInfo,
    /// Restored by `rt_sigreturn`.
    pub uc: UContext,
}

constants! { u32:
    FPSIMD_MAGIC = 0x4650_8001, "FpsimdContext";
    ESR_MAGIC = 0x4553_5201, "EsrContext";
    EXTRA_MAGIC = 0x4558_5401, "ExtraContext";
    SVE_MAGIC = 0x5356_4501, "scalable vectors";
    ZA_MAGIC = 0x5436_6345, "matrix state";
}

/// The start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ContextHeader {
    /// `*_MAGIC`; 0 ends the records.
    pub magic: u32,
    /// Bytes of the record with this header; 0 in the last.
    pub size: u32,
}

/// The floating-point and vector registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FpsimdContext {
    /// [`FPSIMD_MAGIC`], 528 bytes.
    pub head: ContextHeader,
    /// Status.
    pub fpsr: u32,
    /// Control.
    pub fpcr: u32,
    /// v0 to v31.
    pub vregs: [u128; 32],
}

/// The syndrome of a fault.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EsrContext {
    /// [`ESR_MAGIC`], 16 bytes.
    pub head: ContextHeader,
    /// ESR_EL1.
    pub esr: u64,
}

/// Where further records are, when [`SigContext`] has no room.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ExtraContext {
    /// [`EXTRA_MAGIC`], 32 bytes.
    pub head: ContextHeader,
    /// Their address, aligned to 16 bytes.
    pub datap: u64,
    /// Their bytes.
    pub size: u32,
    /// Zero.
    pub __reserved: [u32; 3],
}

/// The frame record above [`RtSigframe`], for unwinders.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FrameRecord {
    /// x29 at the interruption.
    pub fp: u64,
    /// x30 at the interruption.
    pub lr: u64,
}
