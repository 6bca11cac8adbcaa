//! Commands that change the tree of files.

use crate::call::{Call, Report};
use crate::words::last_name;
use abi::fs::{AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, O_CREAT, O_WRONLY, S_IFDIR, S_IFMT};
use alloc::vec::Vec;
use ulib::fs::{self, File};
use ulib::libsyscall::file;
use ulib::{Errno, c_string, io, println};

/// `mkdir [-p] [-m MODE] DIRECTORIES…`
pub fn mkdir(call: &Call<'_>) -> u8 {
    let options = match call.options("p", "m") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mode = match options.value(b'm').map(octal) {
        None => 0o777,
        Some(Some(mode)) => mode,
        Some(None) => return call.refuse("-m takes an octal mode"),
    };
    let report = call.report();
    for path in &options.operands {
        if options.has(b'p') {
            make_parents(path, mode, &report);
        } else {
            report.check(path, make_directory(path, mode));
        }
    }
    report.status()
}

fn octal(text: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(text).ok()?;
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)
}

fn make_directory(path: &[u8], mode: u32) -> Result<(), Errno> {
    file::mkdirat(AT_FDCWD, &c_string(path)?, mode)
}

/// Makes a directory and those above it that are missing.
fn make_parents(path: &[u8], mode: u32, report: &Report) {
    let ends = (1..path.len()).filter(|&at| path[at] == b'/').chain([path.len()]);
    for end in ends {
        let part = &path[..end];
        match make_directory(part, mode) {
            Err(Errno::EEXIST) if fs::is_directory(part) => {}
            Err(error) => return report.fail(part, error.message()),
            Ok(()) => {}
        }
    }
}

/// `rmdir DIRECTORIES…`
pub fn rmdir(call: &Call<'_>) -> u8 {
    let options = match call.options("", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let report = call.report();
    for path in &options.operands {
        report.check(path, remove(path, AT_REMOVEDIR));
    }
    report.status()
}

fn remove(path: &[u8], flags: u32) -> Result<(), Errno> {
    file::unlinkat(AT_FDCWD, &c_string(path)?, flags)
}

/// `rm [-rf] FILES…`
pub fn rm(call: &Call<'_>) -> u8 {
    let options = match call.options("rRf", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let recursive = options.has(b'r') || options.has(b'R');
    let report = call.report();
    for path in &options.operands {
        match fs::lstat(path) {
            Err(Errno::ENOENT) if options.has(b'f') => {}
            Err(error) => report.fail(path, error.message()),
            Ok(_) if matches!(last_name(path), b"." | b".." | b"/") => {
                report.fail(path, "refusing to remove it")
            }
            Ok(_) if recursive => remove_tree(path, &report),
            Ok(stat) if stat.st_mode & S_IFMT == S_IFDIR => report.fail(path, Errno::EISDIR.message()),
            Ok(_) => drop(report.check(path, remove(path, 0))),
        }
    }
    report.status()
}

/// Removes a file, or a directory with all in it. The stack of what is left is on the heap: trees can be deep.
pub fn remove_tree(path: &[u8], report: &Report) {
    let mut left = Vec::from([(path.to_vec(), Visit::First)]);
    while let Some((path, visit)) = left.pop() {
        let is_directory = fs::lstat(&path).is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFDIR);
        if !is_directory {
            report.check(&path, remove(&path, 0));
        } else if visit == Visit::Second {
            report.check(&path, remove(&path, AT_REMOVEDIR));
        } else if let Some(entries) = report.check(&path, fs::read_dir(&path)) {
            let inside: Vec<_> =
                entries.iter().map(|entry| (fs::join(&path, &entry.name), Visit::First)).collect();
            left.push((path, Visit::Second));
            left.extend(inside);
        }
    }
}

/// Whether a directory still has what was in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    First,
    Second,
}

