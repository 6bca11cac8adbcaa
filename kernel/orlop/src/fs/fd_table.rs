//! Descriptor tables: small integers to open files.
//!
//! One spin lock guards a table; it is held only to look at or to change slots, and once threads share the table, those that only
//! look write to no line of each other's. Files are dropped outside it, because the last
//! drop of a file may run its release. The lowest free descriptor is found by bitmap, 64 descriptors at a step.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use hal::sync::SpinRwLock;

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

#[derive(Clone, Default)]
struct Slots {
    files: Vec<Option<Arc<File>>>,
    /// Bit per descriptor: taken, or reserved for a file that is being opened.
    used: Vec<u64>,
    /// Bit per descriptor: close-on-exec.
    close_on_exec: Vec<u64>,
    /// No descriptor below this one is free.
    lowest_free: usize,
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
            let wanted = self.slots.read().files.len();
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
        self.slots.spread();
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

    /// Whether there is a file behind each of these.
    pub fn are_open(&self, mut fds: impl Iterator<Item = u32>) -> bool {
        let slots = self.slots.read();
        fds.all(|fd| slots.file(fd).is_some())
    }

    /// Takes the lowest free descriptor from `lowest` on. EMFILE when it would reach `limit` (RLIMIT_NOFILE), ENFILE when only the
    /// kernel's reserve of memory is left for files.
    pub fn reserve(&self, lowest: u32, limit: u64) -> Result<Reserved<'_>, Errno> {
        if !hal::frame::may_allocate() {
            return Err(Errno::ENFILE);
        }
        let mut slots = self.slots.write();
        let fd = slots.find_free(lowest as usize);
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

    /// Puts `file` at exactly `fd` and returns what was there: dup2(2). EBADF beyond the limit, EBUSY while another thread
    /// is opening a file at that descriptor.
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
        Ok(if bit(&slots.close_on_exec, fd as usize) { OnExec::Close } else { OnExec::Keep })
    }

    /// Sets whether the descriptor survives `execve`. EBADF if there is none.
    pub fn set_on_exec(&self, fd: u32, on_exec: OnExec) -> Result<(), Errno> {
        let mut slots = self.slots.write();
        slots.file(fd).ok_or(Errno::EBADF)?;
        set_bit(&mut slots.close_on_exec, fd as usize, on_exec == OnExec::Close);
        Ok(())
    }

    /// The open descriptor at or after `from`, with its file.
    pub fn next_open(&self, from: u32) -> Option<(u32, Arc<File>)> {
        let slots = self.slots.read();
        let rest = slots.files.get(from as usize..)?;
        let offset = rest.iter().position(Option::is_some)?;
        let file = rest.get(offset)?.clone()?;
        Some((from + offset as u32, file))
    }

    /// How many descriptors the table has room for: `FDSize` of `/proc/PID/status`.
    pub fn capacity(&self) -> usize {
        self.slots.read().files.len()
    }

    /// Takes the lowest file in `first..=last` that is marked as `marked`, or any.
    fn remove_next(&self, first: u32, last: u32, marked: Option<OnExec>) -> Option<(u32, Arc<File>)> {
        let mut slots = self.slots.write();
        let end = slots.files.len().min(last as usize + 1);
        for index in first as usize..end {
            let matches = match marked {
                None => true,
                Some(wanted) => (wanted == OnExec::Close) == bit(&slots.close_on_exec, index),
            };
            if matches && let Some(file) = slots.remove(index) {
                return Some((index as u32, file));
            }
        }
        None
    }

    /// Closes every descriptor in `first..=last`, handing each file to `close`.
    pub fn remove_range(&self, first: u32, last: u32, mut close: impl FnMut(Arc<File>)) {
        let mut next = first;
        while let Some((fd, file)) = self.remove_next(next, last, None) {
            close(file);
            next = fd;
        }
    }

    /// Sets for every open descriptor in `first..=last` whether it survives `execve`.
    pub fn set_range_on_exec(&self, first: u32, last: u32, on_exec: OnExec) {
        let mut slots = self.slots.write();
        let end = slots.files.len().min((last as usize).saturating_add(1));
        for index in first as usize..end {
            if slots.files.get(index).is_some_and(Option::is_some) {
                set_bit(&mut slots.close_on_exec, index, on_exec == OnExec::Close);
            }
        }
    }

    /// Closes every descriptor marked close-on-exec, handing each file to `close`: `execve`.
    pub fn remove_close_on_exec(&self, mut close: impl FnMut(Arc<File>)) {
        let mut next = 0;
        while let Some((fd, file)) = self.remove_next(next, u32::MAX - 1, Some(OnExec::Close)) {
            close(file);
            next = fd;
        }
    }
}

