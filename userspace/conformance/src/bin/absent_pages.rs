//! Calls whose buffers lie in pages that are not there yet, or that go while the call runs.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::ioctl::FIONREAD;
use abi::memory::*;
use abi::native::nr;
use abi::poll::{EPOLL_CTL_ADD, EpollEvent, POLLIN};
use abi::terminal::{TCGETS, TIOCGWINSZ};
use alloc::vec::Vec;
use conformance::{Failure, Outcome, attempt, check, check_eq, files, raw, scratch};
use libsyscall::file::*;
use libsyscall::memory::*;

conformance::tests!(&[
    ("pipes_take_and_fill_absent_pages", pipes_take_and_fill_absent_pages),
    ("a_pipe_counts_whole_slots_before_a_fault", a_pipe_counts_whole_slots_before_a_fault),
    ("a_file_is_written_from_itself", a_file_is_written_from_itself),
    ("events_fill_absent_pages", events_fill_absent_pages),
    ("events_stop_at_a_fault", events_stop_at_a_fault),
    ("listings_and_made_up_files_fill_absent_pages", listings_and_made_up_files_fill_absent_pages),
    ("small_answers_fill_absent_pages", small_answers_fill_absent_pages),
    ("pages_are_lent_to_a_pipe", pages_are_lent_to_a_pipe),
    ("a_hole_takes_shared_pages_and_leaves_copies", a_hole_takes_shared_pages_and_leaves_copies),
]);

const PAGE: usize = 4096;
/// `fallocate`'s `FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE`.
const PUNCH: u64 = 3;

fn pointer(address: usize) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(address)
}

/// Shared memory, whose content stays when its pages are forgotten.
fn map_shared(pages: usize) -> Result<usize, Failure> {
    // SAFETY: the kernel chooses a free range.
    let place =
        unsafe { mmap(pointer(0), pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) }?;
    Ok(place.expose_provenance())
}

fn map_file(fd: i32, pages: usize, flags: u32) -> Result<usize, Failure> {
    // SAFETY: as above.
    let place = unsafe { mmap(pointer(0), pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0) }?;
    Ok(place.expose_provenance())
}

/// Has the kernel forget that pages are mapped.
fn forget(base: usize, pages: usize) -> Outcome {
    // SAFETY: the tests keep nothing of Rust's in what they map.
    Ok(unsafe { madvise(pointer(base), pages * PAGE, MADV_DONTNEED) }?)
}

fn close_off(base: usize, pages: usize) -> Outcome {
    // SAFETY: as above.
    Ok(unsafe { mprotect(pointer(base), pages * PAGE, PROT_NONE) }?)
}

/// Bytes of which no two words are alike, by raw calls: no reference to them is made.
fn fill(base: usize, length: usize) -> Outcome {
    for offset in (0..length).step_by(8) {
        check!(attempt::store(base + offset, offset as u64 * 0x0101_0101 + 1), "a page refuses a store");
    }
    Ok(())
}

fn is_filled(base: usize, length: usize) -> bool {
    (0..length).step_by(8).all(|offset| attempt::load(base + offset) == Some(offset as u64 * 0x0101_0101 + 1))
}

fn transfer(number: u64, fd: i32, address: usize, length: usize) -> Result<usize, Errno> {
    raw::call(number, &[fd as u64, address as u64, length as u64]).map(|moved| moved as usize)
}

fn pipes_take_and_fill_absent_pages() -> Outcome {
    attempt::prepare()?;
    let (reader, writer) = pipe2(0)?;
    let (from, to) = (map_shared(17)?, map_shared(17)?);
    for (start, length) in [(0, PAGE), (96, PAGE), (96, 5 * PAGE), (4088, 16), (8, 16 * PAGE - 8)] {
        fill(from + start, length)?;
        forget(from, 17)?;
        check_eq!(transfer(nr::write, writer, from + start, length), Ok(length));
        forget(to, 17)?;
        check_eq!(transfer(nr::read, reader, to + start, length), Ok(length));
        check!(is_filled(to + start, length), "{length} bytes from {start} came out otherwise");
    }
    vectors(reader, writer, from, to)
}

