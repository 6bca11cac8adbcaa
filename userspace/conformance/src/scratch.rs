//! A folder of its own for each test.

use crate::Failure;
use abi::fs::AT_FDCWD;
use alloc::ffi::CString;
use alloc::format;
use libsyscall::file::{chdir, mkdirat};
use libsyscall::process::getpid;

/// Makes an empty folder in `/tmp`, open to everybody, and goes into it. It stays behind: the machine is a guest's, and
/// on a host it is small.
pub fn enter() -> Result<(), Failure> {
    let path = CString::new(format!("/tmp/conformance-{}-{}", getpid(), ulib::time::monotonic().as_nanos()))
        .map_err(Failure::new)?;
    let _ = mkdirat(AT_FDCWD, c"/tmp", 0o1777);
    mkdirat(AT_FDCWD, &path, 0o777)?;
    libsyscall::file::fchmodat(AT_FDCWD, &path, 0o777)?;
    chdir(&path)?;
    Ok(())
}

/// As [`enter`], and there into a tmpfs of its own, open to everybody: on Linux the first file system may be another.
pub fn enter_tmpfs() -> Result<(), Failure> {
    enter()?;
    mkdirat(AT_FDCWD, c"t", 0o777)?;
    libsyscall::system::mount(c"none", c"t", c"tmpfs", 0, None)?;
    chdir(c"t")?;
    libsyscall::file::fchmodat(AT_FDCWD, c".", 0o777)?;
    Ok(())
}
