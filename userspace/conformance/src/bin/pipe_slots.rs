//! Pipes: their slots, packets and sizes, and what stays of them when ends close and open again.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::ioctl::FIONREAD;
use abi::native::nr;
use abi::poll::*;
use abi::process::WaitStatus;
use abi::resource::{RLIMIT_FSIZE, Rlimit};
use abi::signal::SIGXFSZ;
use abi::time::Timespec;
use alloc::ffi::CString;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use core::ffi::CStr;
use core::hint::black_box;
use libsyscall::file::*;
use libsyscall::signal::{Disposition, set_disposition};

conformance::tests!(&[
    ("small_writes_merge_while_they_fit", small_writes_merge_while_they_fit),
    ("a_slot_is_free_when_it_is_empty", a_slot_is_free_when_it_is_empty),
    ("packets_stay_apart", packets_stay_apart),
    ("packets_by_a_flag_of_the_file", packets_by_a_flag_of_the_file),
    ("long_writes_and_packets", long_writes_and_packets),
    ("sizes_are_rounded_and_checked", sizes_are_rounded_and_checked),
    ("more_room_wakes_a_writer", more_room_wakes_a_writer),
    ("users_have_so_many_pages", users_have_so_many_pages),
    ("a_fifo_forgets_with_its_last_end", a_fifo_forgets_with_its_last_end),
    ("a_writer_before_is_no_hang_up", a_writer_before_is_no_hang_up),
    ("a_nameless_pipe_opens_at_once", a_nameless_pipe_opens_at_once),
    ("process_substitution", process_substitution),
    ("what_splice_cannot_give_stays", what_splice_cannot_give_stays),
    ("requests_of_other_files", requests_of_other_files),
    ("requests_of_random_devices", requests_of_random_devices),
]);

const PAGE: usize = 4096;
const SLOTS: usize = 16;

fn filled(fd: i32) -> Result<i32, Errno> {
    let mut length = 0i32;
    raw::call(nr::ioctl, &[fd as u64, FIONREAD.into(), (&raw mut length) as u64])?;
    Ok(black_box(length))
}

fn events(fd: i32) -> Result<u16, Errno> {
    let mut fds = [Pollfd { fd, events: POLLIN | POLLOUT, revents: 0 }];
    ppoll(&mut fds, Some(Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents)
}

/// Writes of this length until the pipe is full; how many there were.
fn fill(writer: i32, length: usize) -> Result<usize, Failure> {
    let bytes = alloc::vec![7; length];
    for count in 0.. {
        match write(writer, &bytes) {
            Ok(done) if done == length => {}
            Err(Errno::EAGAIN) => return Ok(count),
            other => return Err(Failure::new(alloc::format!("write {count} is {other:?}"))),
        }
    }
    Ok(0)
}

fn small_writes_merge_while_they_fit() -> Outcome {
    for (length, count) in [(1, SLOTS * PAGE), (2049, SLOTS), (1000, SLOTS * 4), (4096, SLOTS), (3000, SLOTS)]
    {
        let (reader, writer) = pipe2(O_NONBLOCK)?;
        check_eq!((length, fill(writer, length)?), (length, count));
        check_eq!(filled(reader)?, (count * length) as i32);
        close(reader)?;
        close(writer)?;
    }
    // What a long write has beyond whole pages goes into the last slot first.
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    check_eq!((write(writer, &[1; 100]), write(writer, &[2; 4096 + 300])), (Ok(100), Ok(4396)));
    check_eq!(fill(writer, PAGE)?, SLOTS - 2);
    let mut bytes = [0; 500];
    check_eq!((read(reader, &mut bytes), bytes[99], bytes[100]), (Ok(500), 1, 2));
    Ok(())
}

fn a_slot_is_free_when_it_is_empty() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    check_eq!(events(writer)?, POLLOUT);
    check_eq!(fill(writer, 2049)?, SLOTS);
    check_eq!((events(writer)?, events(reader)?), (0, POLLIN));
    check_eq!(read(reader, &mut [0; 2048]), Ok(2048));
    check_eq!((events(writer)?, write(writer, b"x")), (0, Ok(1)));
    check_eq!(write(writer, &[0; 2048]), Err(Errno::EAGAIN));
    check_eq!(read(reader, &mut [0; 1]), Ok(1));
    check_eq!((events(writer)?, write(writer, &[0; PAGE])), (POLLOUT, Ok(PAGE)));
    check_eq!(events(writer)?, 0);
    Ok(())
}

