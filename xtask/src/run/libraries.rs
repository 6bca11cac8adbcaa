//! The dynamic linker and the libraries that a program of this machine needs in the guest.
//!
//! A library is looked for as the dynamic linker would look for it: where RUNPATH or RPATH say (`$ORIGIN` is the folder
//! of whoever needs it), then in the usual folders. In the guest it lies where the guest's dynamic linker finds it by
//! the same rules. Sources: ld.so(8); musl's `ldso/dynlink.c`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::Endianness;
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, EM_AARCH64, EM_X86_64, FileHeader64, Machine, PT_INTERP};
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
    /// Folders in which to look for them first.
    folders: Vec<String>,
}

/// A file of this machine and where it lies in the guest.
#[derive(Clone, Debug)]
struct Placed {
    host: PathBuf,
    guest: PathBuf,
}

/// The C library whose dynamic linker is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    Gnu,
    Musl,
}

/// Puts everything that `program`, which lies at `guest`, needs into `archive`, out of this machine.
pub fn insert(archive: &mut Archive, arch: Arch, program: &Path, guest: &str) -> Result<()> {
    insert_from(Path::new("/"), archive, arch, program, guest)
}

/// The same out of another tree of files, which starts at `root`.
pub fn insert_from(
    root: &Path,
    archive: &mut Archive,
    arch: Arch,
    program: &Path,
    guest: &str,
) -> Result<()> {
    let needs = needs(program)?;
    if needs.machine != machine(arch) {
        bail!("{} was not built for {arch}; --arch chooses another architecture", program.display());
    }
    let Some(interpreter) = &needs.interpreter else {
        return Ok(());
    };
    let name =
        Path::new(interpreter).file_name().context("the dynamic linker has no name")?.to_string_lossy();
    let flavour = if name.starts_with("ld-musl") { Flavour::Musl } else { Flavour::Gnu };
    let found = Some(within(root, interpreter)).filter(|path| is_for(arch, path));
    let found = found.map_or_else(|| find(root, arch, flavour, &name), Ok)?;
    host_files::insert(archive, &found, interpreter)?;
    let program = Placed { host: program.canonicalize()?, guest: guest.into() };
    insert_libraries(root, archive, arch, flavour, program)
}

/// Puts the libraries into `archive` that a module, which programs load as they run, needs where it lies in the same
/// place here and in the guest.
pub fn insert_for_module(archive: &mut Archive, arch: Arch, module: &Path) -> Result<()> {
    let module = Placed { host: module.to_owned(), guest: module.to_owned() };
    insert_libraries(Path::new("/"), archive, arch, Flavour::Gnu, module)
}

/// Puts the libraries that `first` needs, and those that they need, into `archive`.
fn insert_libraries(
    root: &Path,
    archive: &mut Archive,
    arch: Arch,
    flavour: Flavour,
    first: Placed,
) -> Result<()> {
    let mut waiting = vec![first];
    let mut done = BTreeSet::new();
    while let Some(user) = waiting.pop() {
        let needs = needs(&user.host)?;
        for library in needs.libraries.iter().filter(|library| !is_in_linker(flavour, library)) {
            let beside = needs.folders.iter().map(|folder| user.in_folder(folder, library));
            let placed = match beside.into_iter().find(|placed| is_for(arch, &placed.host)) {
                Some(placed) => placed,
                None => Placed {
                    host: find(root, arch, flavour, library)?,
                    guest: Path::new(&guest_folder(arch, flavour)).join(library),
                },
            };
            if done.insert(placed.guest.clone()) {
                let guest = placed.guest.to_str().context("a library's path is not UTF-8")?;
                host_files::insert(archive, &placed.host, guest)?;
                waiting.push(placed);
            }
        }
    }
    Ok(())
}

impl Placed {
    /// `library` in a folder that this file's RUNPATH or RPATH names.
    fn in_folder(&self, folder: &str, library: &str) -> Placed {
        let below = |file: &Path| {
            let origin = file.parent().unwrap_or(Path::new("/")).to_string_lossy();
            let folder = folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
            without_dots(&Path::new(&folder).join(library))
        };
        Placed { host: below(&self.host), guest: below(&self.guest) }
    }
}

/// A path without `.` and `..`, of which the second takes the component before it along.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            component => plain.push(component),
        }
    }
    plain
}

