//! Files, whatever file system they are in: names, the walk over them, mounts, open files, descriptor tables,
//! readiness, locks.
//!
//! - [`fd_table`] maps small integers to [`file::File`]s, the open file descriptions.
//! - [`mount`], [`dentry`], [`directory`] and [`inode`] are the tree; [`walk`] finds places in it, [`open`] opens them,
//!   [`change`], [`remove`] and [`rename`] change its names.
//! - [`filesystem`] and [`directory::operations`](directory) are what a file system plugs in by; [`types`] are those
//!   that were. [`inode_cache`] and [`reaper`] are for those that store inodes elsewhere.
//! - A file's content is its inode's [`inode::Body`]: stored files are memory objects, the rest brings a
//!   [`operations::FileOperations`] ([`device`]) or makes itself up when it is looked at ([`generated`]).
//! - What files ask of the floors above goes through two ports: [`running`] and [`device`].
//!
//! Lock order: a file's position, the rename lock, directories' `changes`, an inode's attributes, pipes; below these,
//! memory's locks; spin locks of names, dentries, attributes and descriptor tables are leaves.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod anonymous;
pub mod asynchronous;
pub mod attribute_changes;
pub mod attribute_operations;
pub mod attributes;
pub mod change;
pub mod clock;
pub mod configuration;
pub mod context;
pub mod dentry;
pub mod device;
pub mod directory;
pub mod epoll;
pub mod extended;
pub mod fd_table;
pub mod file;
pub mod filesystem;
pub mod generated;
pub mod inode;
pub mod inode_cache;
pub mod limits;
pub mod listing;
pub mod lock;
mod mapped;
pub mod mount;
pub mod moves;
pub mod notify;
pub mod open;
pub mod operations;
pub mod owner;
pub mod parameter;
pub mod path;
pub mod permission;
pub mod poll;
pub mod reaper;
pub mod remove;
pub mod rename;
pub mod running;
pub mod shared_folders;
#[cfg(test)]
mod test_file_system;
pub mod types;
mod unnamed_device;
pub mod walk;
pub mod writers;

pub use context::FsContext;
pub use fd_table::FdTable;
pub use file::File;
pub use path::{display_path, path_from, short};
