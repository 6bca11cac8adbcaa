//! The way back to ring 3 on x86_64, decided from the registers alone.
//!
//! `sysretq` is quick and takes RIP from RCX and RFLAGS from R11; on Intel it faults in ring 0 with the program's stack
//! when RIP is not canonical (CVE-2012-0217). `iretq` can restore everything, and faults in ring 0 on selectors that
//! are not the program's. Both are kept from ever seeing such a frame, and the proof is this function.

use super::registers::{UserRegs, rflags};
use super::segments::{USER_CODE, USER_DATA};
use super::{USER_END, is_canonical};

/// How to go back to a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReturnPath {
    /// By `sysretq`: RCX and RIP, R11 and RFLAGS agree, and nothing else needs `iretq`.
    Sysret,
    /// By `iretq`.
    Iret,
    /// Not at all: the frame asks for what the CPU would refuse. The thread gets SIGSEGV instead.
    Kill,
}

/// Flags that `sysretq` cannot restore as `iretq` does: RF it clears, and TF would trap on the wrong instruction.
const NOT_FOR_SYSRET: u64 = rflags::RESUME | rflags::TRAP;
/// Flags with which no program runs.
const FORBIDDEN: u64 = rflags::IO_PRIVILEGE
    | rflags::VIRTUAL_8086
    | rflags::VIRTUAL_INTERRUPT
    | rflags::VIRTUAL_INTERRUPT_PENDING;

/// Decides for the frame `regs`.
#[inline]
pub const fn decide(regs: &UserRegs) -> ReturnPath {
    let flags = regs.rflags & (FORBIDDEN | rflags::INTERRUPT);
    if regs.cs != USER_CODE as u64 || regs.ss != USER_DATA as u64 || flags != rflags::INTERRUPT {
        return ReturnPath::Kill;
    }
    if regs.rip == regs.rcx
        && regs.rflags == regs.r11
        && regs.rip < USER_END
        && regs.rflags & NOT_FOR_SYSRET == 0
    {
        return ReturnPath::Sysret;
    }
    if is_canonical(regs.rip) { ReturnPath::Iret } else { ReturnPath::Kill }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after_syscall() -> UserRegs {
        let regs = UserRegs::new(0x40_1000, 0x7fff_0000);
        UserRegs { rcx: regs.rip, r11: regs.rflags, ..regs }
    }

    #[test]
    fn an_ordinary_system_call_returns_quickly() {
        assert_eq!(decide(&after_syscall()), ReturnPath::Sysret);
    }

    #[test]
    fn a_fresh_thread_goes_by_iret() {
        assert_eq!(decide(&UserRegs::new(0x40_1000, 0)), ReturnPath::Iret);
    }

    #[test]
    fn the_page_below_the_hole_is_not_for_sysret() {
        let regs = UserRegs { rip: 1 << 47, rcx: 1 << 47, ..after_syscall() };
        assert_eq!(decide(&regs), ReturnPath::Kill);
        let regs = UserRegs { rip: USER_END, rcx: USER_END, ..after_syscall() };
        assert_eq!(decide(&regs), ReturnPath::Iret);
    }

    #[test]
    fn single_step_goes_by_iret() {
        let flags = after_syscall().rflags | rflags::TRAP;
        assert_eq!(decide(&UserRegs { rflags: flags, r11: flags, ..after_syscall() }), ReturnPath::Iret);
    }

    fn any_selector() -> impl Strategy<Value = u64> {
        prop_oneof![Just(USER_CODE as u64), Just(USER_DATA as u64), any::<u64>(), 0u64..0x80]
    }

    fn any_address() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (1u64 << 47) - 8192..(1 << 47) + 4096,
            0u64..1 << 47,
            0xffff_8000_0000_0000..=u64::MAX
        ]
    }

    proptest! {
        #[test]
        fn the_cpu_never_sees_a_bad_frame(
            rip in any_address(), rcx in any_address(), same: bool, flags: u64, r11: u64,
            cs in any_selector(), ss in any_selector(),
        ) {
            let (rcx, r11) = if same { (rip, flags) } else { (rcx, r11) };
            let regs = UserRegs { rip, rcx, r11, rflags: flags, cs, ss, ..UserRegs::default() };
            match decide(&regs) {
                ReturnPath::Sysret => {
                    prop_assert!(rip < 1 << 47 && rip == rcx && flags == r11);
                    prop_assert_eq!((cs, ss), (USER_CODE as u64, USER_DATA as u64));
                    prop_assert_eq!(flags & (FORBIDDEN | NOT_FOR_SYSRET), 0);
                }
                ReturnPath::Iret => {
                    prop_assert!(is_canonical(rip));
                    prop_assert_eq!((cs, ss), (USER_CODE as u64, USER_DATA as u64));
                    prop_assert_eq!(flags & FORBIDDEN, 0);
                }
                ReturnPath::Kill => {}
            }
        }
    }
}
