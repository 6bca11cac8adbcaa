//! User address spaces: page tables that own references to their frames.
//!
//! Software changes to one table are serialised by a spin lock inside it, taken for at most one leaf table at a
//! time; the CPU's own accesses and bit updates run in parallel, so entries are read and written atomically.
mod block;
#[cfg(test)]
mod block_tests;
mod counts;
mod edit;
pub(crate) mod kernel;
pub(crate) mod slots;
mod table;
#[cfg(test)]
mod tests;
mod walk;

pub use counts::Resident;
pub use edit::{CopyOnWrite, Edit, Writes};
pub use libkernel::paging::{Kind, Prot};
pub use table::{MapError, Mapped, PageTable};
