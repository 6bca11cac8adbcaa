//! Pages that go between pipes and memory: `tee`, `vmsplice`, and `splice` between pipes.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::ioctl::FIONREAD;
use abi::native::nr;
use abi::process::WaitStatus;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, child, raw, scratch};
use core::hint::black_box;
use libsyscall::file::*;
use libsyscall::signal::{Disposition, set_disposition};

conformance::tests!(&[
    ("tee_copies_and_consumes_nothing", tee_copies_and_consumes_nothing),
    ("tee_takes_slots_of_its_own", tee_takes_slots_of_its_own),
    ("tee_refuses", tee_refuses),
    ("tee_waits_for_bytes_and_room", tee_waits_for_bytes_and_room),
    ("vmsplice_out_of_memory", vmsplice_out_of_memory),
    ("vmsplice_fills_slots_by_page", vmsplice_fills_slots_by_page),
    ("vmsplice_refers_to_the_pages", vmsplice_refers_to_the_pages),
    ("vmsplice_into_memory", vmsplice_into_memory),
    ("vmsplice_refuses", vmsplice_refuses),
    ("vmsplice_waits", vmsplice_waits),
    ("splice_moves_whole_slots", splice_moves_whole_slots),
    ("splice_moves_all_that_fits", splice_moves_all_that_fits),
    ("packets_stay_packets", packets_stay_packets),
    ("nobody_reads", nobody_reads),
]);

const PAGE: usize = 4096;
const SLOTS: usize = 16;
const NONBLOCK: u32 = SPLICE_F_NONBLOCK;
const ALL: u32 = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;

fn tee(input: i32, out: i32, count: usize, flags: u32) -> Result<u64, Errno> {
    raw::call(nr::tee, &[input as u64, out as u64, count as u64, flags.into()])
}

fn splice(input: i32, out: i32, count: usize, flags: u32) -> Result<u64, Errno> {
    raw::call(nr::splice, &[input as u64, 0, out as u64, 0, count as u64, flags.into()])
}

fn vmsplice(fd: i32, vectors: &[Iovec], flags: u32) -> Result<u64, Errno> {
    raw::call(nr::vmsplice, &[fd as u64, vectors.as_ptr() as u64, vectors.len() as u64, flags.into()])
}

fn vector(bytes: &[u8]) -> Iovec {
    Iovec { iov_base: black_box(bytes).as_ptr() as u64, iov_len: bytes.len() as u64 }
}

fn filled(fd: i32) -> Result<i32, Errno> {
    let mut length = 0i32;
    raw::call(nr::ioctl, &[fd as u64, FIONREAD.into(), (&raw mut length) as u64])?;
    Ok(black_box(length))
}

fn drain(fd: i32) -> Result<Vec<u8>, Failure> {
    let mut bytes = alloc::vec![0; SLOTS * PAGE];
    let count = read(fd, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Pages of the program's own, at the start of a page.
fn pages(count: usize) -> Result<&'static mut [u8], Errno> {
    let (prot, flags) = (3, 0x22);
    let address = raw::call(nr::mmap, &[0, (count * PAGE) as u64, prot, flags, u64::MAX, 0])?;
    // SAFETY: fresh memory that nobody else knows.
    Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, count * PAGE) })
}

fn tee_copies_and_consumes_nothing() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let (second_reader, second) = pipe2(0)?;
    check_eq!(write(writer, b"some bytes"), Ok(10));
    check_eq!((tee(reader, second, 100, ALL), tee(reader, second, 4, 0)), (Ok(10), Ok(4)));
    check_eq!((filled(reader)?, filled(second_reader)?), (10, 14));
    // What is written later goes into the same page here, and not into what was copied before.
    check_eq!((write(writer, b"!"), write(second, b"?")), (Ok(1), Ok(1)));
    check_eq!(drain(second_reader)?, b"some bytessome?");
    check_eq!(drain(reader)?, b"some bytes!");
    // Pages that two pipes hold are nobody's to fill anew.
    check_eq!(write(writer, &[1; PAGE]), Ok(PAGE));
    check_eq!(tee(reader, second, PAGE, 0), Ok(PAGE as u64));
    check_eq!(drain(reader)?.len(), PAGE);
    check_eq!(write(writer, &[2; PAGE]), Ok(PAGE));
    check_eq!((drain(second_reader)? == [1; PAGE], drain(reader)? == [2; PAGE]), (true, true));
    Ok(())
}

