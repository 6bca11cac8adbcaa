//! Calls that copy memory which others take away: mapped files that are cut, punched, unmapped and forked meanwhile.

use crate::mappings::{PAGE, discard, unmap};
use crate::round::{Random, Round};
use crate::teams::{self, meet};
use abi::Errno;
use abi::fs::*;
use abi::memory::*;
use abi::native::nr;
use abi::process::WaitStatus;
use conformance::{Failure, Outcome, attempt, check, check_eq, child, files, raw, scratch};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use libsyscall::file::*;
use libsyscall::memory::*;

/// `fallocate`'s `FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE`.
const PUNCH: u64 = 3;

fn map(fd: i32, pages: usize) -> Result<usize, Failure> {
    let flags = if fd < 0 { MAP_SHARED | MAP_ANONYMOUS } else { MAP_SHARED };
    // SAFETY: the kernel chooses a free range.
    let place = unsafe { mmap(core::ptr::null_mut(), pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0) }?;
    Ok(place.expose_provenance())
}

/// A call that moves bytes between a file and memory that no reference of Rust's leads to.
fn transfer(number: u64, fd: i32, place: usize, length: usize, offset: usize) -> Result<usize, Errno> {
    let moved = raw::call(number, &[fd as u64, place as u64, length as u64, offset as u64])?;
    Ok(moved as usize)
}

/// Fills memory with one byte; false where it is gone.
fn fill(place: usize, length: usize, byte: u8) -> bool {
    let word = u64::from_ne_bytes([byte; 8]);
    (0..length).step_by(8).all(|offset| attempt::store(place + offset, word))
}

/// Whether memory that is there holds nothing but zeroes and one byte.
fn holds(place: usize, length: usize, byte: u8) -> bool {
    let words = (0..length).step_by(8).filter_map(|offset| attempt::load(place + offset));
    words.flat_map(u64::to_ne_bytes).all(|found| found == byte || found == 0)
}

/// The two files that all use.
#[derive(Clone, Copy)]
struct Files {
    files: [i32; 2],
    pages: usize,
}

/// What one thread copies between: its pages of both files, mapped, and a pipe of its own.
struct Copier {
    files: Files,
    maps: [usize; 2],
    /// Its first page, of two in each file.
    page: usize,
    pipe: (i32, i32),
    random: Random,
}

impl Copier {
    fn place(&self, file: usize) -> usize {
        self.maps[file] + self.page * PAGE
    }

    /// One copy, in one of the ways there are; whatever is cut off meanwhile may be missing, and nothing else be there.
    fn step(&mut self, byte: u8) -> Outcome {
        let (from, to) = (self.random.below(2), self.random.below(2));
        let (start, length) = (8 * self.random.below(500), PAGE);
        fill(self.place(from) + start, length, byte);
        if self.random.below(3) > 0 {
            discard(self.maps[from], self.files.pages)?;
        }
        let (source, target) = (self.place(from) + start, self.place(to));
        let moved = match self.random.below(3) {
            0 => transfer(nr::pwrite64, self.files.files[to], source, length, self.page * PAGE),
            1 => transfer(nr::pread64, self.files.files[from], target, length, self.page * PAGE + start),
            _ => self.through_the_pipe(source, target, length),
        };
        check!(matches!(moved, Ok(0..=PAGE) | Err(Errno::EFAULT)), "a copy ends with {moved:?}");
        for file in 0..2 {
            check!(holds(self.place(file), 2 * PAGE, byte), "bytes that nobody wrote");
            fill(self.place(file), 2 * PAGE, 0);
        }
        if self.random.below(8) == 0 {
            unmap(self.maps[to], self.files.pages)?;
            self.maps[to] = map(self.files.files[to], self.files.pages)?;
        }
        Ok(())
    }

    fn through_the_pipe(&mut self, source: usize, target: usize, length: usize) -> Result<usize, Errno> {
        let (reader, writer) = self.pipe;
        let written = transfer(nr::write, writer, source, length, 0)?;
        let mut moved = 0;
        while moved < written {
            match transfer(nr::read, reader, target + moved, written - moved, 0) {
                Ok(count) => moved += count,
                // Its page is gone: what is in the pipe is to go, too.
                Err(_) => moved += read(reader, &mut [0; PAGE][..written - moved])?,
            }
        }
        Ok(moved)
    }
}

/// Threads copy between two files, mappings of them and pipes; others cut the files and punch holes into them, and
/// fork.
pub fn mapped_files(round: Round) -> Outcome {
    const STEPS: usize = 60;
    static AT_WORK: AtomicUsize = AtomicUsize::new(0);
    attempt::prepare()?;
    scratch::enter()?;
    let copiers = round.threads.clamp(2, 16);
    let pages = 2 * copiers + 1;
    let mut both = [0; 2];
    for (fd, name) in both.iter_mut().zip([c"one", c"two"]) {
        close(files::create(name, &[])?)?;
        *fd = open(name, O_RDWR, 0)?;
        ftruncate(*fd, (pages * PAGE) as u64)?;
    }
    let files = Files { files: both, pages };
    AT_WORK.store(copiers, Ordering::SeqCst);
    teams::threads(copiers + 2, move |worker| {
        let mut random = round.random(worker);
        if worker < copiers {
            let maps = [map(files.files[0], pages)?, map(files.files[1], pages)?];
            let mut copier = Copier { files, maps, page: 2 * worker, pipe: pipe2(0)?, random };
            let outcome = (0..STEPS).try_for_each(|step| copier.step((step % 255) as u8 + 1));
            AT_WORK.fetch_sub(1, Ordering::SeqCst);
            return outcome;
        }
        while AT_WORK.load(Ordering::SeqCst) > 0 {
            if worker == copiers { disturb(files, &mut random)? } else { fork_once()? }
        }
        Ok(())
    })
}

