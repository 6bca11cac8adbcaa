//! What only this machine has.
pub(super) mod capabilities;
pub(super) mod device_tree;
pub(super) mod gic;
pub(super) mod identification;
pub(super) mod psci;
pub(super) mod semihosting;