/// The same in pieces, some of them empty, one of which is nowhere.
fn vectors(reader: i32, writer: i32, from: usize, to: usize) -> Outcome {
    let lengths = [0, 16, PAGE, 8, 0, 2 * PAGE];
    let pieces = |base: usize| {
        let mut start = base + PAGE - 16;
        lengths.map(|length| {
            let piece = Iovec { iov_base: start as u64, iov_len: length as u64 };
            start += length;
            piece
        })
    };
    let total: usize = lengths.iter().sum();
    fill(from + PAGE - 16, total)?;
    forget(from, 17)?;
    forget(to, 17)?;
    for (number, fd, base) in [(nr::writev, writer, from), (nr::readv, reader, to)] {
        let pieces = pieces(base);
        let moved = raw::call(number, &[fd as u64, pieces.as_ptr().expose_provenance() as u64, 6]);
        check_eq!(moved, Ok(total as u64));
    }
    check!(is_filled(to + PAGE - 16, total), "pieces came out otherwise");
    Ok(())
}

fn a_pipe_counts_whole_slots_before_a_fault() -> Outcome {
    attempt::prepare()?;
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let (from, to) = (map_shared(4)?, map_shared(4)?);
    fill(from, 2 * PAGE)?;
    forget(from, 4)?;
    close_off(from + 2 * PAGE, 2)?;
    check_eq!(transfer(nr::write, writer, from, 3 * PAGE), Ok(2 * PAGE));
    check_eq!(transfer(nr::write, writer, from + 2 * PAGE, PAGE), Err(Errno::EFAULT));
    close_off(to + PAGE, 3)?;
    check_eq!(transfer(nr::read, reader, to, 2 * PAGE), Ok(PAGE));
    check!(is_filled(to, PAGE), "the first page came out otherwise");
    check_eq!(transfer(nr::read, reader, to + PAGE, PAGE), Err(Errno::EFAULT));
    check_eq!(transfer(nr::read, reader, to, PAGE), Ok(PAGE));
    check_eq!(attempt::load(to), Some(PAGE as u64 * 0x0101_0101 + 1));
    Ok(())
}

fn a_file_is_written_from_itself() -> Outcome {
    attempt::prepare()?;
    scratch::enter()?;
    let fd = files::create(c"itself", &[0; 4 * PAGE])?;
    close(fd)?;
    let fd = open(c"itself", O_RDWR, 0)?;
    let base = map_file(fd, 4, MAP_SHARED)?;
    fill(base, 2 * PAGE)?;
    forget(base, 4)?;
    check_eq!(lseek(fd, 2 * PAGE as i64, SEEK_SET), Ok(2 * PAGE as u64));
    check_eq!(transfer(nr::write, fd, base, 2 * PAGE), Ok(2 * PAGE));
    check!(is_filled(base + 2 * PAGE, 2 * PAGE), "the second half is not the first one");
    forget(base, 4)?;
    check_eq!(lseek(fd, 0, SEEK_SET), Ok(0));
    check_eq!(transfer(nr::read, fd, base + 2 * PAGE, 2 * PAGE), Ok(2 * PAGE));
    // What lies beyond the end of the file cannot be brought in.
    ftruncate(fd, PAGE as u64)?;
    check_eq!(lseek(fd, 0, SEEK_SET), Ok(0));
    check_eq!(transfer(nr::write, fd, base + PAGE, PAGE), Err(Errno::EFAULT));
    check_eq!(transfer(nr::write, fd, base, PAGE), Ok(PAGE));
    check!(is_filled(base, PAGE), "the first page is not itself");
    Ok(())
}

