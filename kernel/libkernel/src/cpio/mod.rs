//! Reads an initramfs: `newc` archives one behind the other, with padding and compressed parts between them.
//!
//! The rules are Linux's (`Documentation/driver-api/early-userspace/buffer-format.rst`): headers start at multiples of
//! four, zero bytes between archives are padding, anything else there is a compressed part, which the caller unpacks
//! and reads by the same rules. Files that share an inode number within one archive are hard links; see [`HardLinks`].
//! After an error nothing more is read; what came before stays good.

mod links;
#[cfg(test)]
mod tests;

pub use links::HardLinks;

/// Length of a header: a magic of six bytes and thirteen numbers of eight hexadecimal digits.
const HEADER_LENGTH: usize = 110;
/// Longest name, with its terminating zero byte (`PATH_MAX`).
const NAME_LIMIT: usize = 4096;
const TRAILER: &[u8] = b"TRAILER!!!";

/// What is wrong with an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CpioError {
    /// A header begins with something else than `070701` or `070702`.
    BadMagic,
    /// A number in a header is not hexadecimal.
    BadNumber,
    /// A name is empty or longer than 4095 bytes.
    BadName,
    /// The archive ends in the middle of an entry.
    Truncated,
}

/// A file, directory, link or device in an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// Path, without a leading slash as archives are usually made, up to its first zero byte. Not trusted: it may hold `..`.
    pub name: &'a [u8],
    /// Content of a file, target of a symbolic link.
    pub data: &'a [u8],
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item<'a> {
    /// An entry of an archive.
    Entry(Entry<'a>),
    /// The end of an archive: inode numbers start anew.
    Trailer,
    /// Compressed data begins here; it may be followed by more, so the caller tells by [`Reader::skip_compressed`] how long it was.
    Compressed(&'a [u8]),
}

/// Reads an initramfs item by item.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// At the start or behind a trailer, where padding and compressed parts may stand.
    Between,
    /// Behind an entry: another header must follow.
    Inside,
    /// Nothing more is read.
    Ended,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, state: State::Between }
    }

    /// Skips the `length` bytes of the compressed part that was just reported.
    pub fn skip_compressed(&mut self, length: usize) {
        self.position = self.position.saturating_add(length).min(self.bytes.len());
        self.state = State::Between;
    }

    /// How many bytes have been read.
    pub const fn position(&self) -> usize {
        self.position
    }

    fn next_item(&mut self) -> Result<Option<Item<'a>>, CpioError> {
        if self.state == State::Between {
            let rest = self.bytes.get(self.position..).unwrap_or_default();
            let Some(padding) = rest.iter().position(|&byte| byte != 0) else { return Ok(None) };
            self.position += padding;
            if rest[padding] != b'0' || !self.position.is_multiple_of(4) {
                self.state = State::Ended;
                return Ok(Some(Item::Compressed(&rest[padding..])));
            }
        } else if self.position >= self.bytes.len() {
            // An archive without a trailer: Linux takes it as it is.
            return Ok(None);
        }
        self.entry().map(Some)
    }

    fn entry(&mut self) -> Result<Item<'a>, CpioError> {
        let header = self.take(HEADER_LENGTH)?;
        if !matches!(&header[..6], b"070701" | b"070702") {
            return Err(CpioError::BadMagic);
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
        let name_size = name_size as usize;
        if !(2..=NAME_LIMIT).contains(&name_size) {
            return Err(CpioError::BadName);
        }
        let name = self.take(name_size)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        self.align();
        let data = self.take(size as usize)?;
        self.align();
        if name == TRAILER {
            self.state = State::Between;
            return Ok(Item::Trailer);
        }
        if name.is_empty() {
            return Err(CpioError::BadName);
        }
        self.state = State::Inside;
        Ok(Item::Entry(Entry {
            name,
            data,
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

    fn take(&mut self, length: usize) -> Result<&'a [u8], CpioError> {
        let rest = self.bytes.get(self.position..).ok_or(CpioError::Truncated)?;
        let taken = rest.get(..length).ok_or(CpioError::Truncated)?;
        self.position += length;
        Ok(taken)
    }

    fn align(&mut self) {
        self.position = self.position.next_multiple_of(4);
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Item<'a>, CpioError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let item = self.next_item().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = State::Ended;
        }
        item
    }
}

fn hexadecimal(digits: &[u8]) -> Result<u32, CpioError> {
    digits.iter().try_fold(0, |number, &digit| {
        let value = char::from(digit).to_digit(16).ok_or(CpioError::BadNumber)?;
        Ok(number << 4 | value)
    })
}
