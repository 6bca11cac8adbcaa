//! The frame that a signal handler finds on its stack on AArch64, and what `rt_sigreturn` reads back from it.
//!
//! From high to low addresses (Linux 6.1, `arch/arm64/kernel/signal.c`):
//!
//! ```text
//! stack ─►  frame record: interrupted x29 and x30            ◄─ x29
//!           ucontext: …, 4,096 bytes of records: FPSIMD registers, ESR of a fault, end
//!           siginfo                                          ◄─ sp, 16-byte aligned
//! ```
//!
//! Of the room for records only the front is written.

mod records;

use core::mem::offset_of;

use abi::arch::aarch64::signal::{
    ContextHeader, ESR_MAGIC, EsrContext, FPSIMD_MAGIC, FpsimdContext, FrameRecord, RtSigframe, SigContext,
    UContext,
};
use abi::signal::{SigInfo, StackT};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fault::{PAGE_FAULT, shown_syndrome};
use super::registers::UserRegs;
use super::sanitise;
use crate::fault::{Exception, ExceptionKind, PageFault};

/// The front of Linux's frame, up to the head of the first record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Frame {
    info: SigInfo,
    uc_flags: u64,
    uc_link: u64,
    uc_stack: StackT,
    uc_sigmask: u64,
    unused: [u8; 120],
    pad: u64,
    fault_address: u64,
    regs: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
    reserved_pad: u64,
    fpsimd: ContextHeader,
}

/// What `rt_sigreturn` reads of it: all.
pub type Saved = Frame;

/// Where that lies in the frame.
pub const SAVED_OFFSET: u64 = 0;

const RECORDS: usize =
    offset_of!(RtSigframe, uc) + offset_of!(UContext, uc_mcontext) + offset_of!(SigContext, __reserved);
const _: () = assert!(offset_of!(Frame, fpsimd) == RECORDS);
const _: () = assert!(offset_of!(Frame, uc_flags) == offset_of!(RtSigframe, uc));
const _: () = assert!(
    offset_of!(Frame, fault_address) == offset_of!(RtSigframe, uc) + offset_of!(UContext, uc_mcontext)
);

/// AArch64 has no red zone (AAPCS64, 6.4.5).
pub const RED_ZONE: u64 = 0;

const STACK_ALIGNMENT: u64 = 16;
const FPSIMD_SIZE: u32 = size_of::<FpsimdContext>() as u32;

/// Where the parts of a frame go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The [`Frame`], which is also the handler's stack pointer.
    pub frame: u64,
    /// The floating-point image: the record after its header.
    pub floating_point: u64,
    /// The records behind it.
    tail: u64,
    /// The frame record.
    record: u64,
}

/// The fault that caused the signal, or the last one of the thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRecord {
    /// The address that could not be reached.
    pub address: u64,
    /// The exception class.
    pub number: u64,
    /// ESR_EL1; 0 if there was none.
    pub code: u64,
}

impl FaultRecord {
    /// That of a page fault that ends in a signal.
    pub const fn of_page_fault(fault: &PageFault) -> Self {
        Self { address: super::untagged(fault.address), number: PAGE_FAULT, code: shown_syndrome(fault) }
    }

    /// What is shown after `exception`. Only an access that was not aligned has an address here (`si_addr` names the
    /// others'), and traps leave everything as it was.
    pub const fn after(self, exception: &Exception) -> Self {
        let address = match exception.kind {
            ExceptionKind::Breakpoint
            | ExceptionKind::SingleStep
            | ExceptionKind::HardwareBreakpoint
            | ExceptionKind::FloatingPoint(_) => return self,
            ExceptionKind::Alignment => super::untagged(exception.address),
            _ => 0,
        };
        Self { address, number: exception.number, code: exception.code }
    }
}

/// What a frame tells the handler.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The interrupted registers.
    pub regs: &'a UserRegs,
    /// Why the signal came.
    pub info: &'a SigInfo,
    /// The mask to restore.
    pub mask: u64,
    /// The alternate stack to restore.
    pub stack: StackT,
    /// What `uc_mcontext` shows of a fault.
    pub fault: FaultRecord,
    /// Where the handler returns to.
    pub restorer: u64,
}

/// Some more bytes of a frame: address and content.
pub type Extra = (u64, [u8; 32]);

/// Lays a frame out below `stack`; `None` if there is no room in the address space.
pub fn layout(stack: u64, _floating_point_size: usize) -> Option<Layout> {
    let top = stack & !(STACK_ALIGNMENT - 1);
    let record = top.checked_sub(size_of::<FrameRecord>() as u64)?;
    let frame = record.checked_sub(size_of::<RtSigframe>() as u64)? & !(STACK_ALIGNMENT - 1);
    let first = frame + RECORDS as u64;
    Some(Layout {
        frame,
        floating_point: first + size_of::<ContextHeader>() as u64,
        tail: first + u64::from(FPSIMD_SIZE),
        record,
    })
}

