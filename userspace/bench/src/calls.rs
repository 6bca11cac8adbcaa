//! The smallest calls.

use crate::measure::repeat;
use crate::vdso;
use abi::Errno;
use abi::fs::{O_RDONLY, O_WRONLY};
use abi::time::{CLOCK_MONOTONIC, Timespec};
use libsyscall::file::{close, open, read, write};

pub fn getppid() -> Result<u64, Errno> {
    repeat(2000, || {
        libsyscall::process::getppid();
        Ok(())
    })
}

pub fn read_zero() -> Result<u64, Errno> {
    let fd = open(c"/dev/zero", O_RDONLY, 0)?;
    let result = repeat(1000, || read(fd, &mut [0]).map(drop));
    close(fd)?;
    result
}

pub fn write_null() -> Result<u64, Errno> {
    let fd = open(c"/dev/null", O_WRONLY, 0)?;
    let result = repeat(1000, || write(fd, &[0]).map(drop));
    close(fd)?;
    result
}

/// By the vDSO, as a C library does; by the system call where there is none.
pub fn clock() -> Result<u64, Errno> {
    let Some(clock_gettime) = vdso::clock_gettime() else {
        return repeat(1000, || libsyscall::time::clock_gettime(CLOCK_MONOTONIC).map(drop));
    };
    let mut time = Timespec::default();
    repeat(1000, || {
        // SAFETY: the function is the vDSO's own and writes one `Timespec`.
        match unsafe { clock_gettime(CLOCK_MONOTONIC, &mut time) } {
            0 => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    })
}
