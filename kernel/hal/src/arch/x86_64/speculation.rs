//! The plan against speculation: read at boot, kept by every CPU's registers and at switches. The code on the ways in
//! and out is `platform::guards`'s.
use super::Arch;
use super::cpu::CpuLocal;
use super::patches::number;
use super::platform::{cpuid, guards, msr};
use crate::contract::Speculation;
use crate::sync::Once;
use crate::user::UserRegs;
use core::arch::asm;
use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};
use libkernel::arch::x86_64::speculation::enforce::Register;
use libkernel::arch::x86_64::speculation::{Branches, History, Plan, Processor};
use libkernel::command_line::CommandLine;
use libkernel::patch::Features;
use libkernel::speculation::{Level, Limits, Means, Weakness, Wishes};

static PLAN: Once<(Plan, Wishes)> = Once::new();

/// Issued for the thread, besides the bits of IA32_SPEC_CTRL: IBPB when it comes and goes.
const BARRIER: u64 = 1 << 31;
/// IA32_SPEC_CTRL.
const THREAD_PROTECTION: u64 = 1 << 1;
const STORE_BYPASS_DISABLE: u64 = 1 << 2;

/// Decides. On the boot CPU, before the text is patched.
pub fn decide(command_line: &[u8]) {
    let words = CommandLine::new(command_line);
    let wishes = Wishes::read(words);
    PROVOKED.store(words.option("provoke") == Some(b"speculation"), Ordering::Relaxed);
    // SAFETY: the register is read only where CPUID announces it.
    let processor = Processor::read(cpuid::read, || unsafe { msr::read(msr::ARCH_CAPABILITIES) });
    let _ = PLAN.set((Plan::new(processor, wishes), wishes));
}

fn plan() -> Option<&'static Plan> {
    PLAN.get().map(|(plan, _)| plan)
}

/// What is to be patched for the plan.
pub fn features() -> Features {
    let Some(plan) = plan() else { return Features::NONE };
    let restricts = plan.branches == Branches::AtEntry;
    let clears_history = plan.history == History::Branches;
    Features::NONE
        .with(number!(MASKS), plan.masks)
        .with(number!(FENCE_SWAPGS), plan.fences_swapgs)
        .with(number!(CLEAR_BUFFERS), plan.clears_buffers)
        .with(number!(FORGET), restricts || clears_history)
        .with(number!(RESTRICT), restricts)
        .with(number!(HISTORY), clears_history)
        .with(number!(FILL_RETURNS), plan.fills_return_stack)
        .with(number!(X87_POINTERS), plan.clears_x87_pointers)
}

/// Gives the executing CPU what is written once.
pub fn initialise_cpu() {
    let Some(plan) = plan() else { return };
    let number = |register| match register {
        Register::Control => msr::SPECULATION_CONTROL,
        Register::Features => msr::EFER,
        Register::Command => msr::PREDICTOR_COMMAND,
    };
    // SAFETY: reading changes nothing. The plan names registers and bits that CPUID announces; they take freedom from
    // speculation and change no result. One that a hypervisor refuses all the same faults, and is not kept.
    let is_kept = plan.enforce(
        |register| unsafe { msr::try_read(number(register)) },
        |register, value| unsafe { msr::try_write(number(register), value) },
    );
    if !is_kept && !is_tried() && !IS_LOST.swap(true, Ordering::Relaxed) {
        crate::boot::lacks("a register that keeps what is written against trained branches");
    }
}

/// Whether a CPU lost what [`initialise_cpu`] wrote: a plan is no defence then.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Whether what is lost is to be told all the same, see [`is_tried`].
static PROVOKED: AtomicBool = AtomicBool::new(false);

/// Whether sequences are to run where nothing of the CPU's is behind them (`mitigations=test`), and that is no loss,
/// which it is with `provoke=speculation`.
fn is_tried() -> bool {
    let is_test = PLAN.get().is_some_and(|(_, wishes)| wishes.level == Level::Test);
    is_test && !PROVOKED.load(Ordering::Relaxed)
}

/// Brings in what the thread that runs next asked for. Interrupts masked.
#[inline(always)]
pub fn exchange(next: u64) {
    if live() | next != 0 {
        change(next);
    }
}

/// What the thread asked for that ran last in user mode.
#[inline(always)]
fn live() -> u64 {
    let control;
    // SAFETY: GS is this CPU's `CpuLocal` while in the kernel.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) control, const offset_of!(CpuLocal, control), options(nostack, preserves_flags, readonly))
    };
    control
}

#[cold]
fn change(next: u64) {
    let Some(plan) = plan() else { return };
    let last = live();
    // SAFETY: GS as above. The registers exist where the plan says so; both forget, or take freedom from speculation.
    unsafe {
        asm!("mov gs:[{}], {}", const offset_of!(CpuLocal, control), in(reg) next, options(nostack, preserves_flags));
        if (last | next) & BARRIER != 0 && plan.has_barrier {
            msr::try_write(msr::PREDICTOR_COMMAND, 1);
        }
        // Where IBRS is written at every entry, the way out writes the rest.
        if last != next && plan.changes_control() && plan.branches != Branches::AtEntry {
            msr::try_write(msr::SPECULATION_CONTROL, plan.control() | next & guards::THREAD_BITS);
        }
    }
}

impl Speculation for Arch {
    fn describe(weakness: Weakness, shares_cores: bool, out: &mut dyn fmt::Write) -> fmt::Result {
        if weakness == Weakness::SpectreV2 && IS_LOST.load(Ordering::Relaxed) {
            return out.write_str("Vulnerable");
        }
        plan().map_or(Ok(()), |plan| plan.describe(weakness, shares_cores, out))
    }

    #[inline(always)]
    fn slot<const LIMIT: usize>(number: u32) -> usize {
        let mut slot = number as usize + 1;
        // SAFETY: registers alone. No CPU guesses the outcome of a conditional move (Intel, "Bounds Check Bypass
        // Mitigations").
        unsafe {
            asm!("cmp {slot}, {limit}", "cmova {slot}, {none}", slot = inout(reg) slot, limit = const LIMIT,
                none = in(reg) 0usize, options(pure, nomem, nostack));
            core::hint::assert_unchecked(slot <= LIMIT);
        }
        slot
    }

    fn store_bypass() -> Means {
        let Some(plan) = plan() else { return Means::None };
        match (plan.has_store_bypass_disable, is_affected(plan)) {
            (true, _) => Means::Limits,
            (false, true) => Means::None,
            (false, false) => Means::NotAffected,
        }
    }

    fn indirect_branches() -> Option<Means> {
        let limits = plan().is_some_and(|plan| plan.has_barrier || plan.has_thread_protection);
        Some(if limits { Means::Limits } else { Means::Refused })
    }

    fn limit(state: &mut super::user_registers::State, _regs: &mut UserRegs, limits: Limits) {
        let bit = |is_set, bit| if is_set { bit } else { 0 };
        let has_protection = plan().is_some_and(|plan| plan.has_thread_protection);
        let control = bit(limits.store_bypass, STORE_BYPASS_DISABLE)
            | bit(limits.indirect_branches, BARRIER)
            | bit(limits.indirect_branches && has_protection, THREAD_PROTECTION);
        state.control = control;
        change(control);
    }
}

fn is_affected(plan: &Plan) -> bool {
    plan.weaknesses.contains(libkernel::arch::x86_64::speculation::Weaknesses::STORE_BYPASS)
}