impl Drop for FdTable {
    /// The last process that used the table has ended: its record locks go, also on files that others still have open.
    fn drop(&mut self) {
        let table = core::ptr::from_ref(self);
        for file in core::mem::take(&mut self.slots.get_mut().files).into_iter().flatten() {
            file.inode().locks.release_process(table);
        }
    }
}

impl Slots {
    fn file(&self, fd: u32) -> Option<&Arc<File>> {
        self.files.get(fd as usize)?.as_ref()
    }

    fn is_used(&self, index: usize) -> bool {
        bit(&self.used, index)
    }

    /// Makes the table at least `wanted` long.
    fn grow(&mut self, wanted: usize) -> Result<(), Errno> {
        const STEP: usize = 64;
        if wanted <= self.files.len() {
            return Ok(());
        }
        let length = wanted.next_multiple_of(STEP);
        let words = length / STEP;
        self.files.try_reserve(length - self.files.len()).map_err(|_| Errno::ENOMEM)?;
        self.used.try_reserve(words - self.used.len()).map_err(|_| Errno::ENOMEM)?;
        self.close_on_exec.try_reserve(words - self.close_on_exec.len()).map_err(|_| Errno::ENOMEM)?;
        self.files.resize(length, None);
        self.used.resize(words, 0);
        self.close_on_exec.resize(words, 0);
        Ok(())
    }

    fn find_free(&self, lowest: usize) -> usize {
        let start = lowest.max(self.lowest_free);
        let mut index = start / 64;
        let mut below_start = (1u64 << (start % 64)) - 1;
        while let Some(&word) = self.used.get(index) {
            let taken = word | below_start;
            if taken != u64::MAX {
                return index * 64 + taken.trailing_ones() as usize;
            }
            below_start = 0;
            index += 1;
        }
        start.max(index * 64)
    }

    fn take(&mut self, index: usize) {
        set_bit(&mut self.used, index, true);
        if index == self.lowest_free {
            self.lowest_free = index + 1;
        }
    }

    fn release(&mut self, index: usize) {
        set_bit(&mut self.used, index, false);
        self.lowest_free = self.lowest_free.min(index);
    }

    fn put(&mut self, index: usize, file: Arc<File>, on_exec: OnExec) -> Option<Arc<File>> {
        set_bit(&mut self.close_on_exec, index, on_exec == OnExec::Close);
        self.files.get_mut(index).and_then(|slot| slot.replace(file))
    }

    fn remove(&mut self, index: usize) -> Option<Arc<File>> {
        let file = self.files.get_mut(index)?.take()?;
        self.release(index);
        set_bit(&mut self.close_on_exec, index, false);
        Some(file)
    }

    /// Takes over the open files of `other`; `false` when it has grown beyond this one.
    fn copy_from(&mut self, other: &Slots) -> bool {
        if other.files.len() > self.files.len() {
            return false;
        }
        for (index, file) in other.files.iter().enumerate() {
            if let Some(file) = file {
                let on_exec = if bit(&other.close_on_exec, index) { OnExec::Close } else { OnExec::Keep };
                self.take(index);
                self.put(index, file.clone(), on_exec);
            }
        }
        true
    }
}

fn bit(words: &[u64], index: usize) -> bool {
    words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 != 0)
}

fn set_bit(words: &mut [u64], index: usize, value: bool) {
    if let Some(word) = words.get_mut(index / 64) {
        let mask = 1 << (index % 64);
        *word = if value { *word | mask } else { *word & !mask };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::anonymous;
    use crate::fs::file::FileOperations;
    use crate::process::Credentials;

    struct Nothing;

    impl FileOperations for Nothing {
        fn is_pollable(&self) -> bool {
            false
        }
    }

    fn file() -> Arc<File> {
        crate::fs::tests::start_memory();
        anonymous::open(Arc::new(Nothing), "anon_inode:[test]", 0, &Credentials::root())
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
        crate::fs::tests::start_memory();
        let table = FdTable::empty();
        let slot = table.reserve(0, 1024).expect("room");
        assert_eq!(table.get(0).err(), Some(Errno::EBADF));
        assert_eq!(table.replace(0, file(), OnExec::Keep, 1024).err(), Some(Errno::EBUSY));
        drop(slot);
        assert_eq!(insert(&table), 0);
    }

    #[test]
    fn record_locks_end_with_the_table() {
        use crate::fs::lock::{Blocking, Holder, LockKind, RecordLock};
        let (table, other) = (FdTable::empty(), FdTable::empty());
        let file = file();
        table.insert(file.clone(), OnExec::Keep, 1024).expect("room");
        let lock = |table: &Arc<FdTable>| RecordLock {
            start: 0,
            last: 9,
            kind: LockKind::Exclusive,
            holder: Holder::process(Arc::as_ptr(table), 1),
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
