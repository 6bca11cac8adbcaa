//! The everyday commands, in one program that acts by the name it is called by.
//!
//! In the image each name of [`COMMANDS`] is a link to this program (`userspace/programs/applets` lists them);
//! `tools NAME ARGUMENTS…` works without one. Commands take POSIX's common options, not all of them; an option that is
//! not there is an error.
#![no_std]
#![no_main]

extern crate alloc;

mod call;
mod copy;
mod list;
mod processes;
mod search;
mod system;
mod text;
mod tree;
mod words;

use alloc::vec::Vec;
use call::Call;
use ulib::{args, eprintln, println};

ulib::entry!(main);

/// A command: takes what it was called with, returns its exit status.
type Command = fn(&Call<'_>) -> u8;

/// All commands by name.
const COMMANDS: &[(&str, Command)] = &[
    ("[", words::bracket),
    ("basename", words::basename),
    ("cat", text::cat),
    ("chmod", tree::chmod),
    ("clear", words::clear),
    ("cp", copy::cp),
    ("date", system::date),
    ("dirname", words::dirname),
    ("echo", words::echo),
    ("env", processes::env),
    ("false", |_| 1),
    ("free", system::free),
    ("grep", search::grep),
    ("head", text::head),
    ("hexdump", text::hexdump),
    ("id", processes::id),
    ("kill", processes::kill),
    ("ln", tree::ln),
    ("ls", list::ls),
    ("mkdir", tree::mkdir),
    ("mount", system::mount),
    ("mv", copy::mv),
    ("poweroff", system::poweroff),
    ("printf", words::printf),
    ("ps", processes::ps),
    ("pwd", words::pwd),
    ("readlink", tree::readlink),
    ("reboot", system::reboot),
    ("rm", tree::rm),
    ("rmdir", tree::rmdir),
    ("seq", words::seq),
    ("sleep", processes::sleep),
    ("sync", system::sync),
    ("tail", text::tail),
    ("tee", text::tee),
    ("test", words::test),
    ("touch", tree::touch),
    ("true", |_| 0),
    ("tty", processes::tty),
    ("umount", system::umount),
    ("uname", system::uname),
    ("uptime", system::uptime),
    ("wc", text::wc),
];

fn main() -> u8 {
    let arguments = args::rest();
    if let Some(status) = run(args::program_name(), &arguments) {
        return status;
    }
    match arguments.split_first() {
        Some((name, arguments)) => run(name, arguments).unwrap_or_else(|| {
            eprintln!("tools: {}: no such command", name.escape_ascii());
            127
        }),
        None => {
            let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
            println!("{}", names.join("\n"));
            0
        }
    }
}

/// Runs the command of this name; `None` if there is none.
fn run(name: &[u8], arguments: &[&[u8]]) -> Option<u8> {
    let (name, command) = COMMANDS.iter().find(|(known, _)| known.as_bytes() == name)?;
    Some(command(&Call { name, arguments }))
}
