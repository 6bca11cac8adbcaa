//! AArch64's exception syndrome (ESR_EL1, D17.2.37).

use abi::signal::{BUS_OBJERR, SIGBUS};

use crate::addr::UserAddr;
use crate::fault::{Access, Exception, ExceptionKind, ExceptionSignal, FloatingPointCause, PageFault};

/// What a signal frame shows as the number of a page fault.
pub const PAGE_FAULT: u64 = class::DATA_ABORT_EL0;

/// The signal of an exception. An error of the bus is one of the object here (Linux, arch/arm64/mm/fault.c).
pub const fn signal(kind: ExceptionKind) -> ExceptionSignal {
    match kind {
        ExceptionKind::BusError => ExceptionSignal { number: SIGBUS, code: BUS_OBJERR },
        other => other.common_signal(),
    }
}

/// Exception classes (ESR_EL1.EC) that Orlop tells apart.
#[allow(missing_docs)]
pub mod class {
    pub const UNKNOWN: u64 = 0x00;
    pub const FLOATING_POINT_ACCESS: u64 = 0x07;
    pub const BRANCH_TARGET: u64 = 0x0d;
    pub const ILLEGAL_STATE: u64 = 0x0e;
    pub const SUPERVISOR_CALL: u64 = 0x15;
    pub const SYSTEM_REGISTER: u64 = 0x18;
    pub const SCALABLE_VECTORS: u64 = 0x19;
    pub const POINTER_AUTHENTICATION: u64 = 0x1c;
    pub const SCALABLE_MATRICES: u64 = 0x1d;
    pub const INSTRUCTION_ABORT_EL0: u64 = 0x20;
    pub const INSTRUCTION_ABORT_EL1: u64 = 0x21;
    pub const PC_ALIGNMENT: u64 = 0x22;
    pub const DATA_ABORT_EL0: u64 = 0x24;
    pub const DATA_ABORT_EL1: u64 = 0x25;
    pub const SP_ALIGNMENT: u64 = 0x26;
    pub const FLOATING_POINT: u64 = 0x2c;
    pub const SYSTEM_ERROR: u64 = 0x2f;
    pub const BREAKPOINT_EL0: u64 = 0x30;
    pub const SOFTWARE_STEP_EL0: u64 = 0x32;
    pub const WATCHPOINT_EL0: u64 = 0x34;
    pub const BRK: u64 = 0x3c;
}

/// What a synchronous exception means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// `svc` with any immediate.
    Syscall,
    /// A translation or permission is missing.
    PageFault(PageFault),
    /// Anything else a program does wrong.
    Exception(Exception),
}

/// The exception class of a syndrome.
pub const fn class_of(esr: u64) -> u64 {
    esr >> 26 & 0x3f
}

/// Decodes a synchronous exception. `far` is meaningful for aborts and alignment, `pc` is ELR_EL1. Classes that no
/// program can cause decode as an undefined instruction, which is what Linux sends for them.
pub const fn decode(esr: u64, far: u64, pc: u64) -> Event {
    let kind = match class_of(esr) {
        class::SUPERVISOR_CALL => return Event::Syscall,
        class::INSTRUCTION_ABORT_EL0 | class::INSTRUCTION_ABORT_EL1 => {
            return abort(esr, far, Access::Execute);
        }
        class::DATA_ABORT_EL0 | class::DATA_ABORT_EL1 => return abort(esr, far, data_access(esr)),
        class::PC_ALIGNMENT => ExceptionKind::InstructionAlignment,
        class::SP_ALIGNMENT => ExceptionKind::StackAlignment,
        class::FLOATING_POINT => ExceptionKind::FloatingPoint(floating_point_cause(esr)),
        class::BREAKPOINT_EL0 | class::WATCHPOINT_EL0 => ExceptionKind::HardwareBreakpoint,
        class::SOFTWARE_STEP_EL0 => ExceptionKind::SingleStep,
        class::BRK => ExceptionKind::Breakpoint,
        _ => ExceptionKind::UndefinedInstruction,
    };
    let address = match kind {
        ExceptionKind::InstructionAlignment => far,
        _ => pc,
    };
    Event::Exception(Exception { kind, address, number: class_of(esr), code: shown_exception(esr) })
}

const WRITE_NOT_READ: u64 = 1 << 6;
const CACHE_MAINTENANCE: u64 = 1 << 8;
const INSTRUCTION_LENGTH: u64 = 1 << 25;
const CLASS: u64 = 0x3f << 26;
const TRANSLATION_LEVEL_0: u64 = 0x04;

