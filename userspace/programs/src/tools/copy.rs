//! `cp [-rpf] SOURCES… TARGET` and `mv [-f] SOURCES… TARGET`

use crate::call::{Call, Report};
use crate::tree::{copy_link, copy_times, remove_tree};
use crate::words::last_name;
use abi::fs::{AT_FDCWD, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Stat};
use alloc::vec::Vec;
use ulib::fs::{self, File};
use ulib::libsyscall::file;
use ulib::{Errno, c_string};

/// Bytes moved at a time.
const CHUNK: usize = 64 * 1024;

/// Whether a copy keeps permissions, times, links and device files as they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fidelity {
    Content,
    Everything,
}

/// Sources with the paths they go to; `None` if several would go to what is no directory.
fn destinations<'a>(operands: &[&'a [u8]]) -> Option<Vec<(&'a [u8], Vec<u8>)>> {
    let (target, sources) = operands.split_last()?;
    if fs::is_directory(target) {
        return Some(sources.iter().map(|source| (*source, fs::join(target, last_name(source)))).collect());
    }
    match sources {
        [source] => Some(Vec::from([(*source, target.to_vec())])),
        _ => None,
    }
}

/// Copies files.
pub fn cp(call: &Call<'_>) -> u8 {
    let options = match call.options("rRapf", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let recursive = options.has(b'r') || options.has(b'R') || options.has(b'a');
    let exact = options.has(b'p') || options.has(b'a');
    let fidelity = if exact { Fidelity::Everything } else { Fidelity::Content };
    let Some(pairs) = destinations(&options.operands) else {
        return call.refuse("sources and a target expected");
    };
    let report = call.report();
    for (source, target) in pairs {
        let stat = if recursive { fs::lstat(source) } else { fs::stat(source) };
        let Some(stat) = report.check(source, stat) else { continue };
        if stat.st_mode & S_IFMT != S_IFDIR {
            copy_one(source, &target, &stat, fidelity, &report);
        } else if recursive {
            copy_tree(source, &target, fidelity, &report);
        } else {
            report.fail(source, Errno::EISDIR.message());
        }
    }
    report.status()
}

/// Copies what is not a directory.
fn copy_one(source: &[u8], target: &[u8], stat: &Stat, fidelity: Fidelity, report: &Report) {
    if fs::stat(target).is_ok_and(|other| (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino)) {
        return report.fail(source, "source and target are the same file");
    }
    let result = match stat.st_mode & S_IFMT {
        S_IFLNK => copy_link(source, target),
        S_IFREG => copy_content(source, target, stat),
        _ if fidelity == Fidelity::Everything => {
            c_string(target).and_then(|path| file::mknodat(AT_FDCWD, &path, stat.st_mode, stat.st_rdev))
        }
        _ => copy_content(source, target, stat),
    };
    if report.check(target, result).is_some() && fidelity == Fidelity::Everything {
        report.check(target, copy_attributes(target, stat));
    }
}

fn copy_content(source: &[u8], target: &[u8], stat: &Stat) -> Result<(), Errno> {
    let input = File::open(source, O_RDONLY, 0)?;
    let output = File::open(target, O_WRONLY | O_CREAT | O_TRUNC, stat.st_mode & 0o777)?;
    let mut buffer = alloc::vec![0; CHUNK];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(()),
            count => output.write_all(&buffer[..count])?,
        }
    }
}

fn copy_attributes(target: &[u8], stat: &Stat) -> Result<(), Errno> {
    if stat.st_mode & S_IFMT != S_IFLNK {
        file::fchmodat(AT_FDCWD, &c_string(target)?, stat.st_mode & 0o7777)?;
    }
    copy_times(stat, target)
}

/// Copies a directory with all in it. What is left lies on the heap: trees can be deep.
fn copy_tree(source: &[u8], target: &[u8], fidelity: Fidelity, report: &Report) {
    let mut left = Vec::from([(source.to_vec(), target.to_vec())]);
    while let Some((source, target)) = left.pop() {
        let Some(stat) = report.check(&source, fs::lstat(&source)) else { continue };
        if stat.st_mode & S_IFMT != S_IFDIR {
            copy_one(&source, &target, &stat, fidelity, report);
            continue;
        }
        let made = c_string(target.clone()).and_then(|path| {
            match file::mkdirat(AT_FDCWD, &path, stat.st_mode & 0o777) {
                Err(Errno::EEXIST) if fs::is_directory(&target) => Ok(()),
                made => made,
            }
        });
        if report.check(&target, made).is_some() {
            let entries = report.check(&source, fs::read_dir(&source)).unwrap_or_default();
            left.extend(
                entries.iter().map(|entry| (fs::join(&source, &entry.name), fs::join(&target, &entry.name))),
            );
        }
    }
}

/// Moves files: by renaming, or by copying and removing where the file systems differ.
pub fn mv(call: &Call<'_>) -> u8 {
    let options = match call.options("f", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let Some(pairs) = destinations(&options.operands) else {
        return call.refuse("sources and a target expected");
    };
    let report = call.report();
    for (source, target) in pairs {
        let renamed = c_string(source).and_then(|from| {
            let to = c_string(target.clone())?;
            file::renameat2((AT_FDCWD, &from), (AT_FDCWD, &to), 0)
        });
        match renamed {
            Err(Errno::EXDEV) => {
                let copy = call.report();
                copy_tree(source, &target, Fidelity::Everything, &copy);
                if copy.status() == 0 {
                    remove_tree(source, &report);
                } else {
                    report.fail(source, "not removed");
                }
            }
            renamed => drop(report.check(source, renamed)),
        }
    }
    report.status()
}
