//! x86_64 kernels started as loaders for Linux do: a bzImage by the BIOS and by GRUB, and an ELF file at its 64-bit
//! entry.

use anyhow::Result;

use super::{PREFIX, firmware, greets, physical, runs};
use crate::arch::Arch;
use crate::build;
use crate::run::debugger::{Debugger, Register};
use crate::run::iso;
use crate::run::machine::Machine::{self, Pc, Q35};
use crate::test::Stage;
use crate::test::boots::push;
use crate::test::guest::Guest;
use crate::test::queue::Queue;

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, queue: &Queue<'a>, guest: &Guest) -> Result<()> {
    for machine in [Q35, Pc] {
        let mut guest = machine_of(guest, machine);
        guest.kernel.set_extension("bzimage");
        let name = format!("{PREFIX}x86_64/a bzImage by the BIOS, {machine:?}");
        push(stage, queue, name, move || runs(guest.run_to_ending(&[])?, &["CPUs: 2"]));
    }
    let by_bios = machine_of(guest, Pc);
    push(stage, queue, format!("{PREFIX}x86_64/GRUB on a BIOS"), move || by_grub(&by_bios, &[]));
    let by_uefi = machine_of(guest, Q35);
    push(stage, queue, format!("{PREFIX}x86_64/GRUB on UEFI"), move || {
        let firmware = firmware::file(Arch::X86_64)?;
        by_grub(&by_uefi, &["-bios".to_owned(), firmware.display().to_string()])
    });
    let mut by_firmware = machine_of(guest, Q35);
    by_firmware.kernel.set_extension("bzimage");
    push(stage, queue, format!("{PREFIX}x86_64/UEFI"), move || {
        let firmware = firmware::file(Arch::X86_64)?;
        let arguments = ["-bios".to_owned(), firmware.display().to_string()];
        // What firmware cannot start as an application it starts as Linux's boot protocol says.
        let entry = physical(&by_firmware, "efi_entry")?;
        Ok(greets(&by_firmware.run_prepared(&arguments, |debugger| debugger.run_to(entry))?))
    });
    let guest = guest.clone();
    let name = format!("{PREFIX}x86_64/the ELF file's 64-bit entry");
    push(stage, queue, name, move || at_64_bit_entry(&guest));
    Ok(())
}

/// The guest in a machine with two CPUs.
fn machine_of(guest: &Guest, machine: Machine) -> Guest {
    let mut guest = guest.clone();
    guest.machine.machine = Some(machine);
    guest.machine.smp = 2;
    guest
}

fn by_grub(guest: &Guest, firmware: &[String]) -> Result<Result<(), String>> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("image.iso");
    iso::write(&image, &guest.kernel.with_extension("bzimage"), &guest.initramfs, &guest.command_line(""))?;
    let mut arguments =
        vec!["-cdrom".to_owned(), image.display().to_string(), "-boot".to_owned(), "d".to_owned()];
    arguments.extend_from_slice(firmware);
    runs(guest.run_machine_to_ending(&arguments)?, &["CPUs: 2"])
}

/// Where the monitor below puts things, as Firecracker 1.7 does.
const GDT: u64 = 0x500;
const ZERO_PAGE: u64 = 0x7000;
const ROOT_TABLE: u64 = 0x9000;
const TRAMPOLINE: u64 = 0x8_0000;
const COMMAND_LINE: u64 = 0x2_0000;

/// Starts the kernel as monitors start a `vmlinux`: at its entry in long mode, with the first GiB mapped and a zero
/// page. The machine is brought to the PVH entry first, where an initramfs lies in memory already.
fn at_64_bit_entry(guest: &Guest) -> Result<Result<(), String>> {
    let pvh = physical(guest, "pvh_entry")?;
    let entry = build::entry(&std::fs::read(&guest.kernel)?)?;
    let line = guest.command_line("");
    let output = guest.run_prepared(&[], |debugger| {
        debugger.run_to(pvh)?;
        let start_info = debugger.get(Register::Rbx)?;
        let module = debugger.read(start_info + 16)?;
        let initramfs = [debugger.read(module)?, debugger.read(module + 8)?];
        debugger.write(ZERO_PAGE, &zero_page(initramfs))?;
        debugger.write(COMMAND_LINE, format!("{line}\0").as_bytes())?;
        enter_long_mode(debugger, entry)
    })?;
    Ok(greets(&output))
}

