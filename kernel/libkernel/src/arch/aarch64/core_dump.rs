//! AArch64's registers as a core dump shows them. Source: Linux 6.1, `arch/arm64/kernel/ptrace.c`.

use alloc::collections::TryReserveError;

use abi::arch::aarch64::core_dump::GeneralRegisters;
use abi::core_dump::{NT_ARM_SYSTEM_CALL, NT_ARM_TLS, NT_PRFPREG};

use super::registers::UserRegs;
use crate::core_dump::{Notes, Owner};

/// What a thread has besides its general registers.
#[derive(Clone, Copy)]
pub struct Others<'a> {
    /// The floating-point image: FPSR, FPCR, V0 to V31.
    pub floating_point: &'a [u8],
    /// TPIDR_EL0.
    pub thread_pointer: u64,
    /// There is none.
    pub second_pointer: u64,
    /// There are none.
    pub selectors: [u16; 4],
}

/// The general registers of a thread.
pub fn general_registers(regs: &UserRegs, _others: &Others<'_>) -> GeneralRegisters {
    GeneralRegisters { regs: regs.x, sp: regs.sp, pc: regs.pc, pstate: regs.pstate }
}

/// Bytes of FPSR and FPCR, which a core dump has behind the vectors.
const CONTROL_BYTES: usize = 8;

/// Adds the notes of the other registers: vectors, thread pointer, and the system call that the thread is in.
pub fn add_notes(regs: &UserRegs, others: &Others<'_>, notes: &mut Notes) -> Result<(), TryReserveError> {
    if let Some((control, vectors)) = others.floating_point.split_at_checked(CONTROL_BYTES) {
        notes.add(Owner::Core, NT_PRFPREG, &[vectors, control, &[0; 8]])?;
    }
    notes.add(Owner::Linux, NT_ARM_TLS, &[&others.thread_pointer.to_le_bytes()])?;
    let number = regs.syscall_number() as u32;
    notes.add(Owner::Linux, NT_ARM_SYSTEM_CALL, &[&number.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::arch::aarch64::core_dump::VectorRegisters;
    use zerocopy::FromBytes;

    #[test]
    fn registers_are_those_of_the_frame() {
        let mut regs = UserRegs::new(0x40_0000, 0x7000);
        regs.x[30] = 9;
        let mut image = [0; 8 + 512];
        (image[0], image[4], image[8], image[519]) = (1, 2, 3, 4);
        let others =
            Others { floating_point: &image, thread_pointer: 5, second_pointer: 0, selectors: [0; 4] };
        let shown = general_registers(&regs, &others);
        assert_eq!((shown.regs[30], shown.pc, shown.sp), (9, 0x40_0000, 0x7000));
        let mut notes = Notes::default();
        add_notes(&regs, &others, &mut notes).expect("memory");
        let all: alloc::vec::Vec<_> = notes.iter().collect();
        let vectors = VectorRegisters::read_from_bytes(&all[0].content).expect("528 bytes");
        assert_eq!((vectors.fpsr, vectors.fpcr), (1, 2));
        assert_eq!((vectors.vregs[0], vectors.vregs[31]), (3, 4 << 120));
        assert_eq!((all[1].kind, all[1].content[0]), (NT_ARM_TLS, 5));
        assert_eq!((all[2].kind, &all[2].content[..]), (NT_ARM_SYSTEM_CALL, &[0xff; 4][..]));
    }
}
