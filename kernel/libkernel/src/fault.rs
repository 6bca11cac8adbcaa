//! What a CPU reports when an instruction cannot go on, in words that both architectures share.
//!
//! `arch::{x86_64,aarch64}::fault` decode the hardware's codes into these types. `orlop` turns them into demand paging
//! or into a signal.

use abi::signal::{
    BUS_ADRALN, BUS_ADRERR, FPE_FLTDIV, FPE_FLTINV, FPE_FLTOVF, FPE_FLTRES, FPE_FLTUND, FPE_FLTUNK,
    FPE_INTDIV, ILL_ILLOPC, SI_KERNEL, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, TRAP_BRKPT, TRAP_HWBKPT,
    TRAP_TRACE,
};

/// What the instruction wanted to do with the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A data load.
    Read,
    /// A data store (an atomic read-modify-write counts as a store).
    Write,
    /// An instruction fetch.
    Execute,
}

/// A decoded page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageFault {
    /// The address that could not be reached, as the instruction had it: with its tag.
    pub address: u64,
    /// What was wanted there.
    pub access: Access,
    /// True when a translation exists and its permissions forbid the access.
    pub present: bool,
    /// The hardware's own code, which a signal frame shows (`err` on x86_64, `esr_context` on AArch64).
    pub code: u64,
}

/// An exception of a program that is no page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// What happened.
    pub kind: ExceptionKind,
    /// The address to report (`si_addr`): of the instruction, or of the data for [`ExceptionKind::Alignment`].
    pub address: u64,
    /// The hardware's number for it (`trapno` in an x86_64 signal frame; the exception class on AArch64).
    pub number: u64,
    /// The hardware's own code (`err` in an x86_64 signal frame; ESR on AArch64).
    pub code: u64,
}

/// The kinds of exception a program can cause. Which signal each becomes is told by `arch::native::fault::signal`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExceptionKind {
    /// Integer division by zero or overflowing quotient (x86_64 `#DE`).
    DivideError,
    /// One instruction was executed under single step.
    SingleStep,
    /// A hardware breakpoint or watchpoint was met.
    HardwareBreakpoint,
    /// A breakpoint instruction: `int3`, `brk`.
    Breakpoint,
    /// The instruction does not exist, or not for programs.
    UndefinedInstruction,
    /// A floating-point exception; the flags that are raised and unmasked, in IEEE order.
    FloatingPoint(FloatingPointCause),
    /// An access that needs alignment and lacks it.
    Alignment,
    /// The program counter is not aligned to an instruction (AArch64).
    InstructionAlignment,
    /// The stack pointer is not aligned where it must be (AArch64).
    StackAlignment,
    /// A protection violation that names no address: a privileged instruction, a non-canonical address (x86_64 `#GP`).
    Protection,
    /// A segment that is absent (x86_64 `#NP`, `#TS`) or a bad stack access (`#SS`).
    Segment,
    /// `into` or `bound` failed (32-bit instructions only; kept so that the decoder is total).
    Bounds,
    /// The bus answered an access with an error.
    BusError,
}

/// Why a floating-point operation trapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FloatingPointCause {
    /// An operand or operation without a result.
    Invalid,
    /// Division of a finite number by zero.
    DivideByZero,
    /// The result is too large.
    Overflow,
    /// The result or an operand is too small for full precision.
    Underflow,
    /// The result was rounded.
    Inexact,
    /// The hardware did not tell.
    Unknown,
}

/// Signal number and `si_code` of an exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExceptionSignal {
    /// Linux's signal number, the same on both architectures.
    pub number: u32,
    /// `si_code` as in `sigaction(2)`.
    pub code: i32,
}

impl ExceptionKind {
    /// The signal Linux sends for this exception on every architecture that has no word of its own on it: see
    /// `arch::native::fault::signal`.
    pub const fn common_signal(self) -> ExceptionSignal {
        let (number, code) = match self {
            Self::DivideError => (SIGFPE, FPE_INTDIV),
            Self::SingleStep => (SIGTRAP, TRAP_TRACE),
            Self::HardwareBreakpoint => (SIGTRAP, TRAP_HWBKPT),
            Self::Breakpoint => (SIGTRAP, TRAP_BRKPT),
            Self::UndefinedInstruction => (SIGILL, ILL_ILLOPC),
            Self::FloatingPoint(cause) => (SIGFPE, cause.code()),
            Self::Alignment | Self::InstructionAlignment | Self::StackAlignment => (SIGBUS, BUS_ADRALN),
            Self::Protection | Self::Bounds => (SIGSEGV, SI_KERNEL),
            Self::Segment => (SIGBUS, SI_KERNEL),
            Self::BusError => (SIGBUS, BUS_ADRERR),
        };
        ExceptionSignal { number, code }
    }
}

impl FloatingPointCause {
    const fn code(self) -> i32 {
        match self {
            Self::DivideByZero => FPE_FLTDIV,
            Self::Overflow => FPE_FLTOVF,
            Self::Underflow => FPE_FLTUND,
            Self::Inexact => FPE_FLTRES,
            Self::Invalid => FPE_FLTINV,
            Self::Unknown => FPE_FLTUNK,
        }
    }
}
