//! Files and folders: opening, reading, writing, naming, permissions.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::process::WaitStatus;
use alloc::string::String;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, child, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;

conformance::tests!(&[
    ("open_flags", open_flags),
    ("opening_refuses", opening_refuses),
    ("reading_and_seeking", reading_and_seeking),
    ("appending", appending),
    ("holes_and_sizes", holes_and_sizes),
    ("vectors", vectors),
    ("positions_are_shared", positions_are_shared),
    ("descriptors_are_the_lowest", descriptors_are_the_lowest),
    ("descriptor_flags", descriptor_flags),
    ("bad_descriptors", bad_descriptors),
    ("renaming", renaming),
    ("renaming_with_flags", renaming_with_flags),
    ("hard_links", hard_links),
    ("symbolic_links", symbolic_links),
    ("loops_of_links", loops_of_links),
    ("folders", folders),
    ("reading_folders", reading_folders),
    ("reading_folders_in_pieces", reading_folders_in_pieces),
    ("removed_files_live_on", removed_files_live_on),
    ("long_names", long_names),
    ("paths", paths),
    ("stat_tells", stat_tells),
    ("statx_tells", statx_tells),
    ("times_can_be_set", times_can_be_set),
    ("the_mask_of_new_files", the_mask_of_new_files),
    ("permissions_of_others", permissions_of_others),
    ("the_sticky_bit", the_sticky_bit),
    ("access_is_asked", access_is_asked),
    ("devices", devices),
    ("random_bytes", random_bytes),
    ("working_directory", working_directory),
    ("relative_to_a_descriptor", relative_to_a_descriptor),
    ("a_new_root", a_new_root),
    ("file_systems_tell", file_systems_tell),
]);

fn create(path: &CStr, content: &[u8]) -> Result<i32, Failure> {
    let fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o644)?;
    check_eq_count(write(fd, content)?, content.len())?;
    Ok(fd)
}

fn check_eq_count(found: usize, expected: usize) -> Outcome {
    check_eq!(found, expected);
    Ok(())
}

fn content(path: &CStr) -> Result<Vec<u8>, Failure> {
    let fd = open(path, O_RDONLY, 0)?;
    let bytes = ulib::io::read_to_end(fd)?;
    close(fd)?;
    Ok(bytes)
}

fn exists(path: &CStr) -> bool {
    newfstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW).is_ok()
}

fn mode_of(path: &CStr) -> Result<u32, Failure> {
    Ok(newfstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?.st_mode)
}

fn open_flags() -> Outcome {
    scratch::enter()?;
    check_eq!(open(c"a", O_RDONLY, 0), Err(Errno::ENOENT));
    close(create(c"a", b"hello")?)?;
    check_eq!(open(c"a", O_RDWR | O_CREAT | O_EXCL, 0o600), Err(Errno::EEXIST));
    close(open(c"a", O_RDWR | O_CREAT, 0o600)?)?;
    check_eq!(content(c"a")?, b"hello");
    let fd = open(c"a", O_WRONLY | O_TRUNC, 0)?;
    check_eq!(read(fd, &mut [0]), Err(Errno::EBADF));
    check_eq!(content(c"a")?, b"");
    let fd = open(c"a", O_RDONLY, 0)?;
    check_eq!(write(fd, b"x"), Err(Errno::EBADF));
    check_eq!(fcntl(fd, F_GETFL, 0)? as u32 & O_ACCMODE, O_RDONLY);
    Ok(())
}

fn opening_refuses() -> Outcome {
    scratch::enter()?;
    close(create(c"file", b"")?)?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    check_eq!(open(c"dir", O_RDWR, 0), Err(Errno::EISDIR));
    check_eq!(open(c"dir", O_RDONLY | O_CREAT, 0o600), Err(Errno::EISDIR));
    check_eq!(open(c"file", O_RDONLY | O_DIRECTORY, 0), Err(Errno::ENOTDIR));
    check_eq!(open(c"file/", O_RDONLY, 0), Err(Errno::ENOTDIR));
    check_eq!(open(c"file/x", O_RDONLY, 0), Err(Errno::ENOTDIR));
    check_eq!(open(c"none/x", O_RDWR | O_CREAT, 0o600), Err(Errno::ENOENT));
    check_eq!(open(c"", O_RDONLY, 0), Err(Errno::ENOENT));
    check_eq!(open(c"new/", O_RDWR | O_CREAT, 0o600), Err(Errno::EISDIR));
    check_eq!(openat(99, c"file", O_RDONLY, 0), Err(Errno::EBADF));
    let fd = open(c"file", O_RDONLY, 0)?;
    check_eq!(openat(fd, c"x", O_RDONLY, 0), Err(Errno::ENOTDIR));
    let dir = open(c"dir", O_RDONLY, 0)?;
    check_eq!(read(dir, &mut [0]), Err(Errno::EISDIR));
    check_eq!(write(dir, b"x"), Err(Errno::EBADF));
    Ok(())
}

