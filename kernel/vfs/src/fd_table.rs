//! Descriptor tables: small integers to open files.
//!
//! One spin lock guards a table; it is held only to look at or to change slots, and once threads share the table, those
//! that only look write to no line of each other's. Files are dropped outside it, because the last drop of a file may
//! run its release. Descriptors are found by strings of bits: free ones 4,096 at a step, others 64.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use hal::sync::SpinRwLock;
use libkernel::bit_string::BitString;
use outcome::OrErrno;

use super::file::File;

/// Whether a descriptor survives `execve`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnExec {
    /// It stays open.
    Keep,
    /// `FD_CLOEXEC`.
    Close,
}

impl OnExec {
    /// What `O_CLOEXEC` in open flags asks for.
    pub fn from_open_flags(flags: u32) -> OnExec {
        if flags & abi::fs::O_CLOEXEC != 0 { OnExec::Close } else { OnExec::Keep }
    }
}

/// Bits of a word of a string.
const WORD_BITS: usize = u64::BITS as usize;

#[derive(Clone, Default)]
struct Slots {
    files: Vec<Option<Arc<File>>>,
    /// Taken, or reserved for a file that is being opened.
    used: BitString,
    /// Which words of `used` have no zero.
    full: BitString,
    /// Close-on-exec.
    close_on_exec: BitString,
    /// No descriptor below this one is free.
    lowest_free: usize,
    /// One more than the highest that is taken.
    end: usize,
}

/// The descriptors of one process; shared by `clone(CLONE_FILES)`.
pub struct FdTable {
    slots: SpinRwLock<Slots>,
}

/// A descriptor that is taken but has no file yet. Dropped without [`Reserved::install`], it is free again.
pub struct Reserved<'a> {
    table: &'a FdTable,
    fd: u32,
}

impl Reserved<'_> {
    /// The descriptor.
    pub fn number(&self) -> u32 {
        self.fd
    }

    /// Makes the descriptor refer to `file`.
    pub fn install(self, file: Arc<File>, on_exec: OnExec) -> u32 {
        let fd = self.fd;
        let mut slots = self.table.slots.write();
        slots.put(fd as usize, file, on_exec);
        drop(slots);
        core::mem::forget(self);
        fd
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.table.slots.write().release(self.fd as usize);
    }
}

impl FdTable {
    /// A table without descriptors.
    pub fn empty() -> Arc<FdTable> {
        Arc::new(FdTable { slots: SpinRwLock::new(Slots::default()) })
    }

    /// A table that refers to the same open files: `fork` and `unshare(CLONE_FILES)`. ENOMEM when there is no room.
    pub fn duplicate(&self) -> Result<Arc<FdTable>, Errno> {
        let mut copy = Slots::default();
        loop {
            // What it has room for may be much more.
            let wanted = self.slots.read().end;
            copy.grow(wanted)?;
            let slots = self.slots.read();
            if copy.copy_from(&slots) {
                break;
            }
        }
        Ok(Arc::new(FdTable { slots: SpinRwLock::new(copy) }))
    }

    /// Threads on several CPUs will look at it at the same time.
    pub fn share(&self) {
        self.slots.count_per_cpu();
    }

    /// The file behind a descriptor. EBADF if there is none.
    #[inline]
    pub fn get(&self, fd: u32) -> Result<Arc<File>, Errno> {
        self.slots.read().file(fd).cloned().ok_or(Errno::EBADF)
    }

    /// The files behind two descriptors, as one moment finds them. EBADF if there is none behind either.
    #[inline]
    pub fn get_both(&self, fds: [u32; 2]) -> Result<[Arc<File>; 2], Errno> {
        let slots = self.slots.read();
        match fds.map(|fd| slots.file(fd)) {
            [Some(first), Some(second)] => Ok([first.clone(), second.clone()]),
            _ => Err(Errno::EBADF),
        }
    }

    /// The files behind several descriptors, as one moment finds them; `None` where there is none.
    #[inline]
    pub fn get_each(&self, fds: impl Iterator<Item = u32>, mut take: impl FnMut(Option<Arc<File>>)) {
        let slots = self.slots.read();
        fds.for_each(|fd| take(slots.file(fd).cloned()));
    }

    /// Whether all descriptors are taken that have their bits in these words, the first of which is that of 0 to 63.
    pub fn are_taken(&self, words: impl Iterator<Item = u64>) -> bool {
        let slots = self.slots.read();
        words.enumerate().all(|(number, word)| word & !slots.used.word(number) == 0)
    }

