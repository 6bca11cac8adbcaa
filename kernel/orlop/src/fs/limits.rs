//! What a process's limits and rights mean for writing.

use abi::Errno;
use abi::fs::{S_ISGID, S_ISUID};
use libkernel::signal_set::Signal;

use super::inode::Inode;
use super::running;
use crate::process::{INFINITY, capability};
use crate::syscall::Failure;
use crate::user::IoSource;

/// `RLIMIT_FSIZE`: cuts a write at `position` off at the limit. SIGXFSZ and EFBIG when not even one byte may be written.
pub fn limit_growth(position: u64, source: &mut IoSource<'_>) -> Result<(), Failure> {
    let limit = running::file_size_limit();
    if limit == INFINITY || source.remaining() == 0 {
        return Ok(());
    }
    let room = limit.saturating_sub(position);
    if room == 0 {
        return Err(exceed().into());
    }
    source.limit(usize::try_from(room).unwrap_or(usize::MAX));
    Ok(())
}

/// `RLIMIT_FSIZE` for a change of size: SIGXFSZ and EFBIG beyond the limit.
pub fn check_size(size: u64) -> Result<(), Errno> {
    if size > running::file_size_limit() { Err(exceed()) } else { Ok(()) }
}

fn exceed() -> Errno {
    running::send_signal(Signal::XFSZ);
    Errno::EFBIG
}

/// After a write by someone without the right to keep them, set-id bits go: inode(7).
#[inline]
pub fn drop_set_id_bits(inode: &Inode) {
    if inode.attributes.permissions() & (S_ISUID | S_ISGID) != 0 {
        drop_set_id_bits_unless_privileged(inode);
    }
}

#[cold]
fn drop_set_id_bits_unless_privileged(inode: &Inode) {
    if !running::has_capability(capability::FSETID) {
        clear_set_id_bits(inode);
    }
}

/// Clears set-user-id, and set-group-id where it means that (the group may execute).
pub fn clear_set_id_bits(inode: &Inode) {
    let permissions = inode.attributes.permissions();
    let group_bits = if permissions & 0o010 != 0 { S_ISGID } else { 0 };
    inode.attributes.set_permissions(permissions & !(S_ISUID | group_bits));
}
