//! Compressed parts of an initramfs, inflated piece by piece: what is in memory of one is its window.

use alloc::boxed::Box;

use libkernel::cpio::{Input, Problem};

use super::{gzip, xz, zstd};

/// A compressed part while it is read: what is behind it, once it has been read to its end, is the rest of the archive.
pub trait Part<'a>: Input {
    /// The bytes behind what was consumed of the compressed data.
    fn rest(&self) -> &'a [u8];
}

/// The most memory that a part's window may take, in bytes: a quarter of what is free.
pub fn largest_window() -> usize {
    const LEAST: usize = 8 << 20;
    (hal::frame::statistics().free / 4 * libkernel::addr::PAGE_SIZE as usize).max(LEAST)
}

/// How compressed data begins, and what it is called: `lib/decompress.c` of Linux 6.1.
const NAMES: &[(&[u8], &str)] = &[
    (&[0x1f, 0x8b], "gzip"),
    (&[0x1f, 0x9e], "gzip"),
    (b"BZ", "bzip2"),
    (&[0x5d, 0], "lzma"),
    (&[0xfd, b'7'], "xz"),
    (&[0x89, b'L'], "lzo"),
    (&[0x02, 0x21], "lz4"),
    (&[0x28, 0xb5], "zstd"),
];

/// Begins to read the compressed part at the start of `bytes`. Not inlined, nor is what begins each kind: some make ten
/// KiB on the stack and move it to the heap, and a kernel stack has no room for two of these.
#[inline(never)]
pub fn open<'a>(bytes: &'a [u8]) -> Result<Box<dyn Part<'a> + 'a>, Problem> {
    let name = NAMES.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, name)| *name);
    Ok(match name {
        Some("gzip") => gzip::Gzip::new(bytes)?,
        Some("xz") => xz::Xz::new(bytes)?,
        Some("zstd") => zstd::Zstd::new(bytes)?,
        Some("bzip2") => return Err("compression method bzip2 not configured"),
        Some("lzma") => return Err("compression method lzma not configured"),
        Some("lzo") => return Err("compression method lzo not configured"),
        Some("lz4") => return Err("compression method lz4 not configured"),
        _ => return Err("invalid magic at start of compressed archive"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Everything that a part inflates to, and what is behind it.
    pub fn inflate(bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), Problem> {
        let (mut part, mut all) = (open(bytes)?, Vec::new());
        loop {
            let piece = part.ready()?;
            if piece.is_empty() {
                return Ok((all, part.rest()));
            }
            all.extend_from_slice(piece);
            let length = piece.len();
            part.consume(length);
        }
    }

    const PARTS: [(&str, &[u8]); 3] = [
        ("gzip", include_bytes!("samples/hello.gz")),
        ("xz", include_bytes!("samples/hello.xz")),
        ("zstd", include_bytes!("samples/hello.zst")),
    ];

    /// What the samples hold: more than a window of gzip.
    fn content() -> Vec<u8> {
        (0..6_000).flat_map(|number| alloc::format!("hello {number}\n").into_bytes()).collect()
    }

    #[test]
    fn parts_inflate_to_their_end_and_no_farther() {
        for (name, part) in PARTS {
            let mut bytes = part.to_vec();
            bytes.extend_from_slice(b"\0\0what follows");
            let (all, rest) = inflate(&bytes).expect(name);
            assert!(all == content(), "{name}");
            assert_eq!(rest, b"\0\0what follows", "{name}");
        }
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_refused() {
        for (name, part) in PARTS {
            for length in [3, 10, part.len() / 2, part.len() - 1] {
                assert!(inflate(&part[..length]).is_err(), "{name} cut off at {length}");
            }
            for place in [part.len() / 3, part.len() / 2] {
                let mut bytes = part.to_vec();
                bytes[place] ^= 0x55;
                let found = inflate(&bytes);
                assert!(found.is_err(), "{name} damaged at {place}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        for (bytes, text) in [
            (&b"BZh91AY"[..], "compression method bzip2 not configured"),
            (b"\x5d\0\0\x80", "compression method lzma not configured"),
            (b"\x89LZO", "compression method lzo not configured"),
            (b"\x02\x21\x4c\x18", "compression method lz4 not configured"),
            (b"MZ", "invalid magic at start of compressed archive"),
        ] {
            assert_eq!(open(bytes).err(), Some(text));
        }
    }
}
