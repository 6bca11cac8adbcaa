//! The state of one CPU that programs can use or notice, given a known value whatever firmware, loader or start-up left
//! there.
//!
//! [`set`] is the only place that does so, for the boot CPU and for those that start later; docs/entry-x86_64.md lists
//! all of it. Registers are written whole, so that no bit is left to chance. Not here, because they change with the
//! task: FS and GS bases, selectors, x87 and vector registers (`user_registers`), RFLAGS (`return_path`); and the
//! descriptor tables (`gdt`).
use super::super::cpu::{feature, has};
use super::super::{user, user_registers};
use super::{cpuid, machine_check, msr};
use crate::arch::Arch;
use crate::contract::Cpu as _;
use core::arch::asm;
use libkernel::arch::x86_64::speculation::enforce::AUTOMATIC_RESTRICTION;
use libkernel::command_line::CommandLine;
use libkernel::read_back::{Expected, find_lost};

const CR0_PROTECTION: u64 = 1 << 0;
const CR0_MONITOR: u64 = 1 << 1;
const CR0_EXTENSION_TYPE: u64 = 1 << 4;
const CR0_NUMERIC_ERROR: u64 = 1 << 5;
const CR0_WRITE_PROTECT: u64 = 1 << 16;
const CR0_ALIGNMENT: u64 = 1 << 18;
const CR0_PAGING: u64 = 1 << 31;
/// All of CR0: caches on, no emulation of x87, no task-switched fault.
const CR0: u64 = CR0_PROTECTION
    | CR0_MONITOR
    | CR0_EXTENSION_TYPE
    | CR0_NUMERIC_ERROR
    | CR0_WRITE_PROTECT
    | CR0_ALIGNMENT
    | CR0_PAGING;
const CR4_PHYSICAL_ADDRESS_EXTENSION: u64 = 1 << 5;
const CR4_MACHINE_CHECK: u64 = 1 << 6;
const CR4_GLOBAL_PAGES: u64 = 1 << 7;
const CR4_FXSR: u64 = 1 << 9;
const CR4_SIMD_EXCEPTIONS: u64 = 1 << 10;
const CR4_UMIP: u64 = 1 << 11;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_PCID: u64 = 1 << 17;
const CR4_XSAVE: u64 = 1 << 18;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;

/// DR6 and DR7 after reset: nothing met, nothing watched (SDM volume 3, 17.2).
const DEBUG_STATUS: u64 = 0xffff_0ff0;
const DEBUG_CONTROL: u64 = 0x400;
/// The page attribute table after reset, which `libkernel`'s entries count on (SDM volume 3, 11.12.4).
const PAGE_ATTRIBUTES: u64 = 0x0007_0406_0007_0406;
/// IA32_UMWAIT_CONTROL as Linux has it: at most so many cycles, the deeper state allowed.
const USER_WAIT_CYCLES: u64 = 100_000;
/// IA32_MISC_ENABLE: CPUID's leaves are cut off; no-execute is off.
const MISC_LIMIT_CPUID: u64 = 1 << 22;
const MISC_NO_EXECUTE_OFF: u64 = 1 << 34;

/// Gives the executing CPU, number `cpu`, its state.
///
/// # Safety
/// Once on each CPU, interrupts off, `features` known, the descriptor tables loaded and GS the CPU's; CR3 holds
/// identifier 0.
pub unsafe fn set(cpu: u32) {
    machine_check::initialise();
    // SAFETY: the caller's promise; each function says what it needs besides.
    unsafe {
        set_control_registers();
        user_registers::enable_components();
        set_debug_registers();
        set_model_specific_registers(cpu);
    }
    user::initialise();
}

/// CR4. Clear, among others: TSD (programs may read the time-stamp counter), PCE (but no performance counter), PKE,
/// CET.
fn cr4() -> u64 {
    let mut cr4 = CR4_PHYSICAL_ADDRESS_EXTENSION | CR4_GLOBAL_PAGES | CR4_FXSR | CR4_SIMD_EXCEPTIONS;
    for (feature, bit) in [
        (feature::FSGSBASE, CR4_FSGSBASE),
        (feature::SMEP, CR4_SMEP),
        (feature::SMAP, CR4_SMAP),
        (feature::UMIP, CR4_UMIP),
        (feature::PCID, CR4_PCID),
        (feature::XSAVE, CR4_XSAVE),
        (feature::MACHINE_CHECK, CR4_MACHINE_CHECK),
    ] {
        if has(feature) {
            cr4 |= bit;
        }
    }
    cr4
}

/// CR0 and CR4.
///
/// # Safety
/// As [`set`].
unsafe fn set_control_registers() {
    // SAFETY: every CR4 bit is one that CPUID announces; the boot code entered long mode with four levels of tables, so
    // no other bit of it is one that may not change; CR3 holds identifier 0, as CR4.PCIDE wants it; SMAP and SMEP find
    // no user page in use by the kernel; CR0 keeps paging and protection.
    unsafe { asm!("mov cr4, {}", "mov cr0, {}", in(reg) cr4(), in(reg) CR0, options(nostack)) };
}

/// Takes OSXSAVE back: programs are not to use what is not kept.
///
/// # Safety
/// Nobody has saved registers with XSAVE yet, and `features` does not have it any more.
pub unsafe fn withdraw_xsave() {
    // SAFETY: the caller's promise.
    unsafe { set_control_registers() };
}

/// # Safety
/// As [`set`].
unsafe fn set_debug_registers() {
    // SAFETY: with nothing watched no exception can come of it. DR7 first: the addresses change while they are not in
    // use.
    unsafe {
        asm!("mov dr7, {control}", "mov dr0, {zero}", "mov dr1, {zero}", "mov dr2, {zero}", "mov dr3, {zero}", "mov dr6, {status}",
            control = in(reg) DEBUG_CONTROL, zero = in(reg) 0u64, status = in(reg) DEBUG_STATUS, options(nostack, preserves_flags));
    }
}

