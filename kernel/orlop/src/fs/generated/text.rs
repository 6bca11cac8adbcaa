//! Files whose content is made when they are read.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;

use crate::fs::file::{File, FileOperations};
use crate::syscall::Failure;
use crate::user::{IoSink, IoSource};

/// What makes a file's content, and takes what is written to it.
pub trait Source: Send + Sync {
    /// The whole content.
    fn text(&self) -> Result<Vec<u8>, Errno>;

    /// Takes what one `write` brought. EINVAL for what makes no sense.
    fn store(&self, _bytes: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
}

/// A file over a source.
pub struct TextFile<S>(pub S);

impl<S: Source + 'static> TextFile<S> {
    /// The file as an open file's code.
    pub fn operations(source: S) -> Arc<dyn FileOperations> {
        Arc::new(TextFile(source))
    }
}

impl<S: Source> FileOperations for TextFile<S> {
    fn read(&self, _file: &File, position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        let text = self.0.text()?;
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        if let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
            sink.put(rest)?;
        }
        Ok(())
    }

    fn write(&self, _file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        /// The longest setting.
        const MOST: usize = 4096;
        let mut bytes = Vec::new();
        let length = source.remaining().min(MOST);
        bytes.try_reserve_exact(length)?;
        bytes.resize(length, 0);
        source.take_whole(&mut bytes)?;
        self.0.store(&bytes)?;
        Ok(length)
    }

    fn is_seekable(&self) -> bool {
        true
    }
}

/// A source that is one function.
pub struct Made(pub fn() -> Result<Vec<u8>, Errno>);

impl Source for Made {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        (self.0)()
    }
}
