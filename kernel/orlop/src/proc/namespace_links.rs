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
use crate::nsfs::{self, LINKS, Link, Namespace};

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
        let mut known = LINKS.iter().enumerate();
        let (index, link) = known.find(|(_, link)| link.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
        let subject = self.subject.clone();
        let ownership = subject.ownership(0o777);
        let body = Body::Magic(Box::new(NamespaceLink { subject, link }));
        Ok(inode_in(directory, self.number(index), FileKind::Symlink, ownership, body))
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        self.subject.check().map_err(|_| Errno::ENOENT)?;
        let shown = LINKS.iter().enumerate().map(|(index, link)| Listing {
            name: link.name.as_bytes(),
            number: self.number(index),
            kind: FileKind::Symlink,
        });
        list_in_order(shown, position, emit);
        Ok(())
    }
}

struct NamespaceLink {
    subject: Subject,
    link: &'static Link,
}

impl NamespaceLink {
    /// A zombie is in few any more.
    fn namespace(&self) -> Result<Namespace, Errno> {
        let _inspection = self.subject.inspect()?;
        let is_there = self.link.outlives || self.subject.process.ended().is_none();
        let thread = self.subject.thread().filter(|_| is_there).ok_or(Errno::ENOENT)?;
        Ok((self.link.of)(&thread))
    }
}

impl MagicLink for NamespaceLink {
    fn follow(&self) -> Result<LinkTarget, Errno> {
        nsfs::location(&self.namespace()?).map(LinkTarget::Place)
    }

    fn text(&self) -> Result<Arc<[u8]>, Errno> {
        Ok(Arc::from(nsfs::text(&self.namespace()?).as_bytes()))
    }

    fn class(&self) -> Class {
        Class::Process
    }
}
