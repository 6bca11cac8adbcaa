//! `getopts`: the options of a script or a function, one at a time.

use crate::execute::{Leave, Outcome};
use crate::state::Shell;
use alloc::vec::Vec;
use programs::shell::arithmetic::Variables;

/// Where in a word of options the next one stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// What `OPTIND` was left at: something else means that the script begins anew.
    index: usize,
    /// The next letter of that word; 0 at its beginning.
    letter: usize,
}

/// What was found.
enum Found {
    Option(u8, Option<Vec<u8>>),
    Unknown(u8),
    /// The option lacks its argument.
    Lacking(u8),
    End,
}

/// `getopts OPTIONS NAME [WORDS…]`.
pub fn getopts(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let [_, options, name, words @ ..] = arguments else {
        return Err(shell.fault(2, format_args!("getopts: usage: getopts OPTIONS NAME [WORDS…]")));
    };
    let words = if words.is_empty() { shell.arguments.clone() } else { words.to_vec() };
    let is_silent = options.starts_with(b":");
    let found = next(shell, options, &words)?;
    shell.set_variable(b"OPTIND", alloc::format!("{}", shell.options_place.index).into_bytes())?;
    let (shown, argument, status) = match found {
        Found::Option(letter, argument) => (letter, argument, 0),
        Found::Unknown(letter) if is_silent => (b'?', Some(Vec::from([letter])), 0),
        Found::Lacking(letter) if is_silent => (b':', Some(Vec::from([letter])), 0),
        Found::Unknown(letter) => {
            shell.fail(0, format_args!("illegal option -{}", letter.escape_ascii()));
            (b'?', None, 0)
        }
        Found::Lacking(letter) => {
            shell.fail(0, format_args!("no argument for option -{}", letter.escape_ascii()));
            (b'?', None, 0)
        }
        Found::End => (b'?', None, 1),
    };
    match argument {
        Some(argument) => shell.set_variable(b"OPTARG", argument)?,
        None => drop(shell.variables.remove(&b"OPTARG"[..])),
    }
    shell.set_variable(name, Vec::from([shown]))?;
    Ok(status)
}

/// Finds the next option and moves on.
fn next(shell: &mut Shell, options: &[u8], words: &[Vec<u8>]) -> Result<Found, Leave> {
    let text = shell.get(b"OPTIND").unwrap_or_else(|| b"1".to_vec());
    let index: Option<usize> = core::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
    let Some(index) = index.filter(|&index| index > 0) else {
        return Err(shell.fault(2, format_args!("getopts: OPTIND is no number: {}", text.escape_ascii())));
    };
    let mut place = shell.options_place;
    if place.index != index {
        place = Place { index, letter: 0 };
    }
    let word = words.get(place.index - 1).map(Vec::as_slice).unwrap_or_default();
    if place.letter == 0 || place.letter >= word.len() {
        place.letter = 0;
        if word.len() < 2 || word.first() != Some(&b'-') || word == b"--" {
            place.index += usize::from(word == b"--");
            shell.options_place = place;
            return Ok(Found::End);
        }
        place.letter = 1;
    }
    let letter = word[place.letter];
    place.letter += 1;
    let rest = &word[place.letter..];
    if rest.is_empty() {
        place = Place { index: place.index + 1, letter: 0 };
    }
    let position = options.iter().position(|&known| known == letter && letter != b':');
    let found = match position {
        None => Found::Unknown(letter),
        Some(position) if options.get(position + 1) != Some(&b':') => Found::Option(letter, None),
        Some(_) if !rest.is_empty() => {
            place = Place { index: place.index + 1, letter: 0 };
            Found::Option(letter, Some(rest.to_vec()))
        }
        Some(_) => match words.get(place.index - 1) {
            Some(argument) => {
                place.index += 1;
                Found::Option(letter, Some(argument.clone()))
            }
            None => Found::Lacking(letter),
        },
    };
    shell.options_place = place;
    Ok(found)
}
