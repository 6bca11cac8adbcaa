//! x86_64's registers as a core dump shows them. Source: Linux 6.1, `arch/x86/kernel/{ptrace,fpu/xstate}.c`.

use alloc::collections::TryReserveError;

use abi::arch::x86_64::core_dump::GeneralRegisters;
use abi::core_dump::{NT_PRFPREG, NT_X86_XSTATE};

use super::registers::UserRegs;
use crate::core_dump::{Notes, Owner};

/// What a thread has besides its general registers.
#[derive(Clone, Copy)]
pub struct Others<'a> {
    /// The floating-point image, as a signal frame has it.
    pub floating_point: &'a [u8],
    /// FS base.
    pub thread_pointer: u64,
    /// GS base.
    pub second_pointer: u64,
    /// DS, ES, FS and GS.
    pub selectors: [u16; 4],
}

/// The general registers of a thread.
pub fn general_registers(regs: &UserRegs, others: &Others<'_>) -> GeneralRegisters {
    let [ds, es, fs, gs] = others.selectors.map(u64::from);
    GeneralRegisters {
        r15: regs.r15,
        r14: regs.r14,
        r13: regs.r13,
        r12: regs.r12,
        rbp: regs.rbp,
        rbx: regs.rbx,
        r11: regs.r11,
        r10: regs.r10,
        r9: regs.r9,
        r8: regs.r8,
        rax: regs.rax,
        rcx: regs.rcx,
        rdx: regs.rdx,
        rsi: regs.rsi,
        rdi: regs.rdi,
        orig_rax: regs.orig_rax,
        rip: regs.rip,
        cs: regs.cs,
        eflags: regs.rflags,
        rsp: regs.rsp,
        ss: regs.ss,
        fs_base: others.thread_pointer,
        gs_base: others.second_pointer,
        ds,
        es,
        fs,
        gs,
    }
}

/// Bytes of the image that FXSAVE writes.
const LEGACY_BYTES: usize = 512;
/// Bytes of the legacy image that belong to software, and where a signal frame's say which components there are.
const SOFTWARE_BYTES: core::ops::Range<usize> = 464..512;
const COMPONENTS: core::ops::Range<usize> = 472..480;

/// Adds the notes of the other registers: FXSAVE's image, and where the CPU has it XSAVE's, of which readers want to
/// know the components: they stand at the start of the software bytes there.
pub fn add_notes(_regs: &UserRegs, others: &Others<'_>, notes: &mut Notes) -> Result<(), TryReserveError> {
    let image = others.floating_point;
    let (Some(registers), Some(components)) = (image.get(..SOFTWARE_BYTES.start), image.get(COMPONENTS))
    else {
        return Ok(());
    };
    let blank = [0; SOFTWARE_BYTES.end - SOFTWARE_BYTES.start - 8];
    notes.add(Owner::Core, NT_PRFPREG, &[registers, components, &blank])?;
    let end = image.len().saturating_sub(super::signal_frame::IMAGE_END_BYTES as usize);
    match image.get(LEGACY_BYTES..end) {
        Some(rest) => notes.add(Owner::Linux, NT_X86_XSTATE, &[registers, components, &blank, rest]),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Others<'_> =
        Others { floating_point: &[], thread_pointer: 5, second_pointer: 6, selectors: [1, 2, 3, 4] };

    #[test]
    fn registers_are_those_of_the_frame() {
        let regs = UserRegs { r15: 1, rax: 2, orig_rax: 3, ..UserRegs::new(0x40_0000, 0x7000) };
        let shown = general_registers(&regs, &NONE);
        assert_eq!((shown.r15, shown.rax, shown.orig_rax), (1, 2, 3));
        assert_eq!((shown.rip, shown.rsp, shown.fs_base, shown.gs_base), (0x40_0000, 0x7000, 5, 6));
        assert_eq!((shown.ds, shown.gs), (1, 4));
    }

    #[test]
    fn images_say_which_components_they_have() {
        let mut image = [7; 2696 + 4];
        super::super::signal_frame::describe_image(&mut image, 0xe7);
        let mut notes = Notes::default();
        let regs = UserRegs::new(0, 0);
        add_notes(&regs, &Others { floating_point: &image, ..NONE }, &mut notes).expect("memory");
        let all: alloc::vec::Vec<_> = notes.iter().collect();
        assert_eq!((all[0].kind, all[0].content.len()), (NT_PRFPREG, 512));
        assert_eq!((all[1].kind, all[1].content.len()), (NT_X86_XSTATE, 2696));
        for note in all {
            assert_eq!(note.content[464..472], 0xe7u64.to_le_bytes());
            assert_eq!((note.content[463], note.content[472], note.content[511]), (7, 0, 0));
        }
        let mut legacy = Notes::default();
        add_notes(&regs, &Others { floating_point: &[0; 512], ..NONE }, &mut legacy).expect("memory");
        assert_eq!(legacy.iter().count(), 1);
    }
}