fn packets_stay_apart() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK | O_DIRECT)?;
    check_eq!(fcntl(writer, F_GETFL, 0)? as u32 & O_DIRECT, O_DIRECT);
    check_eq!(fcntl(reader, F_GETFL, 0)? as u32 & O_DIRECT, 0);
    check_eq!(fill(writer, 1)?, SLOTS);
    check_eq!(filled(reader)?, SLOTS as i32);
    let mut bytes = [0; 64];
    for _ in 0..SLOTS {
        check_eq!(read(reader, &mut bytes), Ok(1));
    }
    check_eq!(read(reader, &mut bytes), Err(Errno::EAGAIN));
    for packet in [&b"first"[..], b"second", b"third"] {
        write(writer, packet)?;
    }
    check_eq!((read(reader, &mut bytes[..2]), &bytes[..2]), (Ok(2), &b"fi"[..]));
    check_eq!((read(reader, &mut bytes), &bytes[..6]), (Ok(6), &b"second"[..]));
    check_eq!((filled(reader)?, write(writer, b"")), (5, Ok(0)));
    check_eq!((read(reader, &mut bytes), read(reader, &mut bytes)), (Ok(5), Err(Errno::EAGAIN)));
    Ok(())
}

fn packets_by_a_flag_of_the_file() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let mut bytes = [0; 64];
    let set = |flags: u32| fcntl(writer, F_SETFL, u64::from(flags | O_NONBLOCK));
    write(writer, b"stream")?;
    check_eq!(set(O_DIRECT), Ok(0));
    // What is a stream goes on as one.
    write(writer, b"one")?;
    check_eq!((read(reader, &mut bytes), &bytes[..9]), (Ok(9), &b"streamone"[..]));
    write(writer, b"two")?;
    write(writer, b"three")?;
    set(0)?;
    write(writer, b"more")?;
    write(writer, b" of it")?;
    check_eq!((read(reader, &mut bytes), &bytes[..3]), (Ok(3), &b"two"[..]));
    check_eq!((read(reader, &mut bytes), &bytes[..5]), (Ok(5), &b"three"[..]));
    check_eq!((read(reader, &mut bytes), &bytes[..10]), (Ok(10), &b"more of it"[..]));
    scratch::enter()?;
    mknodat(AT_FDCWD, c"fifo", S_IFIFO | 0o600, 0)?;
    check_eq!(open(c"fifo", O_RDWR | O_DIRECT, 0), Err(Errno::EINVAL));
    Ok(())
}

fn long_writes_and_packets() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK | O_DIRECT)?;
    check_eq!(write(writer, &[3; 2 * PAGE + 10]), Ok(2 * PAGE + 10));
    let mut bytes = [0; 3 * PAGE];
    check_eq!((read(reader, &mut bytes), read(reader, &mut bytes)), (Ok(PAGE), Ok(PAGE)));
    check_eq!((read(reader, &mut bytes), read(reader, &mut bytes)), (Ok(10), Err(Errno::EAGAIN)));
    check_eq!(write(writer, &[0; 20 * PAGE]), Ok(SLOTS * PAGE));
    Ok(())
}

fn sizes_are_rounded_and_checked() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let set = |wanted: u64| fcntl(writer, F_SETPIPE_SZ, wanted);
    for (wanted, got) in
        [(0, 4096), (1, 4096), (4097, 8192), (100_000, 131_072), (1 << 20, 1 << 20), (3 << 20, 4 << 20)]
    {
        check_eq!((wanted, set(wanted)), (wanted, Ok(got)));
        check_eq!(fcntl(reader, F_GETPIPE_SZ, 0), Ok(got));
    }
    check_eq!((set((1 << 31) + 1), set(1 << 40)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    check_eq!((set(1 << 31), set(1 << 29)), (Err(Errno::ENOMEM), Err(Errno::ENOMEM)));
    check_eq!((set(65536), fill(writer, 2049)?), (Ok(65536), SLOTS));
    check_eq!((set(61440), set(32768)), (Ok(65536), Err(Errno::EBUSY)));
    check_eq!(read(reader, &mut [0; 2049 * 8]), Ok(2049 * 8));
    check_eq!((set(32768), write(writer, b"x")), (Ok(32768), Ok(1)));
    check_eq!(write(writer, &[0; PAGE]), Err(Errno::EAGAIN));
    check_eq!(filled(reader)?, 2049 * 8 + 1);
    scratch::enter()?;
    let file = files::create(c"file", b"")?;
    check_eq!(fcntl(file, F_GETPIPE_SZ, 0), Err(Errno::EBADF));
    check_eq!(fcntl(file, F_SETPIPE_SZ, 4096), Err(Errno::EBADF));
    files::as_user(|| {
        let (_reader, writer) = pipe2(0)?;
        check_eq!(fcntl(writer, F_SETPIPE_SZ, 1 << 20), Ok(1 << 20));
        check_eq!(fcntl(writer, F_SETPIPE_SZ, (1 << 20) + 1), Err(Errno::EPERM));
        check_eq!(fcntl(writer, F_SETPIPE_SZ, (1 << 31) + 1), Err(Errno::EINVAL));
        check_eq!(fcntl(writer, F_SETPIPE_SZ, 4096), Ok(4096));
        Ok(())
    })
}

fn more_room_wakes_a_writer() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    fill(writer, PAGE)?;
    fcntl(writer, F_SETFL, 0)?;
    let pid = child::start(|| i32::from(write(writer, &[0; PAGE]) != Ok(PAGE)))?;
    ulib::time::sleep(core::time::Duration::from_millis(3));
    check_eq!(fcntl(reader, F_SETPIPE_SZ, 1 << 17), Ok(1 << 17));
    check_eq!(child::wait(pid)?, WaitStatus(0));
    Ok(())
}

