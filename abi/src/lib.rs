//! What both sides of the system-call boundary agree on.
#![no_std]
#![forbid(unsafe_code)]
