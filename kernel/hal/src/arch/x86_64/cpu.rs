//! Per-CPU data behind GS, the CPU's features, and its control registers.
use super::Arch;
use super::platform::gdt::{self, IST_STACKS, IstStack, TaskState};
use super::platform::{cpuid, known_state, msr};
use super::smp;
use crate::contract::{Cpu, UserRegisters as _};
use crate::cpu::{HardwareCapabilities, MAX_CPUS};
use crate::frame::OutOfMemory;
use crate::sync::preempt::INTERRUPT_UNIT;
use crate::task::{self, Task};
use core::arch::{asm, naked_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use libkernel::arch::x86_64::segments;

/// What each CPU has of its own, found through the GS base while in the kernel.
#[repr(C, align(512))]
pub struct CpuLocal {
    /// Index of the CPU.
    pub id: u32,
    /// Preemption count of the running context, and [`NOT_REQUESTED`]: zero says that nothing forbids what is wanted.
    preempt: u32,
    /// The running task.
    pub current: *const Task,
    /// End of the interrupt stack.
    pub interrupt_stack: u64,
    /// Where `syscall_entry` keeps the program's stack pointer for a moment.
    pub user_stack: u64,
    /// Where the registers of the program go that runs.
    pub user_registers: u64,
    /// What the thread that ran in user mode last asked of speculation: see `speculation`.
    pub control: u64,
    padding: u32,
    /// Behind a 32-bit word, so that `rsp0` is aligned.
    pub task_state: TaskState,
    /// The CPU's own GDT: its TSS descriptor is its own.
    pub gdt: [u64; segments::GDT_ENTRIES],
}

/// Offset of the TSS's `rsp0` behind the GS base.
pub const RSP0: usize = offset_of!(CpuLocal, task_state) + offset_of!(TaskState, rsp0);
const _: () = assert!(RSP0.is_multiple_of(8));

impl CpuLocal {
    /// The data of CPU `id`, on which nothing has run.
    pub const fn new(id: u32, interrupt_stack: u64) -> Self {
        Self {
            id,
            preempt: NOT_REQUESTED,
            current: core::ptr::null(),
            interrupt_stack,
            user_stack: 0,
            user_registers: 0,
            control: 0,
            padding: 0,
            task_state: TaskState::new(),
            gdt: [0; segments::GDT_ENTRIES],
        }
    }
}

/// The bit of [`CpuLocal::preempt`] that is clear while the CPU is wanted. Upside down, so that the instruction that
/// takes the last guard off the count also says whether to look further.
const NOT_REQUESTED: u32 = 1 << 31;

static mut BOOT_CPU: CpuLocal = CpuLocal::new(0, 0);
static mut BOOT_IST: [IstStack; IST_STACKS] = [const { IstStack::new() }; IST_STACKS];

/// Bits of [`features`].
pub mod feature {
    /// RDFSBASE and its kin.
    pub const FSGSBASE: u32 = 1 << 0;
    /// Supervisor-mode execution prevention.
    pub const SMEP: u32 = 1 << 1;
    /// Supervisor-mode access prevention.
    pub const SMAP: u32 = 1 << 2;
    /// User-mode instruction prevention.
    pub const UMIP: u32 = 1 << 3;
    /// XSAVE and XGETBV.
    pub const XSAVE: u32 = 1 << 4;
    /// 1 GiB pages.
    pub const GIGANTIC_PAGES: u32 = 1 << 5;
    /// RDRAND.
    pub const RDRAND: u32 = 1 << 6;
    /// RDSEED.
    pub const RDSEED: u32 = 1 << 7;
    /// Process-context identifiers.
    pub const PCID: u32 = 1 << 8;
    /// Machine checks, with their banks.
    pub const MACHINE_CHECK: u32 = 1 << 9;
    /// `rep movsb` and `rep stosb` as fast as any other copy (ERMS).
    pub const FAST_BYTES: u32 = 1 << 10;
}

static FEATURES: AtomicU32 = AtomicU32::new(0);

/// True if the CPU has `feature`.
#[inline(always)]
pub fn has(feature: u32) -> bool {
    FEATURES.load(Ordering::Relaxed) & feature != 0
}

/// Lets the kernel and the boot CPU forget XSAVE.
///
/// # Safety
/// As [`known_state::withdraw_xsave`]; no other CPU has started.
pub unsafe fn withdraw_xsave() {
    FEATURES.fetch_and(!feature::XSAVE, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe { known_state::withdraw_xsave() };
}

/// Reads the features from CPUID (SDM volume 2, CPUID).
fn detect() -> u32 {
    let [_, _, one_ecx, one_edx] = cpuid::read(1, 0);
    let [_, seven_ebx, seven_ecx, _] = cpuid::read(7, 0);
    let [_, _, _, extended_edx] = cpuid::read(0x8000_0001, 0);
    [
        (seven_ebx, feature::FSGSBASE),
        (seven_ebx >> 7, feature::SMEP),
        (seven_ebx >> 20, feature::SMAP),
        (seven_ecx >> 2, feature::UMIP),
        (one_ecx >> 26, feature::XSAVE),
        (extended_edx >> 26, feature::GIGANTIC_PAGES),
        (one_ecx >> 30, feature::RDRAND),
        (seven_ebx >> 18, feature::RDSEED),
        (one_ecx >> 17, feature::PCID),
        // Both the exception and the banks.
        (one_edx >> 7 & one_edx >> 14, feature::MACHINE_CHECK),
    ]
    .into_iter()
    .chain([(seven_ebx >> 9 & u32::from(!is_translated()), feature::FAST_BYTES)])
    .filter(|(bit, _)| bit & 1 != 0)
    .fold(0, |all, (_, feature)| all | feature)
}

/// What the kernel cannot do without and the CPU has not; the rest every CPU with long mode has.
pub fn missing_essential() -> Option<&'static str> {
    /// CPUID leaf 1, EDX; leaf 0x80000001, EDX (SDM volume 2, CPUID).
    const LOCAL_APIC: u32 = 1 << 9;
    const NO_EXECUTE: u32 = 1 << 20;
    // As it is now, whatever firmware had made of it.
    if cpuid::read(0x8000_0001, 0)[3] & NO_EXECUTE == 0 {
        return Some("pages that are not executed (NX)");
    }
    (cpuid::read(1, 0)[3] & LOCAL_APIC == 0).then_some("local APIC")
}

/// Whether QEMU's translator is the CPU: it says that it is fast with bytes, and takes as long for each as for a word.
fn is_translated() -> bool {
    let [_, rest @ ..] = cpuid::read(0x4000_0000, 0);
    rest == [*b"TCGT", *b"CGTC", *b"GTCG"].map(u32::from_le_bytes)
}

/// Whether AMD made the CPU, or Hygon, whose are the same.
pub fn is_amd() -> bool {
    let [_, first, third, second] = cpuid::read(0, 0);
    let maker = [first, second, third];
    [[*b"Auth", *b"enti", *b"cAMD"], [*b"Hygo", *b"nGen", *b"uine"]]
        .iter()
        .any(|name| name.map(u32::from_le_bytes) == maker)
}

/// Makes the boot CPU whole. CPUID has been read.
pub fn initialise_boot_cpu() {
    FEATURES.store(detect(), Ordering::Relaxed);
    gdt::build_idt();
    // SAFETY: called once by the boot code, alone and with interrupts off; the statics are this CPU's for ever.
    unsafe {
        let stacks = (&raw mut BOOT_IST).cast::<IstStack>();
        initialise(&raw mut BOOT_CPU, core::array::from_fn(|number| stacks.add(number + 1).cast()));
    }
}

/// What the boot CPU's GS base has to be.
pub fn boot_gs_base() -> u64 {
    &raw const BOOT_CPU as u64
}

/// Gives the boot CPU an interrupt stack and IST stacks with guard pages. Boot, interrupts off, once there is memory.
pub fn guard_boot_stacks() -> Result<(), OutOfMemory> {
    let (interrupt_stack, ist_stacks) = smp::guarded_stacks()?;
    let local = &raw mut BOOT_CPU;
    // SAFETY: the boot CPU's own, which executes this; a non-maskable interrupt now is one that no kernel bears.
    unsafe {
        (*local).interrupt_stack = interrupt_stack as u64;
        gdt::set_ist_stacks(local, ist_stacks);
    }
    Ok(())
}

/// Makes the executing CPU whole: descriptor tables, GS base, and all state that programs can notice. The same for
/// every CPU.
///
/// # Safety
/// As [`gdt::load`].
pub unsafe fn initialise(local: *mut CpuLocal, ist_stacks: [*mut u8; IST_STACKS]) {
    // SAFETY: the caller's promise; GS may only be the CPU's own data.
    unsafe {
        gdt::load(local, ist_stacks);
        msr::write(msr::GS_BASE, local as u64);
        msr::write(msr::KERNEL_GS_BASE, 0);
        known_state::set((*local).id);
    }
}

const RFLAGS_INTERRUPT: u64 = 1 << 9;

impl Cpu for Arch {
    #[inline(always)]
    fn id() -> usize {
        let id: u32;
        // SAFETY: GS is this CPU's `CpuLocal` while in the kernel.
        unsafe {
            asm!("mov {:e}, gs:[{}]", out(reg) id, const offset_of!(CpuLocal, id), options(nostack, preserves_flags, readonly))
        };
        // SAFETY: no more CPUs than that are started (`boot::start_other_cpus`).
        unsafe { core::hint::assert_unchecked((id as usize) < MAX_CPUS) };
        id as usize
    }

    #[inline(always)]
    fn preempt_disable() {
        // SAFETY: as above; a single instruction, so an interrupt sees the count before or after.
        unsafe { asm!("inc dword ptr gs:[{}]", const offset_of!(CpuLocal, preempt), options(nostack)) };
    }

    #[inline(always)]
    fn preempt_enable() {
        // SAFETY: as above.
        unsafe {
            asm!("dec dword ptr gs:[{}]", "jz {}", const offset_of!(CpuLocal, preempt), label { give_way() }, options(nostack))
        };
    }

    #[inline(always)]
    fn preempt_enable_interrupts() {
        // SAFETY: as above. Masked, nobody makes a request between the two instructions.
        unsafe {
            asm!("dec dword ptr gs:[{}]", "jz {}", "sti", const offset_of!(CpuLocal, preempt),
                label { Self::interrupts_enable(); give_way() }, options(nostack))
        };
    }

    #[inline(always)]
    fn preempt_add(amount: u32) {
        // SAFETY: as above; a single instruction, so an interrupt sees the count before or after.
        unsafe {
            asm!("add dword ptr gs:[{}], {:e}", const offset_of!(CpuLocal, preempt), in(reg) amount, options(nostack))
        };
    }

    #[inline(always)]
    fn preempt_sub(amount: u32) {
        // SAFETY: as above.
        unsafe {
            asm!("sub dword ptr gs:[{}], {:e}", const offset_of!(CpuLocal, preempt), in(reg) amount, options(nostack))
        };
    }

    #[inline(always)]
    fn preempt_count() -> u32 {
        preempt_word() & !NOT_REQUESTED
    }

    #[inline(always)]
    fn is_in_interrupt() -> bool {
        // SAFETY: as above; goes to one of the two places that follow.
        unsafe {
            asm!("test dword ptr gs:[{}], {}", "jnz {}", const offset_of!(CpuLocal, preempt), const NOT_REQUESTED - INTERRUPT_UNIT,
                label { return true }, options(nostack))
        };
        false
    }

    #[inline(always)]
    fn preempt_request() {
        // SAFETY: as above.
        unsafe {
            asm!("and dword ptr gs:[{}], {}", const offset_of!(CpuLocal, preempt), const !NOT_REQUESTED, options(nostack))
        };
    }

    #[inline(always)]
    fn preempt_clear_request() {
        // SAFETY: as above.
        unsafe {
            asm!("or dword ptr gs:[{}], {}", const offset_of!(CpuLocal, preempt), const NOT_REQUESTED, options(nostack))
        };
    }

    #[inline(always)]
    fn preempt_is_requested() -> bool {
        preempt_word() & NOT_REQUESTED == 0
    }

    #[inline(always)]
    fn current_task() -> *const Task {
        let task;
        // SAFETY: as above. The value is the same wherever the running task runs.
        unsafe {
            asm!("mov {}, gs:[{}]", out(reg) task, const offset_of!(CpuLocal, current), options(nostack, preserves_flags, pure, readonly))
        };
        task
    }

    #[inline(always)]
    unsafe fn set_current_task(task: *const Task) {
        // SAFETY: the caller keeps the task alive; GS is this CPU's `CpuLocal`.
        unsafe {
            asm!("mov gs:[{}], {}", const offset_of!(CpuLocal, current), in(reg) task, options(nostack, preserves_flags))
        };
    }

    #[inline(always)]
    fn interrupts_enabled() -> bool {
        let flags: u64;
        // SAFETY: reads the flags by way of the stack.
        unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(preserves_flags)) };
        flags & RFLAGS_INTERRUPT != 0
    }

    #[inline(always)]
    fn interrupts_disable() -> bool {
        let flags: u64;
        // SAFETY: masking interrupts is always sound. Not `nomem`: memory accesses must not move across it.
        unsafe { asm!("pushfq", "pop {}", "cli", out(reg) flags) };
        flags & RFLAGS_INTERRUPT != 0
    }

    #[inline(always)]
    fn interrupts_enable() {
        // SAFETY: the descriptor tables are loaded before anyone calls this.
        unsafe { asm!("sti", options(nostack)) };
    }

    #[inline(always)]
    fn relax() {
        core::hint::spin_loop();
    }

    #[inline(always)]
    fn pause_while_u8(_word: &AtomicU8, _value: u8) {
        Self::relax();
    }

    #[inline(always)]
    fn pause_while_u32(_word: &AtomicU32, _value: u32) {
        Self::relax();
    }

    #[inline(always)]
    fn pause_while_u64(_word: &AtomicU64, _value: u64) {
        Self::relax();
    }

    #[inline]
    fn wait_for_interrupt() {
        // SAFETY: `sti` takes effect after the next instruction, so an interrupt cannot slip in before `hlt`.
        unsafe { asm!("sti", "hlt", options(nostack)) };
    }

    #[inline(always)]
    fn frame_pointer() -> u64 {
        let pointer;
        // SAFETY: reading a register changes nothing.
        unsafe { asm!("mov {}, rbp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
        pointer
    }

    fn send_reschedule(cpu: usize) {
        super::platform::apic::send(cpu, super::trap::VECTOR_RESCHEDULE);
    }
}

/// Count and request in one.
#[inline(always)]
fn preempt_word() -> u32 {
    let word;
    // SAFETY: GS is this CPU's `CpuLocal` while in the kernel.
    unsafe {
        asm!("mov {:e}, gs:[{}]", out(reg) word, const offset_of!(CpuLocal, preempt), options(nostack, preserves_flags, readonly))
    };
    word
}

/// Calls [`task::give_way`] from where a guard is dropped, as if it were an interrupt: no register changes hands.
#[inline(always)]
fn give_way() {
    // SAFETY: the kernel's target has no red zone, and `preserving_give_way` aligns the stack itself, so that dropping
    // a guard asks nothing of the functions around it.
    unsafe { asm!("call {}", sym preserving_give_way, options(nostack)) };
}

/// [`task::give_way`], which keeps all registers.
///
/// ```text
/// in, out:   nothing; all general registers as they were; flags clobbered
/// stack:     any alignment; a frame record, then the nine registers that the C convention lets a call clobber
/// interrupts: as they are. Faults: never.
/// ```
#[unsafe(naked)]
unsafe extern "C" fn preserving_give_way() {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rax",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "and rsp, -16",
        "call {give_way}",
        "lea rsp, [rbp - 9 * 8]",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "pop rbp",
        "ret",
        give_way = sym task::give_way,
    )
}

/// What the auxiliary vector says of this CPU.
pub fn hardware_capabilities() -> HardwareCapabilities {
    /// Linux's HWCAP2_FSGSBASE (`asm/hwcap2.h`).
    const HWCAP2_FSGSBASE: u64 = 1 << 1;
    HardwareCapabilities {
        hwcap: cpuid::read(1, 0)[3].into(),
        hwcap2: if has(feature::FSGSBASE) { HWCAP2_FSGSBASE } else { 0 },
        minimum_signal_stack: (SIGNAL_FRAME_BYTES + Arch::floating_point_size()) as u64,
    }
}

/// Signal frame without floating point, red zone and alignment.
const SIGNAL_FRAME_BYTES: usize = 1024;

/// Masks interrupts where it is known that they are on.
#[inline(always)]
pub fn mask_interrupts() {
    // SAFETY: masking interrupts is always sound. Not `nomem`: memory accesses must not move across it.
    unsafe { asm!("cli", options(nostack)) };
}
