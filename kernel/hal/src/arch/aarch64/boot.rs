//! From the first Rust instruction to the generic start: memory, devices, clock. docs/boot-aarch64.md tells the whole.
//!
//! `boot.S` comes here with the image mapped as it stays, and nothing else. All this runs once, on the boot CPU, with
//! interrupts masked.
use super::console::Port;
use super::paging::{self, DeviceRegisters};
use super::platform::firmware::{self, Firmware};
use super::platform::machine::{self, Machine};
use super::platform::{boot_table, device_tree, errata, gic, memory, psci, read_back};
use super::{clock, console, cpu, patches, smp, speculation, timer, user_copy};
use crate::boot::Handover;
use core::arch::global_asm;
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};
use libkernel::arch::aarch64::atomics;
use libkernel::arch::aarch64::paging::{Entry, MAIR};
use libkernel::command_line::CommandLine;
use libkernel::device_tree::DeviceTree;
use libkernel::paging::{Attributes, Owner, Prot};
use libkernel::symbols::{self, HEADER_LENGTH};

/// SCTLR_EL1 bits that are 1 where nothing else is said (D17.2.118): EIS, EOS, TSCXT, nTLSMD, LSMAOE. Those that a CPU
/// lacks are RES1.
const SCTLR_ONES: u64 = 1 << 29 | 1 << 28 | 1 << 22 | 1 << 20 | 1 << 11;
/// SPAN: exceptions leave PAN alone. Set before the MMU is on only.
const SCTLR_SPAN: u64 = 1 << 23;
const SCTLR_MMU_OFF: u64 = SCTLR_ONES | SCTLR_SPAN;
/// M, C, I: MMU and caches. SA, SA0: the stack pointer is checked. DZE, UCT, UCI: EL0 may use DC ZVA, read CTR_EL0 and
/// maintain caches. nTWE: WFE in EL0 waits for the timer's events; nTWI clear: WFI traps and goes on. IESB, EPAN:
/// errors are told at their exception, PAN minds memory that programs may only execute. A clear: other accesses need
/// not be aligned, as the compiler is told. All as under Linux; pointer authentication, BTI, MTE and AArch32's oddities
/// are off.
pub(super) const SCTLR_MMU_ON: u64 = SCTLR_ONES
    | 1 << 0
    | 1 << 2
    | 1 << 12
    | 1 << 3
    | 1 << 4
    | 1 << 14
    | 1 << 15
    | 1 << 18
    | 1 << 21
    | 1 << 26
    | 1 << 57;

/// TCR_EL1 (D17.2.131) but for what depends on the CPU: 48 bits in both halves (T0SZ, T1SZ), 4 KiB granule in both (TG1
/// = 2), walks through write-back inner-shareable memory, TBI0: EL0's pointers may carry a tag in their top byte.
pub(super) const TCR_VALUE: u64 =
    16 | 16 << 16 | 2 << 30 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 24 | 1 << 26 | 3 << 28 | 1 << 37;

const fn leaf(level: u32, prot: Prot) -> u64 {
    Entry::leaf(PhysAddr::new(0), level, Attributes::kernel(prot)).bits()
}

global_asm!(
    ".equ PE_HEADERS, 4096",
    ".equ SCTLR_MMU_OFF, {sctlr_off}",
    ".equ SCTLR_MMU_ON, {sctlr_on}",
    ".equ TCR_VALUE, {tcr}",
    ".equ MAIR_VALUE, {mair}",
    ".equ TABLE, {table}",
    ".equ PAGE_TEXT, {text}",
    ".equ PAGE_RODATA, {rodata}",
    ".equ PAGE_DATA, {data}",
    ".equ BLOCK_IDENTITY, {identity}",
    ".equ RUNNING_SIZE, {running}",
    ".equ STACK_SIZE, {stack}",
    ".equ START_STACK_TOP, {start_stack_top}",
    include_str!("boot.S"),
    sctlr_off = const SCTLR_MMU_OFF,
    sctlr_on = const SCTLR_MMU_ON,
    tcr = const TCR_VALUE,
    mair = const MAIR,
    table = const Entry::table(PhysAddr::new(0), Owner::Kernel).bits(),
    text = const leaf(0, Prot::READ_EXECUTE),
    rodata = const leaf(0, Prot::READ),
    data = const leaf(0, Prot::READ_WRITE),
    identity = const leaf(1, Prot::READ_EXECUTE),
    running = const size_of::<cpu::Running>(),
    stack = const STACK_SIZE,
    start_stack_top = const smp::START_STACK_TOP,
);

