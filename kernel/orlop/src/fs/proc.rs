//! procfs: processes and the kernel's settings as files.
//!
//! Nothing is stored. A lookup makes a fresh inode and dentry for the name, a read makes the text anew; so a name is as long-lived as
//! what it describes. [`tree`] holds the tables of fixed names, [`system`] and [`sysctl`] the texts about the whole system, [`kernel`] its log and symbols,
//! [`subject`] who a file is about, [`process`] the directory of one process, [`task`] and [`descriptors`] what lies below it,
//! [`maps`], [`smaps`], [`map_files`], [`mounts`], [`namespaces`], [`status`], [`scheduling`], [`kept`] and [`window`] the files in
//! that directory.

mod calls;
mod descriptors;
mod kept;
mod kernel;
mod locks;
mod map_files;
mod maps;
mod mounts;
mod namespaces;
mod process;
mod scheduling;
mod smaps;
mod status;
mod subject;
mod sysctl;
mod system;
mod task;
mod terminals;
mod tree;
mod window;

pub use maps::program_of;
pub use process::shown_path;

use alloc::sync::Arc;

use hal::sync::Once;

use super::dentry::Dentry;
use super::filesystem::{FileSystem, FileSystemKind};
use super::generated::new_root;

static ROOT: Once<Arc<Dentry>> = Once::new();

/// The root of procfs, of which there is one, whatever it is mounted on.
pub fn root() -> Arc<Dentry> {
    ROOT.get_or_init(|| new_root(&FileSystem::new(FileSystemKind::Proc, 0), tree::Root)).clone()
}
