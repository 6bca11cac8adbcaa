//! The dynamic linker and the libraries that a program of this machine needs in the guest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::Endianness;
use object::elf::{DT_NEEDED, EM_AARCH64, EM_X86_64, FileHeader64, Machine, PT_INTERP};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

use crate::arch::Arch;
use crate::initramfs::archive::Archive;
use crate::initramfs::host_files;

/// What an executable or library asks for.
#[derive(Debug, PartialEq, Eq)]
struct Needs {
    /// ELF's number of the architecture.
    machine: Machine,
    /// The dynamic linker's path.
    interpreter: Option<String>,
    /// File names of libraries.
    libraries: Vec<String>,
}

/// Puts everything that `program` needs into `archive`, at the paths where its dynamic linker looks.
pub fn insert(archive: &mut Archive, arch: Arch, program: &Path) -> Result<()> {
    let needs = needs(program)?;
    if needs.machine != machine(arch) {
        bail!("{} was not built for {arch}; --arch chooses another architecture", program.display());
    }
    let Some(interpreter) = &needs.interpreter else {
        return Ok(());
    };
    let name =
        Path::new(interpreter).file_name().context("the dynamic linker has no name")?.to_string_lossy();
    host_files::insert(archive, &find(arch, &name)?, interpreter)?;
    let mut waiting = needs.libraries;
    let mut done = BTreeSet::new();
    while let Some(library) = waiting.pop() {
        if done.insert(library.clone()) {
            let path = find(arch, &library)?;
            host_files::insert(archive, &path, &format!("{}/{library}", guest_folder(arch)))?;
            waiting.extend(self::needs(&path)?.libraries);
        }
    }
    Ok(())
}

fn machine(arch: Arch) -> Machine {
    match arch {
        Arch::X86_64 => EM_X86_64,
        Arch::Aarch64 => EM_AARCH64,
    }
}

/// Where Debian's dynamic linker looks first.
fn guest_folder(arch: Arch) -> String {
    format!("/lib/{arch}-linux-gnu")
}

/// Looks where Debian keeps libraries, those of a cross compiler included.
fn find(arch: Arch, name: &str) -> Result<PathBuf> {
    let mut folders = vec![
        format!("/lib/{arch}-linux-gnu"),
        format!("/usr/lib/{arch}-linux-gnu"),
        format!("/usr/{arch}-linux-gnu/lib"),
    ];
    if arch.name() == std::env::consts::ARCH {
        folders.extend(["/lib64", "/lib", "/usr/lib", "/usr/local/lib"].map(str::to_owned));
    }
    let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    found.with_context(|| format!("{name}, which the program needs, is in none of {}", folders.join(", ")))
}

fn needs(path: &Path) -> Result<Needs> {
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&file).with_context(|| format!("{} is not a 64-bit ELF file", path.display()))
}

fn parse(file: &[u8]) -> Result<Needs> {
    let header = FileHeader64::<Endianness>::parse(file)?;
    let endian = header.endian()?;
    let mut needs = Needs { machine: header.e_machine(endian), interpreter: None, libraries: Vec::new() };
    for program_header in header.program_headers(endian, file)? {
        if program_header.p_type(endian) == PT_INTERP {
            let Ok(bytes) = program_header.data(endian, file) else {
                bail!("the interpreter's name lies beyond the file");
            };
            let name = bytes.strip_suffix(b"\0").unwrap_or(bytes);
            needs.interpreter = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    let sections = header.sections(endian, file)?;
    if let Some((entries, strings)) = sections.dynamic(endian, file)? {
        let strings = sections.strings(endian, file, strings)?;
        for entry in entries.iter().filter(|entry| entry.d_tag(endian) == DT_NEEDED) {
            let name = entry.string(endian, strings)?;
            needs.libraries.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_needs_a_dynamic_linker_and_the_c_library() {
        let needs = needs(&std::env::current_exe().unwrap()).unwrap();
        assert!(needs.interpreter.unwrap().contains("/ld-"));
        assert!(needs.libraries.iter().any(|library| library.starts_with("libc.so")));
    }

    #[test]
    fn a_script_is_no_elf_file() {
        assert!(parse(b"#!/bin/sh\n").is_err());
    }
}
