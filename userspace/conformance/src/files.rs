//! Short forms of calls on paths relative to the working directory.

use crate::{Failure, Outcome, check_eq, child, raw};
use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::process::WaitStatus;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;
use libsyscall::system::mount;

/// Makes a file with this content, replacing what was there; returns it open.
pub fn create(path: &CStr, content: &[u8]) -> Result<i32, Failure> {
    let fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o644)?;
    if write(fd, content)? == content.len() { Ok(fd) } else { Err(Failure::new("a short write")) }
}

/// All bytes of a file.
pub fn content(path: &CStr) -> Result<Vec<u8>, Failure> {
    let fd = open(path, O_RDONLY, 0)?;
    let bytes = ulib::io::read_to_end(fd)?;
    close(fd)?;
    Ok(bytes)
}

/// The text of a file of `/proc` or `/sys`, which are mounted if they are not.
pub fn page(path: &str) -> Result<String, Failure> {
    mount_proc()?;
    if path.starts_with("/sys/") {
        mount_sys()?;
    }
    let bytes = content(&ulib::c_string(path)?)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a text by one call; returns what that says.
pub fn store(path: &str, text: &str) -> Result<usize, Errno> {
    let fd = open(&ulib::c_string(path).map_err(|_| Errno::EINVAL)?, O_WRONLY, 0)?;
    let result = write(fd, text.as_bytes());
    close(fd)?;
    result
}

/// True when there is something of this name, be it a broken link.
pub fn exists(path: &CStr) -> bool {
    newfstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW).is_ok()
}

/// Type and permissions; of a link itself.
pub fn mode_of(path: &CStr) -> Result<u32, Failure> {
    Ok(newfstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?.st_mode)
}

/// Renames within the working directory; `flags` are `RENAME_*`.
pub fn rename(from: &CStr, to: &CStr, flags: u32) -> Result<(), Errno> {
    renameat2((AT_FDCWD, from), (AT_FDCWD, to), flags)
}

/// Gives a file a second name.
pub fn link(from: &CStr, to: &CStr) -> Result<(), Errno> {
    linkat((AT_FDCWD, from), (AT_FDCWD, to), 0)
}

/// Removes a name.
pub fn unlink(path: &CStr) -> Result<(), Errno> {
    unlinkat(AT_FDCWD, path, 0)
}

/// Makes a symbolic link.
pub fn symlink(target: &CStr, path: &CStr) -> Result<(), Errno> {
    symlinkat(target, AT_FDCWD, path)
}

/// Removes an empty folder.
pub fn rmdir(path: &CStr) -> Result<(), Errno> {
    unlinkat(AT_FDCWD, path, AT_REMOVEDIR)
}

/// Runs `body` as user and group 1000; does nothing, successfully, where this process is not root.
pub fn as_user(body: impl FnOnce() -> Outcome) -> Outcome {
    if geteuid() != 0 {
        return Ok(());
    }
    let status = child::run(|| {
        let changed = raw::call(nr::setgroups, &[0, 0]).is_ok()
            && raw::call(nr::setresgid, &[1000, 1000, 1000]).is_ok()
            && raw::call(nr::setresuid, &[1000, 1000, 1000]).is_ok();
        match body() {
            Ok(()) if changed => 0,
            Ok(()) => 2,
            Err(failure) => {
                ulib::println!("as user 1000: {failure}");
                let _ = ulib::io::stdout().finish();
                1
            }
        }
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

/// `/proc` is there, or is mounted now, where this process may.
pub fn mount_proc() -> Outcome {
    mount_unless(c"/proc/self", c"/proc", c"proc")
}

/// As [`mount_proc`], of `/sys`.
pub fn mount_sys() -> Outcome {
    mount_unless(c"/sys/kernel", c"/sys", c"sysfs")
}

fn mount_unless(sign: &CStr, place: &CStr, kind: &CStr) -> Outcome {
    if newfstatat(AT_FDCWD, sign, AT_SYMLINK_NOFOLLOW).is_err() {
        let _ = mkdirat(AT_FDCWD, place, 0o555);
        mount(kind, place, kind, 0, None)?;
    }
    Ok(())
}