fn reading_and_seeking() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"0123456789")?;
    let mut buffer = [0; 4];
    check_eq!(lseek(fd, 3, SEEK_SET), Ok(3));
    check_eq!((read(fd, &mut buffer), buffer), (Ok(4), *b"3456"));
    check_eq!(read(fd, &mut buffer), Ok(3));
    check_eq!(read(fd, &mut buffer), Ok(0));
    check_eq!(lseek(fd, -2, SEEK_END), Ok(8));
    check_eq!(lseek(fd, -3, SEEK_CUR), Ok(5));
    check_eq!(lseek(fd, -6, SEEK_CUR), Err(Errno::EINVAL));
    check_eq!(lseek(fd, i64::MAX, SEEK_CUR), Err(Errno::EINVAL));
    check_eq!(lseek(fd, 0, 77), Err(Errno::EINVAL));
    check_eq!((pread64(fd, &mut buffer, 1), buffer), (Ok(4), *b"1234"));
    check_eq!(lseek(fd, 0, SEEK_CUR), Ok(5));
    check_eq!(pwrite64(fd, b"xy", 0), Ok(2));
    check_eq!(content(c"a")?, b"xy23456789");
    check_eq!(
        raw::call(nr::pread64, &[fd as u64, buffer.as_mut_ptr() as u64, 4, u64::MAX]),
        Err(Errno::EINVAL)
    );
    let (pipe, _) = pipe2(0)?;
    check_eq!(lseek(pipe, 0, SEEK_CUR), Err(Errno::ESPIPE));
    check_eq!(pread64(pipe, &mut buffer, 0), Err(Errno::ESPIPE));
    Ok(())
}

fn appending() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"one ")?)?;
    let fd = open(c"a", O_RDWR | O_APPEND, 0)?;
    lseek(fd, 0, SEEK_SET)?;
    write(fd, b"two ")?;
    check_eq!(lseek(fd, 0, SEEK_CUR), Ok(8));
    // Linux appends here, whatever the offset says.
    pwrite64(fd, b"three", 0)?;
    check_eq!(content(c"a")?, b"one two three");
    fcntl(fd, F_SETFL, 0)?;
    lseek(fd, 0, SEEK_SET)?;
    write(fd, b"ONE")?;
    check_eq!(content(c"a")?, b"ONE two three");
    Ok(())
}

fn holes_and_sizes() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"x")?;
    pwrite64(fd, b"y", 100_000)?;
    check_eq!(fstat(fd)?.st_size, 100_001);
    let mut buffer = [1; 100];
    check_eq!(pread64(fd, &mut buffer, 50_000), Ok(100));
    check!(buffer == [0; 100]);
    check!(fstat(fd)?.st_blocks as u64 * 512 < 100_000);
    ftruncate(fd, 10)?;
    ftruncate(fd, 20)?;
    check_eq!(content(c"a")?, b"x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    pwrite64(fd, b"z", 1 << 40)?;
    check_eq!(fstat(fd)?.st_size, (1 << 40) + 1);
    ftruncate(fd, 0)?;
    check_eq!(raw::call(nr::ftruncate, &[fd as u64, u64::MAX]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::truncate, &[c"a".as_ptr() as u64, 5]), Ok(0));
    check_eq!(fstat(fd)?.st_size, 5);
    let fd = open(c"a", O_RDONLY, 0)?;
    check_eq!(ftruncate(fd, 0), Err(Errno::EINVAL));
    Ok(())
}

fn vectors() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"")?;
    let vector = |bytes: &[u8]| Iovec { iov_base: bytes.as_ptr() as u64, iov_len: bytes.len() as u64 };
    let parts = [vector(b"ab"), vector(b""), vector(b"cde")];
    check_eq!(raw::call(nr::writev, &[fd as u64, parts.as_ptr() as u64, 3]), Ok(5));
    check_eq!(raw::call(nr::writev, &[fd as u64, parts.as_ptr() as u64, 0]), Ok(0));
    check_eq!(raw::call(nr::writev, &[fd as u64, parts.as_ptr() as u64, 1025]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::writev, &[fd as u64, parts.as_ptr() as u64, u64::MAX]), Err(Errno::EINVAL));
    let (mut first, mut second) = ([0; 3], [0; 4]);
    let parts = [vector(&first), vector(&second)];
    lseek(fd, 0, SEEK_SET)?;
    check_eq!(raw::call(nr::readv, &[fd as u64, parts.as_ptr() as u64, 2]), Ok(5));
    // The kernel has written behind the compiler's back.
    first = core::hint::black_box(first);
    second = core::hint::black_box(second);
    check_eq!((&first, &second[..2]), (b"abc", &b"de"[..]));
    let too_long = [Iovec { iov_base: parts[0].iov_base, iov_len: u64::MAX }];
    check_eq!(raw::call(nr::readv, &[fd as u64, too_long.as_ptr() as u64, 1]), Err(Errno::EINVAL));
    Ok(())
}

