//! Files, directories and descriptors.

use crate::{call, nr};
use abi::Errno;
use abi::fs::{AT_FDCWD, Stat, Statfs, Statx};
use abi::poll::Pollfd;
use abi::terminal::{TCGETS, TCSETS, TCSETSF, TCSETSW, TIOCGPGRP, TIOCGWINSZ, TIOCSPGRP, Termios, Winsize};
use abi::time::Timespec;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use zerocopy::FromZeros;

/// A number that names an open file.
pub type RawFd = i32;

/// Opens `path`, relative to the directory `directory`; `flags` are `O_*`, `mode` the permissions of a new file.
pub fn openat(directory: RawFd, path: &CStr, flags: u32, mode: u32) -> Result<RawFd, Errno> {
    // SAFETY: the path is a NUL-terminated string that the kernel only reads.
    unsafe { call!(nr::openat, directory, path.as_ptr(), flags, mode) }.map(|fd| fd as RawFd)
}

/// Opens `path`, relative to the working directory.
pub fn open(path: &CStr, flags: u32, mode: u32) -> Result<RawFd, Errno> {
    openat(AT_FDCWD, path, flags, mode)
}

/// Closes a descriptor. It is closed even if an error comes back.
pub fn close(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: no pointers; descriptors are plain numbers at this layer.
    unsafe { call!(nr::close, fd) }.map(drop)
}

/// Reads into `buffer`; returns the bytes read, 0 at the end.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes into the buffer, which is borrowed for the call.
    unsafe { call!(nr::read, fd, buffer.as_mut_ptr(), buffer.len()) }.map(|count| count as usize)
}

/// Writes `bytes`; returns how many were taken.
pub fn write(fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel only reads the bytes.
    unsafe { call!(nr::write, fd, bytes.as_ptr(), bytes.len()) }.map(|count| count as usize)
}

/// [`read`] at `offset`, without moving the file position.
pub fn pread64(fd: RawFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    // SAFETY: as for `read`.
    unsafe { call!(nr::pread64, fd, buffer.as_mut_ptr(), buffer.len(), offset) }.map(|count| count as usize)
}

/// [`write`] at `offset`, without moving the file position.
pub fn pwrite64(fd: RawFd, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
    // SAFETY: as for `write`.
    unsafe { call!(nr::pwrite64, fd, bytes.as_ptr(), bytes.len(), offset) }.map(|count| count as usize)
}

/// Moves the file position; `whence` is `SEEK_*`. Returns the new position.
pub fn lseek(fd: RawFd, offset: i64, whence: u32) -> Result<u64, Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::lseek, fd, offset, whence) }
}

/// A copy of `fd` at the lowest free number.
pub fn dup(fd: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::dup, fd) }.map(|fd| fd as RawFd)
}

/// Makes `new` a copy of `old`, closing what it was; EINVAL if they are equal. `flags` is 0 or `O_CLOEXEC`.
pub fn dup3(old: RawFd, new: RawFd, flags: u32) -> Result<RawFd, Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::dup3, old, new, flags) }.map(|fd| fd as RawFd)
}

/// A pipe: what is written to the second can be read from the first.
pub fn pipe2(flags: u32) -> Result<(RawFd, RawFd), Errno> {
    let mut ends = [0 as RawFd; 2];
    // SAFETY: the kernel writes two numbers into the array.
    unsafe { call!(nr::pipe2, ends.as_mut_ptr(), flags) }?;
    Ok((ends[0], ends[1]))
}

/// `fcntl` with an argument that is a number.
pub fn fcntl(fd: RawFd, command: u32, argument: u64) -> Result<u64, Errno> {
    // SAFETY: the commands that take numbers do not touch memory; those that take pointers check them, and a caller
    // can only pass an address as a number by its own `unsafe`-free cast, as it could through /proc/self/mem.
    unsafe { call!(nr::fcntl, fd, command, argument) }
}

/// `ioctl` in its general form.
///
/// # Safety
/// `argument` must be what `request` wants; where that is a pointer, the kernel reads or writes through it.
pub unsafe fn ioctl(fd: RawFd, request: u32, argument: u64) -> Result<u64, Errno> {
    // SAFETY: passed on to the caller.
    unsafe { call!(nr::ioctl, fd, request, argument) }
}

