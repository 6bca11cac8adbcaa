//! A kernel as Linux's boot protocol for x86 has it: a bzImage, which BIOS loaders, GRUB, kexec and QEMU load.
//!
//! The file is a real-mode part, whose header says everything of the rest, and the kernel as it lies in memory from 1
//! MiB on, without compression. It runs at that address alone, and says so. Source: Linux,
//! `Documentation/arch/x86/boot.rst`.

use anyhow::{Result, bail};

use super::elf_image::ElfImage;
use super::symbols;

/// Where the kernel lies in memory, and with it its 32-bit entry; the 64-bit one is at the protocol's distance behind
/// it.
const KERNEL: u64 = 0x10_0000;
const SECTOR: usize = 512;
/// Sectors of the real-mode part behind the first one.
/// With that it fills a page, as firmware wants it.
const SETUP_SECTORS: u8 = 7;
/// Where the header starts, and where it ends in version 2.12 of the protocol.
const HEADER: usize = 0x1f1;
const HEADER_END: usize = 0x268;
/// The real-mode code's ends, in the kernel's image: `hal`'s `setup.rs`.
const CODE: [&str; 2] = ["linux_setup", "linux_setup_end"];

/// Where UEFI firmware enters.
const EFI_ENTRY: &str = "efi_entry";
const PAGE: usize = 4096;

/// A word of the header.
fn put(file: &mut [u8], offset: usize, bytes: &[u8]) {
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// The bzImage of `image`, which was linked as `linked`.
pub fn write(image: &ElfImage, linked: &[u8]) -> Result<Vec<u8>> {
    let (mut kernel, size) = image.to_memory()?;
    if image.start() != Some(KERNEL) {
        bail!("the kernel does not lie at {KERNEL:#x}");
    }
    kernel.resize(usize::try_from(size)?.next_multiple_of(PAGE), 0);
    let [start, end] = [symbols::address(linked, CODE[0])?, symbols::address(linked, CODE[1])?];
    let mut file = header(kernel.len() / 16, size)?;
    file.extend(image.bytes(start, end)?);
    let version = file.len();
    file.extend(format!("{} (Orlop)\0", env!("CARGO_PKG_VERSION")).bytes());
    let setup = SECTOR * (usize::from(SETUP_SECTORS) + 1);
    if file.len() > setup {
        bail!("the real-mode code does not fit into {SETUP_SECTORS} sectors");
    }
    firmware_header(&mut file, symbols::address(linked, EFI_ENTRY)?.wrapping_sub(image.link_offset()), size)?;
    put(&mut file, 0x20e, &u16::try_from(version - SECTOR)?.to_le_bytes());
    file.resize(setup, 0);
    file.extend(kernel);
    Ok(file)
}

/// What makes the file an application for UEFI firmware (Microsoft's PE/COFF specification): its headers fill the page
/// at the kernel's place, whose own first page, with the entries of Linux's protocol, is left out; the rest lies where
/// it is linked. It cannot be moved.
fn firmware_header(file: &mut [u8], entry: u64, size: u64) -> Result<()> {
    const PE: usize = 0x40;
    const OPTIONAL: usize = PE + 24;
    const DIRECTORIES: u32 = 6;
    const OPTIONAL_BYTES: usize = 112 + DIRECTORIES as usize * 8;
    const SECTION: usize = OPTIONAL + OPTIONAL_BYTES;
    const X86_64: u16 = 0x8664;
    /// No relocations, executable, no line numbers, no symbols.
    const CHARACTERISTICS: u16 = 0x020f;
    const PE32_PLUS: u16 = 0x20b;
    const APPLICATION: u16 = 10;
    /// Code, to be executed, read and written.
    const SECTION_FLAGS: u32 = 0xe000_0020;
    let page = u32::try_from(PAGE)?;
    let memory = u32::try_from(size.next_multiple_of(4096))?;
    let entry = u32::try_from(entry - KERNEL)?;
    let text = memory - page;
    put(file, 0, b"MZ");
    put(file, 0x3c, &u32::try_from(PE)?.to_le_bytes());
    put(file, PE, b"PE\0\0");
    for (offset, half) in [
        (PE + 4, X86_64),
        (PE + 6, 1),
        (PE + 20, u16::try_from(OPTIONAL_BYTES)?),
        (PE + 22, CHARACTERISTICS),
        (OPTIONAL, PE32_PLUS),
        (OPTIONAL + 68, APPLICATION),
    ] {
        put(file, offset, &half.to_le_bytes());
    }
    for (offset, word) in [
        (OPTIONAL + 4, text),
        (OPTIONAL + 16, entry),
        (OPTIONAL + 20, page),
        (OPTIONAL + 32, page),
        (OPTIONAL + 36, 512),
        (OPTIONAL + 56, memory),
        (OPTIONAL + 60, page),
        (OPTIONAL + 108, DIRECTORIES),
        (SECTION + 8, text),
        (SECTION + 12, page),
        (SECTION + 16, text),
        (SECTION + 20, 2 * page),
        (SECTION + 36, SECTION_FLAGS),
    ] {
        put(file, offset, &word.to_le_bytes());
    }
    put(file, OPTIONAL + 24, &KERNEL.to_le_bytes());
    put(file, SECTION, b".text");
    Ok(())
}

/// The first sector and the rest of the header. `size`: bytes of memory that the kernel has to itself.
fn header(paragraphs: usize, size: u64) -> Result<Vec<u8>> {
    const LOADED_HIGH: u8 = 1 << 0;
    const HAS_64_BIT_ENTRY: u16 = 1 << 0;
    const COMMAND_LINE_MAX: u32 = 4095;
    const INITRAMFS_END_MAX: u32 = 0x7fff_ffff;
    let mut header = vec![0; HEADER_END];
    let jump = [0xeb, (HEADER_END - 0x202) as u8];
    let fields: [(usize, &[u8]); 16] = [
        (HEADER, &[SETUP_SECTORS]),
        (0x1f4, &u32::try_from(paragraphs)?.to_le_bytes()),
        (0x1fa, &[0xff, 0xff]),
        (0x1fe, &[0x55, 0xaa]),
        (0x200, &jump),
        (0x202, b"HdrS"),
        (0x206, &0x020c_u16.to_le_bytes()),
        (0x20c, &0x1000_u16.to_le_bytes()),
        (0x211, &[LOADED_HIGH]),
        (0x212, &0x8000_u16.to_le_bytes()),
        (0x214, &u32::try_from(KERNEL)?.to_le_bytes()),
        (0x22c, &INITRAMFS_END_MAX.to_le_bytes()),
        (0x236, &HAS_64_BIT_ENTRY.to_le_bytes()),
        (0x238, &COMMAND_LINE_MAX.to_le_bytes()),
        (0x258, &KERNEL.to_le_bytes()),
        (0x260, &u32::try_from(size.next_multiple_of(4096))?.to_le_bytes()),
    ];
    for (offset, bytes) in fields {
        put(&mut header, offset, bytes);
    }
    // Loaders round the kernel's place to this where it may move, and refuse zero.
    put(&mut header, 0x230, &0x10_0000_u32.to_le_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jump_leads_behind_the_header() {
        let header = header(2, 5000).unwrap();
        assert_eq!(0x202 + usize::from(header[0x201]), header.len());
        assert_eq!(header[0x1f4..0x1f8], [2, 0, 0, 0]);
        assert_eq!(header[0x260..0x264], [0, 0x20, 0, 0]);
        assert_eq!(header[0x234], 0, "it cannot be moved");
    }
}