fn positions_are_shared() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"0123456789")?;
    let copy = dup(fd)?;
    lseek(fd, 2, SEEK_SET)?;
    let mut byte = [0];
    check_eq!((read(copy, &mut byte), byte), (Ok(1), *b"2"));
    child::run(|| {
        let _ = read(copy, &mut [0]);
        0
    })?;
    check_eq!((read(fd, &mut byte), byte), (Ok(1), *b"4"));
    let other = open(c"a", O_RDONLY, 0)?;
    check_eq!((read(other, &mut byte), byte), (Ok(1), *b"0"));
    Ok(())
}

fn descriptors_are_the_lowest() -> Outcome {
    scratch::enter()?;
    let first = create(c"a", b"")?;
    let second = dup(first)?;
    let third = dup(first)?;
    check_eq!((second, third), (first + 1, first + 2));
    close(second)?;
    check_eq!(dup(first), Ok(second));
    check_eq!(fcntl(first, F_DUPFD, 50), Ok(50));
    check_eq!(fcntl(first, F_DUPFD, 50), Ok(51));
    check_eq!(dup3(first, 60, 0), Ok(60));
    check_eq!(dup3(first, first, 0), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::dup3, &[first as u64, 61, 1]), Err(Errno::EINVAL));
    check_eq!(dup3(first, -1, 0), Err(Errno::EBADF));
    check_eq!(fcntl(first, F_DUPFD, u64::MAX), Err(Errno::EINVAL));
    Ok(())
}

fn descriptor_flags() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"")?)?;
    let fd = open(c"a", O_RDONLY | O_CLOEXEC, 0)?;
    check_eq!(fcntl(fd, F_GETFD, 0), Ok(FD_CLOEXEC.into()));
    check_eq!(fcntl(dup(fd)?, F_GETFD, 0), Ok(0));
    let copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)? as i32;
    check_eq!(fcntl(copy, F_GETFD, 0), Ok(FD_CLOEXEC.into()));
    fcntl(copy, F_SETFD, 0)?;
    check_eq!(fcntl(copy, F_GETFD, 0), Ok(0));
    check_eq!(fcntl(fd, 9999, 0), Err(Errno::EINVAL));
    let (reader, _writer) = pipe2(O_NONBLOCK | O_CLOEXEC)?;
    check_eq!(read(reader, &mut [0]), Err(Errno::EAGAIN));
    check!(fcntl(reader, F_GETFL, 0)? as u32 & O_NONBLOCK != 0);
    Ok(())
}

fn bad_descriptors() -> Outcome {
    for fd in [99, -1, i32::MAX, i32::MIN] {
        check_eq!(read(fd, &mut [0]), Err(Errno::EBADF));
        check_eq!(write(fd, b"x"), Err(Errno::EBADF));
        check_eq!(close(fd), Err(Errno::EBADF));
        check_eq!(dup(fd), Err(Errno::EBADF));
        check_eq!(fstat(fd).map(drop), Err(Errno::EBADF));
        check_eq!(lseek(fd, 0, SEEK_SET), Err(Errno::EBADF));
        check_eq!(fcntl(fd, F_GETFD, 0), Err(Errno::EBADF));
    }
    Ok(())
}

fn rename(from: &CStr, to: &CStr, flags: u32) -> Result<(), Errno> {
    renameat2((AT_FDCWD, from), (AT_FDCWD, to), flags)
}

