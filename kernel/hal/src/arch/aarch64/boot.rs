//! From the first Rust instruction to the generic start: memory, devices, clock. docs/boot-aarch64.md tells the whole.
//!
//! `boot.S` comes here with the image mapped as it stays, the device tree mapped at [`DEVICE_TREE_WINDOW`], and nothing
//! else. All this runs once, on the boot CPU, with interrupts masked.
use super::paging::{self, DeviceRegisters};
use super::platform::device_tree::{Device, DeviceTree, Kind};
use super::platform::{gic, psci};
use super::{console, cpu, timer, user_copy};
use crate::boot::{Handover, MemoryMap};
use crate::frame::OutOfMemory;
use crate::sync::Once;
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};
use libkernel::arch::aarch64::paging::{Entry, MAIR};
use libkernel::paging::{Attributes, ENTRIES, Owner, Prot};

/// Where `boot.S` maps the 4 MiB that hold the device tree: behind the image's own 512 MiB.
const DEVICE_TREE_WINDOW: u64 = paging::IMAGE + (512 << 20);
const WINDOW_MASK: u64 = (2 << 20) - 1;

/// SCTLR_EL1 bits that are 1 where nothing else is said (D17.2.118): EIS, EOS, TSCXT, nTLSMD, LSMAOE.
const SCTLR_ONES: u64 = 1 << 29 | 1 << 28 | 1 << 22 | 1 << 20 | 1 << 11;
/// SPAN: exceptions leave PAN alone. Set before the MMU is on only.
const SCTLR_SPAN: u64 = 1 << 23;
const SCTLR_MMU_OFF: u64 = SCTLR_ONES | SCTLR_SPAN;
/// M, C, I: MMU and caches. SA, SA0: the stack pointer is checked. DZE, UCT, UCI: EL0 may use DC ZVA, read CTR_EL0 and
/// maintain caches, as under Linux. nTWE, nTWI clear: WFI and WFE in EL0 trap and go on.
const SCTLR_MMU_ON: u64 =
    SCTLR_ONES | 1 << 0 | 1 << 2 | 1 << 12 | 1 << 3 | 1 << 4 | 1 << 14 | 1 << 15 | 1 << 26;

/// TCR_EL1 (D17.2.131) but for what depends on the CPU: 48 bits in both halves (T0SZ, T1SZ), 4 KiB granule in both (TG1 =
/// 2), walks through write-back inner-shareable memory, TBI0: EL0's pointers may carry a tag in their top byte.
const TCR_VALUE: u64 =
    16 | 16 << 16 | 2 << 30 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 24 | 1 << 26 | 3 << 28 | 1 << 37;

const fn leaf(level: u32, prot: Prot) -> u64 {
    Entry::leaf(PhysAddr::new(0), level, Attributes::kernel(prot)).bits()
}

global_asm!(
    ".equ SCTLR_MMU_OFF, {sctlr_off}",
    ".equ SCTLR_MMU_ON, {sctlr_on}",
    ".equ TCR_VALUE, {tcr}",
    ".equ MAIR_VALUE, {mair}",
    ".equ TABLE, {table}",
    ".equ PAGE_TEXT, {text}",
    ".equ PAGE_RODATA, {rodata}",
    ".equ PAGE_DATA, {data}",
    ".equ BLOCK_RODATA, {window}",
    ".equ BLOCK_IDENTITY, {identity}",
    ".equ RUNNING_SIZE, {running}",
    ".equ STACK_SIZE, {stack}",
    include_str!("boot.S"),
    sctlr_off = const SCTLR_MMU_OFF,
    sctlr_on = const SCTLR_MMU_ON,
    tcr = const TCR_VALUE,
    mair = const MAIR,
    table = const Entry::table(PhysAddr::new(0), Owner::Kernel).bits(),
    text = const leaf(0, Prot::READ_EXECUTE),
    rodata = const leaf(0, Prot::READ),
    data = const leaf(0, Prot::READ_WRITE),
    window = const leaf(1, Prot::READ),
    identity = const leaf(1, Prot::READ_EXECUTE),
    running = const size_of::<cpu::Running>(),
    stack = const STACK_SIZE,
);

/// A 16 KiB stack in the lower half of a 32 KiB slot, as the overflow test in `trap.S` wants it; the page below the next
/// slot is taken away as that one's guard.
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

/// The device tree blob and memory that firmware keeps.
const MAX_RESERVED: usize = 16;

/// The first Rust function: on the boot stack, at the linked address, interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn aarch64_start(device_tree: u64, image: u64, boot_count: u64) -> ! {
    let image = PhysRange::new(PhysAddr::new(image), image_size());
    paging::set_image(image);
    paging::forget_boot_mappings();
    // SAFETY: boot.S pointed TPIDR_EL1 to the boot stack's block; the interrupt stack is a slot of its own.
    unsafe { cpu::initialise_boot_cpu(stack_start(INTERRUPT_STACK) + STACK_SIZE as u64) };
    user_copy::forbid_user_access();
    for guarded in [BOOT_STACK, INTERRUPT_STACK] {
        paging::unmap_image_page(stack_start(guarded) - PAGE_SIZE);
    }
    crate::panic::set_symbols(symbols());
    crate::upcalls::register(hal_upcalls());
    let blob = device_tree_blob(device_tree).expect("no device tree");
    let tree = DeviceTree::new(blob);
    psci::initialise(tree.psci_conduit());
    initialise_console(&tree);
    let blob_range = PhysRange::new(PhysAddr::new(device_tree), blob.len() as u64);
    crate::boot::start(
        Handover {
            memory: map_memory(&tree, blob_range),
            kernel: image,
            initramfs: tree.initramfs(),
            command_line: tree.command_line(),
        },
        || initialise_devices(&tree, boot_count),
    )
}