/// A 16 KiB stack in the lower half of a 32 KiB slot, as the overflow test in `trap.S` wants it; the page below the
/// next slot is taken away as that one's guard.
#[repr(C, align(32768))]
struct Slot([u8; STACK_SIZE]);

const STACK_SIZE: usize = 16384;

// Slot 0 is the stack that reports the overflow of another (trap.S).
const BOOT_STACK: usize = 1;
const INTERRUPT_STACK: usize = 2;

#[unsafe(no_mangle)]
static mut BOOT_STACKS: [Slot; 3] = [const { Slot([0; STACK_SIZE]) }; 3];

/// Address of the lowest byte of a stack.
fn stack_start(which: usize) -> u64 {
    (&raw const BOOT_STACKS).cast::<Slot>().wrapping_add(which) as u64
}

unsafe extern "Rust" {
    /// Defined by `hal::entry!` in the kernel.
    safe fn hal_upcalls() -> &'static dyn crate::Upcalls;
}

/// The first Rust function: on the boot stack, at the linked address, interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn aarch64_start(device_tree: u64, image: u64, boot_count: u64) -> ! {
    let image = PhysRange::new(PhysAddr::new(image), &raw const __image_end as u64 - paging::IMAGE);
    paging::set_image(image);
    paging::forget_boot_mappings();
    paging::count_asids();
    // SAFETY: boot.S pointed TPIDR_EL1 to the boot stack's block; the interrupt stack is a slot of its own.
    unsafe { cpu::initialise(0, stack_start(INTERRUPT_STACK) + STACK_SIZE as u64) };
    user_copy::forbid_user_access();
    for guarded in [BOOT_STACK, INTERRUPT_STACK] {
        paging::unmap_image_page(stack_start(guarded) - PAGE_SIZE);
    }
    crate::panic::set_symbols(symbols());
    crate::upcalls::register(hal_upcalls());
    let firmware = firmware::handover();
    let address = firmware.map_or(device_tree, |firmware| firmware.device_tree);
    // SAFETY: boot.S hands on what the loader left in X0, or firmware lists the tree; this runs once.
    let tree = (firmware.is_none() || address != 0).then(|| unsafe { device_tree::find(address) });
    let (machine, handover) = meet(tree.as_ref(), firmware, image);
    if let Some(firmware) = firmware {
        crate::random::add_loader_seed(firmware.seed());
    }
    errata::settle(machine);
    errata::prepare_cpu();
    speculation::decide(machine, handover.command_line);
    // SAFETY: the boot CPU is alone; user memory has not been touched yet.
    unsafe { patches::apply() };
    read_back::provoke(CommandLine::new(handover.command_line));
    crate::boot::start(handover, || {
        release_symbol_room();
        initialise_devices(machine, boot_count);
        initialise_wall_clock(machine, firmware);
    })
}

