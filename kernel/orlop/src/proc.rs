//! procfs: processes and the kernel's settings as files.
//!
//! Nothing is stored. A lookup makes a fresh inode and dentry for the name, a read makes the text anew; so a name is as
//! long-lived as what it describes. [`tree`] holds the tables of fixed names, [`view`] what an instance shows,
//! [`system`] and [`sysctl`] the texts about the whole system, [`kernel`] its log and symbols, [`subject`] who a file
//! is about, [`process`] the directory of one process, [`task`] and [`descriptors`] what lies below it, [`maps`],
//! [`smaps`], [`map_files`], [`mounts`], [`namespaces`], [`namespace_links`], [`children`], [`sizes`], [`status`],
//! [`scheduling`], [`kept`] and [`window`] the files in that directory.

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

use view::View;

use alloc::sync::Arc;

use ::subject::Credentials;
use abi::Errno;
use abi::fs::PROC_SUPER_MAGIC;
use vfs::dentry::Dentry;
use vfs::filesystem::{FileSystem, FileSystemType, Source};
use vfs::generated::new_root;
use vfs::parameter::{Value, Verdict};

/// Processes and kernel settings as files: each mount is an instance of its own.
pub struct Proc;

impl FileSystemType for Proc {
    fn name(&self) -> &'static str {
        "proc"
    }

    fn magic(&self) -> i64 {
        PROC_SUPER_MAGIC
    }

    fn mount(&self, _source: Source<'_>, options: &[u8], _by: &Credentials) -> Result<Arc<Dentry>, Errno> {
        let view = Arc::new(View::new());
        view.configure(options)?;
        Ok(new_root(&FileSystem::new(&Proc, view.clone())?, tree::Root { view }))
    }

    fn parameter(&self, name: &[u8], value: Value<'_>) -> Verdict {
        view::parameter(name, value)
    }

    fn block_size(&self) -> u32 {
        1024
    }
}