    /// Takes the lowest free descriptor from `lowest` on. EMFILE when it would reach `limit` (RLIMIT_NOFILE), ENFILE
    /// when only the kernel's reserve of memory is left for files.
    pub fn reserve(&self, lowest: u32, limit: u64) -> Result<Reserved<'_>, Errno> {
        if !hal::frame::may_allocate() {
            return Err(Errno::ENFILE);
        }
        let mut slots = self.slots.write();
        let fd = slots.find_free(lowest as usize);
        if lowest as usize <= slots.lowest_free {
            slots.lowest_free = fd;
        }
        if fd as u64 >= limit {
            return Err(Errno::EMFILE);
        }
        slots.grow(fd + 1)?;
        slots.take(fd);
        Ok(Reserved { table: self, fd: fd as u32 })
    }

    /// Puts `file` at the lowest free descriptor.
    pub fn insert(&self, file: Arc<File>, on_exec: OnExec, limit: u64) -> Result<u32, Errno> {
        Ok(self.reserve(0, limit)?.install(file, on_exec))
    }

    /// Puts `file` at exactly `fd` and returns what was there: dup2(2). EBADF beyond the limit, EBUSY while another
    /// thread is opening a file at that descriptor.
    pub fn replace(
        &self,
        fd: u32,
        file: Arc<File>,
        on_exec: OnExec,
        limit: u64,
    ) -> Result<Option<Arc<File>>, Errno> {
        if u64::from(fd) >= limit {
            return Err(Errno::EBADF);
        }
        let index = fd as usize;
        let mut slots = self.slots.write();
        slots.grow(index + 1)?;
        if slots.is_used(index) && slots.file(fd).is_none() {
            return Err(Errno::EBUSY);
        }
        slots.take(index);
        Ok(slots.put(index, file, on_exec))
    }

    /// Takes the file out of a descriptor: close(2). EBADF if there is none.
    pub fn remove(&self, fd: u32) -> Result<Arc<File>, Errno> {
        self.slots.write().remove(fd as usize).ok_or(Errno::EBADF)
    }

    /// Whether the descriptor survives `execve`. EBADF if there is none.
    pub fn on_exec(&self, fd: u32) -> Result<OnExec, Errno> {
        let slots = self.slots.read();
        slots.file(fd).ok_or(Errno::EBADF)?;
        Ok(if slots.close_on_exec.get(fd as usize) { OnExec::Close } else { OnExec::Keep })
    }

    /// Sets whether the descriptor survives `execve`. EBADF if there is none.
    pub fn set_on_exec(&self, fd: u32, on_exec: OnExec) -> Result<(), Errno> {
        let mut slots = self.slots.write();
        slots.file(fd).ok_or(Errno::EBADF)?;
        slots.close_on_exec.set(fd as usize, on_exec == OnExec::Close);
        Ok(())
    }

    /// The open descriptor at or after `from`, with its file.
    pub fn next_open(&self, from: u32) -> Option<(u32, Arc<File>)> {
        let slots = self.slots.read();
        let mut next = from as usize;
        loop {
            let index = slots.used.next_one(next)?;
            if let Some(Some(file)) = slots.files.get(index) {
                return Some((index as u32, file.clone()));
            }
            next = index + 1;
        }
    }

    /// How many descriptors the table has room for: `FDSize` of `/proc/PID/status`.
    pub fn capacity(&self) -> usize {
        self.slots.read().files.len()
    }

    /// Takes the lowest file in `first..=last` out of those of `among`.
    fn remove_next(
        &self,
        first: u32,
        last: u32,
        among: impl Fn(&Slots) -> &BitString,
    ) -> Option<(u32, Arc<File>)> {
        let mut slots = self.slots.write();
        let mut next = first as usize;
        loop {
            let index = among(&slots).next_one(next).filter(|&index| index <= last as usize)?;
            if let Some(file) = slots.remove(index) {
                return Some((index as u32, file));
            }
            next = index + 1;
        }
    }

    /// Closes the descriptors in `first..=last`, handing each file to `close`. Each number is met once: what is opened
    /// meanwhile by a number that was passed stays open.
    pub fn remove_range(&self, first: u32, last: u32, close: impl FnMut(Arc<File>)) {
        self.remove_all(first, last, |slots| &slots.used, close);
    }

    fn remove_all(
        &self,
        first: u32,
        last: u32,
        among: impl Fn(&Slots) -> &BitString,
        mut close: impl FnMut(Arc<File>),
    ) {
        let mut next = Some(first);
        while let Some((fd, file)) = next.and_then(|next| self.remove_next(next, last, &among)) {
            close(file);
            next = fd.checked_add(1);
        }
    }

    /// Sets for every open descriptor in `first..=last` whether it survives `execve`.
    pub fn set_range_on_exec(&self, first: u32, last: u32, on_exec: OnExec) {
        let mut slots = self.slots.write();
        let mut next = first as usize;
        while let Some(index) = slots.used.next_one(next).filter(|&index| index <= last as usize) {
            // A descriptor that is reserved gets its own when it gets its file.
            slots.close_on_exec.set(index, on_exec == OnExec::Close);
            next = index + 1;
        }
    }

    /// Closes every descriptor marked close-on-exec, handing each file to `close`: `execve`.
    pub fn remove_close_on_exec(&self, close: impl FnMut(Arc<File>)) {
        self.remove_all(0, u32::MAX, |slots| &slots.close_on_exec, close);
    }
}

