//! Files as memory sees them, and back: what is mapped is an open file.

use alloc::sync::Arc;
use core::any::Any;

use memory::{MappedFile, Object};

use super::clock;
use super::file::File;

impl MappedFile for File {
    fn object(&self) -> Option<&Arc<Object>> {
        File::object(self)
    }

    /// Set-id bits stay, as on Linux.
    fn note_mapped_store(&self, object: &Arc<Object>) {
        if File::object(self).is_some_and(|own| Arc::ptr_eq(own, object)) {
            self.inode().touch_modified(clock::now());
        }
    }

    fn is_where(&self, other: &dyn MappedFile) -> bool {
        File::of_mapped(other).is_some_and(|other| self.location().same_as(other.location()))
    }
}

impl File {
    /// The open file that is mapped.
    pub fn of_mapped(file: &dyn MappedFile) -> Option<&File> {
        let any: &dyn Any = file;
        any.downcast_ref()
    }

    /// A reference to the open file that is mapped.
    pub fn from_mapped(file: Arc<dyn MappedFile>) -> Option<Arc<File>> {
        let any: Arc<dyn Any + Send + Sync> = file;
        any.downcast().ok()
    }
}
