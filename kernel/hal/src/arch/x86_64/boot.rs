//! From the loader's jump to `crate::boot::start`: long mode, the higher half, the final page tables.
//!
//! The boot tables map the first GiB twice, at its own addresses and at `IMAGE`, all of it writable and executable; the
//! final tables replace them as soon as memory is known. See `docs/boot-x86_64.md`.
use super::platform::loader::{self, Loaded};
use super::platform::{acpi, apic, cpuid, ioapic, kernel_map, known_state, kvm, linux, pic, pvh};
use super::{Arch, clock, console, cpu, patches, power, smp, speculation, user_registers};
use crate::arch::efi;
use crate::boot::Handover;
use crate::boot::early::EarlyFrames;
use crate::contract::Platform as _;
use core::arch::global_asm;
use libkernel::addr::PhysRange;
use libkernel::arch::x86_64::segments;
use libkernel::command_line::CommandLine;

// The three entries. Each ends at `enter` in 32-bit protected mode, paging and interrupts off, with
//
//   ebx = the loader's data, by physical address    ebp = which loader it was: one of the numbers below
//
// pvh_entry: 32-bit protected mode, flat segments, paging and interrupts off, ebx = hvm_start_info; every other general
// register, esp too, holds anything (Xen, docs/misc/pvh.pandoc). linux_entry_32, at the image's start: the same with
// esi = the zero page (Linux, Documentation/arch/x86/boot.rst, "32-bit Boot Protocol"). linux_entry_64, 0x200 behind
// it: long mode, the image, the zero page and the command line mapped at their own addresses, rsi = the zero page
// ("64-bit Boot Protocol"). How many levels the loader's tables have, and what else it left in CR4, cannot be changed
// in long mode; so this leaves it, and takes the way of the others.
//
// efi_entry: long mode on firmware's tables and stack, rcx = the image's handle, rdx = EFI's system table, Microsoft's
// calling convention (UEFI 2.10, 2.3.4). The boot tables' window joins firmware's own tables, so that efi_main runs
// where it is linked while firmware can still be called. Returns EFI_LOAD_ERROR where the image is not at its address,
// the tables have five levels, or firmware does not let go.
//
// No stack of a loader is used by the others. The caches are on from the first write of CR0: what a loader, or a reset,
// left in CR0.CD and NW would make the whole boot crawl, and NW without CD is a fault (SDM volume 3, 11.5.1).
//
// extend, for every CPU: EFER = LME, SCE and, where the CPU has it, NXE, as writing what it has not is a fault before
// anybody hears of it. Firmware may have turned no-execute off (Intel: IA32_MISC_ENABLE, bit 34), which is turned on
// again. In: esp = where to go on. Clobbers eax, ebx, ecx, edx; needs no stack. `cpu::missing_essential` says what is
// missing.
//
//   kept through the mode switch: ebx, ebp; edi:esi = time-stamp counter at the first instruction
global_asm!(
    r#"
    .set BASE, 0xffffffff80000000
    .pushsection .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad pvh_entry - BASE
    .popsection

    .pushsection .boot.head, "ax"
    .code32
    .global pvh_entry, linux_entry_64
linux_entry_32:
    mov ebx, esi
    mov ebp, {linux}
    jmp enter
pvh_entry:
    mov ebp, {pvh}
    jmp enter
    .org 0x200
    .code64
linux_entry_64:
    mov ebx, esi
    mov ebp, {linux}
    mov eax, offset from_long_mode - BASE
    jmp rax
    .org 4096
    .popsection

    .pushsection .boot.text, "ax"
    .code64
    .global efi_entry
efi_entry:
    push rbx
    push rbp
    push rsi
    push rdi
    lea rax, [rip + efi_entry]
    mov r8d, offset efi_entry - BASE
    cmp rax, r8
    jne 2f
    mov rax, cr4
    bt eax, 12
    jc 2f
    mov rbx, cr3
    mov rsi, rbx
    and rsi, -4096
    lea rdi, [rip + efi_root]
    mov r8, rcx
    mov ecx, 511
    cld
    rep movsq
    lea rax, [rip + boot_directory_pointers + 3]
    mov [rdi], rax
    lea rax, [rip + efi_root]
    mov cr3, rax
    mov rdi, r8
    mov rsi, rdx
    mov rbp, rsp
    and rsp, -16
    mov rax, offset {efi_main}
    call rax
    mov rsp, rbp
    mov ebp, {efi}
    test al, al
    jnz from_long_mode
    mov cr3, rbx
2:
    movabs rax, 0x8000000000000001
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    ret
from_long_mode:
    cli
    cld
    mov esp, offset boot_stack_end - BASE
    lgdt [rip + boot_gdt_pointer]
    push {code_32}
    mov eax, offset leave_long_mode - BASE
    push rax
    .byte 0x48, 0xcb
    .code32
leave_long_mode:
    mov eax, {data}
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    mov ecx, 0xc0000080
    rdmsr
    and eax, 0xfffffeff
    wrmsr
enter:
    cli
    cld
    rdtsc
    mov esi, eax
    mov edi, edx
    mov eax, cr4
    and eax, 0x40
    or eax, 0x20
    mov cr4, eax
    mov eax, offset boot_root - BASE
    mov cr3, eax
    mov [boot_kept - BASE], ebx
    mov esp, offset extended - BASE
    jmp extend
extended:
    mov ebx, [boot_kept - BASE]
    mov eax, cr0
    and eax, 0x9fffffff
    or eax, 0x80010001
    mov cr0, eax
    mov eax, offset boot_gdt_pointer - BASE
    lgdt [eax]
    .byte 0xea
    .long boot_long_mode - BASE
    .word {code}
    .global extend
extend:
    mov eax, 0x80000001
    cpuid
    .global no_execute_told
no_execute_told:
    bt edx, 20
    jc 2f
    xor eax, eax
    cpuid
    cmp ecx, 0x6c65746e
    jne 1f
    mov ecx, 0x1a0
    rdmsr
    .global no_execute_turned_off
no_execute_turned_off:
    btr edx, 2
    jnc 1f
    wrmsr
    .global no_execute_turned_on
no_execute_turned_on:
1:
    mov eax, 0x80000001
    cpuid
2:
    mov ebx, edx
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x101
    bt ebx, 20
    jnc 1f
    or eax, 0x800
1:
    wrmsr
    jmp esp
    .code64
boot_long_mode:
    mov rax, offset boot_higher_half
    jmp rax
boot_higher_half:
    mov eax, {data}
    mov ss, eax
    mov rsp, offset boot_stack_end
    mov edx, ebp
    xor ebp, ebp
    shl rdi, 32
    or rsi, rdi
    mov edi, ebx
    call {main}
    ud2
    .popsection

    .pushsection .data
    .balign 8
boot_gdt:
    .quad 0, {code_32_descriptor}, {code_descriptor}, {data_descriptor}
boot_gdt_pointer:
    .word 31
    .quad boot_gdt - BASE
boot_kept:
    .long 0
    .popsection

    .pushsection .data.boot_tables, "aw"
    .balign 4096
    .global boot_root
boot_root:
    .quad boot_directory_pointers - BASE + 3
    .fill 510, 8, 0
    .quad boot_directory_pointers - BASE + 3
boot_directory_pointers:
    .quad boot_directory - BASE + 3
    .fill 509, 8, 0
    .quad boot_directory - BASE + 3
    .quad 0
boot_directory:
    .set page, 0
    .rept 512
    .quad page + 0x83
    .set page, page + 0x200000
    .endr
    .popsection

    .pushsection .bss
    .balign 4096
    .global boot_guard
boot_guard:
efi_root:
    .skip 4096
boot_stack:
    .skip {stack_bytes}
boot_stack_end:
    .popsection
    "#,
    pvh = const LOADER_PVH,
    linux = const LOADER_LINUX,
    efi = const LOADER_EFI,
    efi_main = sym efi_main,
    code_32 = const smp::CODE_32,
    code_32_descriptor = const smp::CODE_32_DESCRIPTOR,
    code = const segments::KERNEL_CODE,
    data = const segments::KERNEL_DATA,
    code_descriptor = const segments::KERNEL_CODE_DESCRIPTOR,
    data_descriptor = const segments::KERNEL_DATA_DESCRIPTOR,
    stack_bytes = const 32768,
    main = sym boot_main,
);

