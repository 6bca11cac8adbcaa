//! One odd argument among good ones: what calls make of flags, sizes, counts, positions and addresses that nobody
//! passes.
//!
//! Kept from a grid of all calls by all parameters that was run on both kernels: the cases in which they once differed.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::ioctl::*;
use abi::native::nr;
use abi::process::*;
use conformance::files::{as_user, create, symlink};
use conformance::raw::call;
use conformance::{Failure, Outcome, check, check_eq, child, scratch};
use core::hint::black_box;
use libsyscall::file::{close, open, pipe2};

conformance::tests!(&[
    ("counts_have_32_bits", counts_have_32_bits),
    ("buffers_beyond_the_user_half", buffers_beyond_the_user_half),
    ("positions_near_the_last", positions_near_the_last),
    ("positions_of_files_without_any", positions_of_files_without_any),
    ("pipes_and_faults", pipes_and_faults),
    ("splices", splices),
    ("allocation_modes", allocation_modes),
    ("requests_to_any_file", requests_to_any_file),
    ("whole_file_locks", whole_file_locks),
    ("waits_tell_of_nothing", waits_tell_of_nothing),
    ("names_in_made_up_directories", names_in_made_up_directories),
    ("opening", opening),
    ("mount_options", mount_options),
    ("what_is_read_first", what_is_read_first),
    ("what_privilege_comes_after", what_privilege_comes_after),
]);

/// An address of the kernel's.
const KERNEL: u64 = 0xffff_8000_0000_0000;
/// An address where nothing is mapped.
const BAD: u64 = 8;
const HIGH: u64 = 1 << 32;

fn address<T: ?Sized>(value: &T) -> u64 {
    core::ptr::from_ref(value).cast::<u8>() as u64
}

fn vector(base: u64, len: u64) -> Iovec {
    Iovec { iov_base: base, iov_len: len }
}

fn counts_have_32_bits() -> Outcome {
    let zero = open(c"/dev/zero", O_RDWR, 0)? as u64;
    let buffer = [1u8; 16];
    let one = [vector(address(&buffer), 16)];
    check_eq!(call(nr::readv, &[zero, address(&one), HIGH | 1]), Ok(16));
    check_eq!(call(nr::writev, &[zero, address(&one), HIGH | 1]), Ok(16));
    check_eq!(call(nr::readv, &[zero, address(&one), u64::MAX]), Err(Errno::EINVAL));
    check_eq!(call(nr::preadv2, &[zero, address(&one), 1, 0, 0, u64::from(RWF_APPEND)]), Ok(16));
    let mask = [0u64; 1];
    check_eq!(call(nr::sched_getaffinity, &[0, HIGH | 8, address(&mask)]), Ok(8));
    for size in [0, 4, 12, 1 << 29, HIGH] {
        check_eq!(
            (size, call(nr::sched_getaffinity, &[0, size, address(&mask)])),
            (size, Err(Errno::EINVAL))
        );
    }
    let directory = open(c"/", O_RDONLY | O_DIRECTORY, 0)? as u64;
    let room = [0u64; 512];
    for size in [1 << 31, u64::MAX, 0xffff_f000] {
        check_eq!(
            (size, call(nr::getdents64, &[directory, address(&room), size])),
            (size, Err(Errno::EINVAL))
        );
    }
    check!(call(nr::getdents64, &[directory, address(&room), HIGH | 4096])? > 0);
    check!(child::succeeds(|| {
        check_eq!(call(nr::setgroups, &[HIGH, 0]), Ok(0));
        Ok(())
    })?);
    Ok(())
}

