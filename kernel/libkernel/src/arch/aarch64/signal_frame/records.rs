//! The records of a signal frame, as a program hands them back.
//!
//! They follow each other from `SigContext::__reserved` on, each with a header of magic and size; one of magic 0 ends
//! them. Where the room is not enough, an [`ExtraContext`] is the last but for that end, and the list goes on behind
//! it. A program may have changed anything: what Linux refuses is refused (`arch/arm64/kernel/signal.c`).

use core::mem::offset_of;

use abi::arch::aarch64::signal::{
    ContextHeader, ESR_MAGIC, EXTRA_MAGIC, ExtraContext, FPSIMD_MAGIC, FpsimdContext, RESERVED_SIZE,
};
use zerocopy::{FromBytes, IntoBytes};

use super::RECORDS;

/// Records start at multiples of it.
const ALIGNMENT: u64 = 16;
const HEADER_SIZE: u64 = size_of::<ContextHeader>() as u64;
/// The room that the end takes behind an [`ExtraContext`].
const END_SIZE: u64 = 16;
/// No frame is larger (`SIGFRAME_MAXSZ`).
const FRAME_LIMIT: u64 = 64 * 1024;
const FPSIMD_SIZE: u32 = size_of::<FpsimdContext>() as u32;
const END: ContextHeader = ContextHeader { magic: 0, size: 0 };

const _: () = assert!((RECORDS as u64).is_multiple_of(ALIGNMENT));
const _: () = assert!(offset_of!(FpsimdContext, fpsr) == HEADER_SIZE as usize);

/// Where records lie: from `next` to `end`.
struct Room {
    next: u64,
    end: u64,
}

impl Room {
    fn left(&self) -> u64 {
        self.end - self.next
    }
}

/// The address of the floating-point record of the frame at `frame`, whose records start with `first`. `None` if there
/// is not exactly one, or if another record is unknown, misplaced or of a wrong size, or if `read` fails.
pub(super) fn floating_point(
    first: ContextHeader,
    frame: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> Option<()>,
) -> Option<u64> {
    let start = frame.checked_add(RECORDS as u64)?;
    let mut room = Room { next: start, end: start.checked_add(RESERVED_SIZE as u64)? };
    let (mut found, mut extra, mut header) = (None, false, first);
    while header != END {
        let size = u64::from(header.size);
        if size < HEADER_SIZE || size > room.left() {
            return None;
        }
        match header.magic {
            FPSIMD_MAGIC if found.is_none() && header.size == FPSIMD_SIZE => found = Some(room.next),
            ESR_MAGIC => {}
            EXTRA_MAGIC if !extra => {
                extra = true;
                room = follow(&room, size, frame, &mut read)?;
                header = header_at(&room, &mut read)?;
                continue;
            }
            _ => return None,
        }
        room.next += size;
        header = header_at(&room, &mut read)?;
    }
    found
}

fn header_at(room: &Room, read: &mut impl FnMut(u64, &mut [u8]) -> Option<()>) -> Option<ContextHeader> {
    if room.left() < HEADER_SIZE || !room.next.is_multiple_of(ALIGNMENT) {
        return None;
    }
    value_at(room.next, read)
}

fn value_at<T: FromBytes + IntoBytes>(
    address: u64,
    read: &mut impl FnMut(u64, &mut [u8]) -> Option<()>,
) -> Option<T> {
    let mut value = T::new_zeroed();
    read(address, value.as_mut_bytes())?;
    Some(value)
}

