//! Model-specific registers (SDM volume 4).
use super::super::user_copy::on_fault;
use core::arch::asm;

/// Extended features: SCE, LME, NXE.
pub const EFER: u32 = 0xc000_0080;
/// Selectors of `syscall` and `sysret`.
pub const STAR: u32 = 0xc000_0081;
/// Where `syscall` goes.
pub const LSTAR: u32 = 0xc000_0082;
/// RFLAGS bits that `syscall` clears.
pub const FMASK: u32 = 0xc000_0084;
/// FS segment base: a thread's TLS.
pub const FS_BASE: u32 = 0xc000_0100;
/// GS segment base: the kernel's per-CPU data while in the kernel.
pub const GS_BASE: u32 = 0xc000_0101;
/// What `swapgs` exchanges GS_BASE with: the program's GS base while in the kernel.
pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
/// What `rdtscp` and `rdpid` tell programs.
pub const TSC_AUX: u32 = 0xc000_0103;
/// Where a 32-bit `syscall` goes.
pub const CSTAR: u32 = 0xc000_0083;
/// Code segment, stack and instruction of `sysenter`.
pub const SYSENTER_CS: u32 = 0x174;
/// See [`SYSENTER_CS`].
pub const SYSENTER_ESP: u32 = 0x175;
/// See [`SYSENTER_CS`].
pub const SYSENTER_EIP: u32 = 0x176;
/// IA32_DEBUGCTL: steps by branch, records of branches.
pub const DEBUG_CONTROL: u32 = 0x1d9;
/// IA32_PAT.
pub const PAT: u32 = 0x277;
/// IA32_SPEC_CTRL: IBRS, STIBP, SSBD, BHI_DIS_S.
pub const SPECULATION_CONTROL: u32 = 0x48;
/// IA32_PRED_CMD: IBPB.
pub const PREDICTOR_COMMAND: u32 = 0x49;
/// IA32_ARCH_CAPABILITIES.
pub const ARCH_CAPABILITIES: u32 = 0x10a;
/// IA32_XSS: components of XSAVES that only the kernel uses.
pub const XSS: u32 = 0xda0;
/// IA32_UMWAIT_CONTROL: how programs may wait.
pub const USER_WAIT_CONTROL: u32 = 0xe1;
/// IA32_MISC_ENABLE.
pub const MISC_ENABLE: u32 = 0x1a0;
/// IA32_TIME_STAMP_COUNTER.
pub const TIME_STAMP_COUNTER: u32 = 0x10;
/// IA32_TSC_DEADLINE: the value of the time-stamp counter at which the local APIC's timer interrupts.
pub const TSC_DEADLINE: u32 = 0x6e0;
/// Local APIC: base address and enable bit.
pub const APIC_BASE: u32 = 0x1b;

/// KVM: where the hypervisor writes the time of day of its clock's zero; writing the address makes it do so.
pub const KVM_WALL_CLOCK: u32 = 0x4b56_4d00;
/// KVM: where it keeps this CPU's clock; bit 0: on.
pub const KVM_CLOCK: u32 = 0x4b56_4d01;
/// KVM: where it keeps this CPU's steal time; bit 0: on.
pub const KVM_STEAL_TIME: u32 = 0x4b56_4d03;

/// KVM: where it says that an end of interrupt need not be told; bit 0: on.
pub const KVM_END_OF_INTERRUPT: u32 = 0x4b56_4d04;
/// KVM: bit 0: it polls for a while before it stops a CPU that halts.
pub const KVM_POLL_CONTROL: u32 = 0x4b56_4d05;

/// EFER.SCE, which turns `syscall` on.
pub const EFER_SYSCALL: u64 = 1 << 0;
/// EFER.LME and LMA: long mode is on.
pub const EFER_LONG_MODE: u64 = 1 << 8 | 1 << 10;
/// EFER.NXE, which turns no-execute pages on.
pub const EFER_NO_EXECUTE: u64 = 1 << 11;

/// Reads a register.
///
/// # Safety
/// The CPU must have the register.
#[inline]
pub unsafe fn read(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller vouches that the register exists; reading changes nothing.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a register.
///
/// # Safety
/// The CPU must have the register, and the value must leave the kernel's own code running as it should.
#[inline]
pub unsafe fn write(register: u32, value: u64) {
    // SAFETY: the caller vouches for register and value.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

/// As [`read`], where the CPU may lack the register although CPUID promises it, as emulators and hypervisors have it.
/// `None`: it does.
///
/// # Safety
/// Reading the register changes nothing. The descriptor tables are loaded.
pub unsafe fn try_read(register: u32) -> Option<u64> {
    let (low, high, missing): (u32, u32, u32);
    // SAFETY: the caller's promise; the exception of a missing register goes on behind, with `missing` set.
    unsafe {
        asm!("mov {missing:e}, 1", "2: rdmsr", "xor {missing:e}, {missing:e}", "3:", on_fault!("2b", "3b"),
            missing = out(reg) missing, in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    (missing == 0).then_some(u64::from(high) << 32 | u64::from(low))
}

/// As [`write`], where the CPU may lack the register or refuse the value; whether it took it.
///
/// # Safety
/// The value leaves the kernel's own code running as it should. The descriptor tables are loaded.
pub unsafe fn try_write(register: u32, value: u64) -> bool {
    let missing: u32;
    // SAFETY: as above.
    unsafe {
        asm!("mov {missing:e}, 1", "2: wrmsr", "xor {missing:e}, {missing:e}", "3:", on_fault!("2b", "3b"),
            missing = out(reg) missing, in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack));
    }
    missing == 0
}
