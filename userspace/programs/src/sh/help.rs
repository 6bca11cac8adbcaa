//! What `help` prints.

use crate::state::Shell;
use alloc::string::String;
use alloc::vec::Vec;
use programs::shell::arithmetic::Variables;
use ulib::fs;
use ulib::process::DEFAULT_PATH;

/// The width that lists are made for.
const WIDTH: usize = 78;

/// The text, with the names of what there is.
pub fn text(shell: &Shell, builtins: &[&[u8]]) -> String {
    let mut names: Vec<String> = builtins.iter().copied().map(shown).collect();
    names.sort();
    let path = shell.get(b"PATH").unwrap_or_else(|| DEFAULT_PATH.to_vec());
    let entries =
        path.split(|&byte| byte == b':').flat_map(|directory| fs::read_dir(directory).unwrap_or_default());
    let mut programs: Vec<String> = entries.map(|entry| shown(&entry.name)).collect();
    programs.retain(|name| !name.starts_with('.'));
    programs.sort();
    programs.dedup();
    alloc::format!(
        "This is Orlop's shell. A line is a command: a program or one of the shell's own, and its arguments.\n\n\
         The shell's own:\n{}\nPrograms:\n{}\n\
         Keys: arrows, Home and End move and bring back earlier lines; Ctrl-A, Ctrl-E, Ctrl-K, Ctrl-U, Ctrl-W and\n\
         Ctrl-Y as in Emacs; Ctrl-L clears the screen; Ctrl-C ends what runs, Ctrl-Z stops it (jobs, fg, bg).\n\
         exit leaves the shell{}.\n",
        columns(&names),
        columns(&programs),
        if ulib::libsyscall::process::getppid() == 1 { ", and the machine powers off" } else { "" },
    )
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Names in lines that are not too long.
fn columns(names: &[String]) -> String {
    let mut text = String::new();
    let mut column = 0;
    for name in names {
        if column + name.len() >= WIDTH {
            text.push('\n');
            column = 0;
        }
        text.push_str(if column == 0 { "  " } else { " " });
        text.push_str(name);
        column += name.len() + 1;
    }
    text.push('\n');
    text
}
