//! One xz stream: <https://tukaani.org/xz/xz-file-format.txt>. Its window, the dictionary, is as large as the stream says.

use alloc::boxed::Box;
use alloc::vec::Vec;

use libkernel::cpio::{Input, Problem};
use xz4rust::{XzDecoder, XzError, XzNextBlockResult};

use super::compressed::{Part, largest_window};

/// Bytes that are inflated at once.
const STEP: usize = 1 << 16;

/// A stream while it is read.
pub struct Xz<'a> {
    rest: &'a [u8],
    decoder: Box<XzDecoder<'static>>,
    piece: Vec<u8>,
    /// What of `piece` was not consumed yet.
    start: usize,
    end: usize,
    is_over: bool,
}

impl<'a> Xz<'a> {
    /// The stream at the start of `bytes`.
    #[inline(never)]
    pub fn new(bytes: &'a [u8]) -> Result<Box<Xz<'a>>, Problem> {
        let mut piece = Vec::new();
        piece.try_reserve_exact(STEP).map_err(|_| "out of memory")?;
        piece.resize(STEP, 0);
        let decoder = XzDecoder::in_heap_with_alloc_dict_size(0, largest_window());
        Ok(Box::new(Xz { rest: bytes, decoder, piece, start: 0, end: 0, is_over: false }))
    }
}

impl Input for Xz<'_> {
    #[inline(never)]
    fn ready(&mut self) -> Result<&[u8], Problem> {
        while self.start == self.end && !self.is_over {
            let found = self.decoder.decode(self.rest, &mut self.piece);
            let found = found.map_err(|error| match error {
                XzError::DictionaryTooLarge(_) => {
                    "XZ-compressed data needs a larger dictionary than there is memory for"
                }
                XzError::NeedsLargerInputBuffer => "compressed data is cut off",
                _ => "XZ-compressed data is corrupt",
            })?;
            if !found.made_progress() && !found.is_end_of_stream() {
                return Err("compressed data is cut off");
            }
            self.is_over = matches!(found, XzNextBlockResult::EndOfStream(..));
            self.rest = self.rest.get(found.input_consumed()..).unwrap_or_default();
            (self.start, self.end) = (0, found.output_produced());
        }
        Ok(self.piece.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

impl<'a> Part<'a> for Xz<'a> {
    fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
