//! Where read-like calls put their bytes, and where write-like calls take them from.
//!
//! [`IoSink`] is the destination of a `read`, [`IoSource`] the origin of a `write`. Either is kernel
//! memory or the user memory that one buffer or a vector of buffers names; files see no difference. Both
//! count what moved, because Linux answers a call that faulted or failed half-way with the bytes done so
//! far and only a call that moved nothing with the error: see [`IoSink::finish`].
//!
//! Plain copies page memory in and may sleep for long: no lock may be held. Under a lock the `_present` copies are
//! used, which move all that is asked for or nothing: one that meets an absent page ends with [`Halt::Absent`]. The
//! caller leaves its locks, has the transfer bring the pages in ([`Transfer::bring_in`]) and tries again. Only what the
//! program itself does can take the pages away in between.

use abi::Errno;
use abi::fs::Iovec;
use hal::frame::SharedFrame;
use hal::user_copy::{self, OnAbsent};
use libkernel::addr::UserAddr;
use libkernel::fault::Access;

use super::offset_address;

/// The most one call moves (Linux's `MAX_RW_COUNT`): a page less than 2 GiB.
pub const MAX_TRANSFER: usize = 0x7fff_f000;

/// The most buffers one call names (`linux/uio.h`, `UIO_MAXIOV`).
pub const MAX_SEGMENTS: usize = 1024;

/// Why a step under a lock did not move what it was to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Halt {
    /// Of so many bytes that are to be moved next some lie in absent pages.
    Absent(usize),
    /// It failed.
    Failed(Errno),
}

impl From<Errno> for Halt {
    #[inline]
    fn from(errno: Errno) -> Halt {
        Halt::Failed(errno)
    }
}

/// The user buffers of a call, with a cursor.
#[derive(Clone, Copy)]
struct UserSegments<'a> {
    address: UserAddr,
    len: usize,
    vectors: &'a [Iovec],
    /// The first vector behind the cursor.
    next: usize,
}

impl<'a> UserSegments<'a> {
    fn one(address: UserAddr, len: usize) -> Self {
        Self { address, len, vectors: &[], next: 0 }
    }

    fn many(vectors: &'a [Iovec]) -> Self {
        Self { address: UserAddr::new(0), len: 0, vectors, next: 0 }
    }

    /// Skips used-up buffers; the address and the room of the first that has any.
    fn current(&mut self) -> Option<(UserAddr, usize)> {
        while self.len == 0 {
            let next = self.vectors.get(self.next)?;
            self.address = UserAddr::new(next.iov_base);
            self.len = usize::try_from(next.iov_len).unwrap_or(usize::MAX);
            self.next += 1;
        }
        Some((self.address, self.len))
    }

    /// Goes back by `count` bytes, to where `moved` bytes are done.
    #[cold]
    fn go_back(&mut self, count: usize, moved: usize) {
        if self.vectors.is_empty() {
            self.address = UserAddr::new(self.address.as_u64().wrapping_sub(count as u64));
            self.len += count;
            return;
        }
        *self = Self::many(self.vectors);
        move_user(self, moved, |_, _, len| len);
    }

    /// Brings in what lies under the next `needed` bytes, or fails with `EFAULT`; and of what follows as much as there
    /// is, up to `wanted` bytes in all.
    fn bring_in(mut self, needed: usize, wanted: usize, access: Access) -> Result<(), Errno> {
        let mut bring =
            |len| {
                move_user(&mut self, len, |address, _, len| {
                    if user_copy::page_in(address, len, access).is_ok() { len } else { 0 }
                })
            };
        if bring(needed) < needed {
            return Err(Errno::EFAULT);
        }
        bring(wanted.saturating_sub(needed));
        Ok(())
    }

    fn advance(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        self.address = offset_address(self.address, count).unwrap_or(self.address);
    }
}

