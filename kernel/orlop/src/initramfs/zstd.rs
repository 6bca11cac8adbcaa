//! One zstd frame: RFC 8878. Its window is as large as the frame says.

use alloc::boxed::Box;
use alloc::vec::Vec;

use libkernel::cpio::{Input, Problem};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use ruzstd::io::Read as _;

use super::compressed::{Part, largest_window};

/// Bytes that are taken out of the window at once.
const STEP: usize = 1 << 16;

const CORRUPT: Problem = "ZSTD-compressed data is corrupt";

/// A frame while it is read.
pub struct Zstd<'a> {
    decoder: StreamingDecoder<&'a [u8], FrameDecoder>,
    piece: Vec<u8>,
    /// What of `piece` was not consumed yet.
    start: usize,
    end: usize,
}

impl<'a> Zstd<'a> {
    /// The frame at the start of `bytes`.
    #[inline(never)]
    pub fn new(bytes: &'a [u8]) -> Result<Box<Zstd<'a>>, Problem> {
        let most = largest_window() as u64 / 2;
        let decoder = StreamingDecoder::new_with_max_window_size(bytes, most).map_err(|_| CORRUPT)?;
        let mut piece = Vec::new();
        piece.try_reserve_exact(STEP).map_err(|_| "out of memory")?;
        piece.resize(STEP, 0);
        Ok(Box::new(Zstd { decoder, piece, start: 0, end: 0 }))
    }

    /// At the end of the frame: whether its content is what the frame says.
    fn check(&self) -> Result<(), Problem> {
        let frame = &self.decoder.decoder;
        match frame.get_checksum_from_data() {
            Some(sum) if frame.get_calculated_checksum() != Some(sum) => Err(CORRUPT),
            _ => Ok(()),
        }
    }
}

impl Input for Zstd<'_> {
    #[inline(never)]
    fn ready(&mut self) -> Result<&[u8], Problem> {
        if self.start == self.end {
            self.start = 0;
            self.end = self.decoder.read(&mut self.piece).map_err(|_| CORRUPT)?;
            if self.end == 0 {
                self.check()?;
            }
        }
        Ok(self.piece.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

impl<'a> Part<'a> for Zstd<'a> {
    fn rest(&self) -> &'a [u8] {
        self.decoder.get_ref()
    }
}
