//! The options of tmpfs.

use abi::Errno;

use super::default_pages;

/// What tmpfs takes as options: tmpfs(5).
pub struct Options {
    /// Pages of content at most.
    pub pages: u64,
    /// Inodes at most.
    pub inodes: u64,
    /// The root's permission bits.
    pub permissions: u32,
    /// Who owns the root, if it is not who mounts it.
    pub user: Option<u32>,
    /// Its group, in the same way.
    pub group: Option<u32>,
}

impl Options {
    /// Reads `size=64m,mode=1777,uid=0,gid=0,…`. EINVAL for anything that tmpfs does not know.
    pub fn parse(text: &[u8]) -> Result<Options, Errno> {
        let mut options = Options {
            pages: default_pages(),
            inodes: u64::MAX,
            permissions: 0o1777,
            user: None,
            group: None,
        };
        for word in text.split(|&byte| byte == b',').filter(|word| !word.is_empty()) {
            let mut halves = word.splitn(2, |&byte| byte == b'=');
            let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            match name {
                b"size" => options.pages = size_in_pages(value)?,
                b"nr_blocks" => options.pages = scaled(value)?,
                b"mode" => options.permissions = number(value, 8)? as u32,
                b"uid" => options.user = Some(number(value, 10)? as u32),
                b"gid" => options.group = Some(number(value, 10)? as u32),
                b"nr_inodes" => {
                    let limit = scaled(value)?;
                    options.inodes = if limit == 0 { u64::MAX } else { limit };
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

fn number(text: &[u8], radix: u32) -> Result<u64, Errno> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    u64::from_str_radix(text, radix).map_err(|_| Errno::EINVAL)
}

/// A number with an optional `k`, `m` or `g`.
fn scaled(text: &[u8]) -> Result<u64, Errno> {
    let (digits, shift) = match text.split_last() {
        Some((b'k' | b'K', digits)) => (digits, 10),
        Some((b'm' | b'M', digits)) => (digits, 20),
        Some((b'g' | b'G', digits)) => (digits, 30),
        _ => (text, 0),
    };
    number(digits, 10)?.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}

/// A size in bytes or percent of memory; nothing or zero is no limit.
fn size_in_pages(text: &[u8]) -> Result<u64, Errno> {
    const PAGE: u64 = 4096;
    let pages = match text.split_last() {
        Some((b'%', digits)) => {
            let percent = number(digits, 10)?.min(100);
            hal::frame::statistics().total as u64 * percent / 100
        }
        _ => scaled(text)?.div_ceil(PAGE),
    };
    Ok(if pages == 0 { u64::MAX } else { pages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_are_read_as_linux_reads_them() {
        let options = Options::parse(b"size=64m,mode=700,uid=5").expect("valid");
        assert_eq!((options.pages, options.permissions, options.user), (16384, 0o700, Some(5)));
        assert!(Options::parse(b"size=x").is_err());
        assert!(Options::parse(b"colour=red").is_err());
        assert_eq!(Options::parse(b"size=0").map(|options| options.pages).ok(), Some(u64::MAX));
    }
}
