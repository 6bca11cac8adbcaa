//! Signals about changes in directories: `F_NOTIFY`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::poll::{POLLIN, POLLMSG, POLLRDNORM};
use abi::process::WaitStatus;
use abi::signal::*;
use abi::time::{Timespec, UTIME_OMIT};
use conformance::files::{create, link, rename, symlink, unlink};
use conformance::{Failure, Outcome, check_eq, child, files, raw, scratch};
use libsyscall::file::*;
use libsyscall::process::getpid;
use libsyscall::signal::rt_sigprocmask;

conformance::tests!(&[
    ("names_come_and_go", names_come_and_go),
    ("names_change", names_change),
    ("files_without_a_name", files_without_a_name),
    ("bytes_move_between_files", bytes_move_between_files),
    ("set_id_bits_go", set_id_bits_go),
    ("programs_are_read_and_dump", programs_are_read_and_dump),
    ("many_watch", many_watch),
    ("content_is_read_and_written", content_is_read_and_written),
    ("attributes_change", attributes_change),
    ("once_or_many_times", once_or_many_times),
    ("more_is_added_and_all_given_up", more_is_added_and_all_given_up),
    ("a_close_ends_it", a_close_ends_it),
    ("several_watch", several_watch),
    ("who_gets_the_signal", who_gets_the_signal),
    ("a_directory_within", a_directory_within),
    ("what_cannot_be_watched", what_cannot_be_watched),
]);

const RT: u32 = SIGRTMIN + 2;
const ALL: u32 = DN_ACCESS | DN_MODIFY | DN_CREATE | DN_DELETE | DN_RENAME | DN_ATTRIB;
const MANY: u32 = DN_MULTISHOT;

fn watch(fd: i32, mask: u32) -> Result<u64, Errno> {
    fcntl(fd, F_NOTIFY, mask.into())
}

/// A folder `d` in a tmpfs or scratch folder, with a file `d/f`, open; its signal is [`RT`], which is blocked.
fn begin() -> Result<i32, Failure> {
    scratch::enter()?;
    rt_sigprocmask(SIG_BLOCK, 1 << (RT - 1) | 1 << (SIGIO - 1))?;
    mkdirat(AT_FDCWD, c"d", 0o755)?;
    close(create(c"d/f", b"some bytes")?)?;
    let fd = open(c"d", O_RDONLY, 0)?;
    fcntl(fd, F_SETSIG, RT.into())?;
    Ok(fd)
}