/// The modes of a terminal; ENOTTY for anything else.
pub fn terminal_modes(fd: RawFd) -> Result<Termios, Errno> {
    let mut modes = Termios::default();
    // SAFETY: TCGETS writes one `Termios`.
    unsafe { ioctl(fd, TCGETS, (&raw mut modes).addr() as u64) }.map(|_| modes)
}

/// When [`set_terminal_modes`] takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// After output so far has been sent.
    Drained,
    /// After output so far has been sent; input so far is dropped.
    Flushed,
}

/// Sets the modes of a terminal.
pub fn set_terminal_modes(fd: RawFd, when: When, modes: &Termios) -> Result<(), Errno> {
    let request = match when {
        When::Now => TCSETS,
        When::Drained => TCSETSW,
        When::Flushed => TCSETSF,
    };
    // SAFETY: TCSETS* read one `Termios`.
    unsafe { ioctl(fd, request, core::ptr::from_ref(modes).addr() as u64) }.map(drop)
}

/// The size of a terminal.
pub fn window_size(fd: RawFd) -> Result<Winsize, Errno> {
    let mut size = Winsize::default();
    // SAFETY: TIOCGWINSZ writes one `Winsize`.
    unsafe { ioctl(fd, TIOCGWINSZ, (&raw mut size).addr() as u64) }.map(|_| size)
}

/// The process group in a terminal's foreground.
pub fn foreground_group(fd: RawFd) -> Result<i32, Errno> {
    let mut group = 0i32;
    // SAFETY: TIOCGPGRP writes one number.
    unsafe { ioctl(fd, TIOCGPGRP, (&raw mut group).addr() as u64) }.map(|_| group)
}

/// Puts a process group into a terminal's foreground.
pub fn set_foreground_group(fd: RawFd, group: i32) -> Result<(), Errno> {
    // SAFETY: TIOCSPGRP reads one number.
    unsafe { ioctl(fd, TIOCSPGRP, (&raw const group).addr() as u64) }.map(drop)
}

/// What is known of an open file.
pub fn fstat(fd: RawFd) -> Result<Stat, Errno> {
    let mut stat = Stat::new_zeroed();
    // SAFETY: the kernel writes one `Stat`.
    unsafe { call!(nr::fstat, fd, &raw mut stat) }.map(|_| stat)
}

/// What is known of the file at `path`; `flags` are `AT_SYMLINK_NOFOLLOW`, `AT_EMPTY_PATH`.
pub fn newfstatat(directory: RawFd, path: &CStr, flags: u32) -> Result<Stat, Errno> {
    let mut stat = Stat::new_zeroed();
    // SAFETY: the kernel reads the path and writes one `Stat`.
    unsafe { call!(nr::newfstatat, directory, path.as_ptr(), &raw mut stat, flags) }.map(|_| stat)
}

/// What is known of the file at `path`, at length; `mask` are the `STATX_*` asked for.
pub fn statx(directory: RawFd, path: &CStr, flags: u32, mask: u32) -> Result<Statx, Errno> {
    let mut statx = Statx::new_zeroed();
    // SAFETY: the kernel reads the path and writes one `Statx`.
    unsafe { call!(nr::statx, directory, path.as_ptr(), flags, mask, &raw mut statx) }.map(|_| statx)
}

/// What is known of the file system that holds `path`.
pub fn statfs(path: &CStr) -> Result<Statfs, Errno> {
    let mut statfs = Statfs::new_zeroed();
    // SAFETY: the kernel reads the path and writes one `Statfs`.
    unsafe { call!(nr::statfs, path.as_ptr(), &raw mut statfs) }.map(|_| statfs)
}

/// Fills `buffer` with records of a directory ([`abi::fs::Dirent64`] and a name each); returns their bytes, 0 at the
/// end.
pub fn getdents64(fd: RawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: as for `read`.
    unsafe { call!(nr::getdents64, fd, buffer.as_mut_ptr(), buffer.len()) }.map(|count| count as usize)
}

/// Makes a directory.
pub fn mkdirat(directory: RawFd, path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call!(nr::mkdirat, directory, path.as_ptr(), mode) }.map(drop)
}

/// Makes a file, device file, pipe or socket; `mode` has the type, `device` the numbers of a device file.
pub fn mknodat(directory: RawFd, path: &CStr, mode: u32, device: u64) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call!(nr::mknodat, directory, path.as_ptr(), mode, device) }.map(drop)
}

