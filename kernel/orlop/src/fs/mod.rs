//! Files: the name space, open files, descriptor tables and the file systems below them.
//!
//! `FdTable` maps small integers to `File`s (open file descriptions); a `File` stands for one opened `Inode`.
//! `FsContext` is what path walk starts from: root, working directory and umask of a process.

mod context;
mod fd_table;
mod file;

pub use context::FsContext;
pub use fd_table::FdTable;
pub use file::File;