/// Bytes of the image with its zeroed memory: the header's third word, which the build corrects (boot.S).
fn image_size() -> u64 {
    const OFFSET: u64 = 16;
    // SAFETY: the header is the image's first bytes. Volatile: the build changes the word behind the compiler's back.
    unsafe { ((paging::IMAGE + OFFSET) as *const u64).read_volatile() }
}

/// The symbol table at the image's end.
fn symbols() -> &'static [u8] {
    unsafe extern "C" {
        static __symbols_start: u8;
    }
    let start = &raw const __symbols_start;
    let length = (paging::IMAGE + image_size()).saturating_sub(start as u64);
    // SAFETY: the linker puts the table last; boot.S mapped the whole image, and nothing writes to this part.
    unsafe { core::slice::from_raw_parts(start, length as usize) }
}

/// Maps all memory that firmware does not keep; returns what the kernel may use of it.
fn map_memory(tree: &DeviceTree, blob: PhysRange) -> &'static MemoryMap {
    static MEMORY: Once<MemoryMap> = Once::new();
    let mut all = MemoryMap::empty();
    tree.memory().for_each(|range| all.push(range));
    let mut reserved = [blob; MAX_RESERVED];
    for (slot, range) in reserved[1..].iter_mut().zip(tree.reserved()) {
        *slot = range;
    }
    all.for_each_free(&reserved[1..], &mut |part| {
        paging::map_memory(part, &mut boot_table).expect("memory is in too many pieces");
    });
    let mut usable = MemoryMap::empty();
    all.for_each_free(&reserved, &mut |part| usable.push(part));
    let _ = MEMORY.set(usable);
    MEMORY.get().expect("set above")
}

/// What needs device registers: the interrupt controller, then the clocks.
fn initialise_devices(tree: &DeviceTree, boot_count: u64) {
    initialise_interrupts(tree);
    timer::initialise(boot_count, tree.virtual_timer_interrupt().expect("no generic timer"));
    if let Some(clock) = tree.device(Kind::RealTimeClock) {
        // SAFETY: the tree says so.
        timer::set_real_time_clock(unsafe { map(&clock, 0) });
    }
}

/// The device tree's bytes in the window; `None` unless its header is right.
fn device_tree_blob(address: u64) -> Option<&'static [u8]> {
    const MAGIC: u32 = 0xd00d_feed;
    let start = DEVICE_TREE_WINDOW + (address & WINDOW_MASK);
    if address == 0 || !address.is_multiple_of(8) {
        return None;
    }
    // SAFETY: the window is mapped for 4 MiB, `start` lies in its first half; nothing writes there.
    let word = |index: u64| u32::from_be(unsafe { ((start + index * 4) as *const u32).read() });
    let length = u64::from(word(1));
    if word(0) != MAGIC || length > WINDOW_MASK + 1 {
        return None;
    }
    // SAFETY: as above; at most 2 MiB from a start in the first 2 MiB.
    Some(unsafe { core::slice::from_raw_parts(start as *const u8, length as usize) })
}

/// A zeroed page for a kernel table while there is no allocator. Enough for some pieces of memory and a few devices.
fn boot_table() -> Result<PhysAddr, OutOfMemory> {
    const COUNT: usize = 24;
    #[repr(C, align(4096))]
    struct Tables([[AtomicU64; ENTRIES]; COUNT]);
    static TABLES: Tables = Tables([const { [const { AtomicU64::new(0) }; ENTRIES] }; COUNT]);
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    if next >= COUNT {
        return Err(OutOfMemory);
    }
    Ok(paging::image_address((&raw const TABLES.0[next]).cast()))
}

/// Maps range `which` of a device.
///
/// # Safety
/// The range holds the device's registers and nothing else.
unsafe fn map(device: &Device, which: usize) -> DeviceRegisters {
    // SAFETY: the caller's promise.
    unsafe { DeviceRegisters::map(device.registers[which], &mut boot_table) }.expect("too many devices")
}

fn initialise_console(tree: &DeviceTree) {
    let Some(device) = tree.device(Kind::Serial) else { return };
    let Some(interrupt) = device.interrupt else { return };
    // SAFETY: the tree says so.
    console::initialise(unsafe { map(&device, 0) }, interrupt);
}

fn initialise_interrupts(tree: &DeviceTree) {
    /// Two 64 KiB frames for each CPU (IHI 0069, 12.10); only the boot CPU's are used.
    const REDISTRIBUTOR_SIZE: u64 = 128 << 10;
    if let Some(mut device) = tree.device(Kind::GicV3) {
        device.registers[1] = PhysRange::new(device.registers[1].start, REDISTRIBUTOR_SIZE);
        // SAFETY: the tree says so.
        unsafe { gic::initialise_v3(map(&device, 0), map(&device, 1), 1) };
    } else if let Some(device) = tree.device(Kind::GicV2) {
        // SAFETY: the tree says so.
        unsafe { gic::initialise_v2(map(&device, 0), map(&device, 1)) };
    } else {
        panic!("no interrupt controller that this kernel knows");
    }
}