/// Cuts a file and lets it grow again, or punches a hole.
fn disturb(files: Files, random: &mut Random) -> Outcome {
    let fd = files.files[random.below(2)];
    let size = (files.pages * PAGE) as u64;
    let place = random.below(files.pages * PAGE) as u64;
    if random.below(2) == 0 {
        ftruncate(fd, place)?;
        ftruncate(fd, size)?;
    } else {
        raw::call(nr::fallocate, &[fd as u64, PUNCH, place, size - place])?;
    }
    Ok(())
}

fn fork_once() -> Outcome {
    check_eq!(child::run(|| 0)?, WaitStatus(0));
    Ok(())
}

/// Records of a page, written from pages that are absent and read into such, go through one pipe whole; others that are
/// longer are appended to one file, and written at one shared position of another, whole as well.
pub fn whole_records(round: Round) -> Outcome {
    const EACH: usize = 40;
    const LONG: usize = 3 * PAGE - 8;
    static LEFT: AtomicUsize = AtomicUsize::new(0);
    attempt::prepare()?;
    scratch::enter()?;
    let writers = round.threads.clamp(2, 16);
    let (reader, writer) = pipe2(0)?;
    let end = files::create(c"appended", &[])?;
    close(end)?;
    let position = files::create(c"shared", &[])?;
    LEFT.store(writers * EACH, Ordering::SeqCst);
    teams::threads(2 * writers, move |worker| {
        let place = map(-1, 5)? + 40;
        if worker >= writers {
            return read_records(reader, place, &LEFT);
        }
        let end = open(c"appended", O_WRONLY | O_APPEND, 0)?;
        for number in 0..EACH {
            let byte = (worker * EACH + number) as u8;
            check!(fill(place, LONG, byte), "a page refuses a store");
            for (fd, length) in [(writer, PAGE), (end, LONG), (position, LONG)] {
                discard(place & !(PAGE - 1), 5)?;
                check_eq!(transfer(nr::write, fd, place, length, 0), Ok(length));
            }
        }
        close(end)?;
        Ok(())
    })?;
    for name in [c"appended", c"shared"] {
        let content = files::content(name)?;
        check_eq!(content.len(), writers * EACH * LONG);
        let whole = content.chunks(LONG).all(|record| record.iter().all(|byte| *byte == record[0]));
        check!(whole, "records of {name:?} are mixed");
    }
    Ok(())
}

fn read_records(reader: i32, place: usize, left: &AtomicUsize) -> Outcome {
    let take_one = |left: usize| left.checked_sub(1);
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).is_ok() {
        discard(place & !(PAGE - 1), 5)?;
        check_eq!(transfer(nr::read, reader, place, PAGE, 0), Ok(PAGE));
        let first = attempt::load(place);
        let whole = (0..PAGE).step_by(8).all(|offset| attempt::load(place + offset) == first);
        check!(whole, "a record of {first:?} is mixed");
    }
    Ok(())
}

/// Each thread stores to a page of its own of a shared file, in which another one punches holes, and looks at it by
/// both ways: what is gone in one is gone in the other, too.
pub fn holes(round: Round) -> Outcome {
    const STEPS: usize = 150;
    const BEFORE: usize = 64;
    static AT_WORK: AtomicUsize = AtomicUsize::new(0);
    static GATE: AtomicU32 = AtomicU32::new(0);
    attempt::prepare()?;
    scratch::enter_tmpfs()?;
    let owners = round.threads.clamp(2, 16);
    let pages = BEFORE + owners;
    close(files::create(c"holes", &[])?)?;
    let fd = open(c"holes", O_RDWR, 0)?;
    ftruncate(fd, (pages * PAGE) as u64)?;
    let base = map(fd, pages)?;
    AT_WORK.store(owners, Ordering::SeqCst);
    teams::threads(owners + 1, move |worker| {
        meet(&GATE, owners + 1);
        if worker == owners {
            while AT_WORK.load(Ordering::SeqCst) > 0 {
                // So that there is something to be taken away before the pages of the others.
                for page in 0..BEFORE {
                    check_eq!(pwrite64(fd, &[1], (page * PAGE) as u64), Ok(1));
                }
                raw::call(nr::fallocate, &[fd as u64, PUNCH, 0, (pages * PAGE) as u64])?;
            }
            return Ok(());
        }
        let page = BEFORE + worker;
        let outcome = (1..=STEPS).try_for_each(|step| watch_page(fd, base + page * PAGE, page, step as u64));
        AT_WORK.fetch_sub(1, Ordering::SeqCst);
        outcome
    })
}

fn watch_page(fd: i32, place: usize, page: usize, value: u64) -> Outcome {
    check!(attempt::store(place, value), "a page refuses a store");
    let mut is_gone = false;
    for look in 0..6 {
        let found = if look % 2 == 0 {
            let mut bytes = [0; 8];
            check_eq!(pread64(fd, &mut bytes, (page * PAGE) as u64), Ok(8));
            Some(u64::from_ne_bytes(bytes))
        } else {
            attempt::load(place)
        };
        check!(
            found == Some(0) || found == Some(value) && !is_gone,
            "{found:?} after {value}, gone: {is_gone}"
        );
        is_gone = found == Some(0);
    }
    Ok(())
}
