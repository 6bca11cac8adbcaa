//! Pipes, and waiting for readiness.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::poll::*;
use abi::process::WaitStatus;
use abi::signal::SIGPIPE;
use abi::time::Timespec;
use conformance::handler::{count, record_signal};
use conformance::{Outcome, check, check_eq, child, files, raw, scratch};
use core::time::Duration;
use libsyscall::file::*;
use libsyscall::signal::{Disposition, set_disposition};

conformance::tests!(&[
    ("bytes_come_through", bytes_come_through),
    ("no_writer_is_the_end", no_writer_is_the_end),
    ("no_reader_is_a_signal", no_reader_is_a_signal),
    ("a_full_pipe_blocks", a_full_pipe_blocks),
    ("small_writes_are_whole", small_writes_are_whole),
    ("much_data", much_data),
    ("partial_writes", partial_writes),
    ("how_much_is_there", how_much_is_there),
    ("polling_a_pipe", polling_a_pipe),
    ("polling_waits", polling_waits),
    ("polling_files_and_nothing", polling_files_and_nothing),
    ("selecting", selecting),
    ("named_pipes", named_pipes),
    ("ends_of_named_pipes_that_meet_in_passing", ends_of_named_pipes_that_meet_in_passing),
    ("the_size_can_be_changed", the_size_can_be_changed),
    ("splicing", splicing),
    ("splicing_is_refused", splicing_is_refused),
]);

const NOW: Option<Timespec> = Some(Timespec { tv_sec: 0, tv_nsec: 0 });

fn bytes_come_through() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    check_eq!(write(writer, b"hello"), Ok(5));
    check_eq!(write(writer, b" world"), Ok(6));
    let mut buffer = [0; 20];
    check_eq!(read(reader, &mut buffer[..3]), Ok(3));
    check_eq!(read(reader, &mut buffer[3..]), Ok(8));
    check_eq!(&buffer[..11], b"hello world");
    check_eq!((write(reader, b"x"), read(writer, &mut buffer)), (Err(Errno::EBADF), Err(Errno::EBADF)));
    check_eq!(write(writer, b""), Ok(0));
    check_eq!(raw::call(nr::pipe2, &[0x10, 0]), Err(Errno::EFAULT));
    check_eq!(pipe2(0x1), Err(Errno::EINVAL));
    Ok(())
}

fn no_writer_is_the_end() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| {
        let _ = close(reader);
        ulib::time::sleep(Duration::from_millis(10));
        0
    })?;
    close(writer)?;
    // The child holds the other end open until it ends.
    check_eq!(read(reader, &mut [0]), Ok(0));
    child::wait(pid)?;
    Ok(())
}

fn no_reader_is_a_signal() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    close(reader)?;
    let status = child::run(|| {
        let _ = write(writer, b"x");
        0
    })?;
    check_eq!(status.term_signal(), Some(SIGPIPE));
    record_signal(SIGPIPE, 0)?;
    check_eq!((write(writer, b"x"), count()), (Err(Errno::EPIPE), 1));
    set_disposition(SIGPIPE, Disposition::Ignore)?;
    check_eq!(write(writer, b"x"), Err(Errno::EPIPE));
    Ok(())
}

fn a_full_pipe_blocks() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let mut total = 0;
    while let Ok(length) = write(writer, &[7; 4096]) {
        total += length;
    }
    check_eq!(total, 65536);
    check_eq!(write(writer, b"x"), Err(Errno::EAGAIN));
    fcntl(writer, F_SETFL, 0)?;
    let pid = child::start(|| i32::from(write(writer, b"last") != Ok(4)))?;
    let mut buffer = [0; 4096];
    let mut read_total = 0;
    ulib::time::sleep(Duration::from_millis(5));
    fcntl(reader, F_SETFL, 0)?;
    while read_total < total + 4 {
        read_total += read(reader, &mut buffer)?;
    }
    check_eq!(child::wait(pid)?, WaitStatus(0));
    Ok(())
}

/// Up to PIPE_BUF bytes go in as a whole or not at all.
fn small_writes_are_whole() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    while write(writer, &[0; 4096]).is_ok() {}
    let mut buffer = [0; 100];
    check_eq!(read(reader, &mut buffer), Ok(100));
    check_eq!(write(writer, &[1; 4096]), Err(Errno::EAGAIN));
    Ok(())
}

fn much_data() -> Outcome {
    const TOTAL: usize = 1 << 20;
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| {
        let bytes: alloc::vec::Vec<u8> = (0..TOTAL).map(|number| (number % 251) as u8).collect();
        i32::from(write(writer, &bytes) != Ok(TOTAL))
    })?;
    close(writer)?;
    let bytes = ulib::io::read_to_end(reader)?;
    check_eq!(bytes.len(), TOTAL);
    check!(bytes.iter().enumerate().all(|(number, &byte)| byte == (number % 251) as u8));
    check_eq!(child::wait(pid)?, WaitStatus(0));
    Ok(())
}

