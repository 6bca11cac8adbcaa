//! Device drivers on the machine layer's safe register types.
//!
//! None yet: clocks, interrupt controllers and the console's UART are hal's own, because boot and the panic report
//! need them before anything else works. Virtio devices are what this crate is for.
#![no_std]
#![forbid(unsafe_code)]
