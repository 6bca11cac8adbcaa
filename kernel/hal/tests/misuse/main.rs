//! Safe callers that would break memory safety: each no longer compiles (`refused`), or ends in a panic before any
//! harm.
//!
//! The kernel above hal is safe code, so what it can say must be harmless, however wrong. A way in that is found is
//! added here first.
mod compiler;
mod frames;
mod handlers;
mod locks;
mod tasks;
