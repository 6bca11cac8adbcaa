//! The signal frame of x86_64.
//!
//! Source: Linux 6.1, `arch/x86/include/uapi/asm/{sigcontext,ucontext}.h`, `arch/x86/include/asm/sigframe.h`. The
//! kernel lays [`RtSigframe`] at the handler's stack pointer and the floating-point state, which
//! [`SigContext::fpstate`] points to, above it on a 64-byte boundary.

use crate::signal::{SigInfo, StackT};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The interrupted registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs, reason = "registers are named as the CPU names them")]
pub struct SigContext {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub eflags: u64,
    pub cs: u16,
    /// Not used by Linux since 2.5: the bases are not part of the frame.
    pub gs: u16,
    /// Not used by Linux since 2.5.
    pub fs: u16,
    /// Restored if `uc_flags` has [`UC_SIGCONTEXT_SS`].
    pub ss: u16,
    /// Error code of the exception.
    pub err: u64,
    /// Vector of the exception.
    pub trapno: u64,
    /// The mask, again.
    pub oldmask: u64,
    /// Address of the page fault.
    pub cr2: u64,
    /// Address of [`FpState`], or 0.
    pub fpstate: u64,
    /// Zero.
    pub reserved1: [u64; 8],
}

constants! { u64:
    UC_FP_XSTATE = 0x1, "the floating-point state is in XSAVE format";
    UC_SIGCONTEXT_SS = 0x2, "`ss` is valid";
    UC_STRICT_RESTORE_SS = 0x4, "restore `ss` even if it is bad";
}

/// What the handler's third argument points to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct UContext {
    /// `UC_*`.
    pub uc_flags: u64,
    /// 0.
    pub uc_link: u64,
    /// The alternate stack to restore.
    pub uc_stack: StackT,
    /// The registers to restore.
    pub uc_mcontext: SigContext,
    /// The mask to restore.
    pub uc_sigmask: u64,
}

/// What lies at the stack pointer when the handler starts.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RtSigframe {
    /// Where the handler returns to: `sa_restorer`.
    pub pretcode: u64,
    /// Restored by `rt_sigreturn`.
    pub uc: UContext,
    /// The handler's second argument.
    pub info: SigInfo,
}

constants! { u32:
    FP_XSTATE_MAGIC1 = 0x4650_5853, "in FpxSwBytes: an XSAVE area follows";
    FP_XSTATE_MAGIC2 = 0x4650_5845, "the word after the XSAVE area";
    FP_XSTATE_MAGIC2_SIZE = 4, "bytes of that word";
}

/// The software bytes of the FXSAVE area, which describe the extended state.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FpxSwBytes {
    /// [`FP_XSTATE_MAGIC1`], or 0 if only the FXSAVE area is there.
    pub magic1: u32,
    /// Bytes of the area with [`FP_XSTATE_MAGIC2`].
    pub extended_size: u32,
    /// Which components the area has.
    pub xfeatures: u64,
    /// Bytes of the XSAVE area.
    pub xstate_size: u32,
    /// Zero.
    pub padding: [u32; 7],
}

/// The FXSAVE area (Intel SDM vol. 1, 10.5.1) with Linux's software bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FpState {
    /// x87 control word.
    pub cwd: u16,
    /// x87 status word.
    pub swd: u16,
    /// x87 tag word, abridged.
    pub twd: u16,
    /// Last x87 opcode.
    pub fop: u16,
    /// Last x87 instruction.
    pub rip: u64,
    /// Last x87 operand.
    pub rdp: u64,
    /// SSE control and status.
    pub mxcsr: u32,
    /// Valid bits of `mxcsr`.
    pub mxcsr_mask: u32,
    /// ST0 to ST7.
    pub st_space: [u32; 32],
    /// XMM0 to XMM15.
    pub xmm_space: [u32; 64],
    /// Reserved.
    pub reserved2: [u32; 12],
    /// What follows.
    pub sw_reserved: FpxSwBytes,
}

/// The header of an XSAVE area, at byte 512 (Intel SDM vol. 1, 13.4.2).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct XStateHeader {
    /// XSTATE_BV: components that are not in their initial state.
    pub xfeatures: u64,
    /// XCOMP_BV and reserved words: 0 in the standard format, else XRSTOR faults.
    pub reserved: [u64; 7],
}
