//! What a process's limits and rights mean for writing.

use abi::Errno;
use abi::fs::{S_ISGID, S_ISUID};
use libkernel::signal_set::Signal;
use memory::user::IoSource;
use outcome::Failure;
use subject::{Credentials, INFINITY, capability};

use super::attribute_operations::Change;
use super::clock;
use super::dentry::Dentry;
use super::extended;
use super::inode::Inode;
use super::notify::Event;
use super::running;
use super::writers::ContentWriter;

/// `RLIMIT_FSIZE`: cuts a write at `position` off at the limit. SIGXFSZ and EFBIG when not even one byte may be
/// written.
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

/// The one way to change the size of a regular file: limit, content, times and privileges. Whoever asks writes to the
/// file.
pub fn set_size(dentry: &Dentry, size: u64, _writer: &ContentWriter) -> Result<(), Errno> {
    let inode = dentry.inode();
    let object = inode.object().ok_or(Errno::EINVAL)?;
    object.truncate(size, || check_size(size))?;
    inode.touch_modified(clock::now());
    let event = if drop_privileges(inode)? { Event::ModifiedWithAttributes } else { Event::Modified };
    dentry.tell(event);
    Ok(())
}

/// Whether a file gives anything to who executes it: a first look, without its lock.
#[inline(always)]
pub fn has_privileges(inode: &Inode) -> bool {
    inode.extended.has_capabilities() || inode.attributes.permissions() & (S_ISUID | S_ISGID) != 0
}

/// With a change of the content the file's capabilities go, and by someone without the right to keep them set-id bits:
/// inode(7). Whether set-id bits went; the error of a file system that could not store that.
#[inline(always)]
pub fn drop_privileges(inode: &Inode) -> Result<bool, Errno> {
    if has_privileges(inode) { drop_them(inode) } else { Ok(false) }
}

#[cold]
fn drop_them(inode: &Inode) -> Result<bool, Errno> {
    let changes = inode.lock_attributes();
    if inode.extended.has_capabilities() {
        extended::drop_capabilities(&changes)?;
    }
    let lost = running::with_credentials(|credentials| {
        if credentials.has_capability(capability::FSETID) { 0 } else { lost_bits(inode, credentials) }
    });
    let lost = lost.unwrap_or(0);
    if lost != 0 {
        changes
            .make(&Change { permissions: Some(inode.attributes.permissions() & !lost), ..Change::NONE })?;
    }
    Ok(lost != 0)
}

/// The set-id bits that a change of content or owner takes away. Set-group-id always goes where the group may execute;
/// where it may not, those keep the bit who belong to the group, or may set such bits (Linux 6.1:
/// `setattr_should_drop_suidgid`).
pub fn lost_bits(inode: &Inode, credentials: &Credentials) -> u32 {
    let permissions = inode.attributes.permissions();
    let keeps_group = permissions & 0o010 == 0
        && (credentials.in_group(inode.attributes.group()) || credentials.has_capability(capability::FSETID));
    permissions & if keeps_group { S_ISUID } else { S_ISUID | S_ISGID }
}