fn buffers_beyond_the_user_half() -> Outcome {
    let null = open(c"/dev/null", O_RDWR, 0)? as u64;
    let buffer = [0u8; 16];
    let good = vector(address(&buffer), 16);
    for wrong in [vector(KERNEL, 0), vector(KERNEL, 1), vector(address(&buffer), i64::MAX as u64)] {
        for vectors in [[wrong, good], [good, wrong]] {
            check_eq!(call(nr::writev, &[null, address(&vectors), 2]), Err(Errno::EFAULT));
            check_eq!(call(nr::readv, &[null, address(&vectors), 2]), Err(Errno::EFAULT));
        }
    }
    // A negative length comes first, wherever it stands.
    let vectors = [vector(KERNEL, 1), vector(address(&buffer), u64::MAX)];
    check_eq!(call(nr::writev, &[null, address(&vectors), 2]), Err(Errno::EINVAL));
    let mut node = [7u32; 1];
    check_eq!(call(nr::getcpu, &[BAD, node.as_mut_ptr() as u64, 0]), Err(Errno::EFAULT));
    check_eq!(black_box(node), [0]);
    Ok(())
}

fn positions_near_the_last() -> Outcome {
    scratch::enter()?;
    create(c"file", b"content")?;
    let buffer = [0u8; 16];
    for name in [c"file", c"/dev/zero"] {
        let fd = open(name, O_RDWR, 0)? as u64;
        for position in [i64::MAX as u64, i64::MAX as u64 - 15] {
            check_eq!(call(nr::pread64, &[fd, address(&buffer), 16, position]), Err(Errno::EINVAL));
            check_eq!(call(nr::pwrite64, &[fd, address(&buffer), 16, position]), Err(Errno::EINVAL));
        }
        close(fd as i32)?;
    }
    let fd = open(c"file", O_RDWR, 0)? as u64;
    check_eq!(call(nr::pread64, &[fd, address(&buffer), 16, i64::MAX as u64 - 16]), Ok(0));
    check_eq!(call(nr::readahead, &[fd, 0, u64::MAX]), Err(Errno::EINVAL));
    check_eq!(call(nr::lseek, &[fd, 100, 0]), Ok(100));
    // What is left before the end may be less than nothing.
    let left = [0i32; 1];
    check_eq!(call(nr::ioctl, &[fd, u64::from(FIONREAD), address(&left)]), Ok(0));
    check_eq!(black_box(left), [7 - 100]);
    Ok(())
}

fn positions_of_files_without_any() -> Outcome {
    let event = call(nr::eventfd2, &[0, 0])?;
    let epoll = call(nr::epoll_create1, &[0])?;
    for fd in [event, epoll] {
        for whence in 0..=4 {
            check_eq!((whence, call(nr::lseek, &[fd, 1 << 40, whence])), (whence, Ok(0)));
        }
        check_eq!(call(nr::lseek, &[fd, 0, 5]), Err(Errno::EINVAL));
    }
    let directory = open(c"/proc/self", O_RDONLY | O_DIRECTORY, 0)? as u64;
    let last = i32::MAX as u64;
    check_eq!(call(nr::lseek, &[directory, last, 0]), Ok(last));
    check_eq!(call(nr::lseek, &[directory, last + 1, 0]), Err(Errno::EINVAL));
    check_eq!(call(nr::lseek, &[directory, 1, 2]), Ok(1));
    for whence in [3, 4] {
        check_eq!(call(nr::lseek, &[directory, 0, whence]), Err(Errno::ENXIO));
    }
    check_eq!(call(nr::fsync, &[directory]), Err(Errno::EINVAL));
    let status = open(c"/proc/self/status", O_RDONLY, 0)? as u64;
    check_eq!(call(nr::sync_file_range, &[status, 0, 16, 0]), Ok(0));
    check_eq!(call(nr::readahead, &[status, 0, 16]), Ok(0));
    Ok(())
}

/// The end of a page behind which nothing is mapped.
fn end_of_a_page() -> Result<u64, Failure> {
    const PAGE: u64 = 4096;
    let (read_write, private_anonymous) = (3, 0x22);
    let start = call(nr::mmap, &[0, 2 * PAGE, read_write, private_anonymous, u64::MAX, 0])?;
    call(nr::munmap, &[start + PAGE, PAGE])?;
    Ok(start + PAGE)
}