/// `pipe-user-pages-soft`: 16384 pages, as both kernels have it at first.
fn users_have_so_many_pages() -> Outcome {
    files::as_user(|| {
        const EACH: u64 = 1 << 20;
        for _ in 0..64 {
            let (_, writer) = pipe2(0)?;
            check_eq!(fcntl(writer, F_SETPIPE_SZ, EACH), Ok(EACH));
        }
        let (reader, writer) = pipe2(0)?;
        check_eq!(fcntl(writer, F_GETPIPE_SZ, 0), Ok(8192));
        check_eq!(
            (fcntl(writer, F_SETPIPE_SZ, 16384), fcntl(writer, F_SETPIPE_SZ, 4096)),
            (Err(Errno::EPERM), Ok(4096))
        );
        // What a pipe had is there again when both of its ends are closed.
        close(3)?;
        close(4)?;
        check_eq!(fcntl(writer, F_SETPIPE_SZ, 65536), Ok(65536));
        check_eq!((close(reader), close(writer)), (Ok(()), Ok(())));
        Ok(())
    })
}

fn fifo(name: &CStr) -> Result<(), Failure> {
    mknodat(AT_FDCWD, name, S_IFIFO | 0o600, 0)?;
    Ok(())
}

fn a_fifo_forgets_with_its_last_end() -> Outcome {
    scratch::enter()?;
    fifo(c"fifo")?;
    let mut bytes = [0; 16];
    let reader = open(c"fifo", O_RDONLY | O_NONBLOCK, 0)?;
    let writer = open(c"fifo", O_WRONLY, 0)?;
    check_eq!(fcntl(writer, F_SETPIPE_SZ, 4096), Ok(4096));
    write(writer, b"lost")?;
    close(writer)?;
    // One end is enough to keep them.
    let writer = open(c"fifo", O_WRONLY, 0)?;
    check_eq!((filled(reader)?, fcntl(writer, F_GETPIPE_SZ, 0)), (4, Ok(4096)));
    close(reader)?;
    let reader = open(c"fifo", O_RDONLY | O_NONBLOCK, 0)?;
    check_eq!(filled(reader)?, 4);
    close(reader)?;
    close(writer)?;
    let reader = open(c"fifo", O_RDONLY | O_NONBLOCK, 0)?;
    check_eq!((read(reader, &mut bytes), filled(reader)?), (Ok(0), 0));
    check_eq!(fcntl(reader, F_GETPIPE_SZ, 0), Ok(65536));
    let writer = open(c"fifo", O_WRONLY | O_NONBLOCK, 0)?;
    check_eq!(read(reader, &mut bytes), Err(Errno::EAGAIN));
    check_eq!((write(writer, b"new"), read(reader, &mut bytes)), (Ok(3), Ok(3)));
    // The same through one descriptor for both.
    close(reader)?;
    close(writer)?;
    let both = open(c"fifo", O_RDWR | O_NONBLOCK, 0)?;
    check_eq!((write(both, b"lost"), close(both)), (Ok(4), Ok(())));
    let both = open(c"fifo", O_RDWR | O_NONBLOCK, 0)?;
    check_eq!((filled(both)?, read(both, &mut bytes)), (0, Err(Errno::EAGAIN)));
    Ok(())
}

