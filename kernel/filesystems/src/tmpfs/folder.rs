//! The directories of tmpfs: names and inodes are in memory, and nothing has to be done for them elsewhere.

use alloc::boxed::Box;
use alloc::sync::Arc;

use abi::Errno;

use super::TmpFs;
use crate::pipe::Pipe;
use memory::Object;
use vfs::attributes::FileKind;
use vfs::change::{Content, NewFile};
use vfs::clock;
use vfs::directory::{DirectoryOperations, Exposure, Renaming, Store};
use vfs::inode::{Body, Inode, Ownership};

/// A directory.
struct Folder;

/// The content of an empty directory.
pub fn body() -> Body {
    Body::directory(Box::new(Folder))
}

impl Exposure for Folder {}

impl DirectoryOperations for Folder {
    fn store(&self) -> Store {
        Store::Memory
    }

    fn create(
        &self,
        directory: &Inode,
        _name: &[u8],
        new: NewFile,
        ownership: Ownership,
    ) -> Result<Arc<Inode>, Errno> {
        let kind = new.kind();
        let instance = TmpFs::of(directory)?;
        let body = match (kind, new.into_content()) {
            (FileKind::Regular, _) => empty_file(instance),
            (FileKind::Directory, _) => body(),
            (FileKind::Symlink, Content::Link(text)) => Body::Symlink(text),
            (FileKind::Fifo, _) => Body::Fifo(Pipe::new()),
            (FileKind::CharacterDevice | FileKind::BlockDevice, Content::Device(number)) => {
                Body::Device(number)
            }
            (FileKind::Socket, _) => Body::Socket,
            _ => return Err(Errno::EINVAL),
        };
        make(directory, kind, ownership, body)
    }

    fn create_nameless(&self, directory: &Inode, ownership: Ownership) -> Result<Arc<Inode>, Errno> {
        let instance = TmpFs::of(directory)?;
        make(directory, FileKind::Regular, ownership, empty_file(instance))
    }

    fn link(&self, _directory: &Inode, _name: &[u8], _inode: &Inode) -> Result<(), Errno> {
        Ok(())
    }

    fn remove(&self, _directory: &Inode, _name: &[u8], _inode: &Inode) -> Result<(), Errno> {
        Ok(())
    }

    fn rename(&self, _plan: &Renaming<'_>) -> Result<(), Errno> {
        Ok(())
    }
}

fn empty_file(instance: &TmpFs) -> Body {
    Body::Bytes(Object::limited(0, instance.budget.clone()))
}

/// A new inode. ENOSPC when only the kernel's reserve is left: files without content take kernel memory too.
#[inline(always)]
fn make(directory: &Inode, kind: FileKind, ownership: Ownership, body: Body) -> Result<Arc<Inode>, Errno> {
    if !hal::frame::may_allocate() {
        return Err(Errno::ENOSPC);
    }
    let room = directory.filesystem.reserve_inode()?;
    Ok(Inode::in_room(room, &directory.filesystem, kind, ownership, body, clock::now()))
}