/// What a fault cuts off stays in the pipe, or does not come into it.
fn pipes_and_faults() -> Outcome {
    let edge = end_of_a_page()? - 4;
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let (reader, writer) = (reader as u64, writer as u64);
    check_eq!(call(nr::write, &[writer, edge, 8]), Err(Errno::EFAULT));
    check_eq!(call(nr::write, &[writer, address(b"hello"), 5]), Ok(5));
    check_eq!(call(nr::read, &[reader, edge, 8]), Err(Errno::EFAULT));
    let buffer = [0u8; 8];
    check_eq!(call(nr::read, &[reader, address(&buffer), 8]), Ok(5));
    check_eq!(&black_box(buffer)[..5], b"hello");
    Ok(())
}

fn splices() -> Outcome {
    scratch::enter()?;
    let file = create(c"file", b"content")? as u64;
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let (reader, writer) = (reader as u64, writer as u64);
    let zero = open(c"/dev/zero", O_RDWR, 0)? as u64;
    let random = open(c"/dev/urandom", O_RDWR, 0)? as u64;
    let event = call(nr::eventfd2, &[0, 0])?;
    let offset = [0u64; 1];
    check_eq!(call(nr::splice, &[random, 0, writer, 0, 16, 0]), Ok(16));
    check_eq!(call(nr::splice, &[reader, 0, random, 0, 16, 0]), Ok(16));
    check_eq!(call(nr::sendfile, &[writer, random, 0, 16]), Ok(16));
    for out in [zero, event] {
        check_eq!(call(nr::splice, &[reader, 0, out, 0, 16, 0]), Err(Errno::EINVAL));
        check_eq!(call(nr::sendfile, &[out, file, address(&offset), 4]), Err(Errno::EINVAL));
    }
    check_eq!(call(nr::sendfile, &[writer, zero, address(&offset), 16]), Err(Errno::EINVAL));
    check_eq!(call(nr::copy_file_range, &[file, 0, file, address(&offset), 1, 1]), Err(Errno::EINVAL));
    // A position for a pipe comes before how it was opened.
    check_eq!(call(nr::splice, &[writer, address(&offset), file, 0, 16, 0]), Err(Errno::ESPIPE));
    check_eq!(call(nr::splice, &[file, 0, reader, address(&offset), 16, 0]), Err(Errno::ESPIPE));
    for count in [1 << 63, u64::MAX] {
        check_eq!(call(nr::splice, &[reader, 0, file, 0, count, 0]), Err(Errno::EINVAL));
        check_eq!(call(nr::sendfile, &[writer, file, address(&offset), count]), Err(Errno::EINVAL));
    }
    // Where one position is as good as another, none is told.
    check_eq!(call(nr::sendfile, &[writer, random, address(&offset), 4]), Ok(4));
    check_eq!(call(nr::splice, &[reader, 0, random, address(&offset), 4, 0]), Ok(4));
    check_eq!(black_box(offset), [0]);
    Ok(())
}

fn allocation_modes() -> Outcome {
    scratch::enter()?;
    let file = create(c"file", b"content")? as u64;
    let reading = open(c"file", O_RDONLY, 0)? as u64;
    let (_, pipe) = pipe2(0)?;
    let event = call(nr::eventfd2, &[0, 0])?;
    let allocate = |fd: u64, mode: u32| call(nr::fallocate, &[fd, u64::from(mode), 0, 4096]);
    for mode in
        [FALLOC_FL_ZERO_RANGE, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE]
    {
        check_eq!((mode, allocate(file, mode)), (mode, Err(Errno::EOPNOTSUPP)));
        check_eq!((mode, allocate(reading, mode)), (mode, Err(Errno::EBADF)));
        check_eq!((mode, allocate(pipe as u64, mode)), (mode, Err(Errno::ESPIPE)));
        check_eq!((mode, allocate(event, mode)), (mode, Err(Errno::ENODEV)));
    }
    for mode in
        [FALLOC_FL_PUNCH_HOLE, 4, 0x80, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE]
    {
        check_eq!((mode, allocate(reading, mode)), (mode, Err(Errno::EOPNOTSUPP)));
    }
    for mode in [FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE] {
        check_eq!(allocate(reading, mode | FALLOC_FL_KEEP_SIZE), Err(Errno::EINVAL));
    }
    check_eq!(allocate(reading, FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_ZERO_RANGE), Err(Errno::EINVAL));
    Ok(())
}

