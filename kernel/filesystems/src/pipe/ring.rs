//! The bytes of a pipe: slots in order, each with some bytes of one page.
//!
//! A write fills new slots; what it has beyond whole pages goes into the last slot where that has room and takes more.
//! A packet has a slot of its own, and is read whole. So small writes that cannot merge fill a pipe long before its
//! bytes do: pipe(7).
//!
//! A slot's page may also be in another pipe, in a file or in a program's memory. Only slots that were filled by writes
//! are added to, and only in the part of their page that no other slot refers to; only a page that is nobody else's is
//! filled anew.

use alloc::collections::VecDeque;

use abi::Errno;
use hal::frame::SharedFrame;
use libkernel::addr::PAGE_SIZE;
use memory::user::{Halt, IoSink, IoSource};
use outcome::OrErrno;
use subject::charges::Payer;

const PAGE: usize = PAGE_SIZE as usize;

/// Whether the writes of an open file stay apart: `O_DIRECT`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// They make one stream.
    Stream,
    /// Each makes packets.
    Packets,
    /// They are apart from what is there and what comes: `splice`.
    Apart,
}

/// A page of a pipe's own.
fn new_page() -> Result<SharedFrame, Errno> {
    SharedFrame::alloc_zeroed(Payer::EVERYBODY.account()).or_errno()
}

impl Writing {
    fn kind(self) -> Kind {
        match self {
            Writing::Stream => Kind::Open,
            Writing::Packets => Kind::Packet,
            Writing::Apart => Kind::Closed,
        }
    }
}

/// Whether packets are read as such.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// A packet ends a read, and what it has beyond that is lost.
    Packets,
    /// Bytes are bytes: `splice` and `vmsplice`.
    Stream,
}

/// What may become of a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Writes add to it.
    Open,
    /// It is a packet.
    Packet,
    /// Nothing is added: its page is, or was, another's too.
    Closed,
}

struct Slot {
    frame: SharedFrame,
    start: usize,
    end: usize,
    kind: Kind,
}

/// Bytes of one page.
pub struct Piece {
    /// The page.
    pub frame: SharedFrame,
    /// Where they begin in it.
    pub start: usize,
    /// How many they are.
    pub length: usize,
}

impl Slot {
    fn length(&self) -> usize {
        self.end - self.start
    }

    /// The first `count` bytes, or all, for another slot.
    fn share(&self, count: usize) -> Slot {
        let kind = if self.kind == Kind::Packet { Kind::Packet } else { Kind::Closed };
        let end = self.end.min(self.start.saturating_add(count));
        Slot { frame: self.frame.clone(), start: self.start, end, kind }
    }
}

/// A queue of slots, as many as fit.
pub(super) struct Ring {
    slots: VecDeque<Slot>,
    most: usize,
    filled: usize,
    /// A frame that was drained, for the next page that fills.
    spare: Option<SharedFrame>,
}

impl Ring {
    pub(super) const fn new(most: usize) -> Ring {
        Ring { slots: VecDeque::new(), most, filled: 0, spare: None }
    }

    /// How many bytes there are.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// How many slots are in use.
    pub(super) fn used(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= self.most
    }

    /// Changes how many slots there are. EBUSY when more are in use.
    pub(super) fn set_most(&mut self, most: usize) -> Result<(), Errno> {
        if self.slots.len() > most {
            return Err(Errno::EBUSY);
        }
        self.most = most;
        self.give_back();
        Ok(())
    }

    /// Gives back the room of slots that there cannot be any more. Without memory for less room it is kept.
    fn give_back(&mut self) {
        let mut fewer = VecDeque::new();
        if self.slots.capacity() > self.most && fewer.try_reserve_exact(self.slots.len()).is_ok() {
            fewer.append(&mut self.slots);
            self.slots = fewer;
        }
    }

    /// Moves bytes out until the sink is full, the ring is empty, or a packet is over, of which the rest is lost.
    pub(super) fn read(&mut self, sink: &mut IoSink<'_>, reading: Reading) -> Result<(), Halt> {
        while sink.remaining() > 0
            && let Some(slot) = self.slots.front_mut()
        {
            let wanted = slot.length().min(sink.remaining());
            // What a fault cuts off stays in the pipe with the rest of its slot.
            sink.put_frame_present(&slot.frame, slot.start, wanted)?;
            slot.start += wanted;
            let is_packet = slot.kind == Kind::Packet && reading == Reading::Packets;
            let lost = if is_packet { slot.length() } else { 0 };
            self.filled -= wanted + lost;
            if (slot.start == slot.end || is_packet)
                && let Some(slot) = self.slots.pop_front()
                && self.spare.is_none()
                && slot.frame.is_unique()
            {
                self.spare = Some(slot.frame);
            }
            if is_packet {
                break;
            }
        }
        Ok(())
    }