/// Runs `copy(address, offset, len) -> done` over the buffers until `len` bytes moved or one faulted.
fn move_user(
    segments: &mut UserSegments<'_>,
    len: usize,
    mut copy: impl FnMut(UserAddr, usize, usize) -> usize,
) -> usize {
    let mut moved = 0;
    while moved < len {
        let Some((address, room)) = segments.current() else { break };
        let step = room.min(len - moved);
        let done = copy(address, moved, step).min(step);
        segments.advance(done);
        moved += done;
        if done < step {
            break;
        }
    }
    moved
}

/// The sum of the buffers' lengths, checked as `readv(2)` checks it: `EINVAL` when there are too many
/// buffers or a length is negative as a signed number, then `EFAULT` for a buffer that reaches beyond the user half, be
/// it empty; capped at [`MAX_TRANSFER`].
fn total_length(vectors: &[Iovec]) -> Result<usize, Errno> {
    if vectors.len() > MAX_SEGMENTS || vectors.iter().any(|vector| i64::try_from(vector.iov_len).is_err()) {
        return Err(Errno::EINVAL);
    }
    let mut total = 0usize;
    for vector in vectors {
        user_copy::checked(UserAddr::new(vector.iov_base), vector.iov_len).ok_or(Errno::EFAULT)?;
        total = total.saturating_add(usize::try_from(vector.iov_len).unwrap_or(usize::MAX));
    }
    Ok(total.min(MAX_TRANSFER))
}

/// A read-like or write-like operation under way: where its bytes go or come from, and how far it is.
pub struct Transfer<'a, K> {
    memory: Memory<'a, K>,
    moved: usize,
    remaining: usize,
}

/// The destination of a read-like operation.
pub type IoSink<'a> = Transfer<'a, &'a mut [u8]>;

/// The origin of a write-like operation.
pub type IoSource<'a> = Transfer<'a, &'a [u8]>;

enum Memory<'a, K> {
    Kernel(K),
    User(UserSegments<'a>),
}

impl<'a, K> Transfer<'a, K> {
    /// One user buffer; longer ones are cut at [`MAX_TRANSFER`].
    pub fn user(address: UserAddr, len: usize) -> Self {
        let remaining = len.min(MAX_TRANSFER);
        Self { memory: Memory::User(UserSegments::one(address, len)), moved: 0, remaining }
    }

    /// The user buffers of a `readv`-like or `writev`-like call, already copied in; `EINVAL` as Linux says.
    pub fn vectors(vectors: &'a [Iovec]) -> Result<Self, Errno> {
        let remaining = total_length(vectors)?;
        Ok(Self { memory: Memory::User(UserSegments::many(vectors)), moved: 0, remaining })
    }

    /// How many bytes are still to be moved.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// How many bytes were moved so far.
    pub fn moved(&self) -> usize {
        self.moved
    }

    /// Lowers what is left to at most `limit` bytes.
    pub fn limit(&mut self, limit: usize) {
        self.remaining = self.remaining.min(limit);
    }

    /// The call's answer: bytes moved so far win over `outcome`'s error.
    #[inline]
    pub fn finish<E>(&self, outcome: Result<(), E>) -> Result<usize, E> {
        match outcome {
            Err(error) if self.moved == 0 => Err(error),
            _ => Ok(self.moved),
        }
    }

    /// Counts what a step moved that was to move all or nothing.
    #[inline]
    fn account_present(&mut self, done: usize, wanted: usize) -> Result<(), Halt> {
        if done != wanted {
            if let Memory::User(segments) = &mut self.memory {
                segments.go_back(done, self.moved);
            }
            return Err(Halt::Absent(wanted));
        }
        self.moved += done;
        self.remaining -= done;
        Ok(())
    }