fn renaming() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"a")?)?;
    close(create(c"b", b"b")?)?;
    rename(c"a", c"b", 0)?;
    check_eq!((content(c"b")?, exists(c"a")), (b"a".to_vec(), false));
    check_eq!(rename(c"a", c"c", 0), Err(Errno::ENOENT));
    rename(c"b", c"b", 0)?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    mkdirat(AT_FDCWD, c"dir/sub", 0o755)?;
    check_eq!(rename(c"b", c"dir", 0), Err(Errno::EISDIR));
    check_eq!(rename(c"dir", c"b", 0), Err(Errno::ENOTDIR));
    check_eq!(rename(c"dir", c"dir/sub/x", 0), Err(Errno::EINVAL));
    mkdirat(AT_FDCWD, c"other", 0o755)?;
    check_eq!(rename(c"other", c"dir", 0), Err(Errno::ENOTEMPTY));
    rename(c"dir", c"other", 0)?;
    check!(exists(c"other/sub") && !exists(c"dir"));
    rename(c"b", c"other/sub/file", 0)?;
    check_eq!(content(c"other/sub/file")?, b"a");
    check_eq!(rename(c"other/.", c"x", 0), Err(Errno::EBUSY));
    Ok(())
}

fn renaming_with_flags() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"a")?)?;
    close(create(c"b", b"b")?)?;
    check_eq!(rename(c"a", c"b", RENAME_NOREPLACE), Err(Errno::EEXIST));
    match rename(c"a", c"b", RENAME_EXCHANGE) {
        Err(Errno::EINVAL) => {}
        result => {
            result?;
            check_eq!((content(c"a")?, content(c"b")?), (b"b".to_vec(), b"a".to_vec()));
        }
    }
    check_eq!(rename(c"a", c"b", 0x8000), Err(Errno::EINVAL));
    Ok(())
}

fn link(from: &CStr, to: &CStr) -> Result<(), Errno> {
    linkat((AT_FDCWD, from), (AT_FDCWD, to), 0)
}

fn unlink(path: &CStr) -> Result<(), Errno> {
    unlinkat(AT_FDCWD, path, 0)
}

fn hard_links() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"text")?;
    link(c"a", c"b")?;
    check_eq!(fstat(fd)?.st_nlink as u64, 2);
    check_eq!(newfstatat(AT_FDCWD, c"b", 0)?.st_ino, fstat(fd)?.st_ino);
    check_eq!(link(c"a", c"b"), Err(Errno::EEXIST));
    check_eq!(link(c"none", c"c"), Err(Errno::ENOENT));
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    check_eq!(link(c"dir", c"d"), Err(Errno::EPERM));
    unlink(c"a")?;
    check_eq!((content(c"b")?, fstat(fd)?.st_nlink as u64), (b"text".to_vec(), 1));
    rename(c"b", c"a", 0)?;
    link(c"a", c"b")?;
    // Two names of one file: nothing happens, both stay.
    rename(c"a", c"b", 0)?;
    check!(exists(c"a") && exists(c"b"));
    Ok(())
}

fn symlink(target: &CStr, path: &CStr) -> Result<(), Errno> {
    symlinkat(target, AT_FDCWD, path)
}

fn symbolic_links() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    close(create(c"dir/file", b"inside")?)?;
    symlink(c"dir/file", c"to-file")?;
    symlink(c"dir", c"to-dir")?;
    symlink(c"file", c"dir/near")?;
    symlink(c"nowhere", c"broken")?;
    check_eq!(content(c"to-file")?, b"inside");
    check_eq!(content(c"to-dir/near")?, b"inside");
    check_eq!(content(c"to-dir/../to-file")?, b"inside");
    let mut target = [0; 100];
    check_eq!(readlinkat(AT_FDCWD, c"to-file", &mut target), Ok(8));
    check_eq!(&target[..9], b"dir/file\0");
    check_eq!(readlinkat(AT_FDCWD, c"to-file", &mut target[..3]), Ok(3));
    check_eq!(readlinkat(AT_FDCWD, c"dir", &mut target), Err(Errno::EINVAL));
    check_eq!(open(c"broken", O_RDONLY, 0), Err(Errno::ENOENT));
    check_eq!(open(c"to-file", O_RDONLY | O_NOFOLLOW, 0), Err(Errno::ELOOP));
    check_eq!(open(c"broken", O_RDWR | O_CREAT | O_EXCL, 0o600), Err(Errno::EEXIST));
    check_eq!(mode_of(c"to-file")? & S_IFMT, S_IFLNK);
    check_eq!(newfstatat(AT_FDCWD, c"to-file", AT_SYMLINK_NOFOLLOW)?.st_size, 8);
    close(open(c"broken", O_RDWR | O_CREAT, 0o600)?)?;
    check!(exists(c"nowhere"));
    unlink(c"to-dir")?;
    check!(exists(c"dir/file"));
    check_eq!(symlink(c"", c"empty"), Err(Errno::ENOENT));
    check_eq!(symlink(c"x", c"dir"), Err(Errno::EEXIST));
    Ok(())
}