fn tee_takes_slots_of_its_own() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let (second_reader, second) = pipe2(O_NONBLOCK)?;
    for _ in 0..3 {
        check_eq!(write(writer, &[5; PAGE]), Ok(PAGE));
    }
    // One byte of the first slot, again and again, fills the second pipe.
    for _ in 0..SLOTS {
        check_eq!(tee(reader, second, 1, 0), Ok(1));
    }
    check_eq!(tee(reader, second, 1, 0), Err(Errno::EAGAIN));
    check_eq!((filled(second_reader)?, write(second, b"x")), (SLOTS as i32, Err(Errno::EAGAIN)));
    drain(second_reader)?;
    // More than is there, and more than fits.
    check_eq!(tee(reader, second, 1 << 20, 0), Ok(3 * PAGE as u64));
    for _ in 0..4 {
        check_eq!(tee(reader, second, usize::MAX, 0), Ok(3 * PAGE as u64));
    }
    check_eq!(tee(reader, second, 1 << 20, 0), Ok(PAGE as u64));
    check_eq!(filled(second_reader)?, (SLOTS * PAGE) as i32);
    Ok(())
}

fn tee_refuses() -> Outcome {
    scratch::enter()?;
    let (reader, writer) = pipe2(0)?;
    let (second_reader, second) = pipe2(0)?;
    let file = open(c"file", O_CREAT | O_RDWR, 0o600)?;
    let path = open(c"file", O_PATH, 0)?;
    check_eq!(tee(reader, second, 1, 16), Err(Errno::EINVAL));
    check_eq!((tee(-1, -1, 0, 0), tee(-1, -1, 0, 1 << 31)), (Ok(0), Err(Errno::EINVAL)));
    for (from, to) in [(-1, second), (reader, -1), (writer, second), (reader, second_reader), (path, second)]
    {
        check_eq!(tee(from, to, 1, 0), Err(Errno::EBADF));
    }
    for (from, to) in [(file, second), (reader, file), (reader, writer)] {
        check_eq!(tee(from, to, 1, 0), Err(Errno::EINVAL));
    }
    check_eq!(tee(reader, second, 1, NONBLOCK), Err(Errno::EAGAIN));
    close(writer)?;
    check_eq!((tee(reader, second, 1, NONBLOCK), tee(reader, second, 1, 0)), (Ok(0), Ok(0)));
    Ok(())
}

fn tee_waits_for_bytes_and_room() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let (second_reader, second) = pipe2(0)?;
    let teeing = child::start(|| {
        let first = tee(reader, second, 3, 0);
        // The second pipe is full of single bytes now but for one slot, and then full.
        i32::from((first, tee(reader, second, 3, 0)) != (Ok(3), Ok(3)))
    })?;
    for _ in 1..SLOTS {
        check_eq!(vmsplice(second, &[vector(b"x")], 0), Ok(1));
    }
    check_eq!(write(writer, b"abc"), Ok(3));
    let mut bytes = alloc::vec![0; SLOTS - 1];
    let mut all = Vec::new();
    while all.len() < SLOTS - 1 + 6 {
        let count = read(second_reader, &mut bytes)?;
        all.extend_from_slice(&bytes[..count]);
    }
    check_eq!(child::wait(teeing)?, WaitStatus(0));
    check!(all.ends_with(b"abc"), "{all:?}");
    check_eq!(all.iter().filter(|&&byte| byte == b'x').count(), SLOTS - 1);
    Ok(())
}

