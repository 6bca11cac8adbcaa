//! The other CPUs: from the wait for a start-up interrupt to `boot::secondary::run`.
//!
//! A CPU starts in real mode in a page below 1 MiB, with nothing but that page's address. `start_page`, copied there,
//! goes to protected mode and jumps into the image, which takes the path of the boot CPU: the boot tables, long mode,
//! the higher half, and there the final tables. Then it takes the [`Start`] that is laid out for it (SDM volume 3,
//! 9.4.4).
use super::Arch;
use super::clock;
use super::cpu::{self, CpuLocal};
use super::paging::{kernel_root, map_device};
use super::platform::gdt::IST_STACKS;
use super::platform::{acpi, apic, cpuid, known_state, kvm};
use super::speculation;
use crate::boot::secondary::{self, Start};
use crate::contract::{Cpu as _, Paging as _, Smp};
use crate::frame::{KernelFrame, OutOfMemory};
use crate::sync::Once;
use crate::task::KernelStack;
use core::arch::{asm, global_asm};
use core::mem::{self, offset_of};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr};
use libkernel::arch::x86_64::segments;
use libkernel::arch::x86_64::topology::Shifts;
use libkernel::topology::CpuPosition;

// start_page: real mode, CS = page / 16, IP = 0, interrupts masked; nothing else is known. Position-independent. Uses
// the GDT below, which lies in the image, by its physical address. start_protected: 32-bit, paging off, at its physical
// address. Uses eax, ebx, ecx, edx, esp; no stack. `extend` is boot.rs's. start_higher_half: long mode, boot tables.
// Out: rdi = the Start, rsp = the end of its stack.
global_asm!(
    r#"
    .set BASE, 0xffffffff80000000
    .pushsection .rodata, "a"
    .code16
    .global start_page, start_page_end
start_page:
    cli
    cld
    mov ax, cs
    mov ds, ax
    .set start_gdt_offset, start_gdt_pointer - start_page
    .byte 0x66
    lgdt [start_gdt_offset]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea
    .long start_protected - BASE
    .word {code32}
    .balign 4
start_gdt_pointer:
    .word 31
    .long start_gdt - BASE
start_page_end:
    .balign 8
start_gdt:
    .quad 0, {code32_descriptor}, {code_descriptor}, {data_descriptor}
    .popsection

    .pushsection .boot.text, "ax"
    .code32
start_protected:
    mov eax, cr4
    or eax, 0x20
    mov cr4, eax
    mov eax, offset boot_root - BASE
    mov cr3, eax
    mov esp, offset start_extended - BASE
    jmp extend
start_extended:
    mov eax, cr0
    and eax, 0x9fffffff
    or eax, 0x80010001
    mov cr0, eax
    .byte 0xea
    .long start_long_mode - BASE
    .word {code}
    .code64
start_long_mode:
    mov rax, offset start_higher_half
    jmp rax
start_higher_half:
    mov eax, {data}
    mov ss, eax
    mov rax, [rip + {root}]
    mov cr3, rax
    xor edi, edi
    xchg rdi, [rip + {next}]
    test rdi, rdi
    jz 2f
    mov rsp, [rdi + {stack_top}]
    xor ebp, ebp
    call {main}
2:
    cli
    hlt
    jmp 2b
    .popsection
    "#,
    code32 = const CODE_32,
    code32_descriptor = const CODE_32_DESCRIPTOR,
    code = const 16,
    code_descriptor = const segments::KERNEL_CODE_DESCRIPTOR,
    data = const 24,
    data_descriptor = const segments::KERNEL_DATA_DESCRIPTOR,
    root = sym ROOT,
    next = sym NEXT,
    stack_top = const offset_of!(Start, stack_top),
    main = sym start_main,
);

/// The selector of 32-bit code in the descriptor tables that serve the way to long mode.
pub const CODE_32: u16 = 8;
/// A flat 32-bit code segment: base 0, limit 4 GiB, present, ring 0 (SDM volume 3, 3.4.5).
pub const CODE_32_DESCRIPTOR: u64 = 0x00cf_9b00_0000_ffff;

unsafe extern "C" {
    static start_page: u8;
    static start_page_end: u8;
}

/// The final tables' root, for CPUs that come.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// What is laid out for the next CPU that comes; whoever takes it leaves null.
static NEXT: AtomicPtr<Start> = AtomicPtr::new(ptr::null_mut());
/// The page below 1 MiB; zero where there is none.
static PAGE: AtomicU64 = AtomicU64::new(0);

/// Keeps the page in which CPUs will start.
pub fn remember_page(page: Option<PhysAddr>) {
    PAGE.store(page.map_or(0, PhysAddr::as_u64), Ordering::Relaxed);
}

/// What a CPU finds behind its GS base, and its IST stacks.
pub struct CpuData {
    local: *mut CpuLocal,
    ist_stacks: [*mut u8; IST_STACKS],
}

// SAFETY: all belong to the CPU that they were made for.
unsafe impl Send for CpuData {}

