//! What memory asks of a file that is mapped or run as a program.
//!
//! Files stand above memory. Who opened one knows what it is, and gets it back by [`MappedFile`] being [`Any`].

use alloc::sync::Arc;
use core::any::Any;

use super::Object;

/// A file, as memory sees it.
pub trait MappedFile: Any + Send + Sync {
    /// The content that is its own. `None` for a file that stores none, or was opened as a place only.
    fn object(&self) -> Option<&Arc<Object>>;

    /// A shared mapping of it that shows `object` is stored to, in a page that was not mapped before: the file's times
    /// follow.
    fn note_mapped_store(&self, object: &Arc<Object>);

    /// Whether the other one was opened at the same place: the same name, through the same mount.
    fn is_where(&self, other: &dyn MappedFile) -> bool;
}
