//! `/proc/sys`: the kernel's settings, as far as they can be read.

use core::sync::atomic::Ordering;

use abi::Errno;
use hal::sync::Once;
use libkernel::text::Text;

use crate::fs::pipe;
use crate::syscall::system as uts;

fn line(text: &mut Text, value: &[u8]) -> Result<(), Errno> {
    text.put(value);
    text.put(b"\n");
    Ok(())
}

fn number(text: &mut Text, value: u64) -> Result<(), Errno> {
    writeln!(text, "{value}");
    Ok(())
}

/// `fs/file-max`: files are limited by memory alone.
pub fn file_max(text: &mut Text) -> Result<(), Errno> {
    number(text, i64::MAX as u64)
}

/// `fs/nr_open`: the highest `RLIMIT_NOFILE`.
pub fn open_max(text: &mut Text) -> Result<(), Errno> {
    number(text, 1 << 20)
}

/// `fs/pipe-max-size`.
pub fn pipe_max_size(text: &mut Text) -> Result<(), Errno> {
    number(text, pipe::account::MAX_SIZE.load(Ordering::Relaxed))
}

/// `kernel/domainname`.
pub fn domain_name(text: &mut Text) -> Result<(), Errno> {
    line(text, &uts::domain_name())
}

/// `kernel/hostname`.
pub fn host_name(text: &mut Text) -> Result<(), Errno> {
    line(text, &uts::host_name())
}

/// `kernel/ngroups_max`.
pub fn groups_max(text: &mut Text) -> Result<(), Errno> {
    number(text, 65536)
}

/// `kernel/osrelease`.
pub fn release(text: &mut Text) -> Result<(), Errno> {
    line(text, uts::release())
}

/// `kernel/ostype`.
pub fn system_name(text: &mut Text) -> Result<(), Errno> {
    line(text, b"Linux")
}

/// `kernel/version`.
pub fn build(text: &mut Text) -> Result<(), Errno> {
    line(text, uts::version())
}

/// `kernel/pid_max`.
pub fn pid_max(text: &mut Text) -> Result<(), Errno> {
    number(text, u64::from(crate::process::PID_LIMIT))
}

/// `kernel/threads-max`: as many as there are numbers.
pub fn threads_max(text: &mut Text) -> Result<(), Errno> {
    pid_max(text)
}

/// `kernel/random/entropy_avail` and `poolsize`, in bits: random(4).
pub fn entropy(text: &mut Text) -> Result<(), Errno> {
    number(text, 256)
}

/// `kernel/random/uuid`: another one at each look.
pub fn uuid(text: &mut Text) -> Result<(), Errno> {
    show_uuid(text, random_uuid());
    Ok(())
}

/// `kernel/random/boot_id`: one for all of this boot.
pub fn boot_id(text: &mut Text) -> Result<(), Errno> {
    static BOOT_ID: Once<[u8; 16]> = Once::new();
    show_uuid(text, *BOOT_ID.get_or_init(random_uuid));
    Ok(())
}

/// A random UUID: RFC 4122, version 4.
fn random_uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    crate::random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn show_uuid(text: &mut Text, bytes: [u8; 16]) {
    let word = u128::from_be_bytes(bytes);
    let (a, b, c) = (word >> 96, word >> 80 & 0xffff, word >> 64 & 0xffff);
    let (d, e) = (word >> 48 & 0xffff, word & 0xffff_ffff_ffff);
    writeln!(text, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}");
}

/// `vm/max_map_count`.
pub fn max_map_count(text: &mut Text) -> Result<(), Errno> {
    number(text, 65530)
}

/// `vm/overcommit_memory`: memory is handed out when it is touched.
pub fn overcommit(text: &mut Text) -> Result<(), Errno> {
    number(text, 1)
}
