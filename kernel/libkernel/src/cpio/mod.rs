//! Reads an initramfs: `newc` archives one behind the other, with padding and compressed parts between them.
//!
//! The rules are Linux's (`Documentation/driver-api/early-userspace/buffer-format.rst`): headers start at multiples of
//! four, zero bytes between archives are padding, anything else there is a compressed part, which the caller unpacks
//! and reads by the same rules. Files that share an inode number within one archive are hard links; see [`HardLinks`].
//! What comes before an error stays good. An archive is read as it comes, from an [`Input`], and never held as a whole.

mod links;
#[cfg(test)]
mod tests;

pub use links::HardLinks;

use alloc::vec::Vec;

/// Length of a header: a magic of six bytes and thirteen numbers of eight hexadecimal digits.
const HEADER_LENGTH: usize = 110;
/// Longest name, with its terminating zero byte (`PATH_MAX`).
const NAME_LIMIT: usize = 4096;
const TRAILER: &[u8] = b"TRAILER!!!";

/// What is wrong with an archive, or with the stream that it comes from: for people to read.
pub type Problem = &'static str;

const BAD_MAGIC: Problem = "no cpio magic";
const BAD_NUMBER: Problem = "bad number in a header";
const BAD_NAME: Problem = "bad name";
const TRUNCATED: Problem = "broken padding or truncated archive";

/// Where an archive comes from.
pub trait Input {
    /// Bytes that come next; none at the end.
    fn ready(&mut self) -> Result<&[u8], Problem>;
    /// Goes on behind the first `count` of them.
    fn consume(&mut self, count: usize);
}

impl<I: Input + ?Sized> Input for &mut I {
    fn ready(&mut self) -> Result<&[u8], Problem> {
        (**self).ready()
    }

    fn consume(&mut self, count: usize) {
        (**self).consume(count);
    }
}

impl Input for &[u8] {
    fn ready(&mut self) -> Result<&[u8], Problem> {
        Ok(self)
    }

    fn consume(&mut self, count: usize) {
        *self = self.get(count..).unwrap_or_default();
    }
}

/// A file, directory, link or device in an archive. Its content follows: [`Reader::data`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Path, without a leading slash as archives are usually made, up to its first zero byte. Not trusted: it may hold
    /// `..`.
    pub name: Vec<u8>,
    /// Bytes of the content of a file, or of the target of a symbolic link.
    pub size: u32,
    /// `S_IF*` type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Time of last change, seconds since 1970.
    pub modified: u32,
    /// Number of names of this file.
    pub links: u32,
    /// Inode number, meaningful with `device` to tell hard links.
    pub inode: u32,
    /// Major and minor number of the device it was read from.
    pub device: (u32, u32),
    /// Major and minor number of a device node.
    pub node: (u32, u32),
}

/// What comes next in an initramfs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// An entry of an archive.
    Entry(Entry),
    /// The end of an archive: inode numbers start anew.
    Trailer,
    /// Something else begins here, as compressed data does. Nothing of it has been consumed.
    Other,
    /// The end of the input.
    End,
}

/// Reads archives item by item.
#[derive(Debug)]
pub struct Reader<I> {
    input: I,
    /// Bytes consumed, by which entries are aligned.
    position: u64,
    /// Whether an entry came before, and no trailer: another one must follow.
    is_inside: bool,
    /// Content of the last entry that was not asked for yet.
    unread: u32,
}

impl<I: Input> Reader<I> {
    /// Reads `input` from its start, which counts as `position`.
    pub const fn new(input: I, position: u64) -> Self {
        Self { input, position, is_inside: false, unread: 0 }
    }

    /// The input, and the position that it has come to.
    pub fn into_parts(self) -> (I, u64) {
        (self.input, self.position)
    }

    /// The next item; passes over what is left of the last entry's content.
    pub fn next_item(&mut self) -> Result<Item, Problem> {
        while self.data(&mut |_| Ok(()))? {}
        if self.is_inside {
            self.align()?;
        } else {
            while self.input.ready()?.first() == Some(&0) {
                let zeroes = self.input.ready()?.iter().take_while(|&&byte| byte == 0).count();
                self.consume(zeroes);
            }
        }
        match self.input.ready()?.first() {
            // An archive without a trailer: Linux takes it as it is.
            None => Ok(Item::End),
            Some(&first) if !self.is_inside && (first != b'0' || !self.position.is_multiple_of(4)) => {
                Ok(Item::Other)
            }
            Some(_) => self.entry(),
        }
    }

    /// Calls `take` with the next piece of the last entry's content; false if there is none left.
    pub fn data(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<(), Problem>) -> Result<bool, Problem> {
        if self.unread == 0 {
            return Ok(false);
        }
        let piece = self.input.ready()?;
        let piece = &piece[..piece.len().min(self.unread as usize)];
        if piece.is_empty() {
            return Err(TRUNCATED);
        }
        take(piece)?;
        let length = piece.len();
        self.unread -= length as u32;
        self.consume(length);
        Ok(true)
    }

    fn entry(&mut self) -> Result<Item, Problem> {
        let mut header = [0; HEADER_LENGTH];
        self.take(&mut header)?;
        if !matches!(&header[..6], b"070701" | b"070702") {
            return Err(BAD_MAGIC);
        }
        let mut fields = [0; 13];
        for (field, digits) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
            *field = hexadecimal(digits)?;
        }
        let [
            inode,
            mode,
            uid,
            gid,
            links,
            modified,
            size,
            major,
            minor,
            node_major,
            node_minor,
            name_size,
            _,
        ] = fields;
        let name = self.name(name_size as usize)?;
        self.align()?;
        self.unread = size;
        self.is_inside = name != TRAILER;
        if !self.is_inside {
            return Ok(Item::Trailer);
        }
        if name.is_empty() {
            return Err(BAD_NAME);
        }
        Ok(Item::Entry(Entry {
            name,
            size,
            mode,
            uid,
            gid,
            modified,
            links,
            inode,
            device: (major, minor),
            node: (node_major, node_minor),
        }))
    }

    fn name(&mut self, size: usize) -> Result<Vec<u8>, Problem> {
        if !(2..=NAME_LIMIT).contains(&size) {
            return Err(BAD_NAME);
        }
        let mut name = alloc::vec![0; size];
        self.take(&mut name)?;
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(size));
        Ok(name)
    }

    /// Fills `into`.
    fn take(&mut self, mut into: &mut [u8]) -> Result<(), Problem> {
        while !into.is_empty() {
            let piece = self.input.ready()?;
            let length = piece.len().min(into.len());
            if length == 0 {
                return Err(TRUNCATED);
            }
            let (filled, rest) = into.split_at_mut(length);
            filled.copy_from_slice(&piece[..length]);
            self.consume(length);
            into = rest;
        }
        Ok(())
    }

    /// Passes over what is left until the next multiple of four. It may be missing at the end.
    fn align(&mut self) -> Result<(), Problem> {
        while !self.position.is_multiple_of(4) {
            if self.input.ready()?.is_empty() {
                break;
            }
            self.consume(1);
        }
        Ok(())
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.position += count as u64;
    }
}

fn hexadecimal(digits: &[u8]) -> Result<u32, Problem> {
    digits.iter().try_fold(0, |number, &digit| {
        let value = char::from(digit).to_digit(16).ok_or(BAD_NUMBER)?;
        Ok(number << 4 | value)
    })
}