    /// After a step that ended so, its locks being left: makes it worth another try, or says why there is none.
    #[cold]
    fn bring_in_for(&self, halt: Halt, ahead: usize, access: Access) -> Result<(), Errno> {
        /// What is brought in at once, so that a long transfer is seldom cut in two: what a pipe holds at first.
        const MOST: usize = 65536;
        let needed = match halt {
            Halt::Absent(needed) => needed,
            Halt::Failed(errno) => return Err(errno),
        };
        match &self.memory {
            Memory::User(segments) => segments.bring_in(needed, ahead.min(self.remaining).min(MOST), access),
            Memory::Kernel(_) => Err(Errno::EFAULT),
        }
    }

    /// Counts what a step moved, and says what a failed or short one answers: the bytes done, or the fault when there
    /// are none.
    fn account(&mut self, done: usize, wanted: usize) -> Result<usize, Errno> {
        self.moved += done;
        self.remaining -= done;
        if done == 0 && wanted != 0 { Err(Errno::EFAULT) } else { Ok(done) }
    }
}

impl<'a> Transfer<'a, &'a mut [u8]> {
    /// Kernel memory to be filled.
    pub fn kernel(bytes: &'a mut [u8]) -> Self {
        let remaining = bytes.len();
        Self { memory: Memory::Kernel(bytes), moved: 0, remaining }
    }

    /// Puts `bytes`, as many as fit, with no lock held. Fewer than `min(bytes.len(), remaining())` means a fault
    /// half-way; `EFAULT` that not even one byte could be put.
    pub fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let wanted = bytes.len().min(self.remaining);
        let done = match &mut self.memory {
            Memory::Kernel(target) => put_kernel(target, wanted, |to| to.copy_from_slice(&bytes[..to.len()])),
            Memory::User(segments) => move_user(segments, wanted, |address, offset, len| {
                user_copy::copy_to_user(address, bytes.get(offset..offset + len).unwrap_or_default())
            }),
        };
        self.account(done, wanted)
    }

    /// Puts all of `bytes`, for which there must be room. `EFAULT` unless every byte could be put; then none counts as
    /// moved.
    pub fn put_whole(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let moved = self.moved;
        if self.put(bytes)? == bytes.len() {
            return Ok(());
        }
        self.moved = moved;
        Err(Errno::EFAULT)
    }

    /// Puts `len` bytes of a page frame from `offset` on, as many as fit; faults as for [`Self::put`].
    pub fn put_frame(&mut self, frame: &SharedFrame, offset: usize, len: usize) -> Result<usize, Errno> {
        let wanted = len.min(self.remaining);
        let done = match &mut self.memory {
            Memory::Kernel(target) => put_kernel(target, wanted, |to| {
                frame.read(offset, to);
            }),
            Memory::User(segments) => move_user(segments, wanted, |address, done, len| {
                frame.copy_to_user(offset + done, len, address, OnAbsent::PageIn)
            }),
        };
        self.account(done, wanted)
    }

    /// Puts `len` bytes of a page frame from `offset` on, for which there must be room, or none: for use under a lock.
    #[inline]
    pub fn put_frame_present(&mut self, frame: &SharedFrame, offset: usize, len: usize) -> Result<(), Halt> {
        let done = match &mut self.memory {
            Memory::Kernel(target) => put_kernel(target, len, |to| {
                frame.read(offset, to);
            }),
            Memory::User(segments) => move_user(segments, len, |address, done, len| {
                frame.copy_to_user(offset + done, len, address, OnAbsent::Stop)
            }),
        };
        self.account_present(done, len)
    }

    /// After a step under a lock that ended so, with the lock left: brings in what was absent, for another try; else
    /// the error. If the next try can move `ahead` bytes, their pages are brought in, too.
    #[inline]
    pub fn bring_in(&mut self, halt: Halt, ahead: usize) -> Result<(), Errno> {
        self.bring_in_for(halt, ahead, Access::Write)
    }

    /// Puts `bytes` as far as there are pages for them, for use under a lock. Those that were put count however it
    /// ends.
    pub fn put_present(&mut self, bytes: &[u8]) -> Result<usize, Halt> {
        let wanted = bytes.len().min(self.remaining);
        let done = match &mut self.memory {
            Memory::Kernel(target) => put_kernel(target, wanted, |to| to.copy_from_slice(&bytes[..to.len()])),
            Memory::User(segments) => move_user(segments, wanted, |address, offset, len| {
                user_copy::copy_to_user_nofault(address, bytes.get(offset..offset + len).unwrap_or_default())
            }),
        };
        self.moved += done;
        self.remaining -= done;
        if done < wanted { Err(Halt::Absent(1)) } else { Ok(done) }
    }

    /// Puts `len` zero bytes, as many as fit; faults as for [`Self::put`].
    pub fn put_zeroes(&mut self, len: usize) -> Result<usize, Errno> {
        let wanted = len.min(self.remaining);
        let done = match &mut self.memory {
            Memory::Kernel(target) => put_kernel(target, wanted, |to| to.fill(0)),
            Memory::User(segments) => {
                move_user(segments, wanted, |address, _, len| user_copy::clear_user(address, len))
            }
        };
        self.account(done, wanted)
    }
}

