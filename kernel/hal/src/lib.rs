//! The machine, for both architectures, behind safe types.
#![no_std]
