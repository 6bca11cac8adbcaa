//! Kernel logic that needs no machine, no lock and no current thread.
#![no_std]
#![forbid(unsafe_code)]