fn vmsplice_out_of_memory() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let memory = pages(2)?;
    memory[PAGE - 3..PAGE + 3].copy_from_slice(b"abcdef");
    check_eq!(vmsplice(writer, &[vector(&memory[PAGE - 3..PAGE + 3])], 0), Ok(6));
    check_eq!(vmsplice(writer, &[vector(b""), vector(b"gh"), vector(b"i")], SPLICE_F_GIFT), Ok(3));
    check_eq!(drain(reader)?, b"abcdefghi");
    // Bytes of a pipe that come from memory take no others into their page.
    check_eq!(vmsplice(writer, &[vector(&memory[PAGE..PAGE + 3])], ALL), Ok(3));
    check_eq!(write(writer, b"xyz"), Ok(3));
    check_eq!((drain(reader)?, &memory[PAGE..PAGE + 6]), (b"defxyz".to_vec(), &b"def\0\0\0"[..]));
    // What was never touched is there, too.
    let untouched = pages(1)?;
    check_eq!(vmsplice(writer, &[vector(untouched)], 0), Ok(PAGE as u64));
    check!(drain(reader)? == [0; PAGE]);
    Ok(())
}

fn vmsplice_fills_slots_by_page() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let memory = pages(SLOTS + 1)?;
    memory.fill(7);
    check_eq!(vmsplice(writer, &[vector(memory)], NONBLOCK), Ok((SLOTS * PAGE) as u64));
    check_eq!(vmsplice(writer, &[vector(memory)], NONBLOCK), Err(Errno::EAGAIN));
    drain(reader)?;
    // Not at the start of a page: the first and the last take a slot each.
    let count = SLOTS * PAGE - 100;
    check_eq!(vmsplice(writer, &[vector(&memory[100..100 + SLOTS * PAGE])], NONBLOCK), Ok(count as u64));
    drain(reader)?;
    let single: Vec<Iovec> = (0..SLOTS + 4).map(|index| vector(&memory[index..index + 1])).collect();
    check_eq!(vmsplice(writer, &single, NONBLOCK), Ok(SLOTS as u64));
    check_eq!(filled(reader)?, SLOTS as i32);
    Ok(())
}

fn vmsplice_refers_to_the_pages() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let memory = pages(1)?;
    memory[..3].copy_from_slice(b"old");
    check_eq!(vmsplice(writer, &[vector(&memory[..3])], 0), Ok(3));
    memory[..3].copy_from_slice(black_box(b"new"));
    check_eq!(drain(reader)?, b"new");
    // The pages outlive their mapping.
    check_eq!(vmsplice(writer, &[vector(&memory[..3])], SPLICE_F_GIFT), Ok(3));
    raw::call(nr::munmap, &[memory.as_ptr() as u64, PAGE as u64])?;
    check_eq!(drain(reader)?, b"new");
    Ok(())
}

fn vmsplice_into_memory() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    check_eq!(write(writer, b"some bytes"), Ok(10));
    let (mut first, mut second) = ([0u8; 4], [0u8; 3]);
    let mut vectors = [vector(&first), vector(&second)];
    check_eq!(vmsplice(reader, &vectors, 0), Ok(7));
    check_eq!((&black_box(&mut first)[..], &black_box(&mut second)[..]), (&b"some"[..], &b" by"[..]));
    check_eq!(vmsplice(reader, &vectors, SPLICE_F_GIFT), Ok(3));
    check_eq!(&black_box(&mut first)[..3], b"tes");
    check_eq!(vmsplice(reader, &vectors, NONBLOCK), Err(Errno::EAGAIN));
    // A slot is copied whole or, as here for a fault, stays.
    check_eq!(write(writer, b"more"), Ok(4));
    vectors[0].iov_len = 2;
    vectors[1].iov_base = 8;
    check_eq!((vmsplice(reader, &vectors, 0), filled(reader)?), (Err(Errno::EFAULT), 4));
    check_eq!((vmsplice(reader, &vectors[..1], 0), vmsplice(writer, &[vector(b"x")], 0)), (Ok(2), Ok(1)));
    check_eq!((vmsplice(reader, &vectors, 0), filled(reader)?), (Ok(2), 1));
    close(writer)?;
    drain(reader)?;
    check_eq!(vmsplice(reader, &[vector(&first)], 0), Ok(0));
    Ok(())
}

