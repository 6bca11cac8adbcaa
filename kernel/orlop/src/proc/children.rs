//! `/proc/PID/task/TID/children`: the children that a thread has made, or that became its own: proc(5).
//!
//! Children are found in the order of their birth, some at a time; those that end or are born meanwhile may be missed.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use hal::sync::SpinLock;
use libkernel::text::Text;
use vfs::file::FileOperations;
use vfs::generated::Class;
use vfs::generated::content::{Content, SequenceFile};

use super::subject::Subject;
use crate::process::Process;

struct Children {
    subject: Subject,
    /// Those that were looked at last, in the order of their birth: the next ones follow them.
    seen: SpinLock<Vec<Arc<Process>>>,
}

/// Opens `children`.
pub fn open(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    Ok(SequenceFile::open(Children { subject, seen: SpinLock::new(Vec::new()) }, Class::Process))
}

impl Content for Children {
    fn fill(&self, cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        self.subject.check()?;
        let Some(thread) = self.subject.thread() else { return Ok(None) };
        let seen = if cursor == 0 { Vec::new() } else { core::mem::take(&mut *self.seen.lock()) };
        let next = self.subject.process.some_children(&seen);
        if next.is_empty() {
            return Ok(None);
        }
        next.iter()
            .filter(|child| child.belongs_to(&thread))
            .for_each(|child| text.field(self.subject.shown(child.pid())));
        let old = core::mem::replace(&mut *self.seen.lock(), next);
        drop(old);
        Ok(Some(cursor + 1))
    }
}