/// Fills the first `wanted` bytes of a kernel target and moves it past them.
fn put_kernel(target: &mut &mut [u8], wanted: usize, fill: impl FnOnce(&mut [u8])) -> usize {
    let whole = core::mem::take(target);
    let (head, tail) = whole.split_at_mut(wanted.min(whole.len()));
    fill(head);
    let done = head.len();
    *target = tail;
    done
}

impl<'a> Transfer<'a, &'a [u8]> {
    /// Kernel memory to be read.
    pub fn kernel(bytes: &'a [u8]) -> Self {
        Self { memory: Memory::Kernel(bytes), moved: 0, remaining: bytes.len() }
    }

    /// Fills `bytes` as far as the source reaches. Fewer than `min(bytes.len(), remaining())` means a
    /// fault half-way; `EFAULT` that not even one byte could be taken.
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let wanted = bytes.len().min(self.remaining);
        let done = match &mut self.memory {
            Memory::Kernel(origin) => {
                take_kernel(origin, wanted, |from| bytes[..from.len()].copy_from_slice(from))
            }
            Memory::User(segments) => move_user(segments, wanted, |address, offset, len| {
                user_copy::copy_from_user(bytes.get_mut(offset..offset + len).unwrap_or_default(), address)
            }),
        };
        self.account(done, wanted)
    }

    /// Fills all of `bytes`, as long as the source reaches; `EFAULT` unless every byte could be taken.
    pub fn take_whole(&mut self, bytes: &mut [u8]) -> Result<(), Errno> {
        if self.take(bytes)? == bytes.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Writes up to `len` bytes into a page frame from `offset` on; faults as for [`Self::take`].
    pub fn take_frame(&mut self, frame: &SharedFrame, offset: usize, len: usize) -> Result<usize, Errno> {
        let wanted = len.min(self.remaining);
        let done = match &mut self.memory {
            Memory::Kernel(origin) => take_kernel(origin, wanted, |from| {
                frame.write(offset, from);
            }),
            Memory::User(segments) => move_user(segments, wanted, |address, done, len| {
                frame.copy_from_user(offset + done, len, address, OnAbsent::PageIn)
            }),
        };
        self.account(done, wanted)
    }

    /// Writes `len` bytes, which must be there, into a page frame from `offset` on, or none that count: for use under a
    /// lock.
    #[inline]
    pub fn take_frame_present(&mut self, frame: &SharedFrame, offset: usize, len: usize) -> Result<(), Halt> {
        let done = match &mut self.memory {
            Memory::Kernel(origin) => take_kernel(origin, len, |from| {
                frame.write(offset, from);
            }),
            Memory::User(segments) => move_user(segments, len, |address, done, len| {
                frame.copy_from_user(offset + done, len, address, OnAbsent::Stop)
            }),
        };
        self.account_present(done, len)
    }

    /// After a step under a lock that ended so, with the lock left: brings in what was absent, for another try; else
    /// the error. If the next try can move `ahead` bytes, their pages are brought in, too.
    #[inline]
    pub fn bring_in(&mut self, halt: Halt, ahead: usize) -> Result<(), Errno> {
        self.bring_in_for(halt, ahead, Access::Read)
    }

    /// Brings in the next byte, with no lock held. `EFAULT` where there is none to be had.
    pub fn bring_in_next(&self) -> Result<(), Errno> {
        match &self.memory {
            Memory::User(segments) => segments.bring_in(1, 1, Access::Read),
            Memory::Kernel(_) => Ok(()),
        }
    }

    /// Passes over up to `len` bytes without reading them, as a write to `/dev/null` does.
    pub fn skip(&mut self, len: usize) -> usize {
        let wanted = len.min(self.remaining);
        let done = match &mut self.memory {
            Memory::Kernel(origin) => take_kernel(origin, wanted, |_| ()),
            Memory::User(segments) => move_user(segments, wanted, |_, _, len| len),
        };
        self.moved += done;
        self.remaining -= done;
        done
    }
}

