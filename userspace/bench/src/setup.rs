//! What the program needs around it, as the first process of a machine that has nothing yet.

use abi::Errno;
use abi::fs::{AT_FDCWD, S_IFCHR};
use abi::process::{ADDR_NO_RANDOMIZE, LINUX_REBOOT_CMD_POWER_OFF};
use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use core::ffi::CStr;
use libsyscall::file::{mkdirat, mknodat};
use libsyscall::process::{execve, getpid, personality};
use libsyscall::system::{mount, reboot};

const BOOT_VARIABLE: &[u8] = b"BENCH_BOOT";

/// Executes the program again with fixed addresses, unless that has happened: page tables are then the same in every
/// run. Returns the counter as it was at the machine's first user instruction.
pub fn without_randomisation(start: u64) -> Result<u64, Errno> {
    if let Some(boot) = ulib::env::var(BOOT_VARIABLE) {
        let digits = core::str::from_utf8(boot).map_err(|_| Errno::EINVAL)?;
        return digits.parse().map_err(|_| Errno::EINVAL);
    }
    let persona = personality(u32::MAX)?;
    personality(persona | ADDR_NO_RANDOMIZE)?;
    let arguments: Vec<&CStr> = ulib::args::args().collect();
    let boot = CString::new(format!("BENCH_BOOT={start}")).map_err(|_| Errno::EINVAL)?;
    let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(core::ptr::null());
    let environment = [boot.as_ptr(), core::ptr::null()];
    let path = arguments.first().ok_or(Errno::EINVAL)?;
    // SAFETY: both arrays hold NUL-terminated strings and end with a null pointer.
    Err(unsafe { execve(path, pointers.as_ptr(), environment.as_ptr()) })
}

/// Makes `/dev/zero`, `/dev/null`, a tmpfs on `/tmp` and `/proc`. What exists already stays; what fails shows in its
/// rows.
pub fn prepare() {
    if getpid() != 1 {
        return;
    }
    let _ = mkdirat(AT_FDCWD, c"/dev", 0o755);
    let _ = mkdirat(AT_FDCWD, c"/tmp", 0o777);
    let _ = mknodat(AT_FDCWD, c"/dev/null", S_IFCHR | 0o666, device(3));
    let _ = mknodat(AT_FDCWD, c"/dev/zero", S_IFCHR | 0o666, device(5));
    let _ = mkdirat(AT_FDCWD, c"/proc", 0o555);
    let _ = mount(c"tmpfs", c"/tmp", c"tmpfs", 0, None);
    let _ = mount(c"proc", c"/proc", c"proc", 0, None);
}

/// Switches the machine off, if this is its first process.
pub fn finish() {
    if getpid() == 1 {
        let _ = ulib::io::stdout().finish();
        let _ = reboot(LINUX_REBOOT_CMD_POWER_OFF);
    }
}

/// The number of a memory device: major number 1 (`Documentation/admin-guide/devices.txt`).
const fn device(minor: u64) -> u64 {
    1 << 8 | minor
}
