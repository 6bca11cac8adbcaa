//! The sites of a linked kernel that are patched at boot: all of them can be, in whatever combination.
//!
//! What `libkernel::patch` needs no decoder for it checks at boot too. That x86_64's code means the same at another
//! place, and that no site ends within an instruction, only a decoder sees.

use anyhow::{Context, Result, bail, ensure};
use iced_x86::{Decoder, DecoderOptions};
use libkernel::arch::{aarch64, x86_64};
use libkernel::patch::{Encoding, SITE_BYTES_MAX, SITE_ROW_BYTES, Site};

use super::elf_image::ElfImage;
use super::gates::{self, Kernel};
use super::symbols;
use crate::arch::Arch;

/// Fails if a site of the kernel cannot be patched.
pub fn check(arch: Arch, image: &ElfImage, file: &[u8]) -> Result<()> {
    let bounds = |name: &str| -> Result<[u64; 2]> {
        Ok([
            symbols::address(file, &format!("__{name}_start"))?,
            symbols::address(file, &format!("__{name}_end"))?,
        ])
    };
    let ([start, end], text) = (bounds("patch_sites")?, bounds("text")?);
    let (rows, rest) = image.bytes(start, end)?.as_chunks::<SITE_ROW_BYTES>();
    ensure!(rest.is_empty(), "the table of patched sites is cut off");
    let mut sites: Vec<Site> = rows.iter().map(Site::from_bytes).collect();
    sites.sort_by_key(|site| site.address);
    let mut before = text[0];
    for site in &sites {
        let bytes = |at: u64, length: u8| image.bytes(at, at + u64::from(length));
        check_site(arch, site, bytes(site.address, site.length)?, bytes(site.code, site.code_length)?)
            .with_context(|| format!("the site at {:#x}", site.address))?;
        let end = site.address + u64::from(site.length);
        ensure!(
            site.address >= before && end <= text[1],
            "the site at {:#x} lies across another",
            site.address
        );
        before = end;
    }
    gates::check(arch, &Kernel { image, file, sites: &sites })
}

fn check_site(arch: Arch, site: &Site, old: &[u8], code: &[u8]) -> Result<()> {
    ensure!(site.feature < 64 && site.reserved == 0, "is no row of the table: {site:x?}");
    let encoding: &Encoding = match arch {
        Arch::X86_64 => &x86_64::patch::ENCODING,
        Arch::Aarch64 => &aarch64::patch::ENCODING,
    };
    if let Err(error) = site.compose(code, encoding, &mut [0; SITE_BYTES_MAX]) {
        bail!("cannot be patched: {error:?}");
    }
    if arch == Arch::X86_64 {
        check_instructions(old, site.address).context("what stands there")?;
        check_instructions(code, site.code).context("what replaces it")?;
        ensure!(
            x86_64::patch::displacement(code).is_some() || !depends_on_place(code),
            "its code does not move"
        );
    }
    Ok(())
}

fn decoder(code: &[u8], address: u64) -> Decoder<'_> {
    Decoder::with_ip(64, code, address, DecoderOptions::NONE)
}

/// Only whole instructions.
fn check_instructions(code: &[u8], address: u64) -> Result<()> {
    for instruction in &mut decoder(code, address) {
        ensure!(!instruction.is_invalid(), "is no instruction at {:#x}", instruction.ip());
    }
    Ok(())
}

/// Whether an instruction names a place by its distance.
fn depends_on_place(code: &[u8]) -> bool {
    let branches = |instruction: iced_x86::Instruction| instruction.near_branch_target() != 0;
    decoder(code, 1 << 32)
        .iter()
        .any(|instruction| instruction.is_ip_rel_memory_operand() || branches(instruction))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(length: u8, code_length: u8) -> Site {
        Site { address: 0x10_0000, code: 0x20_0000, feature: 1, length, code_length, reserved: 0 }
    }

    fn check(old: &[u8], code: &[u8]) -> bool {
        check_site(Arch::X86_64, &site(old.len() as u8, code.len() as u8), old, code).is_ok()
    }

    #[test]
    fn whole_instructions_that_move_are_accepted() {
        assert!(check(&[0x0f, 0x1f, 0x00], &[0x0f, 0x01, 0xcb]));
        // mov gs:[0x10], rsp → jmp
        assert!(check(&[0x65, 0x48, 0x89, 0x24, 0x25, 0x10, 0, 0, 0], &[0xe9, 0, 1, 0, 0]));
    }

    #[test]
    fn parts_of_instructions_are_refused() {
        assert!(!check(&[0x0f, 0x1f], &[0x90]));
        assert!(!check(&[0x0f, 0x1f, 0x00], &[0x0f, 0x01]));
    }

    #[test]
    fn code_that_depends_on_its_place_is_refused() {
        // nop; jmp: a branch that is not alone. jz of two bytes. lea rax, [rip + 1].
        assert!(!check(&[0x90; 8], &[0x90, 0xe9, 0, 1, 0, 0]));
        assert!(!check(&[0x90; 8], &[0x74, 2]));
        assert!(!check(&[0x90; 8], &[0x48, 0x8d, 0x05, 1, 0, 0, 0]));
    }
}