/// A reader that did not wait for a writer sees no hang-up until one has come and gone.
fn a_writer_before_is_no_hang_up() -> Outcome {
    scratch::enter()?;
    fifo(c"fifo")?;
    let early = open(c"fifo", O_RDONLY | O_NONBLOCK, 0)?;
    check_eq!(events(early)?, 0);
    let writer = open(c"fifo", O_WRONLY, 0)?;
    check_eq!((events(early)?, events(writer)?), (0, POLLOUT));
    close(writer)?;
    check_eq!(events(early)?, POLLHUP);
    let late = open(c"fifo", O_RDONLY | O_NONBLOCK, 0)?;
    check_eq!((events(early)?, events(late)?), (POLLHUP, 0));
    let writer = open(c"fifo", O_WRONLY, 0)?;
    check_eq!((events(early)?, events(late)?), (0, 0));
    close(writer)?;
    check_eq!((events(early)?, events(late)?), (POLLHUP, POLLHUP));
    close(late)?;
    close(early)?;
    let fresh = open(c"fifo", O_RDONLY | O_NONBLOCK, 0)?;
    check_eq!(events(fresh)?, 0);
    Ok(())
}

/// The name of a descriptor of this process.
fn own(fd: i32) -> CString {
    CString::new(alloc::format!("/proc/self/fd/{fd}")).unwrap_or_default()
}

fn a_nameless_pipe_opens_at_once() -> Outcome {
    let mut bytes = [0; 8];
    let (reader, writer) = pipe2(0)?;
    write(writer, b"hi")?;
    close(writer)?;
    let again = open(&own(reader), O_RDONLY, 0)?;
    check_eq!((read(again, &mut bytes), read(again, &mut bytes)), (Ok(2), Ok(0)));
    // Its other end opens too, and then there is a writer again.
    let writer = open(&own(reader), O_WRONLY, 0)?;
    fcntl(again, F_SETFL, u64::from(O_NONBLOCK))?;
    check_eq!((events(again)?, read(again, &mut bytes)), (0, Err(Errno::EAGAIN)));
    check_eq!((write(writer, b"more"), close(reader), read(again, &mut bytes)), (Ok(4), Ok(()), Ok(4)));
    close(writer)?;
    check_eq!((events(again)?, read(again, &mut bytes)), (POLLHUP, Ok(0)));
    let (reader, writer) = pipe2(0)?;
    close(reader)?;
    let others = [open(&own(writer), O_WRONLY | O_NONBLOCK, 0)?, open(&own(writer), O_WRONLY, 0)?];
    check_eq!(others.map(events), [Ok(POLLOUT | POLLERR), Ok(POLLOUT | POLLERR)]);
    let both = open(&own(writer), O_RDWR, 0)?;
    check_eq!((write(writer, b"back"), read(both, &mut bytes)), (Ok(4), Ok(4)));
    Ok(())
}

/// As a shell's `cat <(printf …)`: the reader opens the pipe by its name, perhaps when the writer has ended.
fn process_substitution() -> Outcome {
    for writer_ends_first in [true, false] {
        let (reader, writer) = pipe2(0)?;
        let printf = child::start(|| i32::from(write(writer, b"text") != Ok(4)))?;
        close(writer)?;
        if writer_ends_first {
            check_eq!(child::wait(printf)?, WaitStatus(0));
        }
        let path = own(reader);
        let cat = child::start(|| match open(&path, O_RDONLY, 0) {
            Ok(fd) => {
                let _ = close(reader);
                i32::from(ulib::io::read_to_end(fd) != Ok(b"text".to_vec()))
            }
            Err(_) => 2,
        })?;
        check_eq!(child::wait(cat)?, WaitStatus(0));
        if !writer_ends_first {
            check_eq!(child::wait(printf)?, WaitStatus(0));
        }
        close(reader)?;
    }
    // `>(…)`: the writer opens it, and its end is the end.
    let (reader, writer) = pipe2(0)?;
    let path = own(writer);
    let echo = child::start(|| match open(&path, O_WRONLY, 0) {
        Ok(fd) => i32::from(write(fd, b"text") != Ok(4)),
        Err(_) => 2,
    })?;
    check_eq!(child::wait(echo)?, WaitStatus(0));
    close(writer)?;
    check_eq!(ulib::io::read_to_end(reader)?, b"text".to_vec());
    Ok(())
}

