//! Names and figures of the whole system (`uname`, `sysinfo`).
//!
//! Source: Linux 6.1, `include/uapi/linux/utsname.h`, `linux/sysinfo.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of one name with its NUL.
pub const UTSNAME_LENGTH: usize = 65;

/// What `uname` stores: NUL-terminated names.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Utsname {
    /// `Linux`.
    pub sysname: [u8; UTSNAME_LENGTH],
    /// Host name.
    pub nodename: [u8; UTSNAME_LENGTH],
    /// Kernel release.
    pub release: [u8; UTSNAME_LENGTH],
    /// Kernel build.
    pub version: [u8; UTSNAME_LENGTH],
    /// Machine.
    pub machine: [u8; UTSNAME_LENGTH],
    /// NIS domain.
    pub domainname: [u8; UTSNAME_LENGTH],
}

/// What `sysinfo` stores.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Sysinfo {
    /// Seconds since boot.
    pub uptime: i64,
    /// Load over 1, 5 and 15 minutes, in 1/65536.
    pub loads: [u64; 3],
    /// Memory, in units of `mem_unit`.
    pub totalram: u64,
    /// Free memory.
    pub freeram: u64,
    /// Shared memory.
    pub sharedram: u64,
    /// Buffers.
    pub bufferram: u64,
    /// Swap space.
    pub totalswap: u64,
    /// Free swap space.
    pub freeswap: u64,
    /// Number of threads.
    pub procs: u16,
    /// Zero.
    pub pad: u16,
    /// Zero.
    pub pad2: u32,
    /// High memory, 0 on 64-bit machines.
    pub totalhigh: u64,
    /// Free high memory.
    pub freehigh: u64,
    /// Bytes in a unit.
    pub mem_unit: u32,
    /// Zero.
    pub pad3: u32,
}
