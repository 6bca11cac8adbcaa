//! The shell's language: from text to syntax tree, and from words to arguments.
//!
//! Nothing here runs a program or touches a file descriptor; what expansion needs from the running shell it asks for
//! through [`expand::Surroundings`].

mod aliases;
pub mod arithmetic;
pub mod expand;
pub mod parse;
pub mod pattern;
mod redirection;
pub mod syntax;
mod word;
