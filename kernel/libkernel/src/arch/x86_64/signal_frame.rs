//! The frame that a signal handler finds on its stack on x86_64, and what `rt_sigreturn` reads back from it.
//!
//! From high to low addresses (Linux 6.1, `arch/x86/kernel/signal.c`):
//!
//! ```text
//! stack ─►  (128 bytes red zone, unless the handler has a stack of its own)
//!           floating-point image, 64-byte aligned            ◄─ uc_mcontext.fpstate
//!           RtSigframe: siginfo, ucontext, return address    ◄─ rsp: 8 below a multiple of 16, as after a call
//! ```

use core::mem::offset_of;

use abi::arch::x86_64::signal::{
    FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2, FP_XSTATE_MAGIC2_SIZE, FpxSwBytes, RtSigframe, SigContext,
    UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS, UContext,
};
use abi::signal::{SigInfo, StackT};
use zerocopy::IntoBytes;

use super::fault::PAGE_FAULT;
use super::registers::UserRegs;
use super::sanitise;
use super::segments::{USER_CODE, USER_DATA};
use crate::addr::UserAddr;
use crate::fault::{Exception, PageFault};

/// What is written below the floating-point image.
pub type Frame = RtSigframe;

/// What `rt_sigreturn` reads of it, [`SAVED_OFFSET`] bytes from its start.
pub type Saved = UContext;

/// Where the context lies in the frame.
pub const SAVED_OFFSET: u64 = offset_of!(Frame, uc) as u64;

/// Bytes below the stack pointer that a leaf function uses without moving it (System V ABI).
pub const RED_ZONE: u64 = 128;

/// Bit 0 of a page fault's error code (SDM volume 3, 4.7).
const PRESENT: u64 = 1;

const FLOATING_POINT_ALIGNMENT: u64 = 64;
const STACK_ALIGNMENT: u64 = 16;

/// Where the parts of a frame go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The [`Frame`], which is also the handler's stack pointer.
    pub frame: u64,
    /// The floating-point image.
    pub floating_point: u64,
}

/// The fault that caused the signal, or the last one of the thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRecord {
    /// The address that could not be reached.
    pub address: u64,
    /// The vector.
    pub number: u64,
    /// The error code.
    pub code: u64,
}

impl FaultRecord {
    /// That of a page fault that ends in a signal. Whether something is mapped at a kernel address is not shown: Linux
    /// calls all of them present.
    pub const fn of_page_fault(fault: &PageFault) -> Self {
        let hidden = if UserAddr::new(fault.address).is_user() { 0 } else { PRESENT };
        Self { address: fault.address, number: PAGE_FAULT, code: fault.code | hidden }
    }