impl Drop for FdTable {
    /// The last process that used the table has ended: its record locks go, also on files that others still have open.
    fn drop(&mut self) {
        let table = core::ptr::from_ref(self);
        for file in core::mem::take(&mut self.slots.get_mut().files).into_iter().flatten() {
            file.inode().locks.release_process(table);
            file.end_watch(table);
        }
    }
}

impl Slots {
    fn file(&self, fd: u32) -> Option<&Arc<File>> {
        self.files.get(fd as usize)?.as_ref()
    }

    fn is_used(&self, index: usize) -> bool {
        self.used.get(index)
    }

    /// Makes the table at least `wanted` long.
    fn grow(&mut self, wanted: usize) -> Result<(), Errno> {
        if wanted <= self.files.len() {
            return Ok(());
        }
        let length = wanted.next_multiple_of(WORD_BITS);
        self.files.try_reserve(length - self.files.len()).or_errno()?;
        self.used.grow(length).or_errno()?;
        self.full.grow(length.div_ceil(WORD_BITS)).or_errno()?;
        self.close_on_exec.grow(length).or_errno()?;
        self.files.resize(length, None);
        Ok(())
    }

    fn find_free(&self, lowest: usize) -> usize {
        let start = lowest.max(self.lowest_free);
        let free = !self.used.word(start / WORD_BITS) >> (start % WORD_BITS);
        if free != 0 {
            return start + free.trailing_zeros() as usize;
        }
        let word = self.full.next_zero(start / WORD_BITS + 1);
        self.used.next_zero(word * WORD_BITS)
    }

    fn take(&mut self, index: usize) {
        let word = self.used.set(index, true);
        self.full.set(index / WORD_BITS, word == u64::MAX);
        self.end = self.end.max(index + 1);
        if index == self.lowest_free {
            self.lowest_free = index + 1;
        }
    }

    fn release(&mut self, index: usize) {
        self.used.set(index, false);
        self.full.set(index / WORD_BITS, false);
        self.lowest_free = self.lowest_free.min(index);
        if index + 1 == self.end {
            self.end = self.used.end_below(index);
        }
    }

    fn put(&mut self, index: usize, file: Arc<File>, on_exec: OnExec) -> Option<Arc<File>> {
        self.close_on_exec.set(index, on_exec == OnExec::Close);
        self.files.get_mut(index).and_then(|slot| slot.replace(file))
    }

    fn remove(&mut self, index: usize) -> Option<Arc<File>> {
        let file = self.files.get_mut(index)?.take()?;
        self.release(index);
        self.close_on_exec.set(index, false);
        Some(file)
    }

