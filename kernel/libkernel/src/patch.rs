//! Instructions that the boot CPU replaces where it has a feature, or needs a defence: what a site is, and what is
//! written there.
//!
//! The image holds a table of [`Site`]s and, apart from the text, the code that belongs there. A site whose feature is
//! absent stays as it was assembled, so what a CPU does not need costs it nothing. How each architecture fills what is
//! left of a site, and what of the code depends on its place, is its [`Encoding`].
//!
//! Invariants, checked by the build for all sites (`xtask`: `build/patches.rs`) and by [`Site::compose`] at boot: a
//! site lies in the text, its code is no longer than it, and no two sites overlap.

/// Most bytes of a site.
pub const SITE_BYTES_MAX: usize = 64;

/// A row of the table, as the assembler writes it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site {
    /// Where the instructions are that may be replaced.
    pub address: u64,
    /// Where the code is that replaces them.
    pub code: u64,
    /// Number of the feature with which it does, below 64.
    pub feature: u16,
    /// Bytes of the instructions.
    pub length: u8,
    /// Bytes of the code.
    pub code_length: u8,
    /// Zero.
    pub reserved: u32,
}

/// Bytes of a row.
pub const SITE_ROW_BYTES: usize = size_of::<Site>();
const _: () = assert!(SITE_ROW_BYTES == 24);

/// Why a site cannot be patched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatchError {
    /// The site is empty or has more than [`SITE_BYTES_MAX`] bytes, or what is left of it cannot be filled.
    Length,
    /// The code has more bytes than the site.
    CodeLength,
    /// An instruction of the code means something else, or nothing, at the site.
    Place,
}

/// What of patching depends on the instruction set.
pub struct Encoding {
    /// Fills with instructions that do nothing, as few as there may be. False if the length is none of whole
    /// instructions.
    pub fill: fn(&mut [u8]) -> bool,
    /// Makes code that was assembled for one address mean the same at another; `None` if it cannot.
    pub relocate: fn(code: &mut [u8], from: u64, to: u64) -> Option<()>,
}

impl Site {
    /// Reads a row of the table.
    pub fn from_bytes(row: &[u8; SITE_ROW_BYTES]) -> Self {
        let word = |at: usize| row[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self {
            address: word(0),
            code: word(8),
            feature: u16::from_le_bytes([row[16], row[17]]),
            length: row[18],
            code_length: row[19],
            reserved: u32::from_le_bytes([row[20], row[21], row[22], row[23]]),
        }
    }

    /// What is to be written at the site, given the code as it lies in the image; into `buffer`.
    pub fn compose<'a>(
        &self,
        code: &[u8],
        encoding: &Encoding,
        buffer: &'a mut [u8; SITE_BYTES_MAX],
    ) -> Result<&'a [u8], PatchError> {
        let length = usize::from(self.length);
        let bytes = buffer.get_mut(..length).filter(|bytes| !bytes.is_empty()).ok_or(PatchError::Length)?;
        let (start, rest) = bytes.split_at_mut_checked(code.len()).ok_or(PatchError::CodeLength)?;
        start.copy_from_slice(code);
        (encoding.relocate)(start, self.code, self.address).ok_or(PatchError::Place)?;
        if !(encoding.fill)(rest) {
            return Err(PatchError::Length);
        }
        Ok(bytes)
    }
}

/// A set of features, by their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features(u64);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);

    /// With one more, if `wanted`.
    #[must_use]
    pub const fn with(self, number: u16, wanted: bool) -> Self {
        assert!(number < 64);
        Self(self.0 | (wanted as u64) << number)
    }

    /// Whether `number` is among them.
    pub const fn contain(self, number: u16) -> bool {
        number < 64 && self.0 >> number & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{aarch64, x86_64};

    fn site(length: u8, code_length: u8) -> Site {
        Site { address: 0x1000, code: 0x9000, feature: 3, length, code_length, reserved: 0 }
    }

    #[test]
    fn code_is_followed_by_as_few_instructions_as_fill_the_site() {
        let mut buffer = [0; SITE_BYTES_MAX];
        let stac = [0x0f, 0x01, 0xcb];
        assert_eq!(site(3, 3).compose(&stac, &x86_64::patch::ENCODING, &mut buffer), Ok(&stac[..]));
        let filled = site(5, 3).compose(&stac, &x86_64::patch::ENCODING, &mut buffer);
        assert_eq!(filled, Ok(&[0x0f, 0x01, 0xcb, 0x66, 0x90][..]));
    }

    #[test]
    fn a_branch_away_is_bent() {
        let mut buffer = [0; SITE_BYTES_MAX];
        // jmp 0x9105, of which 0x1105 - 0x1005 is left … and more: the code lies 0x8000 behind the site.
        let jump = [0xe9, 0x00, 0x01, 0, 0];
        let bent = site(5, 5).compose(&jump, &x86_64::patch::ENCODING, &mut buffer);
        assert_eq!(bent, Ok(&[0xe9, 0x00, 0x81, 0, 0][..]));
        // b . + 0x100
        let branch = 0x1400_0040_u32.to_le_bytes();
        let bent = site(4, 4).compose(&branch, &aarch64::patch::ENCODING, &mut buffer);
        assert_eq!(bent, Ok(&0x1400_2040_u32.to_le_bytes()[..]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut buffer = [0; SITE_BYTES_MAX];
        let encoding = &x86_64::patch::ENCODING;
        assert_eq!(site(0, 0).compose(&[], encoding, &mut buffer), Err(PatchError::Length));
        assert_eq!(site(65, 0).compose(&[], encoding, &mut buffer), Err(PatchError::Length));
        assert_eq!(site(2, 3).compose(&[0x90; 3], encoding, &mut buffer), Err(PatchError::CodeLength));
        let encoding = &aarch64::patch::ENCODING;
        assert_eq!(site(6, 4).compose(&[0; 4], encoding, &mut buffer), Err(PatchError::Length));
        // adr x0, .
        let address = 0x1000_0000_u32.to_le_bytes();
        assert_eq!(site(4, 4).compose(&address, encoding, &mut buffer), Err(PatchError::Place));
    }

    #[test]
    fn rows_are_read_as_the_assembler_writes_them() {
        let mut row = [0; SITE_ROW_BYTES];
        row[..8].copy_from_slice(&0x1000_u64.to_le_bytes());
        row[8..16].copy_from_slice(&0x9000_u64.to_le_bytes());
        row[16] = 3;
        row[18] = 5;
        row[19] = 4;
        assert_eq!(Site::from_bytes(&row), site(5, 4));
    }

    #[test]
    fn features_are_those_that_were_wanted() {
        let features = Features::NONE.with(0, true).with(5, false).with(63, true);
        assert_eq!([0, 5, 63, 64].map(|number| features.contain(number)), [true, false, true, false]);
    }
}
