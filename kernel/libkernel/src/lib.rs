//! Kernel logic that needs no machine, no lock and no current thread.
//!
//! Everything here is a pure function or a plain data structure: it runs under `cargo test` on any host, and both
//! architectures' descriptions are always compiled. What executes privileged instructions lives in `hal`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acpi;
pub mod addr;
pub mod arch;
pub mod bit_string;
pub mod buddy;
pub mod calendar;
pub mod clock;
pub mod command_line;
pub mod core_dump;
pub mod cpio;
pub mod device_tree;
pub mod efi;
pub mod elf;
pub mod entropy;
pub mod fault;
pub mod file_capabilities;
pub mod front_map;
pub mod intervals;
pub mod line_discipline;
pub mod lock_order;
pub mod log_ring;
pub mod numbers;
pub mod ordered;
pub mod paging;
pub mod patch;
pub mod physical;
pub mod radix;
pub mod rate_limit;
pub mod read_back;
pub mod runs;
pub mod sched;
pub mod setting;
pub mod signal_set;
pub mod speculation;
pub mod symbols;
pub mod text;
pub mod timeouts;
pub mod topology;
pub mod vdso;
pub mod vma;
pub mod watchdog;
