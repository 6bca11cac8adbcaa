//! The logic of Orlop's programs, apart from their main functions so that it can be tested on any host.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod calendar;
pub mod everyday;
pub mod job;
pub mod line_editor;
pub mod regular;
pub mod shell;
pub mod signal_names;
pub mod terminal_names;
