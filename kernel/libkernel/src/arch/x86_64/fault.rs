//! x86_64's exception vectors and page-fault error code.

use abi::signal::{ILL_ILLOPN, SI_KERNEL, SIGILL, SIGTRAP};

use crate::fault::{Access, Exception, ExceptionKind, ExceptionSignal, FloatingPointCause, PageFault};

/// What a signal frame shows as the number of a page fault.
pub const PAGE_FAULT: u64 = vector::PAGE_FAULT as u64;

/// The signal of an exception. x86_64's codes for `int3` and `ud2` are its own (Linux, arch/x86/kernel/traps.c).
pub const fn signal(kind: ExceptionKind) -> ExceptionSignal {
    match kind {
        ExceptionKind::Breakpoint => ExceptionSignal { number: SIGTRAP, code: SI_KERNEL },
        ExceptionKind::UndefinedInstruction => ExceptionSignal { number: SIGILL, code: ILL_ILLOPN },
        other => other.common_signal(),
    }
}

/// Vector numbers (SDM volume 3, 6.3.1).
#[allow(missing_docs)]
pub mod vector {
    pub const DIVIDE_ERROR: u8 = 0;
    pub const DEBUG: u8 = 1;
    pub const NON_MASKABLE: u8 = 2;
    pub const BREAKPOINT: u8 = 3;
    pub const OVERFLOW: u8 = 4;
    pub const BOUND_RANGE: u8 = 5;
    pub const INVALID_OPCODE: u8 = 6;
    pub const DEVICE_NOT_AVAILABLE: u8 = 7;
    pub const DOUBLE_FAULT: u8 = 8;
    pub const COPROCESSOR_OVERRUN: u8 = 9;
    pub const INVALID_TSS: u8 = 10;
    pub const SEGMENT_NOT_PRESENT: u8 = 11;
    pub const STACK_SEGMENT: u8 = 12;
    pub const GENERAL_PROTECTION: u8 = 13;
    pub const PAGE_FAULT: u8 = 14;
    pub const X87_FLOATING_POINT: u8 = 16;
    pub const ALIGNMENT_CHECK: u8 = 17;
    pub const MACHINE_CHECK: u8 = 18;
    pub const SIMD_FLOATING_POINT: u8 = 19;
    pub const VIRTUALIZATION: u8 = 20;
    pub const CONTROL_PROTECTION: u8 = 21;
    /// First vector that is free for devices.
    pub const FIRST_FREE: u8 = 32;

    /// The mnemonic that Intel's manual gives a vector, for the kernel log.
    pub const fn name(vector: u8) -> &'static str {
        const NAMES: [&str; 22] = [
            "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#09", "#TS", "#NP", "#SS", "#GP",
            "#PF", "#15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
        ];
        if (vector as usize) < NAMES.len() { NAMES[vector as usize] } else { "interrupt" }
    }
}

const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const FETCH: u64 = 1 << 4;

/// A decoded page fault from CR2 and the error code (SDM volume 3, 4.7).
pub const fn page_fault(address: u64, code: u64) -> PageFault {
    let access = if code & FETCH != 0 {
        Access::Execute
    } else if code & WRITE != 0 {
        Access::Write
    } else {
        Access::Read
    };
    PageFault { address, access, present: code & PRESENT != 0, code }
}

/// True when the CPU was in ring 3 (or in an access that counts as such) at the fault.
pub const fn is_from_user(code: u64) -> bool {
    code & USER != 0
}

/// What the CPU's state told besides the vector, read by `hal` in the entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Details {
    /// The error code, 0 where there is none.
    pub code: u64,
    /// RIP in the frame.
    pub instruction: u64,
    /// CR2 as it stands.
    pub fault_address: u64,
    /// DR6 for a debug exception.
    pub debug_status: u64,
    /// The x87 status word and its control word for `#MF`; MXCSR's flags and masks in the same form for `#XM`.
    pub floating_point: FloatingPointStatus,
}

/// Raised and masked floating-point exceptions, bit 0 to 5 as in the x87 status word (IE DE ZE OE UE PE).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FloatingPointStatus {
    /// Exceptions raised.
    pub raised: u16,
    /// Exceptions that may not trap.
    pub masked: u16,
}