    /// Takes over the open files of `other`; `false` when it has grown beyond this one.
    fn copy_from(&mut self, other: &Slots) -> bool {
        if other.end > self.files.len() {
            return false;
        }
        self.used.copy_from(&other.used);
        self.full.copy_from(&other.full);
        self.close_on_exec.copy_from(&other.close_on_exec);
        self.lowest_free = other.lowest_free;
        self.end = other.end;
        let mut next = 0;
        while next < other.end
            && let Some(index) = other.used.next_one(next)
        {
            match (self.files.get_mut(index), other.file(index as u32)) {
                (Some(slot), Some(file)) => *slot = Some(file.clone()),
                // It is being opened.
                _ => self.release(index),
            }
            next = index + 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anonymous;
    use crate::file::FileOperations;
    use subject::{Credentials, Pid};

    struct Nothing;

    impl FileOperations for Nothing {
        fn is_pollable(&self) -> bool {
            false
        }
    }

    fn file() -> Arc<File> {
        hal::cpu::id();
        anonymous::open(Arc::new(Nothing), "anon_inode:[test]", 0, &Credentials::root()).expect("a device")
    }

    fn insert(table: &FdTable) -> u32 {
        table.insert(file(), OnExec::Keep, 1024).expect("room")
    }

    #[test]
    fn the_lowest_free_descriptor_is_taken() {
        let table = FdTable::empty();
        assert_eq!([insert(&table), insert(&table), insert(&table)], [0, 1, 2]);
        table.remove(1).expect("open");
        assert_eq!([insert(&table), insert(&table)], [1, 3]);
        assert_eq!(table.reserve(100, 1024).map(|slot| slot.number()).ok(), Some(100));
        assert_eq!(table.insert(file(), OnExec::Keep, 4), Err(Errno::EMFILE));
    }

    #[test]
    fn a_reservation_is_taken_but_not_open_and_comes_free_again() {
        hal::cpu::id();
        let table = FdTable::empty();
        let slot = table.reserve(0, 1024).expect("room");
        assert_eq!(table.get(0).err(), Some(Errno::EBADF));
        assert_eq!(table.replace(0, file(), OnExec::Keep, 1024).err(), Some(Errno::EBUSY));
        drop(slot);
        assert_eq!(insert(&table), 0);
    }

    #[test]
    fn a_table_with_few_files_makes_a_small_copy() {
        let table = FdTable::empty();
        table.replace(100_000, file(), OnExec::Close, 1 << 20).expect("room");
        drop(table.remove(100_000).expect("open"));
        insert(&table);
        let slot = table.reserve(1, 1024).expect("room");
        let copy = table.duplicate().expect("memory");
        assert_eq!((copy.capacity(), insert(&copy)), (64, slot.number()));
    }

    #[test]
    fn what_is_opened_while_a_range_is_closed_stays_open() {
        let table = FdTable::empty();
        assert_eq!([0; 3].map(|_| insert(&table)), [0, 1, 2]);
        let mut closed = 0;
        table.remove_range(0, u32::MAX, |_| {
            closed += 1;
            if closed < 10 {
                insert(&table);
            }
        });
        // Each gives its number to the next one that is opened, and is passed by.
        assert_eq!((closed, table.next_open(0).map(|(fd, _)| fd)), (3, Some(0)));
        assert_eq!([0, 1, 2].map(|fd| table.get(fd).is_ok()), [true; 3]);
    }

    #[test]
    fn the_lowest_free_descriptor_is_found_among_many() {
        let (table, file) = (FdTable::empty(), file());
        for fd in 0..10_000 {
            assert_eq!(table.insert(file.clone(), OnExec::Keep, 20_000), Ok(fd));
        }
        for fd in [9_000, 63, 64, 4_100] {
            drop(table.remove(fd).expect("open"));
            assert_eq!(table.insert(file.clone(), OnExec::Keep, 20_000), Ok(fd));
            assert_eq!(table.reserve(65, 20_000).map(|slot| slot.number()).ok(), Some(10_000));
        }
        assert_eq!(table.next_open(9_999).map(|(fd, _)| fd), Some(9_999));
        assert!(table.are_taken([u64::MAX; 156].into_iter()));
        assert!(!table.are_taken([u64::MAX; 157].into_iter()));
    }

    #[test]
    fn record_locks_end_with_the_table() {
        use crate::lock::{Blocking, Holder, LockKind, RecordLock};
        let (table, other) = (FdTable::empty(), FdTable::empty());
        let file = file();
        table.insert(file.clone(), OnExec::Keep, 1024).expect("room");
        let lock = |table: &Arc<FdTable>| RecordLock {
            start: 0,
            last: 9,
            kind: LockKind::Exclusive,
            holder: Holder::process(Arc::as_ptr(table), Pid::INIT, core::ptr::null()),
        };
        let locks = &file.inode().locks;
        locks.lock_record(file.inode(), lock(&table), Blocking::Fail).expect("free");
        assert!(locks.find_conflict(&lock(&other)).is_some());
        drop(table);
        assert!(locks.find_conflict(&lock(&other)).is_none());
    }

    #[test]
    fn execve_closes_what_is_marked() {
        let table = FdTable::empty();
        for _ in 0..130 {
            insert(&table);
        }
        table.set_on_exec(64, OnExec::Close).expect("open");
        table.set_range_on_exec(128, u32::MAX, OnExec::Close);
        let copy = table.duplicate().expect("memory");
        let mut closed = 0;
        copy.remove_close_on_exec(|_| closed += 1);
        assert_eq!(closed, 3);
        assert_eq!(copy.get(64).err(), Some(Errno::EBADF));
        assert!(table.get(64).is_ok());
        assert_eq!(copy.next_open(64).map(|(fd, _)| fd), Some(65));
    }
}
