//! What init prepares before it runs anything.
//!
//! Nothing here is fatal: a file system that the kernel lacks or that is mounted already is left as it is.

use abi::fs::{AT_FDCWD, MS_NODEV, MS_NOEXEC, MS_NOSUID, O_RDWR, S_IFCHR, make_device};
use abi::terminal::{ECHO, OPOST};
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::CStr;
use ulib::libsyscall::file::{self, When};
use ulib::libsyscall::system;
use ulib::{Errno, c_string, env, fs, io};

/// Where `cargo xtask` puts the job.
const JOB_FILE: &CStr = c"/.orlop/job";

/// Directories that programs expect, with their permissions.
const DIRECTORIES: &[(&CStr, u32)] = &[
    (c"/proc", 0o555),
    (c"/sys", 0o555),
    (c"/dev", 0o755),
    (c"/tmp", 0o1777),
    (c"/root", 0o700),
    (c"/run", 0o755),
];

/// Makes standard input, output and error the console, if the kernel has not.
pub fn open_console() {
    if file::fstat(io::STDERR).is_ok() {
        return;
    }
    make_devices();
    let Ok(console) = file::open(c"/dev/console", O_RDWR, 0) else { return };
    for fd in [io::STDIN, io::STDOUT, io::STDERR] {
        if fd != console {
            let _ = file::dup3(console, fd, 0);
        }
    }
    if console > io::STDERR {
        let _ = file::close(console);
    }
}

/// Makes `/dev` and the device files that nothing works without, or has the kernel make all of them.
fn make_devices() {
    let _ = file::mkdirat(AT_FDCWD, c"/dev", 0o755);
    // An initramfs often brings the first two for the kernel's sake, and leaves the others to its init.
    let needed: [&[u8]; 4] = [b"/dev/console", b"/dev/null", b"/dev/zero", b"/dev/tty"];
    if needed.iter().any(|path| fs::stat(path).is_err()) {
        let mounted = system::mount(c"devtmpfs", c"/dev", c"devtmpfs", MS_NOSUID, None);
        if mounted.is_err() {
            let _ = file::mknodat(AT_FDCWD, c"/dev/console", S_IFCHR | 0o600, make_device(5, 1));
            let _ = file::mknodat(AT_FDCWD, c"/dev/null", S_IFCHR | 0o666, make_device(1, 3));
        }
    }
}

/// Makes the usual directories and mounts what belongs there.
pub fn mount_all() {
    for &(path, mode) in DIRECTORIES {
        let _ = file::mkdirat(AT_FDCWD, path, mode);
    }
    make_devices();
    let flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if fs::stat(b"/proc/self").is_err() {
        let _ = system::mount(c"proc", c"/proc", c"proc", flags, None);
    }
    if fs::stat(b"/sys/kernel").is_err() {
        let _ = system::mount(c"sysfs", c"/sys", c"sysfs", flags, None);
    }
}

/// The content of the job file, which is removed: programs must not see the nonce. Empty if there is none.
pub fn take_job_file() -> Vec<u8> {
    let content = fs::read(JOB_FILE.to_bytes()).unwrap_or_default();
    let _ = file::unlinkat(AT_FDCWD, JOB_FILE, 0);
    content
}

/// Lets every byte pass the console as it is.
pub fn make_terminal_plain() {
    if let Ok(mut modes) = file::terminal_modes(io::STDIN) {
        modes.c_oflag &= !OPOST;
        modes.c_lflag &= !ECHO;
        let _ = file::set_terminal_modes(io::STDIN, When::Drained, &modes);
    }
}

/// The environment of programs: init's own, with what a shell needs.
pub fn environment() -> Result<Vec<CString>, Errno> {
    let mut variables: Vec<CString> = env::vars()
        .filter(|variable| !variable.to_bytes().starts_with(b"HOME="))
        .map(CString::from)
        .collect();
    variables.push(c_string(*b"HOME=/root")?);
    for (name, value) in
        [(&b"PATH"[..], ulib::process::DEFAULT_PATH), (b"TERM", b"linux"), (b"USER", b"root")]
    {
        if env::var(name).is_none() {
            variables.push(c_string([name, b"=", value].concat())?);
        }
    }
    Ok(variables)
}