    /// What is shown after `exception`: the last address stays.
    pub const fn after(self, exception: &Exception) -> Self {
        Self { number: exception.number, code: exception.code, ..self }
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

/// Some more bytes of a frame; x86_64 has none.
pub type Extra = (u64, [u8; 0]);

/// Lays a frame out below `stack`; `None` if there is no room in the address space.
pub fn layout(stack: u64, floating_point_size: usize) -> Option<Layout> {
    let image = stack.checked_sub(u64::try_from(floating_point_size).ok()?)?;
    let floating_point = image & !(FLOATING_POINT_ALIGNMENT - 1);
    let below = floating_point.checked_sub(size_of::<Frame>() as u64)?;
    let frame = (below & !(STACK_ALIGNMENT - 1)).checked_sub(8)?;
    Some(Layout { frame, floating_point })
}

/// The frame's content.
pub fn build(parts: &Parts<'_>, layout: &Layout) -> Frame {
    let regs = parts.regs;
    let context = SigContext {
        r8: regs.r8,
        r9: regs.r9,
        r10: regs.r10,
        r11: regs.r11,
        r12: regs.r12,
        r13: regs.r13,
        r14: regs.r14,
        r15: regs.r15,
        rdi: regs.rdi,
        rsi: regs.rsi,
        rbp: regs.rbp,
        rbx: regs.rbx,
        rdx: regs.rdx,
        rax: regs.rax,
        rcx: regs.rcx,
        rsp: regs.rsp,
        rip: regs.rip,
        eflags: regs.rflags,
        cs: regs.cs as u16,
        gs: 0,
        fs: 0,
        ss: regs.ss as u16,
        err: parts.fault.code,
        trapno: parts.fault.number,
        oldmask: parts.mask,
        cr2: parts.fault.address,
        fpstate: layout.floating_point,
        reserved1: [0; 8],
    };
    Frame {
        pretcode: parts.restorer,
        uc: UContext {
            uc_flags: UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
            uc_link: 0,
            uc_stack: parts.stack,
            uc_mcontext: context,
            uc_sigmask: parts.mask,
        },
        info: *parts.info,
    }
}

/// What else is to be written, and where.
pub fn extras(_parts: &Parts<'_>, _layout: &Layout) -> [Extra; 0] {
    []
}

/// Bytes behind the XSAVE area in an image: `FP_XSTATE_MAGIC2`.
pub const IMAGE_END_BYTES: u32 = FP_XSTATE_MAGIC2_SIZE;

/// Where `FpxSwBytes` lie in the FXSAVE area: bytes that the CPU leaves to software (SDM volume 1, 10.5.1).
const SOFTWARE_BYTES_OFFSET: usize = 464;

/// Says in an image with `components` (XCR0) what it is; one without an XSAVE area says nothing.
pub fn describe_image(image: &mut [u8], components: u64) {
    let Some(xstate_size) = image.len().checked_sub(IMAGE_END_BYTES as usize) else { return };
    if xstate_size < SOFTWARE_BYTES_OFFSET + size_of::<FpxSwBytes>() || components == 0 {
        return;
    }
    let description = FpxSwBytes {
        magic1: FP_XSTATE_MAGIC1,
        extended_size: image.len() as u32,
        xfeatures: components,
        xstate_size: xstate_size as u32,
        padding: [0; 7],
    };
    image[SOFTWARE_BYTES_OFFSET..][..size_of::<FpxSwBytes>()].copy_from_slice(description.as_bytes());
    image[xstate_size..].copy_from_slice(FP_XSTATE_MAGIC2.as_bytes());
}

/// Makes the registers enter `handler` on the frame.
pub fn enter(regs: &mut UserRegs, layout: &Layout, handler: u64, signal: u32, _restorer: u64) {
    regs.rip = handler;
    regs.rsp = layout.frame;
    regs.rax = 0;
    regs.set_call_arguments([
        u64::from(signal),
        layout.frame + offset_of!(Frame, info) as u64,
        layout.frame + offset_of!(Frame, uc) as u64,
    ]);
    regs.rflags = sanitise::handler_flags(regs.rflags);
    regs.cs = u64::from(USER_CODE);
    regs.ss = u64::from(USER_DATA);
    regs.orig_rax = UserRegs::NO_SYSCALL;
}

/// Where the frame lies when `rt_sigreturn` is called: the handler's `ret` has taken the return address.
pub fn at_return(regs: &UserRegs) -> Option<u64> {
    Some(regs.rsp.wrapping_sub(8))
}

/// The address that the SIGSEGV of a bad frame names: none.
pub fn blamed_address(_regs: &UserRegs) -> Option<u64> {
    None
}

/// What `rt_sigreturn` restores.
pub struct Restored {
    /// The registers, safe to run with.
    pub regs: UserRegs,
    /// The mask.
    pub mask: u64,
    /// The alternate stack.
    pub stack: StackT,
}

/// The frame cannot be returned to. What could be wrong with one here is found when its floating-point image is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadFrame {}

/// Reads what was saved in a frame.
pub fn restore(saved: &Saved, current: &UserRegs) -> Restored {
    let context = &saved.uc_mcontext;
    let mut regs = UserRegs {
        r15: context.r15,
        r14: context.r14,
        r13: context.r13,
        r12: context.r12,
        rbp: context.rbp,
        rbx: context.rbx,
        r11: context.r11,
        r10: context.r10,
        r9: context.r9,
        r8: context.r8,
        rax: context.rax,
        rcx: context.rcx,
        rdx: context.rdx,
        rsi: context.rsi,
        rdi: context.rdi,
        orig_rax: UserRegs::NO_SYSCALL,
        rip: context.rip,
        cs: u64::from(context.cs),
        rflags: context.eflags,
        rsp: context.rsp,
        ss: if saved.uc_flags & UC_SIGCONTEXT_SS != 0 { u64::from(context.ss) } else { u64::from(USER_DATA) },
    };
    sanitise::frame(&mut regs, current);
    Restored { regs, mask: saved.uc_sigmask, stack: saved.uc_stack }
}

/// Where the floating-point image of the frame lies; `None` restores a fresh program's.
pub fn floating_point(
    saved: &Saved,
    _address: u64,
    _read: impl FnMut(u64, &mut [u8]) -> Option<()>,
) -> Result<Option<u64>, BadFrame> {
    let image = saved.uc_mcontext.fpstate;
    Ok((image != 0).then_some(image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::signal::{SEGV_MAPERR, SIGSEGV};
    use proptest::prelude::*;

    #[test]
    fn an_image_says_what_it_is() {
        let mut image = [0u8; 2696 + IMAGE_END_BYTES as usize];
        describe_image(&mut image, 0xe7);
        assert_eq!(image[464..468], FP_XSTATE_MAGIC1.to_le_bytes());
        assert_eq!(image[468..472], 2700u32.to_le_bytes());
        assert_eq!(image[472..480], 0xe7u64.to_le_bytes());
        assert_eq!(image[480..484], 2696u32.to_le_bytes());
        assert_eq!(image[2696..], FP_XSTATE_MAGIC2.to_le_bytes());
        let mut legacy = [0u8; 512];
        describe_image(&mut legacy, 0);
        assert_eq!(legacy, [0; 512]);
    }

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let regs =
            UserRegs { rax: 1, r15: 2, rip: 0x40_0000, rsp: 0x7000, ..UserRegs::new(0x40_0000, 0x7000) };
        let parts = Parts {
            regs: &regs,
            info: &SigInfo::new(SIGSEGV, SEGV_MAPERR),
            mask: 0x55,
            stack: StackT::default(),
            fault: FaultRecord::default(),
            restorer: 0x1234,
        };
        let layout = layout(regs.rsp - RED_ZONE, 512).expect("room");
        let frame = build(&parts, &layout);
        let restored = restore(&frame.uc, &regs);
        assert_eq!((restored.regs, restored.mask), (regs, 0x55));
        let image = floating_point(&frame.uc, layout.frame, |_, _| None);
        assert_eq!(image, Ok(Some(layout.floating_point)));
    }

    proptest! {
        #[test]
        fn parts_are_aligned_and_apart(stack: u64, size in 0usize..8192) {
            if let Some(layout) = layout(stack, size) {
                prop_assert_eq!(layout.frame % 16, 8);
                prop_assert_eq!(layout.floating_point % 64, 0);
                prop_assert!(layout.frame + size_of::<Frame>() as u64 <= layout.floating_point);
                prop_assert!(layout.floating_point + size as u64 <= stack);
            }
        }
    }
}