impl FloatingPointStatus {
    /// From x87's status and control words (SDM volume 1, 8.1.3 and 8.1.5).
    pub const fn from_x87(status: u16, control: u16) -> Self {
        Self { raised: status & 0x3f, masked: control & 0x3f }
    }

    /// From MXCSR (SDM volume 1, 10.2.3).
    pub const fn from_mxcsr(mxcsr: u32) -> Self {
        Self { raised: (mxcsr & 0x3f) as u16, masked: (mxcsr >> 7 & 0x3f) as u16 }
    }

    const fn cause(self) -> FloatingPointCause {
        let trapping = self.raised & !self.masked;
        if trapping & 0x01 != 0 {
            FloatingPointCause::Invalid
        } else if trapping & 0x04 != 0 {
            FloatingPointCause::DivideByZero
        } else if trapping & 0x08 != 0 {
            FloatingPointCause::Overflow
        } else if trapping & 0x12 != 0 {
            FloatingPointCause::Underflow
        } else if trapping & 0x20 != 0 {
            FloatingPointCause::Inexact
        } else {
            FloatingPointCause::Unknown
        }
    }
}

/// DR6.BS: the exception ended one single step.
const DEBUG_SINGLE_STEP: u64 = 1 << 14;

/// The exception of a program for `vector`, or `None` where the vector cannot come from a program (NMI, double fault,
/// machine check, device interrupts) or is a page fault.
pub const fn exception(vector: u8, details: &Details) -> Option<Exception> {
    let kind = match vector {
        vector::DIVIDE_ERROR => ExceptionKind::DivideError,
        vector::DEBUG if details.debug_status & DEBUG_SINGLE_STEP != 0 => ExceptionKind::SingleStep,
        vector::DEBUG => ExceptionKind::HardwareBreakpoint,
        vector::BREAKPOINT => ExceptionKind::Breakpoint,
        vector::OVERFLOW | vector::BOUND_RANGE => ExceptionKind::Bounds,
        vector::INVALID_OPCODE | vector::DEVICE_NOT_AVAILABLE => ExceptionKind::UndefinedInstruction,
        vector::INVALID_TSS => ExceptionKind::Protection,
        vector::SEGMENT_NOT_PRESENT | vector::STACK_SEGMENT => ExceptionKind::Segment,
        vector::GENERAL_PROTECTION | vector::CONTROL_PROTECTION => ExceptionKind::Protection,
        vector::X87_FLOATING_POINT | vector::SIMD_FLOATING_POINT => {
            ExceptionKind::FloatingPoint(details.floating_point.cause())
        }
        vector::ALIGNMENT_CHECK => ExceptionKind::Alignment,
        _ => return None,
    };
    let address = match kind {
        ExceptionKind::Protection
        | ExceptionKind::Segment
        | ExceptionKind::Bounds
        | ExceptionKind::Breakpoint
        | ExceptionKind::Alignment => 0,
        _ => details.instruction,
    };
    Some(Exception { kind, address, number: vector as u64, code: details.code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breakpoint_is_the_kernels_own_signal() {
        assert_eq!(signal(ExceptionKind::Breakpoint), ExceptionSignal { number: 5, code: 0x80 });
        assert_eq!(signal(ExceptionKind::DivideError), ExceptionSignal { number: 8, code: 1 });
    }

    #[test]
    fn a_store_to_a_read_only_page() {
        let fault = page_fault(0x1234, 0b111);
        assert_eq!((fault.access, fault.present, is_from_user(fault.code)), (Access::Write, true, true));
        assert_eq!(page_fault(0, 0x14).access, Access::Execute);
    }

    #[test]
    fn masked_exceptions_are_not_the_cause() {
        let details = Details {
            floating_point: FloatingPointStatus::from_mxcsr(0x0001 | 0x0004 | 0x0080),
            ..Details::default()
        };
        let exception = exception(vector::SIMD_FLOATING_POINT, &details).unwrap();
        assert_eq!(exception.kind, ExceptionKind::FloatingPoint(FloatingPointCause::DivideByZero));
    }

    #[test]
    fn what_no_program_causes_is_not_decoded() {
        for vector in
            [vector::NON_MASKABLE, vector::DOUBLE_FAULT, vector::MACHINE_CHECK, vector::PAGE_FAULT, 32, 255]
        {
            assert_eq!(exception(vector, &Details::default()), None);
        }
    }
}