/// Finds out what the machine is made of, and maps its memory. The tree says it before memory is mapped, so that the
/// console works by then; tables lie in memory. Called rather than inlined, as the next one: what they need of the
/// stack is free again when the kernel starts.
#[inline(never)]
fn meet(
    tree: Option<&(DeviceTree<'static>, PhysRange)>,
    firmware: Option<&'static Firmware>,
    image: PhysRange,
) -> (&'static Machine, Handover) {
    let root = firmware.map_or(0, |firmware| firmware.acpi_root);
    let by_tree = tree.map(|(tree, _)| tree).filter(|tree| root == 0 || machine::is_described_by(tree));
    let initramfs = firmware.and_then(|firmware| firmware.initramfs);
    let initramfs = initramfs.or_else(|| tree?.0.initramfs());
    let command_line = match firmware {
        Some(firmware) => firmware.command_line(),
        None => tree.map_or(&[][..], |(tree, _)| tree.command_line()),
    };
    let sources = memory::Sources { tree, firmware, initramfs };
    let described = by_tree.map(machine::of_tree);
    if let Some(machine) = described {
        begin_to_speak(machine);
    }
    let memory = memory::map(&sources, image);
    let machine = described.unwrap_or_else(|| {
        let machine = machine::of_tables(&memory::readable(firmware), root);
        begin_to_speak(machine);
        machine
    });
    (machine, Handover { memory, kernel: image, initramfs, command_line })
}

/// The firmware's calls, which end a machine, and the console.
fn begin_to_speak(machine: &Machine) {
    psci::initialise(machine.conduit);
    let port = machine.serial.map(|port| {
        // SAFETY: firmware says so.
        Port::new(port.model, unsafe { map(port.registers) }, port.interrupt, port.is_edge)
    });
    console::initialise(port);
}

unsafe extern "C" {
    /// trap.S.
    static vectors: u8;
    static __symbols_start: u8;
    static __bss_start: u8;
    static __image_end: u8;
}

/// Where exceptions go.
pub(super) fn exception_vectors() -> u64 {
    &raw const vectors as u64
}

/// Room for the symbol table, between the image's file and its zeroed memory: its start and its bytes.
fn symbol_room() -> (*const u8, usize) {
    let (start, end) = (&raw const __symbols_start, &raw const __bss_start);
    // SAFETY: the linker script puts the two symbols around the room.
    (start, unsafe { end.offset_from_unsigned(start) })
}

/// The symbol table; empty if the build put none there.
fn symbols() -> &'static [u8] {
    let (start, room) = symbol_room();
    // SAFETY: boot.S mapped the room for reading.
    let header = unsafe { core::slice::from_raw_parts(start, HEADER_LENGTH) };
    let length = symbols::length(header).min(room);
    // SAFETY: as above; `release_symbol_room` keeps these bytes, and nothing writes there.
    unsafe { core::slice::from_raw_parts(start, length) }
}

/// What lies behind the symbol table in its room.
pub(super) fn behind_symbols() -> &'static [u8] {
    let (start, room) = symbol_room();
    let length = symbols().len().next_multiple_of(atomics::ALIGNMENT).min(room);
    // SAFETY: boot.S mapped the room for reading; `release_symbol_room` comes later.
    unsafe { core::slice::from_raw_parts(start.wrapping_add(length), room - length) }
}

/// Gives the allocator the frames between the symbol table and the zeroed memory.
fn release_symbol_room() {
    let (start, room) = symbol_room();
    let (start, end) = (start.wrapping_add(symbols().len()), start.wrapping_add(room));
    crate::frame::add_region(PhysRange {
        start: paging::image_address(start),
        end: paging::image_address(end),
    });
}

/// What needs device registers: the interrupt controller, then the clocks.
#[inline(never)]
fn initialise_devices(machine: &Machine, boot_count: u64) {
    let Some(interrupts) = &machine.interrupts else {
        panic!("no interrupt controller that this kernel knows: GICv2 or GICv3");
    };
    // SAFETY: firmware says what is where; this runs once.
    unsafe { gic::initialise(interrupts, |registers| map(registers)) };
    gic::initialise_cpu(0);
    smp::remember();
    let Some(interrupt) = machine.timer else { panic!("nothing names the generic timer's interrupt") };
    clock::initialise(boot_count);
    timer::initialise(interrupt);
    read_back::check();
}

/// The wall clock: a chip, or what firmware said when it let go.
fn initialise_wall_clock(machine: &Machine, firmware: Option<&Firmware>) {
    if let Some(registers) = machine.real_time_clock {
        // SAFETY: firmware says so.
        clock::set_real_time_clock(unsafe { map(registers) });
    } else if let Some(seconds) = firmware.and_then(|firmware| firmware.seconds_since_1970) {
        clock::set_time_at_boot(seconds);
    } else {
        crate::boot::lacks("a real-time clock: the time of day begins in 1970");
    }
}

/// Maps a device's registers.
///
/// # Safety
/// The range holds the device's registers and nothing else.
unsafe fn map(registers: PhysRange) -> DeviceRegisters {
    // SAFETY: the caller's promise.
    unsafe { DeviceRegisters::map(registers, &mut boot_table) }.expect("too many devices")
}
