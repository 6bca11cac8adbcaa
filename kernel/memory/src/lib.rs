//! Memory of programs: address spaces, the objects they show, and page faults.
//!
//! An [`AddressSpace`] is a map of [`area::Area`]s over a hal page table; pages arrive when they are touched
//! ([`fault`]). An [`Object`] is the page cache of a file or anonymous memory that processes share. A private
//! page belongs to the page tables that refer to it: its frame's reference count says whether it can be
//! written in place.
//!
//! Each family of system calls has its own file (`map`, `protect`, `remap`, `brk`, `advice`, `lock`, `query`):
//! plain methods of [`AddressSpace`], called by `orlop::syscall::memory`.
//!
//! [`user`] is how the kernel itself copies to and from the running program's memory.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod advice;
pub mod area;
mod bounds;
mod brk;
#[cfg(test)]
mod charge_tests;
mod fault;
mod file;
mod fork;
pub mod layout;
pub mod lock;
mod map;
pub mod object;
pub mod places;
pub mod protect;
mod query;
pub mod remap;
mod remote;
mod space;
#[cfg(test)]
mod tests;
mod unmap;
pub mod user;

pub use advice::{Advice, OtherCopies};
pub use bounds::{Bounds, MAX_AREAS};
pub use fault::FaultError;
pub use file::MappedFile;
pub use layout::Layout;
pub use map::{Content, MapRequest, OVERCOMMIT, Placement};
pub use object::{ExecuteAccess, Growth, Object, PageBudget, PageContent, WriteAccess};
pub use remap::RemapRequest;
pub use space::{AddressSpace, Dumpable, OwnReference, Usage, flags};
