//! Linux system calls from Rust, one function for each architecture.
#![no_std]
