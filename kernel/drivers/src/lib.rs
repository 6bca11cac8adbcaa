//! Device drivers on the machine layer's safe register types.
#![no_std]
#![forbid(unsafe_code)]