fn loops_of_links() -> Outcome {
    scratch::enter()?;
    symlink(c"b", c"a")?;
    symlink(c"a", c"b")?;
    symlink(c"self/x", c"self")?;
    check_eq!(open(c"a", O_RDONLY, 0), Err(Errno::ELOOP));
    check_eq!(open(c"self", O_RDONLY, 0), Err(Errno::ELOOP));
    mkdirat(AT_FDCWD, c"l0", 0o755)?;
    for number in 1..=41 {
        let name = ulib::c_string(alloc::format!("l{number}"))?;
        symlink(&ulib::c_string(alloc::format!("l{}", number - 1))?, &name)?;
    }
    check!(open(c"l40", O_RDONLY, 0).is_ok());
    check_eq!(open(c"l41", O_RDONLY, 0), Err(Errno::ELOOP));
    Ok(())
}

fn rmdir(path: &CStr) -> Result<(), Errno> {
    unlinkat(AT_FDCWD, path, AT_REMOVEDIR)
}

fn folders() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    check_eq!(mkdirat(AT_FDCWD, c"dir", 0o755), Err(Errno::EEXIST));
    check_eq!(mkdirat(AT_FDCWD, c"none/dir", 0o755), Err(Errno::ENOENT));
    mkdirat(AT_FDCWD, c"dir/sub/", 0o700)?;
    check_eq!(newfstatat(AT_FDCWD, c"dir", 0)?.st_nlink as u64, 3);
    check_eq!(rmdir(c"dir"), Err(Errno::ENOTEMPTY));
    check_eq!(unlink(c"dir"), Err(Errno::EISDIR));
    close(create(c"file", b"")?)?;
    check_eq!(rmdir(c"file"), Err(Errno::ENOTDIR));
    check_eq!(rmdir(c"dir/."), Err(Errno::EINVAL));
    check_eq!(rmdir(c"dir/sub/.."), Err(Errno::ENOTEMPTY));
    rmdir(c"dir/sub")?;
    rmdir(c"dir")?;
    check_eq!(rmdir(c"dir"), Err(Errno::ENOENT));
    check_eq!(rmdir(c"/"), Err(Errno::EBUSY));
    Ok(())
}

/// Names in a folder, read with a buffer of `size` bytes; sorted.
fn names(path: &CStr, size: usize) -> Result<Vec<String>, Failure> {
    let fd = open(path, O_RDONLY | O_DIRECTORY, 0)?;
    let mut buffer = alloc::vec![0; size];
    let mut names = Vec::new();
    loop {
        let length = getdents64(fd, &mut buffer)?;
        if length == 0 {
            break;
        }
        let mut rest = &buffer[..length];
        while rest.len() > 19 {
            let record = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = rest[19..record].split(|&byte| byte == 0).next().unwrap_or_default();
            names.push(String::from_utf8_lossy(name).into_owned());
            rest = &rest[record..];
        }
    }
    close(fd)?;
    names.sort();
    Ok(names)
}

fn reading_folders() -> Outcome {
    scratch::enter()?;
    close(create(c"one", b"")?)?;
    mkdirat(AT_FDCWD, c"two", 0o755)?;
    symlink(c"x", c"three")?;
    check_eq!(names(c".", 4096)?, [".", "..", "one", "three", "two"]);
    check_eq!(names(c"two", 4096)?, [".", ".."]);
    let fd = open(c".", O_RDONLY, 0)?;
    check_eq!(getdents64(fd, &mut [0; 10]), Err(Errno::EINVAL));
    let file = open(c"one", O_RDONLY, 0)?;
    check_eq!(getdents64(file, &mut [0; 100]), Err(Errno::ENOTDIR));
    let first = getdents64(fd, &mut [0; 1000])?;
    check_eq!(getdents64(fd, &mut [0; 1000]), Ok(0));
    lseek(fd, 0, SEEK_SET)?;
    check_eq!(getdents64(fd, &mut [0; 1000]), Ok(first));
    Ok(())
}

fn reading_folders_in_pieces() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"d", 0o755)?;
    let mut expected = alloc::vec![String::from("."), String::from("..")];
    for number in 0..200 {
        let name = alloc::format!("file-{number:03}");
        close(create(&ulib::c_string(alloc::format!("d/{name}"))?, b"")?)?;
        expected.push(name);
    }
    check_eq!(names(c"d", 70)?, expected);
    // Removing what was read skips nothing.
    let fd = open(c"d", O_RDONLY, 0)?;
    let mut seen = 0;
    let mut buffer = [0; 200];
    loop {
        let length = getdents64(fd, &mut buffer)?;
        if length == 0 {
            break;
        }
        let mut rest = &buffer[..length];
        while rest.len() > 19 {
            let record = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = CStr::from_bytes_until_nul(&rest[19..record]).map_err(Failure::new)?;
            if !name.to_bytes().starts_with(b".") {
                unlinkat(fd, name, 0)?;
                seen += 1;
            }
            rest = &rest[record..];
        }
    }
    check_eq!(seen, 200);
    check_eq!(rmdir(c"d"), Ok(()));
    Ok(())
}

