//! A program that greets: from here, write your own. See `docs/writing-programs.md` in Orlop's repository.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use ulib::thread::{self, ThreadLocal};
use ulib::{Errno, args, println};

ulib::entry!(main);

/// Each thread counts its own greetings.
static GREETINGS: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));

fn main() -> Result<(), Errno> {
    let names: Vec<String> = args::rest().iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    if names.is_empty() {
        greet("world");
        return Ok(());
    }
    let other = thread::spawn(move || {
        names.iter().for_each(|name| greet(name));
        GREETINGS.with(Cell::get)
    })?;
    let there = other.join();
    println!("{there} greetings there, {} here", GREETINGS.with(Cell::get));
    Ok(())
}

fn greet(name: &str) {
    GREETINGS.with(|count| count.set(count.get() + 1));
    println!("Hello, {name}!");
}