/// An instance that watches so many event files, all of which have news.
fn busy_instance(count: u64) -> Result<i32, Failure> {
    let epoll = raw::call(nr::epoll_create1, &[0])? as i32;
    for number in 0..count {
        let fd = raw::call(nr::eventfd2, &[1, 0])?;
        let event = EpollEvent::new(POLLIN.into(), number);
        let event = (&raw const event).expose_provenance() as u64;
        raw::call(nr::epoll_ctl, &[epoll as u64, EPOLL_CTL_ADD.into(), fd, event])?;
    }
    Ok(epoll)
}

fn wait(epoll: i32, place: usize, most: u64) -> Result<u64, Errno> {
    raw::call(nr::epoll_pwait, &[epoll as u64, place as u64, most, 0, 0, 8])
}

/// The number of the event that lies at an index.
fn number(place: usize, index: usize) -> Option<u64> {
    let size = size_of::<EpollEvent>();
    attempt::load(place + index * size + size - 8)
}

fn events_fill_absent_pages() -> Outcome {
    attempt::prepare()?;
    let epoll = busy_instance(700)?;
    let place = map_anonymous(4 * PAGE)?.expose_provenance() + PAGE - 24;
    for _ in 0..2 {
        check_eq!(wait(epoll, place, 1000), Ok(700));
        let mut seen: Vec<_> = (0..700).filter_map(|index| number(place, index)).collect();
        seen.sort_unstable();
        check!(seen.into_iter().eq(0..700), "an event is missing, or there twice");
        forget(place & !(PAGE - 1), 4)?;
    }
    Ok(())
}

fn events_stop_at_a_fault() -> Outcome {
    attempt::prepare()?;
    let epoll = busy_instance(700)?;
    let place = map_anonymous(4 * PAGE)?.expose_provenance();
    close_off(place + PAGE, 3)?;
    let fit = PAGE / size_of::<EpollEvent>();
    check_eq!(wait(epoll, place, 1000), Ok(fit as u64));
    check_eq!(wait(epoll, place + PAGE - 8, 1000), Err(Errno::EFAULT));
    // None is lost: those that were given come last.
    check_eq!(wait(epoll, place, 200), Ok(200));
    check_eq!(number(place, 0), Some(fit as u64));
    Ok(())
}

fn listings_and_made_up_files_fill_absent_pages() -> Outcome {
    attempt::prepare()?;
    files::mount_proc()?;
    let place = map_anonymous(4 * PAGE)?.expose_provenance();
    close_off(place + 2 * PAGE, 2)?;
    let fd = open(c"/proc/self/maps", O_RDONLY, 0)?;
    let whole = files::content(c"/proc/self/maps")?.len();
    check!(whole > 100, "{whole} bytes of maps");
    // As far as the buffer reaches, and on from there. AArch64's Linux copies pieces of up to 64 bytes and counts whole
    // ones only.
    let begun = transfer(nr::read, fd, place + 2 * PAGE - 40, PAGE)?;
    check!((1..=40).contains(&begun), "{begun} bytes into a buffer of 40");
    check_eq!(transfer(nr::read, fd, place + 2 * PAGE, PAGE), Err(Errno::EFAULT));
    let rest = transfer(nr::read, fd, place + PAGE - 50, PAGE)?;
    check!(rest > 50, "{rest} bytes after a fault");
    close(fd)?;
    let directory = open(c"/proc/self", O_RDONLY | O_DIRECTORY, 0)?;
    forget(place, 2)?;
    check_eq!(transfer(nr::getdents64, directory, place + 2 * PAGE, PAGE), Err(Errno::EFAULT));
    check!(transfer(nr::getdents64, directory, place + PAGE - 64, PAGE)? > 64, "a short listing");
    Ok(())
}

