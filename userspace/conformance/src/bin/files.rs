//! Files: opening, reading, writing, descriptors, what is known of them.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::time::NANOSECONDS_PER_SECOND;
use conformance::files::{content, create, mode_of, rmdir, unlink};
use conformance::{Outcome, check, check_eq, child, raw, scratch};
use libsyscall::file::*;
use libsyscall::process::geteuid;

conformance::tests!(&[
    ("open_flags", open_flags),
    ("flags_that_stay", flags_that_stay),
    ("opening_refuses", opening_refuses),
    ("reading_and_seeking", reading_and_seeking),
    ("appending", appending),
    ("holes_and_sizes", holes_and_sizes),
    ("vectors", vectors),
    ("positions_are_shared", positions_are_shared),
    ("descriptors_are_the_lowest", descriptors_are_the_lowest),
    ("descriptor_flags", descriptor_flags),
    ("bad_descriptors", bad_descriptors),
    ("removed_files_live_on", removed_files_live_on),
    ("stat_tells", stat_tells),
    ("statx_tells", statx_tells),
    ("times_can_be_set", times_can_be_set),
    ("devices", devices),
    ("random_bytes", random_bytes),
    ("opening_with_a_structure", opening_with_a_structure),
]);

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

/// `F_GETFL` shows all but what matters only while opening.
fn flags_that_stay() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"hello")?)?;
    let shown = |name, flags| -> Result<u32, Errno> {
        let fd = open(name, flags, 0o600)?;
        let shown = fcntl(fd, F_GETFL, 0)? as u32 & !O_LARGEFILE;
        close(fd)?;
        Ok(shown)
    };
    check_eq!(shown(c"a", O_RDWR | O_CREAT | O_NOCTTY | O_TRUNC | O_CLOEXEC), Ok(O_RDWR));
    for stays in [O_APPEND, O_NONBLOCK, O_SYNC, O_DSYNC, O_NOATIME, O_NOFOLLOW] {
        check_eq!(shown(c"a", O_RDWR | stays), Ok(O_RDWR | stays));
    }
    check_eq!(shown(c".", O_DIRECTORY), Ok(O_DIRECTORY));
    check_eq!(shown(c".", O_PATH | O_DIRECTORY | O_CLOEXEC), Ok(O_PATH | O_DIRECTORY));
    check_eq!(shown(c".", O_TMPFILE | O_RDWR | O_CLOEXEC), Ok(O_TMPFILE | O_RDWR));
    check_eq!(shown(c".", O_TMPFILE | O_WRONLY | O_EXCL), Ok(O_TMPFILE | O_WRONLY));
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
    let parts = [(first.as_mut_ptr(), 3), (second.as_mut_ptr(), 4)];
    let parts = parts.map(|(start, length)| Iovec { iov_base: start as u64, iov_len: length });
    lseek(fd, 0, SEEK_SET)?;
    check_eq!(raw::call(nr::readv, &[fd as u64, parts.as_ptr() as u64, 2]), Ok(5));
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
    // The time of birth comes where it is asked for, and stays when the others go on.
    check_eq!((statx.stx_mask & STATX_BTIME, statx.stx_btime), (0, StatxTimestamp::default()));
    let first = libsyscall::file::statx(AT_FDCWD, c"a", 0, STATX_BTIME)?;
    let time = |time: StatxTimestamp| (time.tv_sec, time.tv_nsec);
    check_eq!(first.stx_mask & STATX_BTIME, STATX_BTIME);
    check!(first.stx_btime.tv_sec != 0 && time(first.stx_btime) <= time(first.stx_mtime));
    utimensat(AT_FDCWD, c"a", Some(&[abi::time::Timespec { tv_sec: 1, tv_nsec: 2 }; 2]), 0)?;
    check_eq!(libsyscall::file::statx(AT_FDCWD, c"a", 0, STATX_BTIME)?.stx_btime, first.stx_btime);
    let known = STATX_ATTR_AUTOMOUNT | STATX_ATTR_DAX | STATX_ATTR_MOUNT_ROOT;
    let flags = STATX_ATTR_APPEND | STATX_ATTR_IMMUTABLE | STATX_ATTR_NODUMP;
    check_eq!((first.stx_attributes, first.stx_attributes_mask as u32), (0, known | flags));
    Ok(())
}

fn times_can_be_set() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"")?;
    let time = |tv_sec, tv_nsec| abi::time::Timespec { tv_sec, tv_nsec };
    utimensat(AT_FDCWD, c"a", Some(&[time(1000, 5), time(2000, 999_999_999)]), 0)?;
    let stat = fstat(fd)?;
    check_eq!((stat.st_atime as i64, stat.st_mtime as i64), (1000, 2000));
    check_eq!(
        utimensat(AT_FDCWD, c"a", Some(&[time(0, NANOSECONDS_PER_SECOND), time(0, 0)]), 0),
        Err(Errno::EINVAL)
    );
    write(fd, b"x")?;
    check!(fstat(fd)?.st_mtime as i64 != 2000);
    Ok(())
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

/// `openat2` refuses what `open` ignores.
fn opening_with_a_structure() -> Outcome {
    scratch::enter()?;
    let open_how = |flags: u32, mode: u64, resolve: u64| {
        let how = OpenHow { flags: u64::from(flags), mode, resolve };
        let how = (&raw const how as u64, size_of::<OpenHow>() as u64);
        raw::call(nr::openat2, &[AT_FDCWD as u64, c".".as_ptr() as u64, how.0, how.1]).map(|_| ())
    };
    check_eq!(open_how(O_RDONLY | O_DIRECTORY, 0, 0), Ok(()));
    check_eq!(open_how(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, 0), Ok(()));
    for flags in [O_RDWR, O_CREAT, O_EXCL, O_NOCTTY, O_APPEND, O_NONBLOCK, O_TMPFILE, O_LARGEFILE] {
        check_eq!((flags, open_how(O_PATH | flags, 0, 0)), (flags, Err(Errno::EINVAL)));
    }
    check_eq!(open_how(O_RDONLY, 0o644, 0), Err(Errno::EINVAL));
    check_eq!(open_how(O_RDONLY | 1 << 31, 0, 0), Err(Errno::EINVAL));
    check_eq!(open_how(O_RDONLY, 0, 1 << 63), Err(Errno::EINVAL));
    open(c".", O_PATH | O_RDWR | O_NOCTTY, 0)?;
    Ok(())
}
