//! Commands about their own arguments.

use crate::call::{Call, number};
use alloc::vec::Vec;
use programs::everyday;
use ulib::{fs, io, print, println};

/// `echo [-n] [-e] WORDS…`
pub fn echo(call: &Call<'_>) -> u8 {
    io::stdout().write(&everyday::echo::echo(call.arguments));
    0
}

/// `printf FORMAT [ARGUMENTS…]`
pub fn printf(call: &Call<'_>) -> u8 {
    let Some((format, arguments)) = call.arguments.split_first() else {
        return call.refuse("format expected");
    };
    match everyday::printf::printf(format, arguments) {
        Ok((output, mistake)) => {
            io::stdout().write(&output);
            mistake.map_or(0, |message| call.refuse(message))
        }
        Err(message) => call.refuse(message),
    }
}

/// `test EXPRESSION`
pub fn test(call: &Call<'_>) -> u8 {
    everyday::test::test(call.arguments).unwrap_or_else(|message| call.refuse(message))
}

/// `[ EXPRESSION ]`
pub fn bracket(call: &Call<'_>) -> u8 {
    match call.arguments.split_last() {
        Some((&b"]", words)) => everyday::test::test(words).unwrap_or_else(|message| call.refuse(message)),
        _ => call.refuse("] expected"),
    }
}

/// `pwd`
pub fn pwd(call: &Call<'_>) -> u8 {
    match fs::current_directory() {
        Ok(path) => {
            io::stdout().write(&path);
            println!();
            0
        }
        Err(error) => call.refuse(error.message()),
    }
}

/// `clear`: moves the cursor home and clears the screen (ECMA-48, CUP and ED).
pub fn clear(_call: &Call<'_>) -> u8 {
    print!("\x1b[H\x1b[2J");
    0
}

/// A path without slashes at its end.
pub fn without_trailing_slashes(path: &[u8]) -> &[u8] {
    let length = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    &path[..length.max(1).min(path.len())]
}

/// The last name of a path.
pub fn last_name(path: &[u8]) -> &[u8] {
    let path = without_trailing_slashes(path);
    if path == b"/" { path } else { path.rsplit(|&byte| byte == b'/').next().unwrap_or(path) }
}

/// `basename PATH [SUFFIX]`
pub fn basename(call: &Call<'_>) -> u8 {
    let Some(path) = call.arguments.first() else { return call.refuse("path expected") };
    let name = last_name(path);
    let suffix = call.arguments.get(1).copied().unwrap_or_default();
    let shown = name.strip_suffix(suffix).filter(|rest| !rest.is_empty()).unwrap_or(name);
    io::stdout().write(shown);
    println!();
    0
}

/// `dirname PATH`
pub fn dirname(call: &Call<'_>) -> u8 {
    let Some(path) = call.arguments.first() else { return call.refuse("path expected") };
    let path = without_trailing_slashes(path);
    let shown = match path.iter().rposition(|&byte| byte == b'/') {
        None => b".",
        Some(slash) => without_trailing_slashes(&path[..slash.max(1)]),
    };
    io::stdout().write(shown);
    println!();
    0
}

/// `seq [FIRST [STEP]] LAST`
pub fn seq(call: &Call<'_>) -> u8 {
    let numbers: Option<Vec<u64>> = call.arguments.iter().map(|argument| number(argument)).collect();
    let (first, step, last) = match numbers.as_deref() {
        Some([last]) => (1, 1, *last),
        Some([first, last]) => (*first, 1, *last),
        Some([first, step, last]) if *step > 0 => (*first, *step, *last),
        _ => return call.refuse("one to three numbers expected"),
    };
    let mut next = Some(first);
    while let Some(value) = next.filter(|value| *value <= last) {
        println!("{value}");
        next = value.checked_add(step);
    }
    0
}