fn partial_writes() -> Outcome {
    let (_reader, writer) = pipe2(O_NONBLOCK)?;
    check_eq!(write(writer, &[0; 100_000]), Ok(65536));
    Ok(())
}

fn how_much_is_there() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    write(writer, &[0; 1234])?;
    let mut length = 0i32;
    raw::call(nr::ioctl, &[reader as u64, 0x541b, (&raw mut length) as u64])?;
    check_eq!(core::hint::black_box(length), 1234);
    Ok(())
}

fn poll_one(fd: i32, events: u16, timeout: Option<Timespec>) -> Result<u16, Errno> {
    let mut fds = [Pollfd { fd, events, revents: u16::MAX }];
    let ready = ppoll(&mut fds, timeout)?;
    if (ready == 1) == (fds[0].revents != 0) { Ok(fds[0].revents) } else { Err(Errno::EIO) }
}

fn polling_a_pipe() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    check_eq!(poll_one(reader, POLLIN, NOW), Ok(0));
    check_eq!(poll_one(writer, POLLOUT, NOW), Ok(POLLOUT));
    write(writer, b"x")?;
    check_eq!(poll_one(reader, POLLIN, None), Ok(POLLIN));
    close(writer)?;
    check_eq!(poll_one(reader, POLLIN, None), Ok(POLLIN | POLLHUP));
    read(reader, &mut [0])?;
    check_eq!(poll_one(reader, POLLIN, None), Ok(POLLHUP));
    let (reader, writer) = pipe2(0)?;
    close(reader)?;
    check_eq!(poll_one(writer, POLLOUT, None), Ok(POLLOUT | POLLERR));
    Ok(())
}

fn polling_waits() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let (other, _other_writer) = pipe2(0)?;
    let pid = child::start(|| {
        ulib::time::sleep(Duration::from_millis(10));
        i32::from(write(writer, b"x") != Ok(1))
    })?;
    let entry = |fd| Pollfd { fd, events: POLLIN, revents: 0 };
    let mut fds = [entry(other), entry(-1), entry(reader)];
    check_eq!(ppoll(&mut fds, None), Ok(1));
    check_eq!(fds.map(|entry| entry.revents), [0, 0, POLLIN]);
    child::wait(pid)?;
    let start = ulib::time::monotonic();
    check_eq!(poll_one(other, POLLIN, Some(Timespec { tv_sec: 0, tv_nsec: 20_000_000 })), Ok(0));
    check!(ulib::time::monotonic() - start >= Duration::from_millis(20));
    check_eq!(poll_one(other, POLLIN, Some(Timespec { tv_sec: 0, tv_nsec: -1 })), Err(Errno::EINVAL));
    Ok(())
}

fn polling_files_and_nothing() -> Outcome {
    scratch::enter()?;
    let fd = open(c"file", O_RDWR | O_CREAT, 0o600)?;
    check_eq!(poll_one(fd, POLLIN | POLLOUT, None), Ok(POLLIN | POLLOUT));
    check_eq!(poll_one(99, POLLIN, NOW), Ok(POLLNVAL));
    check_eq!(ppoll(&mut [], NOW), Ok(0));
    check_eq!(raw::call(nr::ppoll, &[8, 1, 0, 0, 0]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::ppoll, &[0, u64::MAX, 0, 0, 0]), Err(Errno::EINVAL));
    Ok(())
}

fn selecting() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let select = |read: &mut u64, write: &mut u64| {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let addresses = [(&raw mut *read) as u64, (&raw mut *write) as u64, 0, (&raw const zero) as u64];
        let [read, write, except, timeout] = addresses;
        raw::call(nr::pselect6, &[64, read, write, except, timeout, 0])
    };
    let (mut readable, mut writable) = (1 << reader, 1 << writer);
    check_eq!(select(&mut readable, &mut writable), Ok(1));
    check_eq!((readable, writable), (0, 1 << writer));
    write(writer, b"x")?;
    let (mut readable, mut writable) = (1 << reader, 1 << writer);
    check_eq!(select(&mut readable, &mut writable), Ok(2));
    check_eq!((readable, writable), (1 << reader, 1 << writer));
    let mut bad = 1 << 60;
    check_eq!(select(&mut bad, &mut 0), Err(Errno::EBADF));
    Ok(())
}

/// Each end opens, and closes as soon as it may: the other one has met it all the same.
fn ends_of_named_pipes_that_meet_in_passing() -> Outcome {
    const TIMES: usize = 300;
    scratch::enter()?;
    for name in [c"there", c"back"] {
        mknodat(AT_FDCWD, name, S_IFIFO | 0o600, 0)?;
    }
    let pass = |name, flags| close(open(name, flags, 0)?);
    let pid = child::start(|| {
        let all = (0..TIMES).all(|_| pass(c"there", O_WRONLY).is_ok() && pass(c"back", O_RDONLY).is_ok());
        i32::from(!all)
    })?;
    for _ in 0..TIMES {
        pass(c"there", O_RDONLY)?;
        pass(c"back", O_WRONLY)?;
    }
    check_eq!(child::wait(pid)?, WaitStatus(0));
    Ok(())
}