fn requests_to_any_file() -> Outcome {
    scratch::enter()?;
    let file = create(c"file", b"content")? as u64;
    let (reader, _) = pipe2(0)?;
    let event = call(nr::eventfd2, &[0, 0])?;
    let random = open(c"/dev/urandom", O_RDWR, 0)? as u64;
    let mut room = [0u32; 16];
    let argument = room.as_mut_ptr() as u64;
    let ask = |fd: u64, request: u32, argument: u64| call(nr::ioctl, &[fd, u64::from(request), argument]);
    for fd in [file, reader as u64, event, random] {
        check_eq!(ask(fd, FIGETBSZ, argument), Ok(0));
        check_eq!(black_box(room)[0], 4096);
        check_eq!(ask(fd, FIGETBSZ, BAD), Err(Errno::EFAULT));
        check_eq!(ask(fd, FIFREEZE, 0), Err(Errno::EOPNOTSUPP));
        check_eq!(ask(fd, FITHAW, 0), Err(Errno::EINVAL));
        check_eq!(ask(fd, FS_IOC_FIEMAP, 0), Err(Errno::EOPNOTSUPP));
        check_eq!(ask(fd, FICLONE, 999), Err(Errno::EBADF));
        check_eq!(ask(fd, FICLONERANGE, BAD), Err(Errno::EFAULT));
    }
    let other = create(c"other", b"content")? as u64;
    check_eq!(ask(file, FICLONE, other), Err(Errno::EOPNOTSUPP));
    check_eq!(ask(event, FICLONE, other), Err(Errno::EXDEV));
    check_eq!(ask(event, FIOQSIZE, argument), Err(Errno::ENOTTY));
    check_eq!(ask(file, FIBMAP, BAD), Err(Errno::EFAULT));
    check_eq!(ask(file, FIBMAP, argument), Err(Errno::EINVAL));
    check_eq!(ask(event, FIBMAP, argument), Err(Errno::ENOTTY));
    check_eq!(ask(file, 0x12_3456, argument), Err(Errno::ENOTTY));
    check_eq!(ask(random, 0x12_3456, argument), Err(Errno::EINVAL));
    inode_flags_and_ranges(file)
}

fn inode_flags_and_ranges(file: u64) -> Outcome {
    const IMMUTABLE: u32 = 0x10;
    let ask = |request: u32, argument: u64| call(nr::ioctl, &[file, u64::from(request), argument]);
    let mut flags = [7u32; 1];
    check_eq!(ask(FS_IOC_GETFLAGS, flags.as_mut_ptr() as u64), Ok(0));
    check_eq!(black_box(flags), [0]);
    check_eq!(ask(FS_IOC_SETFLAGS, address(&flags)), Ok(0));
    check_eq!(ask(FS_IOC_SETFLAGS, address(&(IMMUTABLE << 20))), Err(Errno::EOPNOTSUPP));
    let range = SpaceReservation { l_len: 8192, ..Default::default() };
    check_eq!(ask(FS_IOC_RESVSP, address(&range)), Ok(0));
    check_eq!(ask(FS_IOC_UNRESVSP, address(&range)), Ok(0));
    check_eq!(ask(FS_IOC_ZERO_RANGE, address(&range)), Err(Errno::EOPNOTSUPP));
    check_eq!(ask(FS_IOC_RESVSP, address(&SpaceReservation::default())), Err(Errno::EINVAL));
    check_eq!(ask(FS_IOC_RESVSP, address(&SpaceReservation { l_whence: 3, ..range })), Err(Errno::EINVAL));
    check_eq!(call(nr::lseek, &[file, 0, 2]), Ok(7));
    Ok(())
}

fn whole_file_locks() -> Outcome {
    let closed = 999;
    for operation in [0, 1 | 2, 0x10, 0x40] {
        check_eq!((operation, call(nr::flock, &[closed, operation])), (operation, Err(Errno::EINVAL)));
    }
    // Mandatory locks are passed over unseen.
    check_eq!(call(nr::flock, &[closed, u64::from(LOCK_MAND)]), Ok(0));
    check_eq!(call(nr::flock, &[closed, u64::from(LOCK_SH)]), Err(Errno::EBADF));
    Ok(())
}