fn vmsplice_refuses() -> Outcome {
    scratch::enter()?;
    let (reader, writer) = pipe2(0)?;
    let file = open(c"file", O_CREAT | O_RDWR, 0o600)?;
    let path = open(c"file", O_PATH, 0)?;
    let bytes = [vector(b"abc")];
    check_eq!(
        (vmsplice(writer, &bytes, 16), vmsplice(-1, &bytes, 16)),
        (Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    for fd in [-1, file, path] {
        check_eq!(vmsplice(fd, &bytes, 0), Err(Errno::EBADF));
    }
    check_eq!((vmsplice(file, &[], 0), vmsplice(path, &[], 0)), (Ok(0), Err(Errno::EBADF)));
    check_eq!((vmsplice(writer, &[], 0), vmsplice(writer, &[vector(b"")], 0)), (Ok(0), Ok(0)));
    let wrong = |base: u64, length: u64| [Iovec { iov_base: base, iov_len: length }];
    check_eq!(vmsplice(writer, &wrong(8, 1), 0), Err(Errno::EFAULT));
    check_eq!(vmsplice(writer, &wrong(0, u64::MAX), 0), Err(Errno::EINVAL));
    check_eq!(vmsplice(writer, &wrong(1 << 63, 1), 0), Err(Errno::EFAULT));
    check_eq!(vmsplice(writer, &alloc::vec![vector(b""); 1025], 0), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::vmsplice, &[writer as u64, 8, 1, 0]), Err(Errno::EFAULT));
    // What may be written but not read.
    let memory = pages(1)?;
    raw::call(nr::mprotect, &[memory.as_ptr() as u64, PAGE as u64, 0])?;
    check_eq!(vmsplice(writer, &[vector(memory)], 0), Err(Errno::EFAULT));
    check_eq!(vmsplice(writer, &[vector(b"abc"), vector(memory)], 0), Ok(3));
    check_eq!(drain(reader)?, b"abc");
    Ok(())
}

fn vmsplice_waits() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let memory = pages(SLOTS)?;
    check_eq!(vmsplice(writer, &[vector(memory)], 0), Ok((SLOTS * PAGE) as u64));
    // Not the file's own flag, only the call's says that it must not wait.
    let waiting = child::start(|| i32::from(vmsplice(writer, &[vector(b"abc")], 0) != Ok(3)))?;
    check_eq!(vmsplice(writer, &[vector(b"abc")], NONBLOCK), Err(Errno::EAGAIN));
    check_eq!(drain(reader)?.len(), SLOTS * PAGE);
    check_eq!(child::wait(waiting)?, WaitStatus(0));
    check_eq!(drain(reader)?, b"abc");
    let waiting = child::start(|| {
        let bytes = [0; 8];
        i32::from(vmsplice(reader, &[vector(&bytes)], 0) != Ok(4))
    })?;
    check_eq!(write(writer, b"late"), Ok(4));
    check_eq!(child::wait(waiting)?, WaitStatus(0));
    Ok(())
}

fn splice_moves_whole_slots() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let (second_reader, second) = pipe2(0)?;
    for _ in 0..4 {
        check_eq!(vmsplice(writer, &[vector(b"ab"), vector(b"c")], 0), Ok(3));
    }
    check_eq!((splice(reader, second, 7, 0), filled(reader)?, filled(second_reader)?), (Ok(7), 5, 7));
    check_eq!((splice(reader, second, 100, ALL), splice(reader, second, 1, 0)), (Ok(5), Err(Errno::EAGAIN)));
    check_eq!(drain(second_reader)?, b"abcabcabcabc");
    // A page that moves goes on taking what is written.
    check_eq!(
        (write(writer, b"one"), splice(reader, second, 3, 0), write(second, b"two")),
        (Ok(3), Ok(3), Ok(3))
    );
    check_eq!(drain(second_reader)?, b"onetwo");
    // Slots count, not bytes.
    for _ in 1..SLOTS {
        check_eq!(vmsplice(second, &[vector(b"x")], 0), Ok(1));
    }
    check_eq!((write(writer, &[1; PAGE]), write(writer, &[2; PAGE])), (Ok(PAGE), Ok(PAGE)));
    check_eq!(splice(reader, second, 2 * PAGE, 0), Ok(PAGE as u64));
    check_eq!(splice(reader, second, 2 * PAGE, 0), Err(Errno::EAGAIN));
    check_eq!((filled(reader)?, filled(second_reader)?), (PAGE as i32, (PAGE + SLOTS - 1) as i32));
    Ok(())
}