/// `struct boot_params` with what such a monitor fills in. Memory ends in the middle of the initramfs: firmware may
/// have taken the rest.
fn zero_page(initramfs: [u64; 2]) -> Vec<u8> {
    let mut page = vec![0; 4096];
    let end = (initramfs[0] + initramfs[1] / 2) & !0xfff;
    let memory: [(u64, u64, u32); 3] =
        [(0, 0x9_fc00, 1), (0xe_0000, 0x2_0000, 2), (1 << 20, end - (1 << 20), 1)];
    let mut put = |offset: usize, bytes: &[u8]| page[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0x1e8, &[memory.len() as u8]);
    put(0x202, b"HdrS");
    put(0x210, &[0xff]);
    for (offset, value) in [(0x218, initramfs[0]), (0x21c, initramfs[1]), (0x228, COMMAND_LINE)] {
        put(offset, &(value as u32).to_le_bytes());
    }
    for (index, (start, size, kind)) in memory.into_iter().enumerate() {
        let entry = [&start.to_le_bytes()[..], &size.to_le_bytes(), &kind.to_le_bytes()].concat();
        put(0x2d0 + 20 * index, &entry);
    }
    page
}

/// Puts tables and a few instructions into memory that lead to `entry` in long mode, and lets the machine execute them.
fn enter_long_mode(debugger: &mut Debugger, entry: u64) -> Result<()> {
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let directory: Vec<u64> = (0..512).map(|page| page << 21 | 0x83).collect();
    debugger.write(ROOT_TABLE, &words(&[ROOT_TABLE + 0x1003]))?;
    debugger.write(ROOT_TABLE + 0x1000, &words(&[ROOT_TABLE + 0x2003]))?;
    debugger.write(ROOT_TABLE + 0x2000, &words(&directory))?;
    debugger.write(GDT, &words(&[0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff]))?;
    debugger.write(GDT + 32, &[&31u16.to_le_bytes()[..], &(GDT as u32).to_le_bytes()].concat())?;
    let number = |value: u64| (value as u32).to_le_bytes();
    let code: [&[u8]; 17] = [
        &[0xb8, 0xa0, 0, 0, 0, 0x0f, 0x22, 0xe0], // cr4 = PAE, PGE
        &[0xb8],                                  // cr3 = the tables
        &number(ROOT_TABLE),
        &[0x0f, 0x22, 0xd8],
        &[0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32], // EFER |= LME
        &[0x0d, 0, 1, 0, 0, 0x0f, 0x30],
        &[0x0f, 0x20, 0xc0, 0x0d, 0, 0, 0, 0x80], // cr0 |= PG
        &[0x0f, 0x22, 0xc0],
        &[0x0f, 0x01, 0x15], // lgdt
        &number(GDT + 32),
        &[0xea], // to 64-bit code
        &number(TRAMPOLINE + 0x40),
        &[0x10, 0],
        &[0x90; 4],
        &[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x31, 0xe4], // no data segments, no stack
        &[0xbe],                                           // rsi = the zero page, rax = the entry
        &number(ZERO_PAGE),
    ];
    let mut code = code.concat();
    let jump_target = code.len() - 4 - 1 - 8;
    code.push(0xb8);
    code.extend(number(entry));
    code.extend([0xff, 0xe0]);
    // The 64-bit part goes to its place.
    let long = code.split_off(jump_target);
    debugger.write(TRAMPOLINE, &code)?;
    debugger.write(TRAMPOLINE + 0x40, &long)?;
    debugger.set(Register::Rip, TRAMPOLINE)
}
