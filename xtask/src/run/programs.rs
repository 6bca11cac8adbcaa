//! A program of this machine in the guest: a file of machine code with its libraries, or a script with its interpreter.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::libraries;
use crate::arch::Arch;
use crate::command;
use crate::initramfs::archive::Archive;
use crate::initramfs::host_files;

/// Scripts whose interpreters are scripts: so many in a row, as in Linux (`fs/exec.c`).
const MAX_DEPTH: u32 = 5;

/// What a script's first line says.
#[derive(Debug, PartialEq, Eq)]
struct FirstLine {
    /// The interpreter's path.
    interpreter: String,
    /// The program that `env` is to find, if that is the interpreter.
    by_name: Option<String>,
}

/// Puts a program of machine code out of another tree of files, which starts at `root`, at the same place, with its
/// libraries.
pub fn insert_from(root: &Path, archive: &mut Archive, arch: Arch, path: &str) -> Result<()> {
    let host = root.join(path.trim_start_matches('/'));
    host_files::insert(archive, &host, path)?;
    libraries::insert_from(root, archive, arch, &host, path)
}

/// Puts the program `host` at `guest`, with all that it needs to run.
pub fn insert(archive: &mut Archive, arch: Arch, host: &Path, guest: &str) -> Result<()> {
    insert_at_depth(archive, arch, host, guest, 0)
}

fn insert_at_depth(archive: &mut Archive, arch: Arch, host: &Path, guest: &str, depth: u32) -> Result<()> {
    if depth > MAX_DEPTH {
        bail!("{}: too many scripts run each other", host.display());
    }
    host_files::insert(archive, host, guest)?;
    let start = std::fs::read(host).with_context(|| format!("cannot read {}", host.display()))?;
    let Some(line) = first_line(&start) else {
        return libraries::insert(archive, arch, host, guest);
    };
    insert_interpreter(archive, arch, &line.interpreter, depth)
        .with_context(|| format!("{} is run by {}", host.display(), line.interpreter))?;
    if let Some(name) = line.by_name {
        let path = command::find(&name).with_context(|| format!("{} needs {name}", host.display()))?;
        insert_interpreter(archive, arch, path.to_str().context("a path is not UTF-8")?, depth)?;
    }
    Ok(())
}

/// Puts an interpreter where the script looks for it. The image's own shell does where this machine's is for another
/// architecture.
fn insert_interpreter(archive: &mut Archive, arch: Arch, path: &str, depth: u32) -> Result<()> {
    let host = PathBuf::from(path);
    let is_script = std::fs::read(&host).is_ok_and(|start| first_line(&start).is_some());
    if path == "/bin/sh" && !is_script && !libraries::is_for(arch, &host) {
        return Ok(());
    }
    insert_at_depth(archive, arch, &host, path, depth + 1)?;
    if host.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python")) {
        insert_python_library(archive, arch, &host)?;
    }
    Ok(())
}

/// Python runs nothing without its own library, of which some is machine code.
fn insert_python_library(archive: &mut Archive, arch: Arch, python: &Path) -> Result<()> {
    const ASK: &str = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let folder = command::output(Command::new(python).args(["-I", "-c", ASK]))?;
    let folder = Path::new(folder.trim());
    host_files::insert(archive, folder, &folder.to_string_lossy())?;
    let modules = std::fs::read_dir(folder.join("lib-dynload")).into_iter().flatten().flatten();
    for module in modules.map(|module| module.path()).filter(|path| libraries::is_for(arch, path)) {
        // Without its library a module cannot be imported, and few programs want all of them.
        if let Err(error) = libraries::insert_for_module(archive, arch, &module) {
            eprintln!("python: {} is left without: {error:#}", module.display());
        }
    }
    Ok(())
}

/// The first line of a script; `None` for anything else.
fn first_line(file: &[u8]) -> Option<FirstLine> {
    let line = file.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let interpreter = words.next()?.to_owned();
    let is_env = Path::new(&interpreter).file_name().is_some_and(|name| name == "env");
    let by_name = words.find(|word| !word.starts_with('-') && !word.contains('=')).filter(|_| is_env);
    Some(FirstLine { interpreter, by_name: by_name.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_name_interpreters() {
        let line = |interpreter: &str, by_name: Option<&str>| {
            Some(FirstLine { interpreter: interpreter.to_owned(), by_name: by_name.map(str::to_owned) })
        };
        assert_eq!(first_line(b"#!/bin/sh\necho\n"), line("/bin/sh", None));
        assert_eq!(first_line(b"#! /bin/busybox sh -e\n"), line("/bin/busybox", None));
        assert_eq!(first_line(b"#!/usr/bin/env -S A=1 python3 -u"), line("/usr/bin/env", Some("python3")));
        assert_eq!(first_line(b"\x7fELF"), None);
        assert_eq!(first_line(b"#!\n"), None);
    }

    #[test]
    fn a_script_brings_its_interpreter_and_that_its_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let mut archive = Archive::default();
        insert(&mut archive, Arch::host(), &script, "/bin/script").unwrap();
        let text = String::from_utf8_lossy(&archive.to_bytes().unwrap()).into_owned();
        for path in ["bin/script\0", "bin/sh\0", "/libc.so"] {
            assert!(text.contains(path), "{path}");
        }
        std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
        assert!(insert(&mut archive, Arch::host(), &script, "/bin/script").is_err());
    }
}