/// Which loader came.
const LOADER_PVH: u32 = 0;
const LOADER_LINUX: u32 = 1;
const LOADER_EFI: u32 = 2;

unsafe extern "Rust" {
    /// Defined by `hal::entry!` in the kernel.
    safe fn hal_upcalls() -> &'static dyn crate::Upcalls;
}

static mut LOADED: Loaded = Loaded::empty();

/// First Rust code where UEFI firmware starts the kernel: see `efi_entry`. False: firmware is still in charge.
extern "C" fn efi_main(image: r_efi::efi::Handle, system: *mut r_efi::efi::SystemTable) -> bool {
    let loaded = &raw mut LOADED;
    // SAFETY: `efi_entry` hands on what firmware gave it; nothing else touches the static before `boot_main`.
    unsafe {
        (*loaded).efi_system_table = system as u64;
        efi::take_over(image, system, &mut *loaded).is_some()
    }
}

/// First Rust code: on the boot stack, in the higher half, boot tables, interrupts off.
extern "C" fn boot_main(address: u64, boot_cycles: u64, loader: u32) -> ! {
    // First, so that a failure of what follows can be read: a port that nobody has set up sends five bits of each byte.
    console::initialise();
    // Before anything is done that would fault without it.
    cpuid::initialise();
    if let Some(missing) = cpu::missing_essential() {
        for part in ["orlop: this CPU has no ", missing, ", or firmware has turned that off\n"] {
            Arch::console_write_last(part.as_bytes());
        }
        Arch::exit(1);
    }
    cpu::initialise_boot_cpu();
    crate::upcalls::register(hal_upcalls());
    let loaded = &raw mut LOADED;
    // SAFETY: this function runs once, and nothing else touches the static until it is shared below.
    let loaded = unsafe { &mut *loaded };
    let found = match loader {
        LOADER_PVH => pvh::read_start_info(address, loaded),
        LOADER_LINUX => linux::read_zero_page(address, loaded),
        // `efi_main` has done it.
        _ => Some(()),
    };
    if found.is_none() {
        Arch::console_write_last(b"orlop: not started by a loader for PVH or Linux\n");
        Arch::exit(1);
    }
    loader::take_efi_seed(loaded);
    crate::random::add_loader_seed(loaded.seed());
    acpi::remember_root(loaded.acpi_root, loaded.efi_system_table);
    smp::remember_page(loaded.low_page);
    user_registers::settle_components();
    speculation::decide(loaded.command_line());
    speculation::initialise_cpu();
    // SAFETY: the boot tables leave the text writable until `build` below, and this CPU is alone with interrupts off.
    unsafe { patches::apply() };
    let image = kernel_map::Image::locate();
    crate::panic::set_symbols(kernel_map::symbols());
    known_state::provoke(CommandLine::new(loaded.command_line()));
    known_state::check(cpu::boot_gs_base());
    let initramfs = loaded.initramfs.unwrap_or(PhysRange::new(image.range().start, 0));
    let mut frames = EarlyFrames::new(&loaded.memory, &[image.range(), initramfs], image.range().end);
    if kernel_map::build(&image, &loaded.memory, initramfs, &mut frames).is_err() {
        Arch::console_write_last(b"orlop: not enough memory\n");
        Arch::exit(1);
    }
    let kernel = PhysRange { start: image.range().start, end: frames.end() };
    crate::boot::start(
        Handover {
            memory: &loaded.memory,
            kernel,
            initramfs: loaded.initramfs,
            command_line: loaded.command_line(),
        },
        || initialise_devices(boot_cycles, CommandLine::new(loaded.command_line())),
    )
}

/// What needs frames or the device window: interrupt controllers, clocks, the FPU's area.
fn initialise_devices(boot_cycles: u64, words: CommandLine<'_>) {
    if cpu::guard_boot_stacks().is_err() {
        Arch::console_write_last(b"orlop: not enough memory\n");
        Arch::exit(1);
    }
    user_registers::initialise();
    if !pic::silence() {
        crate::boot::lacks("8259 interrupt controllers: nothing was to be silenced");
    }
    if !power::has_keyboard_controller() {
        crate::boot::lacks("a keyboard controller: restart is ACPI's or a triple fault");
    }
    apic::initialise(words);
    ioapic::initialise();
    kvm::initialise(words);
    clock::initialise(boot_cycles, words);
}
