//! The userspace runtime: _start, arguments, heap, threads, I/O.
#![no_std]