/// Uses the first `wanted` bytes of a kernel origin and moves it past them.
fn take_kernel(origin: &mut &[u8], wanted: usize, consume: impl FnOnce(&[u8])) -> usize {
    let (head, tail) = origin.split_at(wanted.min(origin.len()));
    consume(head);
    *origin = tail;
    head.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_memory_is_filled_piece_by_piece() {
        let mut bytes = [0xff; 6];
        let mut sink = IoSink::kernel(&mut bytes);
        assert_eq!(sink.put(b"ab"), Ok(2));
        assert_eq!(sink.put_zeroes(1), Ok(1));
        assert_eq!(sink.put(b"cdefgh"), Ok(3));
        assert_eq!((sink.remaining(), sink.moved()), (0, 6));
        assert_eq!(sink.finish(Err(Errno::EIO)), Ok(6));
        assert_eq!(&bytes, b"ab\0cde");
    }

    #[test]
    fn a_value_is_put_whole_or_does_not_count() {
        let mut bytes = [0; 3];
        let mut sink = IoSink::kernel(&mut bytes);
        assert_eq!((sink.put_whole(b"ab"), sink.moved()), (Ok(()), 2));
        assert_eq!((sink.put_whole(b"cd"), sink.moved()), (Err(Errno::EFAULT), 2));
    }

    #[test]
    fn a_source_gives_what_it_has() {
        let mut source = IoSource::kernel(b"abcdef");
        let mut bytes = [0; 2];
        assert_eq!(source.take(&mut bytes), Ok(2));
        assert_eq!(source.skip(1), 1);
        let mut rest = [0; 9];
        assert_eq!(source.take(&mut rest), Ok(3));
        assert_eq!((&bytes, &rest[..3]), (b"ab", &b"def"[..]));
    }

    #[test]
    fn vectors_are_checked_before_anything_moves() {
        // Ranges are looked at as those of a task that has memory.
        let table = hal::paging::PageTable::new().expect("memory for a table");
        hal::task::set_page_table(Some(table));
        let vector = |length| Iovec { iov_base: 0, iov_len: length };
        assert_eq!(IoSink::vectors(&[vector(u64::MAX)]).err(), Some(Errno::EINVAL));
        let many = alloc::vec![vector(1); MAX_SEGMENTS + 1];
        assert_eq!(IoSource::vectors(&many).err(), Some(Errno::EINVAL));
        let huge = [vector(1 << 40), vector(1 << 40)];
        assert_eq!(IoSink::vectors(&huge).ok().map(|sink| sink.remaining()), Some(MAX_TRANSFER));
        hal::task::set_page_table(None);
        assert_eq!(IoSink::vectors(&[vector(1)]).err(), Some(Errno::EFAULT));
    }
}