/// What Linux shows of the syndrome: nothing for instructions that do not exist for programs.
const fn shown_exception(esr: u64) -> u64 {
    match class_of(esr) {
        class::UNKNOWN
        | class::FLOATING_POINT_ACCESS
        | class::BRANCH_TARGET
        | class::SYSTEM_REGISTER
        | class::SCALABLE_VECTORS
        | class::POINTER_AUTHENTICATION
        | class::SCALABLE_MATRICES => 0,
        _ => esr,
    }
}

/// What a program sees of the syndrome of a page fault. All addresses of the kernel look the same to it: nothing is
/// there.
pub const fn shown_syndrome(fault: &PageFault) -> u64 {
    let kept = match class_of(fault.code) {
        _ if UserAddr::new(super::untagged(fault.address)).is_user() => return fault.code,
        class::DATA_ABORT_EL0 => CACHE_MAINTENANCE | WRITE_NOT_READ,
        _ => 0,
    };
    fault.code & (CLASS | INSTRUCTION_LENGTH | kept) | TRANSLATION_LEVEL_0
}

const fn data_access(esr: u64) -> Access {
    // Cache maintenance is reported as a write though it needs the right to read only.
    if esr & WRITE_NOT_READ != 0 && esr & CACHE_MAINTENANCE == 0 { Access::Write } else { Access::Read }
}

/// Fault status codes (ISS.DFSC, ISS.IFSC): the two low bits of the first four are the level.
const fn abort(esr: u64, far: u64, access: Access) -> Event {
    let kind = match esr & 0x3f {
        0x00..=0x07 => {
            return Event::PageFault(PageFault { address: far, access, present: false, code: esr });
        }
        0x08..=0x0f => return Event::PageFault(PageFault { address: far, access, present: true, code: esr }),
        0x21 => ExceptionKind::Alignment,
        _ => ExceptionKind::BusError,
    };
    Event::Exception(Exception { kind, address: far, number: class_of(esr), code: esr })
}

const fn floating_point_cause(esr: u64) -> FloatingPointCause {
    const TRAPPED_FLAGS_VALID: u64 = 1 << 23;
    if esr & TRAPPED_FLAGS_VALID == 0 {
        FloatingPointCause::Unknown
    } else if esr & 0x01 != 0 {
        FloatingPointCause::Invalid
    } else if esr & 0x02 != 0 {
        FloatingPointCause::DivideByZero
    } else if esr & 0x04 != 0 {
        FloatingPointCause::Overflow
    } else if esr & 0x08 != 0 {
        FloatingPointCause::Underflow
    } else if esr & 0x10 != 0 {
        FloatingPointCause::Inexact
    } else {
        FloatingPointCause::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breakpoint_is_told_by_its_own_code() {
        assert_eq!(signal(ExceptionKind::Breakpoint), ExceptionSignal { number: 5, code: 1 });
        assert_eq!(signal(ExceptionKind::UndefinedInstruction), ExceptionSignal { number: 4, code: 1 });
    }

    #[test]
    fn a_store_to_a_read_only_page() {
        let esr = class::DATA_ABORT_EL0 << 26 | WRITE_NOT_READ | 0x0f;
        let expected = PageFault { address: 0x1234, access: Access::Write, present: true, code: esr };
        assert_eq!(decode(esr, 0x1234, 0), Event::PageFault(expected));
    }

    #[test]
    fn kernel_addresses_look_empty() {
        let esr = class::DATA_ABORT_EL0 << 26 | INSTRUCTION_LENGTH | 3 << 14 | WRITE_NOT_READ | 0x0f;
        let fault = |address| PageFault { address, access: Access::Write, present: true, code: esr };
        assert_eq!(shown_syndrome(&fault(0x1234)), esr);
        assert_eq!(shown_syndrome(&fault(0xffff_8000_0000_0000)), 0x24 << 26 | 1 << 25 | 1 << 6 | 4);
    }

    #[test]
    fn every_syndrome_decodes() {
        for class in 0..64u64 {
            for status in 0..64 {
                let event = decode(class << 26 | status, 1, 2);
                assert_eq!(event == Event::Syscall, class == class::SUPERVISOR_CALL);
            }
        }
    }

    #[test]
    fn alignment_is_no_page_fault() {
        let Event::Exception(exception) = decode(class::DATA_ABORT_EL0 << 26 | 0x21, 3, 0) else { panic!() };
        assert_eq!((exception.kind, exception.address), (ExceptionKind::Alignment, 3));
    }
}
