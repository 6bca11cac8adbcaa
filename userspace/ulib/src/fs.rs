//! Files and directories, by path.

use crate::{c_string, io};
use abi::Errno;
use abi::fs::{
    AT_FDCWD, AT_SYMLINK_NOFOLLOW, Dirent64, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_RDONLY, O_TRUNC, O_WRONLY,
    S_IFDIR, S_IFMT, Stat,
};
use alloc::vec::Vec;
use core::ffi::CStr;
use libsyscall::file::{self, RawFd};
use zerocopy::FromBytes;

/// An open file; closed when dropped.
#[derive(Debug)]
pub struct File {
    fd: RawFd,
}

impl File {
    /// Opens with `O_*` flags; `mode` are the permissions of a new file. Never inherited by other programs.
    pub fn open(path: &[u8], flags: u32, mode: u32) -> Result<File, Errno> {
        let path = c_string(path)?;
        file::open(&path, flags | O_CLOEXEC, mode).map(File::from_fd)
    }

    /// Takes over a descriptor.
    pub const fn from_fd(fd: RawFd) -> File {
        File { fd }
    }

    /// The descriptor.
    pub const fn fd(&self) -> RawFd {
        self.fd
    }

    /// Gives the descriptor up without closing it.
    pub fn into_fd(self) -> RawFd {
        let fd = self.fd;
        core::mem::forget(self);
        fd
    }

    /// Reads what is there; 0 is the end.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        io::read(self.fd, buffer)
    }

    /// Writes all of `bytes`.
    pub fn write_all(&self, bytes: &[u8]) -> Result<(), Errno> {
        io::write_all(self.fd, bytes)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // The descriptor is gone whatever close says.
        let _ = file::close(self.fd);
    }
}

/// The whole content of a file.
pub fn read(path: &[u8]) -> Result<Vec<u8>, Errno> {
    io::read_to_end(File::open(path, O_RDONLY, 0)?.fd())
}

/// Makes a file, or empties it, and writes its content.
pub fn write(path: &[u8], bytes: &[u8]) -> Result<(), Errno> {
    File::open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o666)?.write_all(bytes)
}

/// What is known of a file; symbolic links are followed.
pub fn stat(path: &[u8]) -> Result<Stat, Errno> {
    file::newfstatat(AT_FDCWD, &c_string(path)?, 0)
}

/// What is known of a file or a symbolic link itself.
pub fn lstat(path: &[u8]) -> Result<Stat, Errno> {
    file::newfstatat(AT_FDCWD, &c_string(path)?, AT_SYMLINK_NOFOLLOW)
}

/// Whether `path` leads to a directory.
pub fn is_directory(path: &[u8]) -> bool {
    stat(path).is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFDIR)
}

/// Where a symbolic link points.
pub fn read_link(path: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0; abi::fs::PATH_MAX];
    let length = file::readlinkat(AT_FDCWD, &c_string(path)?, &mut buffer)?;
    Ok(buffer[..length].to_vec())
}

/// The path of the working directory.
pub fn current_directory() -> Result<Vec<u8>, Errno> {
    let mut buffer = [0; abi::fs::PATH_MAX];
    file::getcwd(&mut buffer).map(|path| path.to_bytes().to_vec())
}

/// `directory` and `name` with one slash between.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.ends_with(b"/") && !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without a slash.
    pub name: Vec<u8>,
    /// `DT_*`; `DT_UNKNOWN` if the file system does not say.
    pub kind: u8,
    /// Inode number.
    pub inode: u64,
}

/// The names in a directory, in its own order, without `.` and `..`.
pub fn read_dir(path: &[u8]) -> Result<Vec<Entry>, Errno> {
    let directory = File::open(path, O_RDONLY | O_DIRECTORY, 0)?;
    let mut entries = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match file::getdents64(directory.fd(), &mut buffer)? {
            0 => return Ok(entries),
            length => parse_records(&buffer[..length], &mut entries)?,
        }
    }
}

/// Appends the entries of one buffer of `getdents64`.
fn parse_records(mut records: &[u8], entries: &mut Vec<Entry>) -> Result<(), Errno> {
    while !records.is_empty() {
        let (header, name) = Dirent64::read_from_prefix(records).map_err(|_| Errno::EIO)?;
        let name = CStr::from_bytes_until_nul(name).map_err(|_| Errno::EIO)?.to_bytes();
        if name != b"." && name != b".." {
            entries.push(Entry { name: name.to_vec(), kind: header.d_type, inode: header.d_ino });
        }
        let length = usize::from(header.d_reclen);
        records = records.get(length.max(1)..).ok_or(Errno::EIO)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_paths_have_one_slash() {
        assert_eq!(join(b"/", b"bin"), b"/bin");
        assert_eq!(join(b"/usr", b"bin"), b"/usr/bin");
        assert_eq!(join(b"", b"bin"), b"bin");
    }

    #[test]
    fn the_root_has_no_dots() {
        let entries = read_dir(b"/").unwrap();
        assert!(entries.iter().all(|entry| entry.name != b"." && entry.name != b".."));
        assert!(entries.iter().any(|entry| entry.name == b"proc"));
    }

    #[test]
    fn a_broken_record_is_an_error() {
        assert_eq!(parse_records(&[1, 2, 3], &mut Vec::new()), Err(Errno::EIO));
        let mut record = [0u8; 24];
        record[16] = 255;
        record[19] = b'x';
        assert_eq!(parse_records(&record, &mut Vec::new()), Err(Errno::EIO));
    }
}
