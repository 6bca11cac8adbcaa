//! The options of tmpfs.

use abi::Errno;
use libkernel::addr::PAGE_SIZE;
use vfs::parameter::{Value, Verdict};

/// What tmpfs takes as options: tmpfs(5). Of the limits zero is none.
pub struct Options {
    /// Pages of content at most, where something is said.
    pub pages: Option<u64>,
    /// Inodes at most, where something is said.
    pub inodes: Option<u64>,
    /// The root's permission bits.
    pub permissions: u32,
    /// Who owns the root, if it is not who mounts it.
    pub user: Option<u32>,
    /// Its group, in the same way.
    pub group: Option<u32>,
}

impl Options {
    /// Of which nothing was said.
    const USUAL: Options =
        Options { pages: None, inodes: None, permissions: 0o1777, user: None, group: None };

    /// Reads `size=64m,mode=1777,uid=0,gid=0,…`. EINVAL for anything that tmpfs does not know.
    pub fn parse(text: &[u8]) -> Result<Options, Errno> {
        let mut options = Options::USUAL;
        for word in text.split(|&byte| byte == b',').filter(|word| !word.is_empty()) {
            let mut halves = word.splitn(2, |&byte| byte == b'=');
            let name = halves.next().unwrap_or_default();
            match options.take(name, halves.next().map_or(Value::None, Value::Text)) {
                Verdict::Taken | Verdict::Ignored => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }

    /// Takes one over. What is for memory in large pages or of several nodes can only be as it is without (Linux:
    /// `shmem_parse_one`, without `CONFIG_TRANSPARENT_HUGEPAGE` and `CONFIG_NUMA`).
    fn take(&mut self, name: &[u8], value: Value<'_>) -> Verdict {
        let text = if let Value::Text(text) = value { str::from_utf8(text).ok() } else { None };
        fn store<T>(field: &mut T, read: Option<T>) -> Verdict {
            let verdict = Verdict::of(read.as_ref());
            read.into_iter().for_each(|read| *field = read);
            verdict
        }
        match name {
            b"size" => store(&mut self.pages, text.and_then(|text| size_in_pages(text).ok()).map(Some)),
            b"nr_blocks" => {
                let pages = text.and_then(scaled).filter(|&pages| i64::try_from(pages).is_ok());
                store(&mut self.pages, pages.map(Some))
            }
            b"nr_inodes" => store(&mut self.inodes, text.and_then(scaled).map(Some)),
            b"mode" => store(
                &mut self.permissions,
                text.and_then(|text| number(text, 8).ok()).map(|bits| bits & 0o7777),
            ),
            b"uid" => store(&mut self.user, text.and_then(|text| identity(text).ok()).map(Some)),
            b"gid" => store(&mut self.group, text.and_then(|text| identity(text).ok()).map(Some)),
            b"inode64" if value == Value::None => Verdict::Ignored,
            b"inode32" if value == Value::None => Verdict::Unsupported,
            b"inode64" | b"inode32" => Verdict::UnexpectedValue,
            b"huge" => match text {
                Some("never") => Verdict::Ignored,
                Some("always" | "within_size" | "advise") => Verdict::Unsupported,
                _ => Verdict::BadValue,
            },
            b"mpol" => text.map_or(Verdict::BadValue, |_| Verdict::Unsupported),
            _ => Verdict::Unknown,
        }
    }
}

/// What tmpfs says of a parameter.
pub fn parameter(name: &[u8], value: Value<'_>) -> Verdict {
    { Options::USUAL }.take(name, value)
}

/// What ramfs says of one: it knows one alone, and ignores all others.
pub fn ramfs_parameter(name: &[u8], value: Value<'_>) -> Verdict {
    if name == b"mode" { parameter(name, value) } else { Verdict::Ignored }
}

/// The base that digits are in by what they begin with, and the rest of them.
fn base_of(text: &str) -> (u32, &str) {
    match text.as_bytes() {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => {
            (16, text.get(2..).unwrap_or_default())
        }
        [b'0', ..] => (8, text),
        _ => (10, text),
    }
}

/// A number of 32 bits, with a sign if it likes (Linux: `kstrtouint`). Base 0 is by what it begins with.
fn number(text: &str, base: u32) -> Result<u32, Errno> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (base, digits) = if base == 0 { base_of(text) } else { (base, text) };
    // The library takes a sign, too.
    let signed = digits.starts_with('+');
    u32::from_str_radix(digits, base).ok().filter(|_| !signed).ok_or(Errno::EINVAL)
}

/// A user or group: any number but the one that is nobody's.
fn identity(text: &str) -> Result<u32, Errno> {
    number(text, 0).and_then(|id| if id == u32::MAX { Err(Errno::EINVAL) } else { Ok(id) })
}

/// The number at the beginning, times what a letter behind it means, and what is left (Linux: `memparse`). `None` where
/// it is too large, or there is nothing at all.
fn leading(text: &str) -> Option<(u64, &str)> {
    if text.is_empty() {
        return None;
    }
    let (base, digits) = base_of(text);
    let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(base)).count();
    let (digits, rest) = digits.split_at_checked(length)?;
    let number = if digits.is_empty() { 0 } else { u64::from_str_radix(digits, base).ok()? };
    let letter = rest.bytes().next().map_or(0, |byte| byte.to_ascii_lowercase());
    let Some(power) = b"kmgtpe".iter().position(|&known| known == letter) else {
        return Some((number, rest));
    };
    Some((number.checked_mul(1024_u64.pow(power as u32 + 1))?, rest.get(1..)?))
}

/// A number with an optional `k`, `m`, `g` and so on.
fn scaled(text: &str) -> Option<u64> {
    leading(text).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}

/// A size in bytes or percent of memory.
fn size_in_pages(text: &str) -> Result<u64, Errno> {
    let (number, rest) = leading(text).ok_or(Errno::EINVAL)?;
    match rest {
        "" => Ok(number.div_ceil(PAGE_SIZE)),
        "%" => {
            let pages = u128::from(number) * hal::frame::statistics().total as u128 / 100;
            u64::try_from(pages).map_err(|_| Errno::EINVAL)
        }
        _ => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_are_read_as_linux_reads_them() {
        let options = Options::parse(b"size=64m,mode=700,uid=5").expect("valid");
        assert_eq!((options.pages, options.permissions, options.user), (Some(16384), 0o700, Some(5)));
        assert_eq!((options.inodes, options.group), (None, None));
        for wrong in
            ["size=x", "size=", "size", "colour=red", "uid=4294967296", "uid=4294967295", "gid=++5", "mode=8"]
        {
            assert!(Options::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let pages = |text: &str| Options::parse(text.as_bytes()).ok().and_then(|options| options.pages);
        assert_eq!(
            ["size=0", "size=0x10k", "nr_blocks=010", "size=1"].map(pages),
            [Some(0), Some(4), Some(8), Some(1)]
        );
    }
}
