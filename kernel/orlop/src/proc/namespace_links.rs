//! `/proc/PID/ns`: links to the namespaces that a process is in.
//!
//! Who may look into the process reads and follows them (Linux: `proc_ns_get_link`).

use alloc::boxed::Box;
use alloc::sync::Arc;

use abi::Errno;
use vfs::attributes::FileKind;
use vfs::directory::{DirectoryOperations, Emit, Exposure, Listing};
use vfs::generated::{Class, inode_in, list_in_order};
use vfs::inode::{Body, Inode, LinkTarget, MagicLink};

use super::subject::Subject;
use crate::nsfs::{self, LINKS, Namespace};

/// The directory.
pub struct NamespaceLinks {
    pub subject: Subject,
}

impl NamespaceLinks {
    fn number(&self, index: usize) -> u64 {
        const ABOVE_NAMES: u64 = 1 << 61;
        ABOVE_NAMES + (self.subject.inode_number(0) << 8) + index as u64
    }
}

impl Exposure for NamespaceLinks {
    fn class(&self) -> Class {
        Class::Process
    }
}

impl DirectoryOperations for NamespaceLinks {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        self.subject.check().map_err(|_| Errno::ENOENT)?;
        let index = LINKS.iter().position(|(known, _)| known.as_bytes() == name).ok_or(Errno::ENOENT)?;
        let (_, namespace) = LINKS.get(index).ok_or(Errno::ENOENT)?;
        let subject = self.subject.clone();
        let ownership = subject.ownership(0o777);
        let body = Body::Magic(Box::new(NamespaceLink { subject, namespace }));
        Ok(inode_in(directory, self.number(index), FileKind::Symlink, ownership, body))
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        self.subject.check().map_err(|_| Errno::ENOENT)?;
        let shown = LINKS.iter().enumerate().map(|(index, (name, _))| Listing {
            name: name.as_bytes(),
            number: self.number(index),
            kind: FileKind::Symlink,
        });
        list_in_order(shown, position, emit);
        Ok(())
    }
}

struct NamespaceLink {
    subject: Subject,
    namespace: &'static Namespace,
}

impl NamespaceLink {
    /// A zombie is in none any more, but in those of users and processes.
    fn check(&self) -> Result<(), Errno> {
        drop(self.subject.inspect()?);
        let lasts = ["user", "pid"].contains(&self.namespace.kind);
        if lasts || self.subject.process.ended().is_none() { Ok(()) } else { Err(Errno::ENOENT) }
    }
}

impl MagicLink for NamespaceLink {
    fn follow(&self) -> Result<LinkTarget, Errno> {
        self.check()?;
        nsfs::location(self.namespace).map(LinkTarget::Place)
    }

    fn text(&self) -> Result<Arc<[u8]>, Errno> {
        self.check()?;
        Ok(Arc::from(nsfs::text(self.namespace).as_bytes()))
    }

    fn class(&self) -> Class {
        Class::Process
    }
}