    /// Moves what a source has beyond whole pages into the last slot, if it fits there.
    pub(super) fn merge(&mut self, source: &mut IoSource<'_>) -> Result<(), Halt> {
        let rest = source.remaining() % PAGE;
        if rest > 0
            && let Some(last) = self.slots.back_mut()
            && last.kind == Kind::Open
            && last.end + rest <= PAGE
        {
            source.take_frame_present(&last.frame, last.end, rest)?;
            last.end += rest;
            self.filled += rest;
        }
        Ok(())
    }

    /// Moves bytes into new slots until the source is used up or the ring is full.
    pub(super) fn write(&mut self, source: &mut IoSource<'_>, writing: Writing) -> Result<(), Halt> {
        while source.remaining() > 0 && !self.is_full() {
            self.slots.try_reserve(1).or_errno()?;
            let frame = match self.spare.take() {
                Some(frame) => frame,
                None => new_page()?,
            };
            let wanted = source.remaining().min(PAGE);
            if let Err(halt) = source.take_frame_present(&frame, 0, wanted) {
                self.spare = Some(frame);
                return Err(halt);
            }
            self.slots.push_back(Slot { frame, start: 0, end: wanted, kind: writing.kind() });
            self.filled += wanted;
        }
        Ok(())
    }

    /// Puts bytes that were read back before all others, beyond the number of slots if need be.
    pub(super) fn unread(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        for piece in bytes.rchunks(PAGE) {
            self.slots.try_reserve(1).or_errno()?;
            let frame = new_page()?;
            frame.write(0, piece);
            self.slots.push_front(Slot { frame, start: 0, end: piece.len(), kind: Kind::Closed });
            self.filled += piece.len();
        }
        Ok(())
    }

    /// Gives a piece of a page a slot of its own, for which there must be room.
    pub(super) fn add(&mut self, piece: Piece) -> Result<(), Errno> {
        let Piece { frame, start, length } = piece;
        self.push(Slot { frame, start, end: start + length, kind: Kind::Closed })
    }

    fn push(&mut self, slot: Slot) -> Result<(), Errno> {
        self.slots.try_reserve(1).or_errno()?;
        self.filled += slot.length();
        self.slots.push_back(slot);
        Ok(())
    }

    /// Adds slots of another ring from its front on, which keeps them, up to `count` bytes and as many as fit: how many
    /// bytes.
    pub(super) fn copy_slots(&mut self, from: &Ring, count: usize) -> Result<usize, Errno> {
        let before = self.filled;
        for slot in &from.slots {
            let done = self.filled - before;
            if done == count || self.is_full() {
                break;
            }
            if let Err(errno) = self.push(slot.share(count - done))
                && self.filled == before
            {
                return Err(errno);
            }
        }
        Ok(self.filled - before)
    }