/// Answers that are copied out of something that is locked.
fn small_answers_fill_absent_pages() -> Outcome {
    let terminal = open(c"/dev/console", O_RDWR | O_NOCTTY, 0)?;
    let (reader, _) = pipe2(0)?;
    let ask = |fd: i32, request: u32| -> Outcome {
        let place = map_anonymous(PAGE)?.expose_provenance();
        raw::call(nr::ioctl, &[fd as u64, request.into(), place as u64])?;
        Ok(())
    };
    ask(terminal, TIOCGWINSZ)?;
    ask(terminal, FIONREAD)?;
    ask(terminal, TCGETS)?;
    ask(reader, FIONREAD)?;
    let place = || map_anonymous(PAGE).map(|place| place.expose_provenance() as u64);
    raw::call(nr::uname, &[place()?])?;
    raw::call(nr::getcwd, &[place()?, PAGE as u64])?;
    raw::call(nr::rt_sigaction, &[2, 0, place()?, 8])?;
    raw::call(nr::sigaltstack, &[0, place()?])?;
    raw::call(nr::getitimer, &[0, place()?])?;
    raw::call(nr::prlimit64, &[0, 3, 0, place()?])?;
    raw::call(nr::getrusage, &[0, place()?])?;
    raw::call(nr::sched_getaffinity, &[0, PAGE as u64, place()?])?;
    raw::call(nr::sched_getparam, &[0, place()?])?;
    raw::call(nr::rt_sigpending, &[place()?, 8])?;
    raw::call(nr::getgroups, &[0, place()?])?;
    raw::call(nr::statfs, &[c"/".as_ptr().expose_provenance() as u64, place()?])?;
    raw::call(nr::sysinfo, &[place()?])?;
    Ok(())
}

fn pages_are_lent_to_a_pipe() -> Outcome {
    attempt::prepare()?;
    let (reader, writer) = pipe2(0)?;
    let (from, to) = (map_shared(6)?, map_shared(6)?);
    fill(from + 40, 4 * PAGE)?;
    forget(from, 6)?;
    close_off(from + 5 * PAGE, 1)?;
    let lend = |base: usize, length: usize| {
        let piece = Iovec { iov_base: base as u64, iov_len: length as u64 };
        let piece = (&raw const piece).expose_provenance() as u64;
        raw::call(nr::vmsplice, &[writer as u64, piece, 1, 0])
    };
    check_eq!(lend(from + 40, 4 * PAGE), Ok(4 * PAGE as u64));
    check_eq!(transfer(nr::read, reader, to + 40, 4 * PAGE), Ok(4 * PAGE));
    check!(is_filled(to + 40, 4 * PAGE), "lent bytes came out otherwise");
    check_eq!(lend(from + 4 * PAGE, 2 * PAGE), Ok(PAGE as u64));
    check_eq!(lend(from + 5 * PAGE, PAGE), Err(Errno::EFAULT));
    Ok(())
}

fn a_hole_takes_shared_pages_and_leaves_copies() -> Outcome {
    attempt::prepare()?;
    scratch::enter_tmpfs()?;
    close(files::create(c"holes", &[7; 4 * PAGE])?)?;
    let fd = open(c"holes", O_RDWR, 0)?;
    let (shared, private) = (map_file(fd, 4, MAP_SHARED)?, map_file(fd, 4, MAP_PRIVATE)?);
    let seven = Some(u64::from_ne_bytes([7; 8]));
    check_eq!(
        (attempt::load(shared), attempt::load(private), attempt::load(private + PAGE)),
        (seven, seven, seven)
    );
    check!(attempt::store(private, 8) && attempt::store(private + 3 * PAGE, 9), "no copies");
    raw::call(nr::fallocate, &[fd as u64, PUNCH, 0, 4 * PAGE as u64])?;
    check_eq!((attempt::load(shared), attempt::load(shared + PAGE)), (Some(0), Some(0)));
    check_eq!((attempt::load(private), attempt::load(private + 8)), (Some(8), seven));
    check_eq!((attempt::load(private + PAGE), attempt::load(private + 3 * PAGE)), (Some(0), Some(9)));
    // The end of the file takes copies, too.
    ftruncate(fd, PAGE as u64)?;
    check_eq!((attempt::load(private), attempt::load(private + 3 * PAGE)), (Some(8), None));
    Ok(())
}
