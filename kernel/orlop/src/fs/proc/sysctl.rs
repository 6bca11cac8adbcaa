//! `/proc/sys`: the kernel's settings, as far as they can be read.

use alloc::format;
use alloc::vec::Vec;

use abi::Errno;
use hal::sync::Once;

use crate::fs::pipe;
use crate::syscall::system as uts;

fn line(text: &[u8]) -> Result<Vec<u8>, Errno> {
    Ok([text, b"\n"].concat())
}

fn number(value: u64) -> Result<Vec<u8>, Errno> {
    Ok(format!("{value}\n").into_bytes())
}

/// `fs/file-max`: files are limited by memory alone.
pub fn file_max() -> Result<Vec<u8>, Errno> {
    number(i64::MAX as u64)
}

/// `fs/nr_open`: the highest `RLIMIT_NOFILE`.
pub fn open_max() -> Result<Vec<u8>, Errno> {
    number(1 << 20)
}

/// `fs/pipe-max-size`.
pub fn pipe_max_size() -> Result<Vec<u8>, Errno> {
    number(pipe::MAX_CAPACITY as u64)
}

/// `kernel/domainname`.
pub fn domain_name() -> Result<Vec<u8>, Errno> {
    line(&uts::domain_name())
}

/// `kernel/hostname`.
pub fn host_name() -> Result<Vec<u8>, Errno> {
    line(&uts::host_name())
}

/// `kernel/ngroups_max`.
pub fn groups_max() -> Result<Vec<u8>, Errno> {
    number(65536)
}

/// `kernel/osrelease`.
pub fn release() -> Result<Vec<u8>, Errno> {
    line(uts::release())
}

/// `kernel/ostype`.
pub fn system_name() -> Result<Vec<u8>, Errno> {
    line(b"Linux")
}

/// `kernel/version`.
pub fn build() -> Result<Vec<u8>, Errno> {
    line(uts::version())
}

/// `kernel/pid_max`.
pub fn pid_max() -> Result<Vec<u8>, Errno> {
    number(u64::from(crate::process::PID_LIMIT))
}

/// `kernel/threads-max`: as many as there are numbers.
pub fn threads_max() -> Result<Vec<u8>, Errno> {
    pid_max()
}

/// `kernel/random/entropy_avail` and `poolsize`, in bits: random(4).
pub fn entropy() -> Result<Vec<u8>, Errno> {
    number(256)
}

/// `kernel/random/uuid`: another one at each look.
pub fn uuid() -> Result<Vec<u8>, Errno> {
    Ok(shown_uuid(random_uuid()))
}

/// `kernel/random/boot_id`: one for all of this boot.
pub fn boot_id() -> Result<Vec<u8>, Errno> {
    static BOOT_ID: Once<[u8; 16]> = Once::new();
    Ok(shown_uuid(*BOOT_ID.get_or_init(random_uuid)))
}

/// A random UUID: RFC 4122, version 4.
fn random_uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    crate::random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn shown_uuid(bytes: [u8; 16]) -> Vec<u8> {
    let word = u128::from_be_bytes(bytes);
    let (a, b, c) = (word >> 96, word >> 80 & 0xffff, word >> 64 & 0xffff);
    let (d, e) = (word >> 48 & 0xffff, word & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}\n").into_bytes()
}

/// `vm/max_map_count`.
pub fn max_map_count() -> Result<Vec<u8>, Errno> {
    number(65530)
}

/// `vm/overcommit_memory`: memory is handed out when it is touched.
pub fn overcommit() -> Result<Vec<u8>, Errno> {
    number(1)
}