fn named_pipes() -> Outcome {
    scratch::enter()?;
    mknodat(AT_FDCWD, c"fifo", S_IFIFO | 0o600, 0)?;
    check_eq!(open(c"fifo", O_WRONLY | O_NONBLOCK, 0), Err(Errno::ENXIO));
    let pid = child::start(|| match open(c"fifo", O_WRONLY, 0) {
        Ok(fd) => i32::from(write(fd, b"through") != Ok(7)),
        Err(_) => 2,
    })?;
    let fd = open(c"fifo", O_RDONLY, 0)?;
    let mut buffer = [0; 10];
    check_eq!((read(fd, &mut buffer), &buffer[..7]), (Ok(7), &b"through"[..]));
    check_eq!(child::wait(pid)?, WaitStatus(0));
    check_eq!(read(fd, &mut buffer), Ok(0));
    Ok(())
}

fn the_size_can_be_changed() -> Outcome {
    let (_reader, writer) = pipe2(0)?;
    check_eq!(fcntl(writer, F_GETPIPE_SZ, 0), Ok(65536));
    match fcntl(writer, F_SETPIPE_SZ, 4096) {
        Ok(size) => check_eq!((size, fcntl(writer, F_GETPIPE_SZ, 0)), (4096, Ok(4096))),
        Err(error) => check_eq!(error, Errno::EINVAL),
    }
    Ok(())
}

fn splice(input: i32, out: i32, count: usize, flags: u64) -> Result<u64, Errno> {
    raw::call(nr::splice, &[input as u64, 0, out as u64, 0, count as u64, flags])
}

/// What is in a pipe goes to a device or a file and back, and waits for nothing that is not there.
fn splicing() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let null = open(c"/dev/null", O_WRONLY, 0)?;
    write(writer, &[7; 5000])?;
    check_eq!(splice(reader, null, 3000, 0), Ok(3000));
    check_eq!(splice(reader, null, 1 << 20, 0), Ok(2000));
    check_eq!(splice(reader, null, 1, u64::from(SPLICE_F_NONBLOCK)), Err(Errno::EAGAIN));
    scratch::enter()?;
    let file = files::create(c"file", b"0123456789")?;
    lseek(file, 0, SEEK_SET)?;
    let mut offset = 4i64;
    let at = &raw mut offset as u64;
    check_eq!(raw::call(nr::splice, &[file as u64, at, writer as u64, 0, 3, 0]), Ok(3));
    check_eq!(offset, 7);
    check_eq!(splice(file, writer, 2, 0), Ok(2));
    let mut buffer = [0; 16];
    check_eq!(read(reader, &mut buffer), Ok(5));
    check_eq!(&buffer[..5], b"45601");
    write(writer, b"xyz")?;
    offset = 1;
    check_eq!(raw::call(nr::splice, &[reader as u64, 0, file as u64, at, 9, 0]), Ok(3));
    check_eq!((offset, pread64(file, &mut buffer, 0)), (4, Ok(10)));
    check_eq!(&buffer[..10], b"0xyz456789");
    let (second_reader, second_writer) = pipe2(0)?;
    write(writer, b"through")?;
    check_eq!(splice(reader, second_writer, 4, 0), Ok(4));
    check_eq!(read(second_reader, &mut buffer), Ok(4));
    check_eq!(splice(reader, null, 9, 0), Ok(3));
    close(writer)?;
    check_eq!(splice(reader, null, 9, 0), Ok(0));
    Ok(())
}

fn splicing_is_refused() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    scratch::enter()?;
    let file = files::create(c"file", b"0123")?;
    let append = open(c"file", O_WRONLY | O_APPEND, 0)?;
    let other = open(c"file", O_RDWR, 0)?;
    write(writer, b"x")?;
    check_eq!(splice(file, other, 1, 0), Err(Errno::EINVAL));
    check_eq!(splice(reader, writer, 1, 0), Err(Errno::EINVAL));
    check_eq!(splice(reader, append, 1, 0), Err(Errno::EINVAL));
    check_eq!(splice(writer, file, 1, 0), Err(Errno::EBADF));
    check_eq!(splice(reader, file, 1, 1 << 8), Err(Errno::EINVAL));
    check_eq!(splice(reader, -1, 1, 0), Err(Errno::EBADF));
    check_eq!(splice(reader, file, 0, 0), Ok(0));
    let mut offset = 0i64;
    let at = &raw mut offset as u64;
    check_eq!(raw::call(nr::splice, &[reader as u64, at, file as u64, 0, 1, 0]), Err(Errno::ESPIPE));
    check_eq!(raw::call(nr::splice, &[file as u64, 0, writer as u64, at, 1, 0]), Err(Errno::ESPIPE));
    Ok(())
}