fn waits_tell_of_nothing() -> Outcome {
    let exited = u64::from(WEXITED);
    let mut info = [7u32; 32];
    check_eq!(
        call(nr::waitid, &[u64::from(P_ALL), 0, info.as_mut_ptr() as u64, exited, 0]),
        Err(Errno::ECHILD)
    );
    check_eq!(black_box(info)[..3], [0, 0, 0]);
    check_eq!(black_box(info)[3..8], [7, 0, 0, 0, 7]);
    check_eq!(call(nr::waitid, &[u64::from(P_ALL), 0, BAD, exited, 0]), Err(Errno::EFAULT));
    check_eq!(call(nr::waitid, &[u64::from(P_ALL), 0, BAD, 0, 0]), Err(Errno::EFAULT));
    check_eq!(call(nr::waitid, &[u64::from(P_PIDFD), 0, 0, exited, 0]), Err(Errno::EBADF));
    check_eq!(call(nr::waitid, &[u64::from(P_PIDFD), u64::MAX, 0, exited, 0]), Err(Errno::EINVAL));
    Ok(())
}

fn names_in_made_up_directories() -> Outcome {
    let here = AT_FDCWD as u64;
    for (name, is_there) in [(c"/proc/self/exe", true), (c"/sys/kernel", true), (c"/sys/none", false)] {
        let path = name.as_ptr() as u64;
        let answer = |otherwise: Errno| Err(if is_there { Errno::EEXIST } else { otherwise });
        check_eq!(call(nr::mkdirat, &[here, path, 0o755]), answer(Errno::EPERM));
        check_eq!(call(nr::symlinkat, &[path, here, path]), answer(Errno::EPERM));
        check_eq!(call(nr::mknodat, &[here, path, u64::from(S_IFREG | 0o600), 0]), answer(Errno::EACCES));
        check_eq!(call(nr::linkat, &[here, c"/tmp".as_ptr() as u64, here, path, 0]), answer(Errno::EXDEV));
        let made = call(nr::openat, &[here, path, u64::from(O_CREAT | O_EXCL), 0o600]);
        check_eq!(made, answer(Errno::EACCES));
    }
    check_eq!(call(nr::mkdirat, &[here, c"/proc/none".as_ptr() as u64, 0o755]), Err(Errno::ENOENT));
    Ok(())
}

fn opening() -> Outcome {
    scratch::enter()?;
    create(c"file", b"")?;
    symlink(c"file", c"link")?;
    let here = AT_FDCWD as u64;
    for name in [c".", c"..", c"/", c"./."] {
        let path = name.as_ptr() as u64;
        check_eq!(call(nr::openat, &[here, path, u64::from(O_CREAT | O_EXCL), 0]), Err(Errno::EEXIST));
        check_eq!(call(nr::openat, &[here, path, u64::from(O_CREAT), 0]), Err(Errno::EISDIR));
    }
    check_eq!(open(c".", O_DIRECTORY | O_DIRECT, 0), Err(Errno::EINVAL));
    check!(open(c".", O_TMPFILE | O_ACCMODE, 0o600).is_ok());
    check_eq!(open(c".", O_TMPFILE | O_RDONLY, 0o600), Err(Errno::EINVAL));
    let mut pair = [0i32; 2];
    let queue = u64::from(O_NOTIFICATION_PIPE);
    check_eq!(call(nr::pipe2, &[pair.as_mut_ptr() as u64, queue]), Err(Errno::ENOPKG));
    let stat = [0u64; 32];
    let freshness = u64::from(AT_STATX_SYNC_TYPE);
    check_eq!(call(nr::newfstatat, &[here, c"file".as_ptr() as u64, address(&stat), freshness]), Ok(0));
    // The strings come before the file.
    let list = [BAD, 0];
    let program = c"absent".as_ptr() as u64;
    check_eq!(call(nr::execve, &[program, address(&list), 0]), Err(Errno::EFAULT));
    check_eq!(call(nr::execve, &[program, 0, address(&list)]), Err(Errno::EFAULT));
    Ok(())
}