fn splice_moves_all_that_fits() -> Outcome {
    scratch::enter()?;
    let (reader, writer) = pipe2(0)?;
    let bytes: Vec<u8> = (0..SLOTS * PAGE + 5000).map(|index| (index / 13) as u8).collect();
    let file = open(c"file", O_CREAT | O_RDWR, 0o600)?;
    check_eq!(write(file, &bytes), Ok(bytes.len()));
    lseek(file, 0, SEEK_SET)?;
    let most = (SLOTS * PAGE) as u64;
    check_eq!((splice(file, writer, 1 << 20, 0), filled(reader)?), (Ok(most), most as i32));
    check_eq!(splice(file, writer, 1 << 20, NONBLOCK), Err(Errno::EAGAIN));
    let copy = open(c"copy", O_CREAT | O_RDWR, 0o600)?;
    check_eq!(splice(reader, copy, 1 << 20, 0), Ok(most));
    check_eq!(splice(file, writer, 1 << 20, 0), Ok(5000));
    check_eq!(splice(reader, copy, 4999, 0), Ok(4999));
    check_eq!(splice(reader, copy, 4999, 0), Ok(1));
    check_eq!((splice(file, writer, 1, 0), splice(reader, copy, 1, NONBLOCK)), (Ok(0), Err(Errno::EAGAIN)));
    lseek(copy, 0, SEEK_SET)?;
    let mut copied = alloc::vec![0; bytes.len() + 1];
    check_eq!(read(copy, &mut copied), Ok(bytes.len()));
    check!(copied[..bytes.len()] == bytes);
    // Into a pipe, sendfile too waits only until something fits.
    lseek(file, 0, SEEK_SET)?;
    check_eq!(raw::call(nr::sendfile, &[writer as u64, file as u64, 0, bytes.len() as u64]), Ok(most));
    Ok(())
}

fn packets_stay_packets() -> Outcome {
    let (reader, writer) = pipe2(O_DIRECT)?;
    let (second_reader, second) = pipe2(0)?;
    check_eq!((write(writer, b"first"), write(writer, b"second")), (Ok(5), Ok(6)));
    check_eq!(tee(reader, second, 100, 0), Ok(11));
    check_eq!(splice(reader, second, 7, 0), Ok(7));
    let mut bytes = [0; 100];
    for expected in [&b"first"[..], b"second", b"first", b"se"] {
        let count = read(second_reader, &mut bytes)?;
        check_eq!(&bytes[..count], expected);
    }
    // Into memory they run together.
    check_eq!(write(writer, b"third"), Ok(5));
    let bytes = [0; 100];
    check_eq!(vmsplice(reader, &[vector(&bytes)], 0), Ok(9));
    check_eq!(&black_box(&bytes)[..9], b"condthird");
    Ok(())
}

fn nobody_reads() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let (second_reader, second) = pipe2(0)?;
    check_eq!(write(writer, b"abc"), Ok(3));
    close(second_reader)?;
    check_eq!(child::run(|| vmsplice(second, &[vector(b"x")], 0).is_ok().into())?, WaitStatus::signaled(13));
    check_eq!(child::run(|| tee(reader, second, 1, 0).is_ok().into())?, WaitStatus::signaled(13));
    check_eq!(child::run(|| splice(reader, second, 1, 0).is_ok().into())?, WaitStatus::signaled(13));
    set_disposition(13, Disposition::Ignore)?;
    check_eq!(vmsplice(second, &[vector(b"x")], NONBLOCK), Err(Errno::EPIPE));
    check_eq!(
        (tee(reader, second, 1, 0), splice(reader, second, 1, NONBLOCK)),
        (Err(Errno::EPIPE), Err(Errno::EPIPE))
    );
    Ok(())
}