/// `ln [-sf] TARGET NAME`
pub fn ln(call: &Call<'_>) -> u8 {
    let options = match call.options("sf", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let (target, name) = match options.operands.as_slice() {
        [target] => (*target, last_name(target).to_vec()),
        [target, name] if fs::is_directory(name) => (*target, fs::join(name, last_name(target))),
        [target, name] => (*target, name.to_vec()),
        _ => return call.refuse("target and name expected"),
    };
    let report = call.report();
    if options.has(b'f') && fs::lstat(&name).is_ok() {
        report.check(&name, remove(&name, 0));
    }
    let link = |target: &[u8], name: &[u8]| {
        let (target, name) = (c_string(target)?, c_string(name)?);
        match options.has(b's') {
            true => file::symlinkat(&target, AT_FDCWD, &name),
            false => file::linkat((AT_FDCWD, &target), (AT_FDCWD, &name), 0),
        }
    };
    report.check(&name, link(target, &name));
    report.status()
}

/// `touch [-c] FILES…`
pub fn touch(call: &Call<'_>) -> u8 {
    let options = match call.options("c", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let report = call.report();
    for path in &options.operands {
        let touched = c_string(*path).and_then(|path| file::utimensat(AT_FDCWD, &path, None, 0));
        match touched {
            Err(Errno::ENOENT) if options.has(b'c') => {}
            Err(Errno::ENOENT) => drop(report.check(path, File::open(path, O_WRONLY | O_CREAT, 0o666))),
            touched => drop(report.check(path, touched)),
        }
    }
    report.status()
}

/// `chmod [-R] MODE FILES…`, the mode in octal or as `[ugoa][+-=][rwxst]`.
pub fn chmod(call: &Call<'_>) -> u8 {
    // A mode like -x looks like an option: only -R is one.
    let recursive = call.arguments.first() == Some(&&b"-R"[..]);
    let Some((mode, paths)) = call.arguments[usize::from(recursive)..].split_first() else {
        return call.refuse("mode and files expected");
    };
    if apply_mode(mode, 0).is_none() {
        return call.refuse(format_args!("{}: not a mode", mode.escape_ascii()));
    }
    let report = call.report();
    let mut left: Vec<Vec<u8>> = paths.iter().map(|path| path.to_vec()).collect();
    while let Some(path) = left.pop() {
        let Some(stat) = report.check(&path, fs::stat(&path)) else { continue };
        let new = apply_mode(mode, stat.st_mode & 0o7777).unwrap_or(0);
        report.check(&path, c_string(path.clone()).and_then(|path| file::fchmodat(AT_FDCWD, &path, new)));
        if recursive && stat.st_mode & S_IFMT == S_IFDIR {
            let entries = report.check(&path, fs::read_dir(&path)).unwrap_or_default();
            left.extend(entries.iter().map(|entry| fs::join(&path, &entry.name)));
        }
    }
    report.status()
}

/// The permissions that `text` makes of `old`; `None` if it is not a mode.
fn apply_mode(text: &[u8], old: u32) -> Option<u32> {
    if text.first()?.is_ascii_digit() {
        return octal(text);
    }
    text.split(|&byte| byte == b',').try_fold(old, apply_clause)
}

/// One `[ugoa][+-=][rwxst]`.
fn apply_clause(old: u32, clause: &[u8]) -> Option<u32> {
    let at = clause.iter().position(|byte| b"+-=".contains(byte))?;
    let mut who = 0;
    for letter in &clause[..at] {
        who |= match letter {
            b'u' => 0o4700,
            b'g' => 0o2070,
            b'o' => 0o0007,
            b'a' => 0o6777,
            _ => return None,
        };
    }
    let who = if who == 0 { 0o6777 } else { who };
    let mut bits = 0;
    for letter in &clause[at + 1..] {
        bits |= match letter {
            b'r' => 0o444 & who,
            b'w' => 0o222 & who,
            b'x' => 0o111 & who,
            b's' => 0o6000 & who,
            b't' => 0o1000,
            _ => return None,
        };
    }
    Some(match clause[at] {
        b'+' => old | bits,
        b'-' => old & !bits,
        _ => old & !who | bits,
    })
}

/// `readlink LINKS…`
pub fn readlink(call: &Call<'_>) -> u8 {
    let report = call.report();
    for path in call.arguments {
        if let Some(target) = report.check(path, fs::read_link(path)) {
            io::stdout().write(&target);
            println!();
        }
    }
    report.status()
}

/// Makes a symbolic link like the one at `source`.
pub fn copy_link(source: &[u8], target: &[u8]) -> Result<(), Errno> {
    let pointed_to = c_string(fs::read_link(source)?)?;
    file::symlinkat(&pointed_to, AT_FDCWD, &c_string(target)?)
}

/// Gives `target` the times of `stat`.
pub fn copy_times(stat: &abi::fs::Stat, target: &[u8]) -> Result<(), Errno> {
    let times = [
        abi::time::Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec },
        abi::time::Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec },
    ];
    file::utimensat(AT_FDCWD, &c_string(target)?, Some(&times), AT_SYMLINK_NOFOLLOW)
}