/// The room that the [`ExtraContext`] of `size` bytes at the start of `room` describes: it is right behind the end that
/// follows that record.
fn follow(
    room: &Room,
    size: u64,
    frame: u64,
    read: &mut impl FnMut(u64, &mut [u8]) -> Option<()>,
) -> Option<Room> {
    if size < size_of::<ExtraContext>() as u64 || room.left() - size < END_SIZE {
        return None;
    }
    let extra: ExtraContext = value_at(room.next, read)?;
    let end_at = room.next + size;
    let end: ContextHeader = value_at(end_at, read)?;
    let (start, length) = (end_at + END_SIZE, u64::from(extra.size));
    let limit = frame.checked_add(FRAME_LIMIT)?;
    let fits = start.checked_add(length).is_some_and(|end| end <= limit);
    let aligned = start.is_multiple_of(ALIGNMENT) && length.is_multiple_of(ALIGNMENT);
    (end == END && extra.datap == start && aligned && fits).then(|| Room { next: start, end: start + length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::arch::aarch64::signal::{EsrContext, SVE_MAGIC};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const FRAME: u64 = 0x1_0000;
    const START: u64 = FRAME + RECORDS as u64;

    /// Where the floating-point record of these bytes is, from the first record on.
    fn search(bytes: &[u8]) -> Option<u64> {
        let mut read = |address: u64, target: &mut [u8]| {
            let from = usize::try_from(address.checked_sub(START)?).ok()?;
            target.copy_from_slice(bytes.get(from..from.checked_add(target.len())?)?);
            Some(())
        };
        let first = value_at(START, &mut read)?;
        floating_point(first, FRAME, read).map(|address| address - START)
    }

    fn record(magic: u32, size: u32) -> Vec<u8> {
        let mut bytes = Vec::from(ContextHeader { magic, size }.as_bytes());
        bytes.resize((size as usize).max(8), 0);
        bytes
    }

    fn frame(records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = records.concat();
        bytes.resize(8192, 0);
        bytes
    }

    fn fpsimd() -> Vec<u8> {
        record(FPSIMD_MAGIC, FPSIMD_SIZE)
    }

    #[test]
    fn the_order_is_free() {
        let esr = record(ESR_MAGIC, size_of::<EsrContext>() as u32);
        assert_eq!(search(&frame(&[fpsimd()])), Some(0));
        assert_eq!(search(&frame(&[fpsimd(), esr.clone()])), Some(0));
        assert_eq!(search(&frame(&[esr.clone(), esr, fpsimd()])), Some(32));
    }

    #[test]
    fn one_record_of_the_right_size_is_needed() {
        assert_eq!(search(&frame(&[])), None);
        assert_eq!(search(&frame(&[fpsimd(), fpsimd()])), None);
        for size in [0, 8, 512, FPSIMD_SIZE - 16, FPSIMD_SIZE + 16, 4096, u32::MAX] {
            let mut wrong = fpsimd();
            wrong[4..8].copy_from_slice(&size.to_le_bytes());
            assert_eq!(search(&frame(&[wrong])), None, "{size}");
        }
    }

    #[test]
    fn unknown_records_are_refused() {
        for (magic, size) in [(SVE_MAGIC, 16), (0xdead_beef, 16), (ESR_MAGIC, 24), (ESR_MAGIC, 4), (0, 16)] {
            assert_eq!(search(&frame(&[fpsimd(), record(magic, size)])), None, "{magic:#x} {size}");
        }
    }

    #[test]
    fn the_list_may_fill_the_room_but_not_leave_it() {
        let esr = |count: usize| (0..count).map(|_| record(ESR_MAGIC, 16)).collect::<Vec<_>>().concat();
        let room = (RESERVED_SIZE - FPSIMD_SIZE as usize) / 16;
        assert_eq!(search(&frame(&[fpsimd(), esr(room - 1)])), Some(0));
        assert_eq!(search(&frame(&[fpsimd(), esr(room)])), None);
    }

    /// An [`ExtraContext`] of 32 bytes with its end, saying that `size` bytes lie `distance` behind them.
    fn extra(at: u64, distance: u64, size: u32) -> Vec<u8> {
        let head = ContextHeader { magic: EXTRA_MAGIC, size: 32 };
        let extra = ExtraContext { head, datap: START + at + 48 + distance, size, __reserved: [0; 3] };
        let mut bytes = Vec::from(extra.as_bytes());
        bytes.resize(48, 0);
        bytes
    }

    #[test]
    fn records_may_go_on_behind_the_room() {
        let behind = |at, distance, size, then: &[Vec<u8>]| {
            search(&frame(&[extra(at, distance, size), then.concat()]))
        };
        assert_eq!(behind(0, 0, FPSIMD_SIZE + 16, &[fpsimd()]), Some(48));
        assert_eq!(behind(0, 0, FPSIMD_SIZE, &[fpsimd()]), None, "no room for the end");
        assert_eq!(behind(0, 16, FPSIMD_SIZE + 16, &[fpsimd()]), None);
        assert_eq!(behind(0, 0, FPSIMD_SIZE + 8, &[fpsimd()]), None);
        assert_eq!(behind(0, 0, u32::MAX - 15, &[fpsimd()]), None);
        let twice = [extra(48, 0, 1024), fpsimd()].concat();
        assert_eq!(behind(0, 0, 1024, &[twice]), None);
    }

    proptest! {
        #[test]
        fn what_is_found_is_a_record(words in prop::collection::vec(any::<u32>(), 2048), at in 0usize..40) {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            bytes[at * 16..][..8].copy_from_slice(&fpsimd()[..8]);
            if let Some(found) = search(&bytes) {
                prop_assert_eq!(found % 16, 0);
                prop_assert_eq!(&bytes[found as usize..][..8], &fpsimd()[..8]);
            }
        }
    }
}