fn mount_options() -> Outcome {
    let edge = end_of_a_page()? - 4;
    let long = [b'x'; 5000];
    let (place, kind) = (c"/tmp".as_ptr() as u64, c"no such type".as_ptr() as u64);
    for data in [edge, address(&long)] {
        check_eq!(call(nr::mount, &[place, place, kind, 0, data]), Err(Errno::ENODEV));
    }
    check_eq!(call(nr::mount, &[place, place, kind, 0, BAD]), Err(Errno::EFAULT));
    for flag in [1 << 31, HIGH, 1 << 63] {
        check_eq!((flag, call(nr::mount, &[place, place, kind, flag, 0])), (flag, Err(Errno::EINVAL)));
    }
    Ok(())
}

/// Which of two faults is seen.
fn what_is_read_first() -> Outcome {
    check_eq!(call(nr::setrlimit, &[99, BAD]), Err(Errno::EFAULT));
    check_eq!(call(nr::settimeofday, &[address(&[0u64, 1_000_000]), BAD]), Err(Errno::EINVAL));
    for pid in [u64::MAX, -77i64 as u64] {
        check_eq!(call(nr::setpgid, &[pid, 0]), Err(Errno::EINVAL));
    }
    // A version of capabilities that nobody knows needs no more than itself.
    let edge = end_of_a_page()? - 4;
    check_eq!(call(nr::capget, &[edge, address(&[0u64; 4])]), Err(Errno::EINVAL));
    check_eq!(call(nr::capget, &[edge, address(&[0u64; 4])]), Err(Errno::EFAULT));
    // A lock that is to be given up must be one's own, even where no lock can lie.
    let words = [0u32; 4];
    let (unlock, odd) = (7, address(&words) + 2);
    check_eq!(call(nr::futex, &[odd, unlock, 0, 0, 0, 0]), Err(Errno::EPERM));
    check_eq!(call(nr::futex, &[1, unlock, 0, 0, 0, 0]), Err(Errno::EFAULT));
    let arguments = |stack: u64, set_tid: u64| [0, 0, 0, 0, 17, stack, stack, 0, set_tid, 0, 0];
    for wrong in [arguments(KERNEL, 0), arguments(0, 1 << 20)] {
        check_eq!(call(nr::clone3, &[address(&wrong), 88]), Err(Errno::EINVAL));
    }
    Ok(())
}

/// For whom a call is not, its other faults are told as well.
fn what_privilege_comes_after() -> Outcome {
    scratch::enter()?;
    create(c"file", b"")?;
    as_user(|| {
        let here = AT_FDCWD as u64;
        let node = |name: &core::ffi::CStr, kind: u32, device: u64| {
            call(nr::mknodat, &[here, name.as_ptr() as u64, u64::from(kind | 0o600), device])
        };
        check_eq!(node(c"file", S_IFCHR, 0x103), Err(Errno::EEXIST));
        check_eq!(node(c"absent/new", S_IFCHR, 0x103), Err(Errno::ENOENT));
        check_eq!(node(c"new", S_IFCHR, 0x103), Err(Errno::EPERM));
        check_eq!(node(c"new", S_IFBLK, 0), Err(Errno::EPERM));
        // A device that stands for nothing.
        check_eq!(node(c"new", S_IFCHR, 0), Ok(0));
        let umount = |name: u64, flags: u64| call(nr::umount2, &[name, flags]);
        check_eq!(umount(c"absent".as_ptr() as u64, 0), Err(Errno::ENOENT));
        check_eq!(umount(BAD, 0), Err(Errno::EFAULT));
        check_eq!(umount(c"file".as_ptr() as u64, 0), Err(Errno::EPERM));
        let place = c".".as_ptr() as u64;
        check_eq!(call(nr::mount, &[place, place, place, 1 << 31, 0]), Err(Errno::EINVAL));
        check_eq!(call(nr::mount, &[place, place, place, 0, 0]), Err(Errno::EPERM));
        Ok(())
    })
}
