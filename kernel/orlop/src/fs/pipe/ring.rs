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
        if self.filled() == 0 && self.read_position % PAGE != 0 {
            self.read_position -= self.read_position % PAGE;
            self.write_position = self.read_position;
        } else if self.read_position % PAGE == 0
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
