//! The whole system: its names, mounts, memory and power.

use crate::{call, nr};
use abi::Errno;
use abi::process::{LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2};
use abi::utsname::{Sysinfo, Utsname};
use core::ffi::CStr;
use zerocopy::FromZeros;

/// The system's names.
pub fn uname() -> Result<Utsname, Errno> {
    let mut names = Utsname::new_zeroed();
    // SAFETY: the kernel writes one `Utsname`.
    unsafe { call!(nr::uname, &raw mut names) }.map(|_| names)
}

/// Memory, load and time since boot.
pub fn sysinfo() -> Result<Sysinfo, Errno> {
    let mut info = Sysinfo::default();
    // SAFETY: the kernel writes one `Sysinfo`.
    unsafe { call!(nr::sysinfo, &raw mut info) }.map(|_| info)
}

/// Sets the host name.
pub fn sethostname(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the bytes.
    unsafe { call!(nr::sethostname, name.as_ptr(), name.len()) }.map(drop)
}

/// Mounts a file system of type `kind` at `target`; `flags` are `MS_*`.
pub fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: u64,
    data: Option<&CStr>,
) -> Result<(), Errno> {
    let data = data.map_or(core::ptr::null(), CStr::as_ptr);
    // SAFETY: the kernel only reads the strings.
    unsafe { call!(nr::mount, source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data) }.map(drop)
}

/// Takes a mount off the tree; `flags` are `MNT_*`.
pub fn umount2(target: &CStr, flags: u32) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call!(nr::umount2, target.as_ptr(), flags) }.map(drop)
}

/// Stores everything.
pub fn sync() {
    // SAFETY: no pointers; the call cannot fail.
    let _ = unsafe { call!(nr::sync) };
}

/// Switches off, restarts or stops the machine; `command` is `LINUX_REBOOT_CMD_*`. Returns only if that fails, or for
/// commands that merely set a mode.
pub fn reboot(command: u32) -> Result<(), Errno> {
    // SAFETY: no pointers: commands that take a string are given none.
    unsafe { call!(nr::reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, command, 0) }.map(drop)
}
