//! Descriptor tables of one CPU: GDT, TSS with its IST stacks, and the IDT that all CPUs share.
//!
//! The GDT's order is fixed by `syscall` and `sysretq`; see `libkernel::arch::x86_64::segments`.
use crate::arch::x86_64::cpu::CpuLocal;
use crate::arch::x86_64::trap;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::size_of;
use libkernel::arch::x86_64::fault::vector;
use libkernel::arch::x86_64::segments;

/// The ends of IST stacks are aligned to this, and so much of one can be used when an entry begins: the paranoid entry
/// finds the end by rounding.
pub const IST_STACK_BYTES: usize = 8192;
/// IST stacks of a CPU: NMI, double fault, machine check, debug.
pub const IST_STACKS: usize = 4;

const IST_NON_MASKABLE: u8 = 1;
const IST_DOUBLE_FAULT: u8 = 2;
const IST_MACHINE_CHECK: u8 = 3;
const IST_DEBUG: u8 = 4;

/// What ends each IST stack: its CPU's GS base, because in these entries GS cannot be trusted.
#[repr(C, align(16))]
struct IstEnd {
    gs_base: u64,
    padding: u64,
}

/// An IST stack without a guard.
#[repr(C, align(8192))]
pub struct IstStack([u8; IST_STACK_BYTES]);

impl IstStack {
    /// A zeroed stack.
    pub const fn new() -> Self {
        Self([0; IST_STACK_BYTES])
    }
}

/// Offset of the GS base below the stack's end.
pub const IST_GS_BASE_BELOW_END: usize = size_of::<IstEnd>();

/// The 64-bit task-state segment (SDM volume 3, 8.7). All fields are split into 32-bit words because the 64-bit
/// ones are not aligned.
#[repr(C)]
pub struct TaskState {
    reserved: u32,
    /// Stack pointer that the CPU loads when it leaves ring 3, as two words.
    pub rsp0: [u32; 2],
    rsp1_rsp2_reserved: [u32; 6],
    ist: [[u32; 2]; 7],
    reserved_high: [u32; 2],
    io_map_base: u32,
}

impl TaskState {
    /// No stacks yet; no I/O permission map (its base lies behind the limit).
    pub const fn new() -> Self {
        Self {
            reserved: 0,
            rsp0: [0; 2],
            rsp1_rsp2_reserved: [0; 6],
            ist: [[0; 2]; 7],
            reserved_high: [0; 2],
            io_map_base: (size_of::<Self>() as u32) << 16,
        }
    }
}

/// All that there are: without a gate an interrupt is a protection fault of whoever it meets.
const GATES: usize = 256;

/// The interrupt descriptor table: the same for every CPU.
struct Idt(UnsafeCell<[[u64; 2]; GATES]>);

// SAFETY: written once, by the boot CPU before other CPUs or interrupts run; afterwards only the CPU reads it.
unsafe impl Sync for Idt {}

static IDT: Idt = Idt(UnsafeCell::new([[0; 2]; GATES]));

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

/// Fills the IDT. Once, on the boot CPU, interrupts off.
pub fn build_idt() {
    // SAFETY: the boot CPU is alone and interrupts are off (see `Idt`'s Sync).
    let gates = unsafe { &mut *IDT.0.get() };
    gates.fill(segments::interrupt_gate(trap::stub_address(trap::VECTORS), 0, 0));
    for (number, gate) in gates.iter_mut().enumerate().take(trap::VECTORS) {
        let number8 = number as u8;
        let stack = match number8 {
            vector::NON_MASKABLE => IST_NON_MASKABLE,
            vector::DOUBLE_FAULT => IST_DOUBLE_FAULT,
            vector::MACHINE_CHECK => IST_MACHINE_CHECK,
            vector::DEBUG => IST_DEBUG,
            _ => 0,
        };
        let ring =
            if matches!(number8, vector::BREAKPOINT | vector::OVERFLOW) { segments::RING_3 } else { 0 };
        *gate = segments::interrupt_gate(trap::stub_address(number), stack, ring);
    }
}

/// Makes the stacks that end at `ends` the IST stacks of `local`'s CPU.
///
/// # Safety
/// `local` and the stacks belong to the executing CPU alone and for ever; each has `IST_STACK_BYTES`, and its end is
/// aligned to them. No exception that uses an IST stack comes meanwhile.
pub unsafe fn set_ist_stacks(local: *mut CpuLocal, ends: [*mut u8; IST_STACKS]) {
    // SAFETY: by contract the CPU's own data.
    let slots = unsafe { &mut (*local).task_state.ist };
    for (slot, end) in slots.iter_mut().zip(ends) {
        let end = end.cast::<IstEnd>().wrapping_sub(1);
        // SAFETY: the highest bytes of a stack that nobody uses.
        unsafe { end.write(IstEnd { gs_base: local as u64, padding: 0 }) };
        let top = end as u64;
        *slot = [top as u32, (top >> 32) as u32];
    }
}

/// Loads GDT, TSS and IDT into this CPU and sets its segment registers. There is no LDT: what LDTR holds otherwise is
/// what reset left, a table of 64 KiB at address 0, where a program may have memory (SDM volume 3, table 9-1).
///
/// # Safety
/// As [`set_ist_stacks`]; the IDT is built; interrupts are off.
pub unsafe fn load(local: *mut CpuLocal, ist_stacks: [*mut u8; IST_STACKS]) {
    // SAFETY: the caller's promise.
    unsafe { set_ist_stacks(local, ist_stacks) };
    // SAFETY: by contract the CPU's own data, not yet used by anyone else.
    let local_ref = unsafe { &mut *local };
    let tss = &raw const local_ref.task_state as u64;
    local_ref.gdt = segments::gdt(local_ref.id, tss, size_of::<TaskState>() as u32 - 1);
    let gdt =
        TablePointer { limit: (size_of_val(&local_ref.gdt) - 1) as u16, base: local_ref.gdt.as_ptr() as u64 };
    let idt = TablePointer { limit: (size_of::<Idt>() - 1) as u16, base: IDT.0.get() as u64 };
    // SAFETY: both tables are complete and live for ever; the selectors name flat segments of the new GDT, so the
    // running code and stack stay what they are.
    unsafe {
        asm!(
            "lgdt [{gdt}]",
            "lidt [{idt}]",
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov ss, {data:e}",
            "xor {scratch:e}, {scratch:e}",
            "mov ds, {scratch:e}",
            "mov es, {scratch:e}",
            "mov fs, {scratch:e}",
            "mov gs, {scratch:e}",
            "lldt {scratch:x}",
            "ltr {tss:x}",
            gdt = in(reg) &gdt,
            idt = in(reg) &idt,
            code = const segments::KERNEL_CODE,
            data = in(reg) u64::from(segments::KERNEL_DATA),
            tss = in(reg) u64::from(segments::TASK_STATE),
            scratch = out(reg) _,
        );
    }
}