fn removed_files_live_on() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"still here")?;
    unlink(c"a")?;
    check_eq!(fstat(fd)?.st_nlink as u64, 0);
    let mut text = [0; 10];
    check_eq!((pread64(fd, &mut text, 0), &text), (Ok(10), b"still here"));
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    let dir = open(c"dir", O_RDONLY, 0)?;
    rmdir(c"dir")?;
    check_eq!(openat(dir, c"x", O_RDWR | O_CREAT, 0o600), Err(Errno::ENOENT));
    check_eq!(getdents64(dir, &mut [0; 100]), Err(Errno::ENOENT));
    Ok(())
}

fn long_names() -> Outcome {
    scratch::enter()?;
    let name = |length| ulib::c_string(alloc::vec![b'n'; length]);
    close(create(&name(255)?, b"")?)?;
    check_eq!(open(&name(256)?, O_RDWR | O_CREAT, 0o600), Err(Errno::ENAMETOOLONG));
    let path = |slashes| ulib::c_string([alloc::vec![b'/'; slashes], alloc::vec![b'.']].concat());
    check!(newfstatat(AT_FDCWD, &*path(4094)?, 0).is_ok());
    check_eq!(newfstatat(AT_FDCWD, &*path(4095)?, 0).map(drop), Err(Errno::ENAMETOOLONG));
    check_eq!(newfstatat(AT_FDCWD, &*path(100_000)?, 0).map(drop), Err(Errno::ENAMETOOLONG));
    Ok(())
}

fn paths() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    close(create(c"dir/file", b"")?)?;
    for path in [c"dir/file", c"./dir//file", c"dir/../dir/./file", c"dir/./../dir/file"] {
        check!(exists(path));
    }
    check!(!exists(c"dir/file/..") && !exists(c"dir/file/."));
    let root = newfstatat(AT_FDCWD, c"/", 0)?;
    check_eq!(newfstatat(AT_FDCWD, c"/../..", 0)?.st_ino, root.st_ino);
    Ok(())
}

fn stat_tells() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"12345")?;
    let stat = fstat(fd)?;
    check_eq!((stat.st_mode, stat.st_size, stat.st_nlink as u64), (S_IFREG | 0o644, 5, 1));
    check_eq!((stat.st_uid, stat.st_gid), (geteuid(), libsyscall::process::getegid()));
    check!(stat.st_blksize >= 512 && stat.st_ino != 0);
    check_eq!(mode_of(c".")? & S_IFMT, S_IFDIR);
    check_eq!(mode_of(c"/dev/null")? & S_IFMT, S_IFCHR);
    check_eq!(newfstatat(AT_FDCWD, c"/dev/null", 0)?.st_rdev, 0x103);
    check_eq!(newfstatat(fd, c"", AT_EMPTY_PATH)?.st_ino, stat.st_ino);
    check_eq!(newfstatat(fd, c"", 0).map(drop), Err(Errno::ENOENT));
    check_eq!(newfstatat(AT_FDCWD, c"a", 0x4000_0000).map(drop), Err(Errno::EINVAL));
    let (pipe, _) = pipe2(0)?;
    check_eq!(fstat(pipe)?.st_mode & S_IFMT, S_IFIFO);
    Ok(())
}

fn statx_tells() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"12345")?)?;
    let statx = statx(AT_FDCWD, c"a", 0, STATX_BASIC_STATS)?;
    check_eq!(statx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    check_eq!((u32::from(statx.stx_mode), statx.stx_size, statx.stx_nlink), (S_IFREG | 0o644, 5, 1));
    check_eq!(statx.stx_ino, newfstatat(AT_FDCWD, c"a", 0)?.st_ino);
    check_eq!(libsyscall::file::statx(AT_FDCWD, c"a", 0, 0x8000_0000).map(drop), Err(Errno::EINVAL));
    Ok(())
}

fn times_can_be_set() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"")?;
    let time = |tv_sec, tv_nsec| abi::time::Timespec { tv_sec, tv_nsec };
    utimensat(AT_FDCWD, c"a", Some(&[time(1000, 5), time(2000, 999_999_999)]), 0)?;
    let stat = fstat(fd)?;
    check_eq!((stat.st_atime as i64, stat.st_mtime as i64), (1000, 2000));
    check_eq!(utimensat(AT_FDCWD, c"a", Some(&[time(0, 1_000_000_000), time(0, 0)]), 0), Err(Errno::EINVAL));
    write(fd, b"x")?;
    check!(fstat(fd)?.st_mtime as i64 != 2000);
    Ok(())
}

