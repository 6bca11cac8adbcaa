//! procfs: processes and the kernel's settings as files.
//!
//! Nothing is stored. A lookup makes a fresh inode and dentry for the name, a read makes the text anew; so a name is as long-lived as
//! what it describes. [`tree`] holds the tables of fixed names, [`view`] what an instance shows, [`system`] and [`sysctl`] the texts about the whole system, [`kernel`] its log and symbols,
//! [`subject`] who a file is about, [`process`] the directory of one process, [`task`] and [`descriptors`] what lies below it,
//! [`maps`], [`smaps`], [`map_files`], [`mounts`], [`namespaces`], [`namespace_links`], [`children`], [`sizes`], [`status`], [`scheduling`], [`kept`] and [`window`] the files in
//! that directory.

mod calls;
mod children;
mod descriptors;
mod kept;
mod kernel;
mod locks;
mod map_files;
mod maps;
mod mounts;
mod namespace_links;
mod namespaces;
mod process;
mod scheduling;
mod sizes;
mod smaps;
mod status;
mod subject;
mod sysctl;
mod system;
mod task;
mod terminals;
mod tree;
mod view;
mod window;

pub use maps::program_of;
pub use process::shown_path;
pub use view::View;

use alloc::sync::Arc;

use super::dentry::Dentry;
use super::filesystem::{FileSystem, FileSystemKind};
use super::generated::new_root;

/// The root of a new instance.
pub fn new_instance() -> Arc<Dentry> {
    let filesystem = FileSystem::new(FileSystemKind::Proc, 0);
    let view = filesystem.view.clone().unwrap_or_else(|| Arc::new(View::new()));
    new_root(&filesystem, tree::Root { view })
}
