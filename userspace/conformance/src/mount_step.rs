//! Mounting step by step, as the calls say it: `fsopen`, `fsconfig`, `fsmount`, `fspick`.

use crate::{Failure, files, raw};
use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use alloc::format;
use alloc::string::String;
use core::ffi::CStr;
use libsyscall::file::*;

/// Where a text stands.
pub fn address(text: &CStr) -> u64 {
    text.as_ptr() as u64
}

/// fsopen(2).
pub fn fsopen(kind: &CStr, flags: u32) -> Result<i32, Errno> {
    raw::call(nr::fsopen, &[address(kind), flags.into()]).map(|fd| fd as i32)
}

/// fspick(2).
pub fn fspick(directory: i32, path: &CStr, flags: u32) -> Result<i32, Errno> {
    raw::call(nr::fspick, &[directory as u64, address(path), flags.into()]).map(|fd| fd as i32)
}

/// fsmount(2).
pub fn fsmount(fd: i32, flags: u32, attributes: u64) -> Result<i32, Errno> {
    raw::call(nr::fsmount, &[fd as u64, flags.into(), attributes]).map(|fd| fd as i32)
}

/// fsconfig(2).
pub fn fsconfig(fd: i32, command: u32, key: u64, value: u64, auxiliary: i32) -> Result<(), Errno> {
    raw::call(nr::fsconfig, &[fd as u64, command.into(), key, value, auxiliary as u64]).map(drop)
}

/// A parameter without a value.
pub fn flag(fd: i32, key: &CStr) -> Result<(), Errno> {
    fsconfig(fd, FSCONFIG_SET_FLAG, address(key), 0, 0)
}

/// A parameter with a text.
pub fn text(fd: i32, key: &CStr, value: &CStr) -> Result<(), Errno> {
    fsconfig(fd, FSCONFIG_SET_STRING, address(key), address(value), 0)
}

/// Makes the instance.
pub fn create(fd: i32) -> Result<(), Errno> {
    fsconfig(fd, FSCONFIG_CMD_CREATE, 0, 0, 0)
}

/// Changes it.
pub fn reconfigure(fd: i32) -> Result<(), Errno> {
    fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0)
}

/// Attaches the tree of a descriptor.
pub fn attach(fd: i32, to: &CStr) -> Result<(), Errno> {
    let flags = u64::from(MOVE_MOUNT_F_EMPTY_PATH);
    raw::call(nr::move_mount, &[fd as u64, address(c""), AT_FDCWD as u64, address(to), flags]).map(drop)
}

/// The next message.
pub fn message(fd: i32) -> Result<String, Errno> {
    let mut buffer = [0; 600];
    let length = read(fd, &mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A mount of a new tmpfs.
pub fn new_tmpfs() -> Result<(i32, i32), Failure> {
    let fd = fsopen(c"tmpfs", FSOPEN_CLOEXEC)?;
    create(fd)?;
    Ok((fd, fsmount(fd, FSMOUNT_CLOEXEC, 0)?))
}

/// Type, source and flags of the whole file system on a path below the working directory, as `mountinfo` has them.
pub fn about(path: &str) -> Result<String, Failure> {
    let table = files::page("/proc/self/mountinfo")?;
    let place = format!("/{path} ");
    let line = table.lines().rfind(|line| line.contains(&place));
    let (_, end) = line.and_then(|line| line.split_once(" - ")).ok_or_else(|| Failure::new("not mounted"))?;
    let mut fields = end.split(' ').map(String::from);
    let (kind, source) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    // What the type shows of its options is another matter.
    let words = fields.next().unwrap_or_default();
    let known = ["ro", "rw", "sync", "dirsync", "mand", "lazytime"];
    let words = words.split(',').filter(|word| known.contains(word));
    Ok(words.fold(format!("{kind} {source}"), |text, word| format!("{text} {word}")))
}