/// How many signals there were about a descriptor.
fn told(fd: i32) -> Result<usize, Failure> {
    let set: u64 = 1 << (RT - 1);
    let (mut info, now) = (SigInfo::default(), Timespec::default());
    for count in 0.. {
        let arguments = [(&raw const set) as u64, (&raw mut info) as u64, (&raw const now) as u64, 8];
        match raw::call(nr::rt_sigtimedwait, &arguments) {
            Ok(_) => {
                let band = u64::from(POLLIN | POLLRDNORM | POLLMSG);
                check_same((info.si_code, info.si_band(), info.si_fd()), (POLL_MSG, band, fd))?;
            }
            Err(Errno::EAGAIN) => return Ok(count),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(0)
}

fn check_same(found: (i32, u64, i32), expected: (i32, u64, i32)) -> Outcome {
    check_eq!(found, expected);
    Ok(())
}

/// What of these masks is told of `action`, each watched for alone: how many signals of access, modification, creation,
/// deletion, renaming and attributes.
fn events(fd: i32, mut action: impl FnMut(usize) -> Result<(), Errno>) -> Result<[usize; 6], Failure> {
    let mut counts = [0; 6];
    for (index, count) in counts.iter_mut().enumerate() {
        watch(fd, 0)?;
        watch(fd, 1 << index | MANY)?;
        action(index)?;
        *count = told(fd)?;
    }
    watch(fd, 0)?;
    Ok(counts)
}

fn names_come_and_go() -> Outcome {
    let fd = begin()?;
    let made = |made: Result<i32, Failure>| made.map_err(|_| Errno::EIO).and_then(close);
    check_eq!(
        events(fd, |_| made(create(c"d/new", b"")).and_then(|()| unlink(c"d/new")))?,
        [0, 0, 1, 1, 0, 0]
    );
    check_eq!(
        events(fd, |_| mkdirat(AT_FDCWD, c"d/new", 0o700).and_then(|()| files::rmdir(c"d/new")))?,
        [0, 0, 1, 1, 0, 0]
    );
    check_eq!(events(fd, |_| symlink(c"x", c"d/new").and_then(|()| unlink(c"d/new")))?, [0, 0, 1, 1, 0, 0]);
    check_eq!(
        events(fd, |_| mknodat(AT_FDCWD, c"d/new", S_IFIFO | 0o600, 0).and_then(|()| unlink(c"d/new")))?,
        [0, 0, 1, 1, 0, 0]
    );
    check_eq!(events(fd, |_| link(c"d/f", c"d/new").and_then(|()| unlink(c"d/new")))?, [0, 0, 1, 1, 0, 0]);
    // What fails changes nothing.
    check_eq!(events(fd, |_| both_refused(mkdirat(AT_FDCWD, c"d/f", 0), unlink(c"d/none")))?, [0; 6]);
    Ok(())
}

fn both_refused(first: Result<(), Errno>, second: Result<(), Errno>) -> Result<(), Errno> {
    if first.is_err() && second.is_err() { Ok(()) } else { Err(Errno::EIO) }
}

fn names_change() -> Outcome {
    let fd = begin()?;
    check_eq!(
        events(fd, |_| rename(c"d/f", c"d/g", 0).and_then(|()| rename(c"d/g", c"d/f", 0)))?,
        [0, 0, 2, 2, 2, 0]
    );
    // To where it is, which is no change.
    link(c"d/f", c"d/same")?;
    check_eq!(events(fd, |_| rename(c"d/f", c"d/same", 0))?, [0; 6]);
    unlink(c"d/same")?;
    // Out of it, and into it.
    check_eq!(
        events(fd, |_| rename(c"d/f", c"f", 0).and_then(|()| rename(c"f", c"d/f", 0)))?,
        [0, 0, 1, 1, 0, 0]
    );
    close(create(c"d/g", b"")?)?;
    check_eq!(events(fd, |_| rename(c"d/f", c"d/g", RENAME_EXCHANGE))?, [0, 0, 2, 2, 2, 0]);
    // Over what was there.
    check_eq!(
        events(fd, |_| link(c"d/f", c"h")
            .and_then(|()| rename(c"h", c"d/new", 0))
            .and_then(|()| unlink(c"d/new")))?,
        [0, 0, 1, 1, 0, 0]
    );
    Ok(())
}

fn files_without_a_name() -> Outcome {
    let fd = begin()?;
    // The directory in which the name was last is told.
    let gone = create(c"d/gone", b"")?;
    unlink(c"d/gone")?;
    check_eq!(events(fd, |_| write(gone, b"x").map(drop))?, [0, 1, 0, 0, 0, 0]);
    check_eq!(events(fd, |_| open(c"d", O_TMPFILE | O_RDWR, 0o600).and_then(close))?, [0; 6]);
    let nameless = open(c"d", O_TMPFILE | O_RDWR, 0o600)?;
    check_eq!(events(fd, |_| write(nameless, b"x").map(drop))?, [0, 1, 0, 0, 0, 0]);
    Ok(())
}

fn bytes_move_between_files() -> Outcome {
    let fd = begin()?;
    let from = open(c"d/f", O_RDONLY, 0)?;
    let to = open(c"d/to", O_RDWR | O_CREAT, 0o600)?;
    let (reader, writer) = pipe2(0)?;
    let back = || lseek(from, 0, SEEK_SET).and_then(|_| lseek(to, 0, SEEK_SET)).map(drop);
    let call = |number: u64, arguments: &[u64]| back().and_then(|()| raw::call(number, arguments)).map(drop);
    let [from, to, reader, writer] = [from, to, reader, writer].map(|fd| fd as u64);
    check_eq!(events(fd, |_| call(nr::sendfile, &[to, from, 0, 4]))?, [1, 2, 0, 0, 0, 0]);
    check_eq!(events(fd, |_| call(nr::sendfile, &[to, from, 0, 0]))?, [0; 6]);
    check_eq!(events(fd, |_| call(nr::copy_file_range, &[from, 0, to, 0, 4, 0]))?, [1, 2, 0, 0, 0, 0]);
    let through_pipe = |_| {
        call(nr::splice, &[from, 0, writer, 0, 4, 0])
            .and_then(|()| call(nr::splice, &[reader, 0, to, 0, 4, 0]))
    };
    check_eq!(events(fd, through_pipe)?, [0, 1, 0, 0, 0, 0]);
    check_eq!(events(fd, |_| call(nr::sendfile, &[writer, from, 0, 4]))?, [1, 0, 0, 0, 0, 0]);
    check_eq!(events(fd, |_| call(nr::fallocate, &[to, 0, 0, 4]))?, [0, 1, 0, 0, 0, 0]);
    check_eq!(events(fd, |_| call(nr::pwrite64, &[to, c"x".as_ptr() as u64, 1, 0]))?, [0, 1, 0, 0, 0, 0]);
    check_eq!(
        events(fd, |_| call(nr::pread64, &[to, [0u8; 1].as_mut_ptr() as u64, 1, 0]))?,
        [1, 0, 0, 0, 0, 0]
    );
    Ok(())
}

fn set_id_bits_go() -> Outcome {
    files::as_user(|| {
        let fd = begin()?;
        let file = open(c"d/f", O_RDWR, 0)?;
        let both = DN_MODIFY | DN_ATTRIB | MANY;
        let written = |action: &mut dyn FnMut() -> Result<(), Errno>| -> Result<usize, Failure> {
            fchmodat(AT_FDCWD, c"d/f", 0o4755)?;
            watch(fd, both)?;
            action()?;
            let count = told(fd)?;
            watch(fd, 0)?;
            check_same((files::mode_of(c"d/f")? as i32 & 0o7777, 0, 0), (0o755, 0, 0))?;
            Ok(count)
        };
        check_eq!(written(&mut || write(file, b"x").map(drop))?, 2);
        check_eq!(written(&mut || raw::call(nr::ftruncate, &[file as u64, 1]).map(drop))?, 1);
        check_eq!(written(&mut || fchownat(AT_FDCWD, c"d/f", u32::MAX, u32::MAX, 0))?, 1);
        Ok(())
    })
}

/// A program of a header and nothing else is read and refused.
fn programs_are_read_and_dump() -> Outcome {
    let fd = begin()?;
    close(create(c"d/none", b"no program")?)?;
    fchmodat(AT_FDCWD, c"d/none", 0o755)?;
    let execute = |_| {
        let arguments: [u64; 2] = [c"x".as_ptr() as u64, 0];
        let refused = raw::call(nr::execve, &[c"d/none".as_ptr() as u64, arguments.as_ptr() as u64, 0]);
        if refused == Err(Errno::ENOEXEC) { Ok(()) } else { Err(Errno::EIO) }
    };
    check_eq!(events(fd, execute)?, [1, 0, 0, 0, 0, 0]);
    Ok(())
}

fn many_watch() -> Outcome {
    let fd = begin()?;
    let mut others = [0; 100];
    for other in &mut others {
        *other = open(c"d", O_RDONLY, 0)?;
        fcntl(*other, F_SETSIG, RT.into())?;
        watch(*other, DN_DELETE)?;
    }
    // They are passed over, and none of them is lost by that.
    check_eq!((watch(fd, DN_ATTRIB), fchmodat(AT_FDCWD, c"d/f", 0o600), told(fd)?), (Ok(0), Ok(()), 1));
    unlink(c"d/f")?;
    let set: u64 = 1 << (RT - 1);
    let (mut info, now) = (SigInfo::default(), Timespec::default());
    let arguments = [(&raw const set) as u64, (&raw mut info) as u64, (&raw const now) as u64, 8];
    let mut count = 0;
    while raw::call(nr::rt_sigtimedwait, &arguments).is_ok() {
        count += 1;
    }
    check_eq!(count, others.len());
    Ok(())
}

fn content_is_read_and_written() -> Outcome {
    let fd = begin()?;
    let file = open(c"d/f", O_RDWR, 0)?;
    let read_some = |_| lseek(file, 0, SEEK_SET).and_then(|_| read(file, &mut [0; 4])).map(drop);
    check_eq!(events(fd, read_some)?, [1, 0, 0, 0, 0, 0]);
    // Nothing read is no access.
    check_eq!(
        events(fd, |_| lseek(file, 0, SEEK_END).and_then(|_| read(file, &mut [0; 4])).map(drop))?,
        [0; 6]
    );
    check_eq!(events(fd, |_| write(file, b"x").map(drop))?, [0, 1, 0, 0, 0, 0]);
    check_eq!(events(fd, |_| write(file, b"").map(drop))?, [0; 6]);
    let ftruncate = |_| raw::call(nr::ftruncate, &[file as u64, 3]).map(drop);
    check_eq!(events(fd, ftruncate)?, [0, 1, 0, 0, 0, 0]);
    check_eq!(
        events(fd, |_| raw::call(nr::truncate, &[c"d/f".as_ptr() as u64, 5]).map(drop))?,
        [0, 1, 0, 0, 0, 0]
    );
    check_eq!(events(fd, |_| open(c"d/f", O_WRONLY | O_TRUNC, 0).and_then(close))?, [0, 1, 0, 0, 0, 0]);
    check_eq!(events(fd, |_| open(c"d/f", O_WRONLY, 0).and_then(close))?, [0; 6]);
    let appending = open(c"d/f", O_WRONLY | O_APPEND, 0)?;
    check_eq!(events(fd, |_| write(appending, b"some bytes").map(drop))?, [0, 1, 0, 0, 0, 0]);
    // Listing is reading.
    let list = |_| {
        let mut names = [0u8; 512];
        lseek(fd, 0, SEEK_SET)
            .and_then(|_| raw::call(nr::getdents64, &[fd as u64, names.as_mut_ptr() as u64, 512]))
            .map(drop)
    };
    check_eq!(events(fd, list)?, [1, 0, 0, 0, 0, 0]);
    Ok(())
}

fn attributes_change() -> Outcome {
    let fd = begin()?;
    let attributes = [0, 0, 0, 0, 0, 1];
    check_eq!(events(fd, |_| fchmodat(AT_FDCWD, c"d/f", 0o600))?, attributes);
    check_eq!(events(fd, |_| fchownat(AT_FDCWD, c"d/f", 0, u32::MAX, 0))?, attributes);
    check_eq!(events(fd, |_| fchownat(AT_FDCWD, c"d/f", u32::MAX, u32::MAX, 0))?, [0; 6]);
    check_eq!(events(fd, |_| utimensat(AT_FDCWD, c"d/f", None, 0))?, attributes);
    let times = |accessed: i64, modified: i64| {
        let time = |tv_nsec: i64| Timespec { tv_sec: 1, tv_nsec };
        let times = [time(accessed), time(modified)];
        raw::call(nr::utimensat, &[AT_FDCWD as u64, c"d/f".as_ptr() as u64, times.as_ptr() as u64, 0])
            .map(drop)
    };
    check_eq!(events(fd, |_| times(5, UTIME_OMIT))?, [1, 0, 0, 0, 0, 0]);
    check_eq!(events(fd, |_| times(UTIME_OMIT, 5))?, [0, 1, 0, 0, 0, 0]);
    check_eq!(events(fd, |_| times(5, 5))?, attributes);
    check_eq!(events(fd, |_| times(UTIME_OMIT, UTIME_OMIT))?, [0; 6]);
    // Of the directory itself, too.
    check_eq!(events(fd, |_| fchmodat(AT_FDCWD, c"d", 0o700))?, attributes);
    Ok(())
}

fn once_or_many_times() -> Outcome {
    let fd = begin()?;
    check_eq!(watch(fd, ALL), Ok(0));
    let touch = || fchmodat(AT_FDCWD, c"d/f", 0o600);
    check_eq!((touch(), touch(), told(fd)?), (Ok(()), Ok(()), 1));
    // One event takes the whole watch.
    check_eq!((unlink(c"d/f"), told(fd)?), (Ok(()), 0));
    close(create(c"d/f", b"")?)?;
    check_eq!(
        (watch(fd, DN_ATTRIB | MANY), touch(), touch(), touch(), told(fd)?),
        (Ok(0), Ok(()), Ok(()), Ok(()), 3)
    );
    Ok(())
}

fn more_is_added_and_all_given_up() -> Outcome {
    let fd = begin()?;
    check_eq!((watch(fd, DN_DELETE | MANY), watch(fd, DN_ATTRIB)), (Ok(0), Ok(0)));
    check_eq!((fchmodat(AT_FDCWD, c"d/f", 0o600), unlink(c"d/f"), told(fd)?), (Ok(()), Ok(()), 2));
    close(create(c"d/f", b"")?)?;
    check_eq!(told(fd)?, 0);
    // Nothing, or that it be told many times of nothing, gives everything up.
    for nothing in [0, MANY] {
        check_eq!((watch(fd, ALL | MANY), watch(fd, nothing)), (Ok(0), Ok(0)));
        check_eq!((fchmodat(AT_FDCWD, c"d/f", 0o600), told(fd)?), (Ok(()), 0));
    }
    // What is no event is watched for in vain.
    check_eq!((watch(fd, 1 << 20 | MANY), fchmodat(AT_FDCWD, c"d/f", 0o600), told(fd)?), (Ok(0), Ok(()), 0));
    Ok(())
}

fn a_close_ends_it() -> Outcome {
    let fd = begin()?;
    let copy = fcntl(fd, F_DUPFD, 0)? as i32;
    check_eq!((watch(fd, ALL | MANY), close(copy)), (Ok(0), Ok(())));
    // As with record locks: any descriptor of the opening.
    check_eq!((fchmodat(AT_FDCWD, c"d/f", 0o600), told(fd)?), (Ok(()), 0));
    // Another process's descriptor is its own matter.
    check_eq!(watch(fd, ALL | MANY), Ok(0));
    check_eq!(child::run(|| i32::from(close(fd).is_err()))?, WaitStatus(0));
    check_eq!((fchmodat(AT_FDCWD, c"d/f", 0o600), told(fd)?), (Ok(()), 1));
    check_eq!(close(fd), Ok(()));
    check_eq!((fchmodat(AT_FDCWD, c"d/f", 0o600), told(fd)?), (Ok(()), 0));
    Ok(())
}

fn several_watch() -> Outcome {
    let fd = begin()?;
    let other = open(c"d", O_RDONLY, 0)?;
    fcntl(other, F_SETSIG, RT.into())?;
    check_eq!((watch(fd, DN_ATTRIB), watch(other, DN_ATTRIB | MANY)), (Ok(0), Ok(0)));
    let touch = || fchmodat(AT_FDCWD, c"d/f", 0o600);
    touch()?;
    let set: u64 = 1 << (RT - 1);
    let mut descriptors = [0; 2];
    for descriptor in &mut descriptors {
        let mut info = SigInfo::default();
        raw::call(nr::rt_sigtimedwait, &[(&raw const set) as u64, (&raw mut info) as u64, 0, 8])?;
        *descriptor = info.si_fd();
    }
    descriptors.sort_unstable();
    check_eq!(descriptors, [fd.min(other), fd.max(other)]);
    check_eq!((touch(), told(other)?), (Ok(()), 1));
    Ok(())
}

fn who_gets_the_signal() -> Outcome {
    let fd = begin()?;
    check_eq!((watch(fd, ALL | MANY), fcntl(fd, F_GETOWN, 0)), (Ok(0), Ok(getpid() as u64)));
    fcntl(fd, F_SETSIG, 0)?;
    fchmodat(AT_FDCWD, c"d/f", 0o600)?;
    let io: u64 = 1 << (SIGIO - 1);
    let mut info = SigInfo::default();
    raw::call(nr::rt_sigtimedwait, &[(&raw const io) as u64, (&raw mut info) as u64, 0, 8])?;
    check_eq!((info.signal(), info.si_code), (SIGIO, SI_KERNEL));
    // Whoever was named before stays.
    fcntl(fd, F_SETOWN, 0)?;
    let other = open(c"d", O_RDONLY, 0)?;
    let parent = libsyscall::process::getppid();
    fcntl(other, F_SETOWN, parent as u64)?;
    check_eq!((watch(other, ALL | MANY), fcntl(other, F_GETOWN, 0)), (Ok(0), Ok(parent as u64)));
    watch(other, 0)?;
    Ok(())
}

fn a_directory_within() -> Outcome {
    let fd = begin()?;
    mkdirat(AT_FDCWD, c"d/in", 0o755)?;
    // A directory is a name like others, and what is in it is not told.
    check_eq!(events(fd, |_| fchmodat(AT_FDCWD, c"d/in", 0o700))?, [0, 0, 0, 0, 0, 1]);
    check_eq!(
        events(fd, |_| mkdirat(AT_FDCWD, c"d/in/new", 0o755).and_then(|()| files::rmdir(c"d/in/new")))?,
        [0; 6]
    );
    // One that is replaced has its links changed.
    let within = open(c"d/in", O_RDONLY, 0)?;
    fcntl(within, F_SETSIG, RT.into())?;
    let replace = |_| mkdirat(AT_FDCWD, c"other", 0o755).and_then(|()| rename(c"other", c"d/in", 0));
    watch(within, DN_ATTRIB | MANY)?;
    replace(0)?;
    check_eq!(told(within)?, 1);
    let within = open(c"d/in", O_RDONLY, 0)?;
    fcntl(within, F_SETSIG, RT.into())?;
    check_eq!((watch(within, ALL | MANY), files::rmdir(c"d/in"), told(within)?), (Ok(0), Ok(()), 0));
    Ok(())
}

fn what_cannot_be_watched() -> Outcome {
    let fd = begin()?;
    let file = open(c"d/f", O_RDONLY, 0)?;
    let (reader, _writer) = pipe2(0)?;
    for other in [file, reader, open(c"/dev/null", O_RDONLY, 0)?] {
        check_eq!(
            (watch(other, ALL), watch(other, 0), watch(other, MANY)),
            (Err(Errno::ENOTDIR), Ok(0), Ok(0))
        );
    }
    check_eq!(watch(open(c"d", O_PATH, 0)?, ALL), Err(Errno::EBADF));
    check_eq!(watch(-1, ALL), Err(Errno::EBADF));
    check_eq!(files::content(c"/proc/sys/fs/dir-notify-enable")?, b"1\n");
    if libsyscall::process::geteuid() != 0 {
        return Ok(());
    }
    let setting = open(c"/proc/sys/fs/dir-notify-enable", O_WRONLY, 0)?;
    write(setting, b"0\n")?;
    let refused = (watch(fd, ALL), watch(fd, 0));
    lseek(setting, 0, SEEK_SET)?;
    write(setting, b"1\n")?;
    check_eq!(refused, (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    check_eq!(watch(fd, ALL), Ok(0));
    Ok(())
}