/// The frame's content.
pub fn build(parts: &Parts<'_>, _layout: &Layout) -> Frame {
    let regs = parts.regs;
    Frame {
        info: *parts.info,
        uc_flags: 0,
        uc_link: 0,
        uc_stack: parts.stack,
        uc_sigmask: parts.mask,
        unused: [0; 120],
        pad: 0,
        fault_address: parts.fault.address,
        regs: regs.x,
        sp: regs.sp,
        pc: regs.pc,
        pstate: regs.pstate,
        reserved_pad: 0,
        fpsimd: ContextHeader { magic: FPSIMD_MAGIC, size: FPSIMD_SIZE },
    }
}

/// What else is to be written, and where: the records behind the floating-point registers, and the frame record.
pub fn extras(parts: &Parts<'_>, layout: &Layout) -> [Extra; 2] {
    let mut tail = [0; 32];
    if parts.fault.code != 0 {
        let esr = EsrContext {
            head: ContextHeader { magic: ESR_MAGIC, size: size_of::<EsrContext>() as u32 },
            esr: parts.fault.code,
        };
        tail[..size_of::<EsrContext>()].copy_from_slice(esr.as_bytes());
    }
    let mut record = [0; 32];
    let links = FrameRecord { fp: parts.regs.frame_pointer(), lr: parts.regs.link_register() };
    record[..size_of::<FrameRecord>()].copy_from_slice(links.as_bytes());
    // The record has 16 bytes; the 16 zeros after it would lie above the stack's top.
    let mut low = [0; 32];
    low[16..].copy_from_slice(&record[..16]);
    [(layout.tail, tail), (layout.record - 16, low)]
}

/// Makes the registers enter `handler` on the frame.
pub fn enter(regs: &mut UserRegs, layout: &Layout, handler: u64, signal: u32, restorer: u64) {
    regs.pc = handler;
    regs.sp = layout.frame;
    regs.set_call_arguments([
        u64::from(signal),
        layout.frame,
        layout.frame + offset_of!(Frame, uc_flags) as u64,
    ]);
    regs.set_frame_pointer(layout.record);
    regs.set_link_register(restorer);
    regs.pstate = sanitise::handler_flags(regs.pstate);
    regs.finish_syscall();
}

/// Where the frame lies when `rt_sigreturn` is called; `None` where no frame can lie.
pub fn at_return(regs: &UserRegs) -> Option<u64> {
    regs.sp.is_multiple_of(STACK_ALIGNMENT).then_some(regs.sp)
}

/// The address that the SIGSEGV of a bad frame names, after as much as could be read of it was restored.
pub fn blamed_address(regs: &UserRegs) -> Option<u64> {
    Some(regs.sp)
}

/// What `rt_sigreturn` restores, whatever the records are.
pub struct Restored {
    /// The registers, safe to run with.
    pub regs: UserRegs,
    /// The mask.
    pub mask: u64,
    /// The alternate stack.
    pub stack: StackT,
}

/// The frame cannot be returned to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadFrame;

/// Reads what was saved in a frame.
pub fn restore(frame: &Saved, current: &UserRegs) -> Restored {
    let mut regs = UserRegs { x: frame.regs, sp: frame.sp, pc: frame.pc, pstate: frame.pstate, ..*current };
    sanitise::frame(&mut regs, current);
    Restored { regs, mask: frame.uc_sigmask, stack: frame.uc_stack }
}

/// Where the floating-point image of the frame at `address` lies. `read` fills the bytes from an address of the program
/// on. Refused is a frame that asks for another state than EL0 or whose records are not as this kernel lays them out.
pub fn floating_point(
    frame: &Saved,
    address: u64,
    read: impl FnMut(u64, &mut [u8]) -> Option<()>,
) -> Result<Option<u64>, BadFrame> {
    if sanitise::asks_for_privilege(frame.pstate) {
        return Err(BadFrame);
    }
    let record = records::floating_point(frame.fpsimd, address, read).ok_or(BadFrame)?;
    Ok(Some(record + size_of::<ContextHeader>() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::signal::{SEGV_MAPERR, SIGSEGV};
    use proptest::prelude::*;

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let mut regs = UserRegs::new(0x40_0000, 0x9000);
        regs.x[19] = 77;
        let parts = Parts {
            regs: &regs,
            info: &SigInfo::new(SIGSEGV, SEGV_MAPERR),
            mask: 0x55,
            stack: StackT::default(),
            fault: FaultRecord::default(),
            restorer: 0x1234,
        };
        let layout = layout(regs.sp, 520).expect("room");
        let frame = build(&parts, &layout);
        let restored = restore(&frame, &regs);
        assert_eq!((restored.regs, restored.mask), (regs, 0x55));
        let nothing_more = |_address: u64, bytes: &mut [u8]| {
            bytes.fill(0);
            Some(())
        };
        assert_eq!(floating_point(&frame, layout.frame, nothing_more), Ok(Some(layout.floating_point)));
    }

    proptest! {
        #[test]
        fn parts_are_aligned_and_inside(stack: u64) {
            if let Some(layout) = layout(stack, 520) {
                prop_assert_eq!(layout.frame % 16, 0);
                prop_assert!(layout.frame + size_of::<RtSigframe>() as u64 <= layout.record);
                prop_assert!(layout.record + 16 <= stack);
            }
        }
    }
}