/// Bytes that the other file refuses are still in the pipe.
fn what_splice_cannot_give_stays() -> Outcome {
    scratch::enter()?;
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let file = files::create(c"file", b"")?;
    write(writer, b"precious")?;
    let status = child::run(|| {
        let limit = Rlimit { rlim_cur: 3, rlim_max: 3 };
        let _ = set_disposition(SIGXFSZ, Disposition::Ignore);
        let _ = libsyscall::process::prlimit64(0, RLIMIT_FSIZE, Some(&limit));
        let splice = || raw::call(nr::splice, &[reader as u64, 0, file as u64, 0, 8, 0]);
        i32::from((splice(), splice()) != (Ok(3), Err(Errno::EFBIG)))
    })?;
    check_eq!(status, WaitStatus(0));
    let mut bytes = [0; 16];
    check_eq!((read(reader, &mut bytes), &bytes[..5]), (Ok(5), &b"cious"[..]));
    let (_other_reader, other_writer) = pipe2(O_NONBLOCK)?;
    fill(other_writer, 2049)?;
    write(writer, b"precious")?;
    let nonblocking = u64::from(SPLICE_F_NONBLOCK);
    check_eq!(
        raw::call(nr::splice, &[reader as u64, 0, other_writer as u64, 0, 8, nonblocking]),
        Err(Errno::EAGAIN)
    );
    check_eq!(filled(reader)?, 8);
    Ok(())
}

fn is_terminal(fd: i32) -> Result<u64, Errno> {
    let mut modes = [0u8; 64];
    raw::call(nr::ioctl, &[fd as u64, 0x5401, modes.as_mut_ptr() as u64])
}

fn requests_of_other_files() -> Outcome {
    scratch::enter()?;
    let (reader, writer) = pipe2(0)?;
    let file = files::create(c"file", b"")?;
    let event = raw::call(nr::eventfd2, &[0, 0])? as i32;
    let epoll = raw::call(nr::epoll_create1, &[0])? as i32;
    for fd in [reader, writer, file, event, epoll] {
        check_eq!((fd, is_terminal(fd)), (fd, Err(Errno::ENOTTY)));
    }
    for path in [c".", c"/dev/null", c"/dev/zero", c"/proc/self/maps", c"/proc/uptime", c"/proc"] {
        check_eq!((path, is_terminal(open(path, O_RDONLY, 0)?)), (path, Err(Errno::ENOTTY)));
    }
    check_eq!(is_terminal(open(c"file", O_PATH, 0)?), Err(Errno::EBADF));
    check_eq!(filled(writer)?, 0);
    check_eq!((filled(event), filled(epoll)), (Err(Errno::ENOTTY), Err(Errno::ENOTTY)));
    Ok(())
}

fn requests_of_random_devices() -> Outcome {
    let [get, add, stir_in, zap, clear, seed]: [u64; 6] =
        [0x8004_5200, 0x4004_5201, 0x4008_5203, 0x5204, 0x5206, 0x5207];
    for path in [c"/dev/random", c"/dev/urandom"] {
        let fd = open(path, O_RDONLY, 0)?;
        let request = |request: u64, argument: u64| raw::call(nr::ioctl, &[fd as u64, request, argument]);
        let mut count = [0i32; 1];
        check_eq!((request(get, count.as_mut_ptr() as u64), black_box(count)), (Ok(0), [256]));
        check_eq!((request(get, 8), is_terminal(fd)), (Err(Errno::EFAULT), Err(Errno::EINVAL)));
        let (few, negative) = ([8i32], [-1i32]);
        check_eq!(request(add, few.as_ptr() as u64), Ok(0));
        check_eq!(request(add, negative.as_ptr() as u64), Err(Errno::EINVAL));
        let stir = |bits: i32, length: i32| request(stir_in, [bits, length, 77].as_ptr() as u64);
        check_eq!((stir(8, 4), stir(-1, 4), stir(8, -1)), (Ok(0), Err(Errno::EINVAL), Err(Errno::EFAULT)));
        check_eq!((request(zap, 0), request(clear, 0), request(seed, 0)), (Ok(0), Ok(0), Ok(0)));
        files::as_user(|| {
            for wanted in [add, stir_in, zap, clear, seed] {
                check_eq!((wanted, request(wanted, few.as_ptr() as u64)), (wanted, Err(Errno::EPERM)));
            }
            check!(request(get, count.as_ptr() as u64).is_ok());
            Ok(())
        })?;
    }
    Ok(())
}
