//! The bytes of a pipe: a ring of page frames.

use alloc::vec::Vec;

use abi::Errno;
use hal::frame::SharedFrame;
use libkernel::addr::PAGE_SIZE;

use crate::errno::OrErrno;
use crate::user::{IoSink, IoSource};

const PAGE: u64 = PAGE_SIZE;
const PAGE_BYTES: usize = PAGE_SIZE as usize;

/// A byte ring. Positions only grow; a position's page is its slot modulo the number of slots.
pub(super) struct Ring {
    /// As many slots as the capacity has pages, from the first write on.
    slots: Vec<Option<SharedFrame>>,
    capacity: u64,
    read_position: u64,
    write_position: u64,
    /// A frame that was drained, for the next page that fills.
    spare: Option<SharedFrame>,
}

impl Ring {
    pub(super) const fn new(capacity: usize) -> Ring {
        Ring {
            slots: Vec::new(),
            capacity: capacity as u64,
            read_position: 0,
            write_position: 0,
            spare: None,
        }
    }

    pub(super) fn filled(&self) -> u64 {
        self.write_position - self.read_position
    }

    pub(super) fn room(&self) -> u64 {
        self.capacity - self.filled()
    }

    /// Changes the capacity, a multiple of the page size. EBUSY when more is in the ring.
    pub(super) fn set_capacity(&mut self, capacity: usize) -> Result<(), Errno> {
        let pages = capacity / PAGE_BYTES;
        if self.filled() > capacity as u64 {
            return Err(Errno::EBUSY);
        }
        let mut slots = Vec::new();
        slots.try_reserve_exact(pages).map_err(|_| Errno::ENOMEM)?;
        slots.resize(pages, None);
        for slot in slots.iter_mut().take(self.filled().div_ceil(PAGE) as usize) {
            *slot = Some(SharedFrame::alloc_zeroed().or_errno()?);
        }
        let mut moved =
            Ring { slots, capacity: capacity as u64, read_position: 0, write_position: 0, spare: None };
        let mut buffer = [0; 256];
        while self.filled() > 0 {
            let mut sink = IoSink::kernel(&mut buffer);
            self.read(&mut sink)?;
            let count = sink.moved();
            moved.write(&mut IoSource::kernel(buffer.get(..count).unwrap_or_default()))?;
        }
        *self = moved;
        Ok(())
    }

    /// Moves bytes out until the sink is full or the ring is empty.
    pub(super) fn read(&mut self, sink: &mut IoSink<'_>) -> Result<(), Errno> {
        while self.filled() > 0 && sink.remaining() > 0 {
            let within = self.read_position % PAGE;
            let length = (PAGE - within).min(self.filled());
            let slot = slot_of(self.read_position, self.slots.len());
            let Some(Some(frame)) = self.slots.get(slot) else { return Err(Errno::EIO) };
            let done = sink.put_frame(frame, within as usize, length as usize)?;
            self.read_position += done as u64;
            self.recycle(slot);
            if (done as u64) < length {
                break;
            }
        }
        Ok(())
    }

    /// Moves bytes in until the source is used up or the ring is full.
    pub(super) fn write(&mut self, source: &mut IoSource<'_>) -> Result<(), Errno> {
        self.prepare_slots()?;
        while self.room() > 0 && source.remaining() > 0 {
            let within = self.write_position % PAGE;
            let length = (PAGE - within).min(self.room());
            let index = slot_of(self.write_position, self.slots.len());
            let slot = self.slots.get_mut(index).ok_or(Errno::EIO)?;
            let frame = match slot {
                Some(frame) => frame,
                None => slot.insert(match self.spare.take() {
                    Some(frame) => frame,
                    None => SharedFrame::alloc_zeroed().or_errno()?,
                }),
            };
            let wanted = length.min(source.remaining() as u64);
            let done = source.take_frame(frame, within as usize, wanted as usize)?;
            self.write_position += done as u64;
            if (done as u64) < wanted {
                break;
            }
        }
        Ok(())
    }

    fn prepare_slots(&mut self) -> Result<(), Errno> {
        if self.slots.is_empty() {
            let pages = self.capacity as usize / PAGE_BYTES;
            self.slots.try_reserve_exact(pages).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize(pages, None);
        }
        Ok(())
    }

    /// After a read: an empty ring starts its page again, a page that was read to its end leaves its slot unless the writers have
    /// come round to it.
    fn recycle(&mut self, slot: usize) {
        if self.filled() == 0 && !self.read_position.is_multiple_of(PAGE) {
            self.read_position -= self.read_position % PAGE;
            self.write_position = self.read_position;
        } else if self.read_position.is_multiple_of(PAGE)
            && self.filled() + PAGE <= self.capacity
            && let Some(frame) = self.slots.get_mut(slot).and_then(Option::take)
        {
            self.spare = Some(frame);
        }
    }
}

fn slot_of(position: u64, slots: usize) -> usize {
    (position / PAGE).checked_rem(slots as u64).unwrap_or(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(ring: &mut Ring, bytes: &[u8]) -> usize {
        crate::fs::tests::start_memory();
        let mut source = IoSource::kernel(bytes);
        ring.write(&mut source).expect("memory");
        source.moved()
    }

    fn read(ring: &mut Ring, count: usize) -> Vec<u8> {
        let mut bytes = alloc::vec![0; count];
        let mut sink = IoSink::kernel(&mut bytes);
        ring.read(&mut sink).expect("kernel memory");
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
        let mut ring = Ring::new(2 * PAGE_BYTES);
        let bytes = pattern(100_000);
        let (mut sent, mut received) = (0, Vec::new());
        let mut step = 1;
        while received.len() < bytes.len() {
            sent += write(&mut ring, &bytes[sent..(sent + step * 7).min(bytes.len())]);
            received.extend(read(&mut ring, step * 5));
            step = (step * 3) % 2003 + 1;
        }
        assert_eq!(received, bytes);
    }

    #[test]
    fn a_full_ring_holds_its_capacity_and_no_more() {
        let mut ring = Ring::new(2 * PAGE_BYTES);
        let bytes = pattern(3 * PAGE_BYTES);
        assert_eq!(write(&mut ring, &bytes[..100]), 100);
        assert_eq!(read(&mut ring, 60), bytes[..60]);
        assert_eq!(write(&mut ring, &bytes[100..]), 2 * PAGE_BYTES - 40);
        assert_eq!(ring.room(), 0);
        assert_eq!(read(&mut ring, 2 * PAGE_BYTES), bytes[60..60 + 2 * PAGE_BYTES]);
    }

    #[test]
    fn a_new_capacity_keeps_the_content() {
        let mut ring = Ring::new(4 * PAGE_BYTES);
        let bytes = pattern(PAGE_BYTES + 5);
        write(&mut ring, &bytes);
        assert_eq!(ring.set_capacity(PAGE_BYTES), Err(Errno::EBUSY));
        ring.set_capacity(2 * PAGE_BYTES).expect("fits");
        assert_eq!(read(&mut ring, 4 * PAGE_BYTES), bytes);
    }
}