fn the_mask_of_new_files() -> Outcome {
    scratch::enter()?;
    umask(0o027);
    close(open(c"file", O_RDWR | O_CREAT, 0o666)?)?;
    mkdirat(AT_FDCWD, c"dir", 0o777)?;
    check_eq!((mode_of(c"file")?, mode_of(c"dir")?), (S_IFREG | 0o640, S_IFDIR | 0o750));
    fchmodat(AT_FDCWD, c"file", 0o6755)?;
    check_eq!(mode_of(c"file")?, S_IFREG | 0o6755);
    check_eq!(umask(0o777), 0o027);
    Ok(())
}

/// Runs `body` as user and group 1000; does nothing, successfully, where this process is not root.
fn as_user(body: impl FnOnce() -> Outcome) -> Outcome {
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

fn permissions_of_others() -> Outcome {
    scratch::enter()?;
    for (name, mode) in [(c"private", 0o600), (c"readable", 0o644), (c"writable", 0o622)] {
        close(create(name, b"x")?)?;
        fchmodat(AT_FDCWD, name, mode)?;
    }
    mkdirat(AT_FDCWD, c"closed", 0o700)?;
    close(create(c"closed/file", b"")?)?;
    mkdirat(AT_FDCWD, c"fixed", 0o755)?;
    close(create(c"fixed/file", b"")?)?;
    as_user(|| {
        check_eq!(open(c"private", O_RDONLY, 0), Err(Errno::EACCES));
        check_eq!(open(c"readable", O_RDWR, 0), Err(Errno::EACCES));
        check!(open(c"readable", O_RDONLY, 0).is_ok() && open(c"writable", O_WRONLY, 0).is_ok());
        check_eq!(open(c"writable", O_RDONLY, 0), Err(Errno::EACCES));
        check_eq!(open(c"closed/file", O_RDONLY, 0), Err(Errno::EACCES));
        check_eq!(newfstatat(AT_FDCWD, c"closed/file", 0).map(drop), Err(Errno::EACCES));
        check_eq!(open(c"closed", O_RDONLY, 0), Err(Errno::EACCES));
        check_eq!(unlink(c"fixed/file"), Err(Errno::EACCES));
        check_eq!(open(c"fixed/new", O_RDWR | O_CREAT, 0o600), Err(Errno::EACCES));
        check_eq!(fchmodat(AT_FDCWD, c"readable", 0o777), Err(Errno::EPERM));
        check_eq!(fchownat(AT_FDCWD, c"readable", 1000, 1000, 0), Err(Errno::EPERM));
        close(open(c"mine", O_RDWR | O_CREAT, 0o600)?)?;
        let stat = newfstatat(AT_FDCWD, c"mine", 0)?;
        check_eq!((stat.st_uid, stat.st_gid), (1000, 1000));
        check_eq!(fchownat(AT_FDCWD, c"mine", 0, u32::MAX, 0), Err(Errno::EPERM));
        fchmodat(AT_FDCWD, c"mine", 0o000)?;
        check_eq!(open(c"mine", O_RDONLY, 0), Err(Errno::EACCES));
        Ok(())
    })?;
    check!(open(c"private", O_RDWR, 0).is_ok());
    Ok(())
}

fn the_sticky_bit() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"all", 0o777)?;
    fchmodat(AT_FDCWD, c"all", 0o1777)?;
    close(create(c"all/roots", b"")?)?;
    as_user(|| {
        check_eq!(unlink(c"all/roots"), Err(Errno::EPERM));
        check_eq!(rename(c"all/roots", c"all/other", 0), Err(Errno::EPERM));
        close(open(c"all/mine", O_RDWR | O_CREAT, 0o600)?)?;
        check_eq!(unlink(c"all/mine"), Ok(()));
        Ok(())
    })
}

fn access_is_asked() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"")?)?;
    check_eq!(faccessat(AT_FDCWD, c"a", F_OK), Ok(()));
    check_eq!(faccessat(AT_FDCWD, c"none", F_OK), Err(Errno::ENOENT));
    check_eq!(faccessat(AT_FDCWD, c"a", 8), Err(Errno::EINVAL));
    // Even root executes only what somebody may execute.
    check_eq!(faccessat(AT_FDCWD, c"a", X_OK), Err(Errno::EACCES));
    fchmodat(AT_FDCWD, c"a", 0o600)?;
    as_user(|| {
        check_eq!(faccessat(AT_FDCWD, c"a", R_OK), Err(Errno::EACCES));
        check_eq!(faccessat(AT_FDCWD, c"a", F_OK), Ok(()));
        Ok(())
    })
}

