//! Open file descriptions.

/// What a descriptor refers to: one opening of an inode, with its position and status flags.
pub struct File {}