/// Removes a name; `flags` is 0 or `AT_REMOVEDIR`.
pub fn unlinkat(directory: RawFd, path: &CStr, flags: u32) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call!(nr::unlinkat, directory, path.as_ptr(), flags) }.map(drop)
}

/// Renames; `flags` are `RENAME_*`.
pub fn renameat2(from: (RawFd, &CStr), to: (RawFd, &CStr), flags: u32) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the paths.
    unsafe { call!(nr::renameat2, from.0, from.1.as_ptr(), to.0, to.1.as_ptr(), flags) }.map(drop)
}

/// Gives a file a second name; `flags` is 0 or `AT_SYMLINK_FOLLOW`.
pub fn linkat(from: (RawFd, &CStr), to: (RawFd, &CStr), flags: u32) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the paths.
    unsafe { call!(nr::linkat, from.0, from.1.as_ptr(), to.0, to.1.as_ptr(), flags) }.map(drop)
}

/// Makes a symbolic link to `target`.
pub fn symlinkat(target: &CStr, directory: RawFd, path: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the paths.
    unsafe { call!(nr::symlinkat, target.as_ptr(), directory, path.as_ptr()) }.map(drop)
}

/// Reads a symbolic link into `buffer`; returns its bytes, cut at the buffer's end, without a NUL.
pub fn readlinkat(directory: RawFd, path: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the path and writes at most `buffer.len()` bytes.
    unsafe { call!(nr::readlinkat, directory, path.as_ptr(), buffer.as_mut_ptr(), buffer.len()) }
        .map(|count| count as usize)
}

/// Sets permissions.
pub fn fchmodat(directory: RawFd, path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call!(nr::fchmodat, directory, path.as_ptr(), mode) }.map(drop)
}

/// Sets owner and group; `u32::MAX` leaves one as it is.
pub fn fchownat(directory: RawFd, path: &CStr, owner: u32, group: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call!(nr::fchownat, directory, path.as_ptr(), owner, group, flags) }.map(drop)
}

/// Whether the process may reach `path` as `mode` (`R_OK | W_OK | X_OK` or `F_OK`) says, by its real ids.
pub fn faccessat(directory: RawFd, path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call!(nr::faccessat, directory, path.as_ptr(), mode) }.map(drop)
}

/// Sets the times of last access and change; `None` is now for both.
pub fn utimensat(
    directory: RawFd,
    path: &CStr,
    times: Option<&[Timespec; 2]>,
    flags: u32,
) -> Result<(), Errno> {
    let times = times.map_or(core::ptr::null(), |times| times.as_ptr());
    // SAFETY: the kernel only reads the path and two times.
    unsafe { call!(nr::utimensat, directory, path.as_ptr(), times, flags) }.map(drop)
}

/// Sets the size of an open file.
pub fn ftruncate(fd: RawFd, size: u64) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::ftruncate, fd, size) }.map(drop)
}

/// Stores an open file.
pub fn fsync(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::fsync, fd) }.map(drop)
}

/// Changes the working directory.
pub fn chdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel only reads the path.
    unsafe { call!(nr::chdir, path.as_ptr()) }.map(drop)
}

/// The path of the working directory, in `buffer`.
pub fn getcwd(buffer: &mut [u8]) -> Result<&CStr, Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes.
    let length = unsafe { call!(nr::getcwd, buffer.as_mut_ptr(), buffer.len()) }? as usize;
    CStr::from_bytes_until_nul(&buffer[..length]).map_err(|_| Errno::EINVAL)
}

/// Sets the permissions that new files do not get; returns the old ones.
pub fn umask(mask: u32) -> u32 {
    // SAFETY: no pointers; the call cannot fail.
    unsafe { call!(nr::umask, mask) }.map_or(0, |old| old as u32)
}

/// Waits until a descriptor is ready or the time is over; `None` waits for ever. Returns how many are ready.
pub fn ppoll(fds: &mut [Pollfd], timeout: Option<Timespec>) -> Result<usize, Errno> {
    let mut storage = MaybeUninit::<Timespec>::uninit();
    let timeout =
        timeout.map_or(core::ptr::null_mut(), |timeout| core::ptr::from_mut(storage.write(timeout)));
    // SAFETY: the kernel reads and writes the array, and reads and updates the time, both borrowed for the call.
    unsafe { call!(nr::ppoll, fds.as_mut_ptr(), fds.len(), timeout, 0, 0) }.map(|count| count as usize)
}
