//! Who writes: what keeps a mount, or a file system with all of its mounts, from becoming read-only.
//!
//! One word holds the number of writers and whether there may be any, so that "nobody writes" and "nobody will" are one
//! step. Who changes anything stored holds a [`MountWriter`] from before it looks until it is done; a file that is open
//! for writing holds one as long as it is open.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use memory::Object;
use memory::object::WriteAccess;

use super::mount::Mount;

/// The number of writers; or that there may be none.
pub struct Writers(AtomicU64);

/// Nobody may write.
const READ_ONLY: u64 = 1 << 63;

impl Writers {
    /// No writers yet.
    pub const fn new() -> Writers {
        Writers(AtomicU64::new(0))
    }

    fn enter(&self) -> Result<(), Errno> {
        let one_more = |state: u64| (state & READ_ONLY == 0).then_some(state + 1);
        match self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::EROFS),
        }
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// From now on there are none. EBUSY while there are.
    pub fn forbid(&self) -> Result<(), Errno> {
        match self.0.compare_exchange(0, READ_ONLY, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) | Err(READ_ONLY) => Ok(()),
            Err(_) => Err(Errno::EBUSY),
        }
    }

    /// There may be some again.
    pub fn allow(&self) {
        self.0.fetch_and(!READ_ONLY, Ordering::AcqRel);
    }

    /// Whether there may be none.
    pub fn is_forbidden(&self) -> bool {
        self.0.load(Ordering::Relaxed) & READ_ONLY != 0
    }
}

/// Leave to change what is reached through a mount, given back when dropped.
pub struct MountWriter(Arc<Mount>);

impl MountWriter {
    /// EROFS where the mount or its file system is read-only.
    pub fn enter(mount: &Arc<Mount>) -> Result<MountWriter, Errno> {
        mount.filesystem.writers.enter()?;
        if let Err(errno) = mount.writers.enter() {
            mount.filesystem.writers.leave();
            return Err(errno);
        }
        Ok(MountWriter(mount.clone()))
    }
}

impl Drop for MountWriter {
    fn drop(&mut self) {
        self.0.writers.leave();
        self.0.filesystem.writers.leave();
    }
}

/// What a regular file holds while it is open for writing, or is cut off: its mount stays writable, and nobody executes
/// it.
pub struct ContentWriter {
    _access: Option<WriteAccess>,
    _mount: MountWriter,
}

impl ContentWriter {
    /// EROFS by the mount, ETXTBSY while the file is executed.
    pub fn enter(mount: &Arc<Mount>, object: &Arc<Object>) -> Result<ContentWriter, Errno> {
        let mount = MountWriter::enter(mount)?;
        Ok(ContentWriter { _access: Some(WriteAccess::acquire(object)?), _mount: mount })
    }

    /// For a file without a name that one call makes and opens: Linux executes it, too.
    pub fn of_nameless(mount: &Arc<Mount>) -> Result<ContentWriter, Errno> {
        Ok(ContentWriter { _access: None, _mount: MountWriter::enter(mount)? })
    }
}
