//! Names of the host and its domain: uts_namespaces(7).

use alloc::vec::Vec;

use abi::utsname::UTSNAME_LENGTH;
use hal::sync::SpinLock;
use vfs::generated::content::Changes;

/// A name with its length.
#[derive(Clone, Copy)]
pub struct Name {
    /// Padded with zeros.
    pub bytes: [u8; UTSNAME_LENGTH],
    length: usize,
}

impl Name {
    /// A name of the kernel's own.
    pub const fn new(text: &[u8]) -> Name {
        let mut name = Name { bytes: [0; UTSNAME_LENGTH], length: text.len() };
        let mut index = 0;
        while index < text.len() {
            name.bytes[index] = text[index];
            index += 1;
        }
        name
    }

    /// The parts one after the other; what is too long is cut.
    pub fn of(parts: [&[u8]; 2]) -> Name {
        let mut name = Name::new(b"");
        let room = name.bytes.iter_mut().take(UTSNAME_LENGTH - 1);
        for (place, &byte) in room.zip(parts.into_iter().flatten()) {
            *place = byte;
            name.length += 1;
        }
        name
    }
}

/// One of the two names, which changes.
pub struct HostName(SpinLock<Name>);

impl HostName {
    const fn unknown() -> HostName {
        HostName(SpinLock::new(Name::new(b"(none)")))
    }

    /// The name.
    pub fn get(&self) -> Name {
        *self.0.lock()
    }

    /// Its bytes.
    pub fn text(&self) -> Vec<u8> {
        let name = self.get();
        name.bytes[..name.length].to_vec()
    }

    /// Gives another one.
    pub fn set(&self, name: Name) {
        *self.0.lock() = name;
    }
}

/// The names in one namespace.
pub struct HostNames {
    /// The inode number of its file.
    pub number: u64,
    /// sethostname(2).
    pub host: HostName,
    /// setdomainname(2).
    pub domain: HostName,
}

/// Tells of changes of host names, in whatever namespace (Linux: `uts_proc_notify`).
pub static HOST_CHANGES: Changes = Changes::new();
/// As [`HOST_CHANGES`], of domain names.
pub static DOMAIN_CHANGES: Changes = Changes::new();

impl HostNames {
    /// Those before anybody has given any, in the namespace that has Linux's first inode number.
    pub const fn initial() -> HostNames {
        const NUMBER: u64 = 0xefff_fffe;
        HostNames { number: NUMBER, host: HostName::unknown(), domain: HostName::unknown() }
    }
}