/// # Safety
/// As [`set`].
unsafe fn set_model_specific_registers(cpu: u32) {
    let bit = |word: u32, bit: u32| word >> bit & 1 != 0;
    let [version, _, _, features] = cpuid::read(1, 0);
    let [_, _, seven_ecx, _] = cpuid::read(7, 0);
    let [_, _, _, extended_edx] = cpuid::read(0x8000_0001, 0);
    let [state_eax, ..] = cpuid::read(0xd, 1);
    // SAFETY: long mode implies SYSENTER's registers and the debug control; CPUID announces each of the others, and
    // those that an emulator may lack are tried; the values take things away from programs, or are those of a reset.
    unsafe {
        // `sysenter` is no entry: its null code segment makes it fault (SDM volume 2, SYSENTER).
        msr::write(msr::SYSENTER_CS, 0);
        msr::write(msr::SYSENTER_ESP, 0);
        msr::write(msr::SYSENTER_EIP, 0);
        msr::try_write(msr::DEBUG_CONTROL, 0);
        if bit(features, 16) {
            msr::write(msr::PAT, PAGE_ATTRIBUTES);
        }
        if bit(extended_edx, 27) || bit(seven_ecx, 22) {
            // What `rdtscp` and `rdpid` tell: the CPU's number, and node 0 above it, as Linux has it.
            msr::try_write(msr::TSC_AUX, cpu.into());
        }
        if has(feature::XSAVE) && bit(state_eax, 3) {
            msr::try_write(msr::XSS, 0);
        }
        if bit(seven_ecx, 5) {
            msr::try_write(msr::USER_WAIT_CONTROL, USER_WAIT_CYCLES);
        }
        if is_intel_with_misc_enable(version) {
            const UNWANTED: u64 = MISC_LIMIT_CPUID | MISC_NO_EXECUTE_OFF;
            if let Some(misc) = msr::try_read(msr::MISC_ENABLE).filter(|misc| misc & UNWANTED != 0) {
                msr::try_write(msr::MISC_ENABLE, misc & !UNWANTED);
            }
        }
    }
}

/// Whether the CPU is an Intel with IA32_MISC_ENABLE: family 6 from model 13 on, or later (SDM volume 4, table 2-2).
fn is_intel_with_misc_enable(version: u32) -> bool {
    let [_, first, third, second] = cpuid::read(0, 0);
    let is_intel = [first, second, third] == [*b"Genu", *b"ineI", *b"ntel"].map(u32::from_le_bytes);
    let family = version >> 8 & 0xf;
    let model = version >> 4 & 0xf | version >> 12 & 0xf0;
    is_intel && (family > 6 || family == 6 && model >= 0xd)
}

/// Where something was written.
#[derive(Clone, Copy)]
enum Register {
    Cr0,
    Cr4,
    Dr7,
    ModelSpecific(u32),
}

/// Looks at once more what [`set`] and `gdt::load` wrote: a hypervisor may let writes go by, as KVM in QEMU's
/// translator does with XSETBV (`user_registers` looks at that one). Nothing here has a fallback, so this panics with
/// the name of a register that does not hold what the kernel goes by (docs/read-backs.md). On each CPU, whose GS base
/// that is; interrupts off.
pub fn check(gs_base: u64) {
    /// CPUID leaf 1, EDX: IA32_PAT exists.
    const PAT: u32 = 1 << 16;
    // What is forgotten is forgotten at the latest then.
    cpuid::leave_guest();
    let control = [
        Expected::whole(Register::Cr0, "CR0", CR0),
        Expected::whole(Register::Cr4, "CR4", cr4()),
        Expected::whole(Register::Dr7, "DR7", DEBUG_CONTROL),
    ];
    let bases = [
        (msr::GS_BASE, "GS_BASE", gs_base),
        (msr::KERNEL_GS_BASE, "KERNEL_GS_BASE", 0),
        (msr::SYSENTER_CS, "IA32_SYSENTER_CS", 0),
    ];
    let has_attributes = cpuid::read(1, 0)[3] & PAT != 0;
    let attributes = has_attributes.then_some((msr::PAT, "IA32_PAT", PAGE_ATTRIBUTES));
    let specific = user::registers().into_iter().chain(bases).chain(attributes);
    let specific = specific.map(|(register, name, value)| Expected {
        // `speculation` looks at what it adds.
        mask: if register == msr::EFER { !AUTOMATIC_RESTRICTION } else { u64::MAX },
        ..Expected::whole(Register::ModelSpecific(register), name, value)
    });
    if let Some(lost) = find_lost(control.into_iter().chain(specific), read) {
        panic!("CPU {}: {lost}", Arch::id());
    }
    machine_check::check();
}

fn read(register: Register) -> Option<u64> {
    let value;
    // SAFETY: reading these changes nothing; one that is not there is tried.
    unsafe {
        match register {
            Register::Cr0 => asm!("mov {}, cr0", out(reg) value, options(nomem, nostack, preserves_flags)),
            Register::Cr4 => asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)),
            Register::Dr7 => asm!("mov {}, dr7", out(reg) value, options(nomem, nostack, preserves_flags)),
            Register::ModelSpecific(number) => return msr::try_read(number),
        }
    }
    Some(value)
}

/// Takes away what makes `syscall` an entry, where `provoke=register` asks for it: a test of [`check`], which follows.
pub fn provoke(words: CommandLine<'_>) {
    machine_check::provoke(words);
    if words.option("provoke") == Some(b"register") {
        // SAFETY: no program runs yet, and none will.
        unsafe { msr::write(msr::LSTAR, 0) };
    }
}