fn machine(arch: Arch) -> Machine {
    match arch {
        Arch::X86_64 => EM_X86_64,
        Arch::Aarch64 => EM_AARCH64,
    }
}

/// Whether a file is there and was built for `arch`.
pub fn is_for(arch: Arch, path: &Path) -> bool {
    path.is_file() && needs(path).is_ok_and(|needs| needs.machine == machine(arch))
}

/// Whether musl's dynamic linker is the library itself.
fn is_in_linker(flavour: Flavour, library: &str) -> bool {
    const PARTS: [&str; 7] = ["c", "pthread", "rt", "m", "dl", "util", "xnet"];
    let part = library.strip_prefix("lib").and_then(|rest| rest.split('.').next());
    flavour == Flavour::Musl && part.is_some_and(|part| PARTS.contains(&part))
}

/// A folder in which the guest's dynamic linker looks.
fn guest_folder(arch: Arch, flavour: Flavour) -> String {
    match flavour {
        Flavour::Gnu => format!("/lib/{arch}-linux-gnu"),
        Flavour::Musl => "/lib".to_owned(),
    }
}

/// An absolute path in the tree that starts at `root`.
fn within(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Looks where Debian and others keep libraries, those of a cross compiler included.
fn find(root: &Path, arch: Arch, flavour: Flavour, name: &str) -> Result<PathBuf> {
    let kind = match flavour {
        Flavour::Gnu => "gnu",
        Flavour::Musl => "musl",
    };
    let mut folders = vec![
        format!("/lib/{arch}-linux-{kind}"),
        format!("/usr/lib/{arch}-linux-{kind}"),
        format!("/usr/{arch}-linux-{kind}/lib"),
    ];
    if arch.name() == std::env::consts::ARCH {
        folders.extend(["/lib64", "/lib", "/usr/lib64", "/usr/lib", "/usr/local/lib"].map(str::to_owned));
    }
    let found = folders.iter().map(|folder| within(root, folder).join(name)).find(|path| is_for(arch, path));
    let hint = if flavour == Flavour::Musl { " (Debian's package musl has the dynamic linker)" } else { "" };
    found.with_context(|| {
        format!("{name}, which the program needs, is in none of {}{hint}", folders.join(", "))
    })
}

fn needs(path: &Path) -> Result<Needs> {
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&file).with_context(|| format!("{} is not a 64-bit ELF file", path.display()))
}

fn parse(file: &[u8]) -> Result<Needs> {
    let header = FileHeader64::<Endianness>::parse(file)?;
    let endian = header.endian()?;
    let mut needs = Needs {
        machine: header.e_machine(endian),
        interpreter: None,
        libraries: Vec::new(),
        folders: Vec::new(),
    };
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
        let text = |entry: &<FileHeader64<Endianness> as FileHeader>::Dyn| -> Result<String> {
            Ok(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned())
        };
        for entry in entries {
            let tag = entry.d_tag(endian);
            if tag == DT_NEEDED {
                needs.libraries.push(text(entry)?);
            } else if tag == DT_RUNPATH || tag == DT_RPATH {
                let path = text(entry)?;
                needs.folders.extend(path.split(':').filter(|folder| !folder.is_empty()).map(str::to_owned));
            }
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

    #[test]
    fn libraries_beside_the_program_stay_beside_it() {
        let program = Placed { host: "/home/me/app/bin/a.out".into(), guest: "/bin/a.out".into() };
        let placed = program.in_folder("$ORIGIN/../lib", "libx.so");
        assert_eq!(placed.host, Path::new("/home/me/app/lib/libx.so"));
        assert_eq!(placed.guest, Path::new("/lib/libx.so"));
        let placed = program.in_folder("/opt/${ORIGIN}/lib", "libx.so");
        assert_eq!(placed.guest, Path::new("/opt//bin/lib/libx.so"));
        assert_eq!(program.in_folder("/opt/lib", "libx.so").guest, Path::new("/opt/lib/libx.so"));
    }

    #[test]
    fn musl_is_its_own_dynamic_linker() {
        for name in ["libc.so", "libc.musl-x86_64.so.1", "libpthread.so.0"] {
            assert!(is_in_linker(Flavour::Musl, name) && !is_in_linker(Flavour::Gnu, name), "{name}");
        }
        assert!(!is_in_linker(Flavour::Musl, "libcrypto.so.3"));
    }
}