    /// Moves slots out of another ring, of the last one perhaps a part, up to `count` bytes and as many as fit: how
    /// many bytes.
    pub(super) fn take_slots(&mut self, from: &mut Ring, count: usize) -> Result<usize, Errno> {
        let before = self.filled;
        while !self.is_full()
            && let Some(slot) = from.slots.front_mut()
        {
            let left = count - (self.filled - before);
            let length = slot.length();
            if left == 0 {
                break;
            }
            self.slots.try_reserve(1).or_errno()?;
            if left < length {
                self.push(slot.share(left))?;
                slot.start += left;
                from.filled -= left;
            } else if let Some(slot) = from.slots.pop_front() {
                from.filled -= length;
                self.push(slot)?;
            }
        }
        Ok(self.filled - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn write(ring: &mut Ring, bytes: &[u8]) -> usize {
        hal::cpu::id();
        let mut source = IoSource::kernel(bytes);
        ring.merge(&mut source).expect("kernel memory");
        ring.write(&mut source, Writing::Stream).expect("memory");
        source.moved()
    }

    fn read(ring: &mut Ring, count: usize) -> Vec<u8> {
        let mut bytes = alloc::vec![0; count];
        let mut sink = IoSink::kernel(&mut bytes);
        ring.read(&mut sink, Reading::Packets).expect("kernel memory");
        let moved = sink.moved();
        bytes.truncate(moved);
        bytes
    }

    /// Bytes of which no two pages are alike.
    fn pattern(count: usize) -> Vec<u8> {
        (0..count).map(|index| (index * 31 + index / 251) as u8).collect()
    }

    #[test]
    fn bytes_come_out_in_order_over_many_rounds() {
        let mut ring = Ring::new(2);
        let bytes = pattern(100_000);
        let (mut sent, mut received) = (0, Vec::new());
        let mut step = 1;
        while received.len() < bytes.len() {
            sent += write(&mut ring, &bytes[sent..(sent + step * 7).min(bytes.len())]);
            received.extend(read(&mut ring, step * 5));
            step = (step * 3) % 2003 + 1;
        }
        assert_eq!((received == bytes, ring.filled(), ring.used()), (true, 0, 0));
    }

    #[test]
    fn small_writes_merge_while_they_fit() {
        let mut ring = Ring::new(2);
        let bytes = pattern(2 * PAGE);
        assert_eq!((write(&mut ring, &bytes[..3000]), ring.used()), (3000, 1));
        assert_eq!((write(&mut ring, &bytes[3000..4000]), ring.used()), (1000, 1));
        // No room for all of it in the first page: a slot of its own.
        assert_eq!((write(&mut ring, &bytes[4000..4100]), ring.used()), (100, 2));
        assert_eq!((write(&mut ring, &bytes[4100..8096]), ring.is_full()), (3996, true));
        assert_eq!(write(&mut ring, &bytes[8096..8097]), 0);
        // A part of a page that was read makes no room, all of it does.
        assert_eq!((read(&mut ring, 1000), write(&mut ring, &[1])), (bytes[..1000].to_vec(), 0));
        assert_eq!((read(&mut ring, 3000), write(&mut ring, &[1])), (bytes[1000..4000].to_vec(), 1));
        assert_eq!((read(&mut ring, 9000), ring.filled()), ([&bytes[4000..8096], &[1]].concat(), 0));
    }

    #[test]
    fn a_packet_is_read_whole_and_its_rest_lost() {
        hal::cpu::id();
        let mut ring = Ring::new(4);
        for packet in [&b"one"[..], b"two", b"three"] {
            ring.write(&mut IoSource::kernel(packet), Writing::Packets).expect("memory");
        }
        assert_eq!((ring.used(), ring.filled()), (3, 11));
        assert_eq!((read(&mut ring, 9), read(&mut ring, 2)), (b"one".to_vec(), b"tw".to_vec()));
        assert_eq!((ring.filled(), write(&mut ring, b"more")), (5, 4));
        assert_eq!((read(&mut ring, 9), read(&mut ring, 9)), (b"three".to_vec(), b"more".to_vec()));
    }

    #[test]
    fn what_found_no_taker_comes_first_again() {
        let mut ring = Ring::new(1);
        let bytes = pattern(PAGE);
        write(&mut ring, &bytes);
        let taken = read(&mut ring, PAGE);
        write(&mut ring, b"later");
        ring.unread(&taken[100..]).expect("memory");
        assert!(ring.is_full() && ring.filled() == PAGE - 95);
        assert_eq!(read(&mut ring, 2 * PAGE), [&bytes[100..], b"later"].concat());
    }

    #[test]
    fn slots_are_shared_and_moved() {
        let (mut ring, mut other) = (Ring::new(4), Ring::new(3));
        let bytes = pattern(2 * PAGE);
        write(&mut ring, &bytes);
        assert_eq!((other.copy_slots(&ring, PAGE + 5), ring.filled()), (Ok(PAGE + 5), 2 * PAGE));
        assert_eq!((write(&mut other, b"x"), other.used()), (1, 3));
        assert_eq!(
            (read(&mut ring, PAGE), read(&mut other, 2 * PAGE)),
            (bytes[..PAGE].to_vec(), [&bytes[..PAGE + 5], b"x"].concat())
        );
        // The first page was shared when it was read, so it is not filled anew before the other ring has let go of it.
        assert!(ring.spare.is_none() && other.spare.is_some());
        write(&mut ring, b"later");
        assert_eq!(
            (other.take_slots(&mut ring, PAGE + 2), ring.filled(), other.used()),
            (Ok(PAGE + 2), 3, 2)
        );
        assert_eq!(read(&mut other, 2 * PAGE), [&bytes[PAGE..], b"la"].concat());
        assert_eq!((other.take_slots(&mut ring, 99), write(&mut other, b"!"), other.used()), (Ok(3), 1, 1));
        assert_eq!((read(&mut other, 9), ring.is_empty()), (b"ter!".to_vec(), true));
    }

    #[test]
    fn fewer_slots_take_less_room() {
        let mut ring = Ring::new(1024);
        for byte in 0..1000 {
            ring.write(&mut IoSource::kernel(&[byte as u8]), Writing::Packets).expect("memory");
        }
        for byte in 0..997 {
            assert_eq!(read(&mut ring, 1), [byte as u8]);
        }
        assert!(ring.slots.capacity() >= 1000);
        ring.set_most(4).expect("few are used");
        assert!(ring.slots.capacity() < 16);
        assert_eq!(write(&mut ring, b"x"), 1);
        assert_eq!([997, 998, 999].map(|byte| [byte as u8].to_vec()), [(); 3].map(|()| read(&mut ring, 1)));
        assert_eq!(read(&mut ring, 1), b"x");
    }

    #[test]
    fn fewer_slots_than_are_used_are_refused() {
        let mut ring = Ring::new(4);
        write(&mut ring, &pattern(2 * PAGE));
        assert_eq!((ring.set_most(1), ring.set_most(2)), (Err(Errno::EBUSY), Ok(())));
        assert!(ring.is_full());
    }
}
