//! Commands that the shell has built in and that are also programs.

pub mod echo;
pub mod printf;
pub mod test;