const _: () = assert!(size_of::<CpuLocal>() <= PAGE_SIZE as usize);

impl Smp for Arch {
    type CpuData = CpuData;

    fn prepare_cpu(cpu: usize) -> Result<CpuData, OutOfMemory> {
        let (interrupt_stack, ist_stacks) = guarded_stacks()?;
        let local: *mut CpuLocal = Arch::direct_map(KernelFrame::alloc_zeroed()?.into_phys()).cast();
        // SAFETY: a fresh frame, which is large enough.
        unsafe { local.write(CpuLocal::new(cpu as u32, interrupt_stack as u64)) };
        Ok(CpuData { local, ist_stacks })
    }

    fn for_each_other_cpu(visit: &mut dyn FnMut(u64) -> bool) {
        if PAGE.load(Ordering::Relaxed) == 0 {
            return;
        }
        let this = apic::identity();
        // All ones is everybody's.
        let limit = if apic::is_x2apic() { u32::MAX } else { 0xff };
        let is_other = |identity| identity != this && identity < limit;
        acpi::for_each_cpu(|identity| !is_other(identity) || visit(identity.into()));
    }

    fn start_cpu(start: &'static Start) -> bool {
        const INITIALISE_NS: u64 = 10_000_000;
        const START_NS: u64 = 200_000;
        static PREPARED: AtomicBool = AtomicBool::new(false);
        let page = PhysAddr::new(PAGE.load(Ordering::Relaxed));
        if !PREPARED.swap(true, Ordering::Relaxed) {
            if lay_out(page).is_err() {
                return false;
            }
            apic::send_initialise_to_others();
            wait(INITIALISE_NS);
        }
        apic::set_identity(start.cpu, start.identity as u32);
        NEXT.store(ptr::from_ref(start).cast_mut(), Ordering::Release);
        for _ in 0..2 {
            apic::send_start(start.identity as u32, page);
            wait(START_NS);
            if NEXT.load(Ordering::Acquire).is_null() {
                break;
            }
        }
        true
    }

    fn place(cpu: usize) -> CpuPosition {
        static SHIFTS: Once<Shifts> = Once::new();
        let shifts = SHIFTS.get().copied().unwrap_or_else(|| {
            let shifts = Shifts::read(cpuid::read);
            // Another CPU may be the first: it finds the same.
            let _ = SHIFTS.set(shifts);
            shifts
        });
        shifts.place_of(apic::identity_of(cpu))
    }

    fn initialise_cpu() {
        apic::enable();
        apic::unmask_timer();
    }

    fn send_inquiry(cpu: usize) {
        apic::send_non_maskable(cpu);
    }

    fn stop_others() {
        let this = Arch::id();
        (0..crate::cpu::count()).filter(|&cpu| cpu != this).for_each(apic::send_non_maskable);
    }

    fn halt() -> ! {
        loop {
            // SAFETY: nothing follows.
            unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
        }
    }
}

/// An interrupt stack and IST stacks for one CPU and for ever, each with a guard page below: their ends.
pub fn guarded_stacks() -> Result<(*mut u8, [*mut u8; IST_STACKS]), OutOfMemory> {
    let allocate = || Ok(mem::ManuallyDrop::new(KernelStack::allocate()?).top());
    let mut ist_stacks = [ptr::null_mut(); IST_STACKS];
    for end in &mut ist_stacks {
        *end = allocate()?;
    }
    Ok((allocate()?, ist_stacks))
}

/// Copies `start_page` to where CPUs will start, and tells them the tables to use.
fn lay_out(page: PhysAddr) -> Result<(), OutOfMemory> {
    ROOT.store(kernel_root().as_u64(), Ordering::Relaxed);
    let (from, end) = (&raw const start_page, &raw const start_page_end);
    let target = map_device(page)?;
    // SAFETY: the page is memory below 1 MiB that this kernel uses for nothing else, and the code is smaller than a
    // page.
    unsafe { ptr::copy_nonoverlapping(from, target, end.offset_from_unsigned(from)) };
    Ok(())
}

fn wait(nanoseconds: u64) {
    let end = crate::time::now_ns() + nanoseconds;
    while crate::time::now_ns() < end {
        Arch::relax();
    }
}

/// First Rust code of another CPU: on the stack of its idle task, final tables, boot GDT, interrupts masked.
extern "C" fn start_main(start: &'static Start) -> ! {
    if !apic::adopt_mode() || u64::from(apic::identity()) != start.identity {
        // It is of another kind; or it was asked long ago and has taken what is another's.
        Arch::halt();
    }
    // SAFETY: the data was made for this CPU, which alone takes this `Start`; the boot CPU has built the IDT.
    unsafe { cpu::initialise(start.data.local, start.data.ist_stacks) };
    known_state::check(start.data.local as u64);
    speculation::initialise_cpu();
    clock::provoke();
    kvm::enable(start.cpu);
    secondary::run(start)
}