fn devices() -> Outcome {
    let mut buffer = [1; 100];
    let zero = open(c"/dev/zero", O_RDWR, 0)?;
    check_eq!((read(zero, &mut buffer), buffer), (Ok(100), [0; 100]));
    check_eq!(write(zero, &buffer), Ok(100));
    let null = open(c"/dev/null", O_RDWR, 0)?;
    check_eq!((read(null, &mut buffer), write(null, &buffer)), (Ok(0), Ok(100)));
    check_eq!(lseek(null, 100, SEEK_SET), Ok(0));
    match open(c"/dev/full", O_RDWR, 0) {
        Ok(full) => {
            check_eq!(write(full, b"x"), Err(Errno::ENOSPC));
            check_eq!(read(full, &mut buffer), Ok(100));
        }
        Err(error) => check_eq!(error, Errno::ENOENT),
    }
    Ok(())
}

fn random_bytes() -> Outcome {
    let (mut first, mut second) = ([0u8; 64], [0u8; 64]);
    check_eq!(libsyscall::memory::getrandom(&mut first, 0), Ok(64));
    check_eq!(libsyscall::memory::getrandom(&mut second, 0), Ok(64));
    check!(first != second && first != [0; 64]);
    check_eq!(libsyscall::memory::getrandom(&mut first, 0xff00), Err(Errno::EINVAL));
    if let Ok(fd) = open(c"/dev/urandom", O_RDONLY, 0) {
        check_eq!(read(fd, &mut second), Ok(64));
        check!(first != second);
    }
    Ok(())
}

fn working_directory() -> Outcome {
    scratch::enter()?;
    let mut buffer = [0; 200];
    let here = getcwd(&mut buffer)?.to_bytes().to_vec();
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    close(create(c"file", b"")?)?;
    let fd = open(c".", O_RDONLY, 0)?;
    chdir(c"dir")?;
    check_eq!(getcwd(&mut buffer)?.to_bytes(), [&here[..], b"/dir"].concat());
    check_eq!(chdir(c"../file"), Err(Errno::ENOTDIR));
    check_eq!(chdir(c"none"), Err(Errno::ENOENT));
    raw::call(nr::fchdir, &[fd as u64])?;
    check_eq!(getcwd(&mut buffer)?.to_bytes(), here);
    check_eq!(raw::call(nr::getcwd, &[buffer.as_mut_ptr() as u64, 2]), Err(Errno::ERANGE));
    chdir(c"dir")?;
    rmdir(c"../dir")?;
    check_eq!(getcwd(&mut buffer).map(drop), Err(Errno::ENOENT));
    check_eq!(open(c"x", O_RDWR | O_CREAT, 0o600), Err(Errno::ENOENT));
    check_eq!(chdir(c".."), Ok(()));
    Ok(())
}

fn relative_to_a_descriptor() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    let dir = open(c"dir", O_RDONLY | O_DIRECTORY, 0)?;
    close(openat(dir, c"file", O_RDWR | O_CREAT, 0o600)?)?;
    check!(exists(c"dir/file"));
    let path_only = open(c"dir", O_PATH, 0)?;
    check!(openat(path_only, c"file", O_RDONLY, 0).is_ok());
    check_eq!(getdents64(path_only, &mut [0; 100]), Err(Errno::EBADF));
    rename(c"dir", c"moved", 0)?;
    check!(openat(dir, c"file", O_RDONLY, 0).is_ok());
    unlinkat(dir, c"file", 0)?;
    check!(!exists(c"moved/file"));
    Ok(())
}

fn a_new_root() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"root", 0o755)?;
    mkdirat(AT_FDCWD, c"root/inside", 0o755)?;
    if geteuid() != 0 {
        return Ok(());
    }
    check_eq!(raw::call(nr::chroot, &[c"root".as_ptr() as u64]), Ok(0));
    chdir(c"/")?;
    check!(exists(c"/inside") && exists(c"/../../inside") && !exists(c"/tmp"));
    Ok(())
}

fn file_systems_tell() -> Outcome {
    scratch::enter()?;
    let statfs = libsyscall::file::statfs(c".")?;
    check!(statfs.f_bsize > 0 && statfs.f_namelen == 255);
    check_eq!(libsyscall::file::statfs(c"none").map(drop), Err(Errno::ENOENT));
    Ok(())
}
