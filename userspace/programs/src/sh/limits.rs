//! What the shell and its programs may use: `ulimit`, `umask`, `times`.

use crate::execute::Outcome;
use crate::state::Shell;
use abi::process::{RUSAGE_CHILDREN, RUSAGE_SELF};
use abi::resource::{RLIM_INFINITY, Rlimit};
use alloc::string::String;
use alloc::vec::Vec;
use ulib::libsyscall::{file, process as calls};
use ulib::{io, println};

/// A limit: its letter, what it is, the unit that it is counted in, and its number (`abi::resource`).
struct Limit(u8, &'static str, u64, u32);

/// As dash has them.
const LIMITS: &[Limit] = &[
    Limit(b't', "time(seconds)", 1, 0),
    Limit(b'f', "file(blocks)", 512, 1),
    Limit(b'd', "data(kbytes)", 1024, 2),
    Limit(b's', "stack(kbytes)", 1024, 3),
    Limit(b'c', "coredump(blocks)", 512, 4),
    Limit(b'm', "memory(kbytes)", 1024, 5),
    Limit(b'l', "locked memory(kbytes)", 1024, 8),
    Limit(b'p', "process", 1, 6),
    Limit(b'n', "nofiles", 1, 7),
    Limit(b'v', "vmemory(kbytes)", 1024, 9),
    Limit(b'w', "locks", 1, 10),
    Limit(b'r', "rtprio", 1, 14),
];

fn shown(limit: &Limit, value: u64) -> String {
    if value == RLIM_INFINITY { String::from("unlimited") } else { alloc::format!("{}", value / limit.2) }
}

/// `ulimit [-H | -S] [-a | -LETTER] [NUMBER | unlimited]`.
pub fn ulimit(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let (mut hard, mut soft, mut all, mut chosen) = (false, false, false, &LIMITS[1]);
    let mut words = arguments[1..].iter().peekable();
    while let Some(letters) = words.next_if(|word| word.starts_with(b"-")) {
        for &letter in &letters[1..] {
            match letter {
                b'H' => hard = true,
                b'S' => soft = true,
                b'a' => all = true,
                _ => match LIMITS.iter().find(|limit| limit.0 == letter) {
                    Some(limit) => chosen = limit,
                    None => {
                        let letter = letter.escape_ascii();
                        return Err(shell.fault(2, format_args!("ulimit: -{letter}: no such limit")));
                    }
                },
            }
        }
    }
    let get = |limit: &Limit| calls::prlimit64(0, limit.3, None).unwrap_or_default();
    let value_of = |limits: Rlimit| if hard && !soft { limits.rlim_max } else { limits.rlim_cur };
    let Some(text) = words.next().filter(|_| !all) else {
        if all {
            for limit in LIMITS {
                println!("{:<22} {}", limit.1, shown(limit, value_of(get(limit))));
            }
        } else {
            println!("{}", shown(chosen, value_of(get(chosen))));
        }
        return Ok(u8::from(io::stdout().finish().is_err()));
    };
    let number = core::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
    let value = match number.and_then(|number| number.checked_mul(chosen.2)) {
        Some(value) => value,
        None if text == b"unlimited" => RLIM_INFINITY,
        None => return Err(shell.fault(2, format_args!("ulimit: {}: bad number", text.escape_ascii()))),
    };
    let mut limits = get(chosen);
    // Without a choice both are set.
    if hard || !soft {
        limits.rlim_max = value;
    }
    if soft || !hard {
        limits.rlim_cur = value;
    }
    match calls::prlimit64(0, chosen.3, Some(&limits)) {
        Ok(_) => Ok(0),
        Err(error) => Err(shell.fault(2, format_args!("ulimit: {}", error.message()))),
    }
}

/// `umask [-S] [MASK]`, where a mask is octal or as for `chmod`.
pub fn umask(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let is_symbolic = arguments.get(1).is_some_and(|word| word == b"-S");
    let old = file::umask(0);
    file::umask(old);
    let Some(text) = arguments.get(1 + usize::from(is_symbolic)) else {
        if is_symbolic {
            let letters = |shift: u32| {
                let allowed = !old >> shift;
                [(4, 'r'), (2, 'w'), (1, 'x')]
                    .iter()
                    .filter(move |(bit, _)| allowed & bit != 0)
                    .map(|(_, letter)| letter)
            };
            let of = |shift| letters(shift).collect::<String>();
            println!("u={},g={},o={}", of(6), of(3), of(0));
        } else {
            println!("{old:04o}");
        }
        return Ok(u8::from(io::stdout().finish().is_err()));
    };
    let octal = core::str::from_utf8(text).ok().and_then(|text| u32::from_str_radix(text, 8).ok());
    let mask = if text.first().is_some_and(u8::is_ascii_digit) {
        octal.filter(|mask| *mask <= 0o777)
    } else {
        symbolic(text, old)
    };
    match mask {
        Some(mask) => {
            file::umask(mask);
            Ok(0)
        }
        None => Err(shell.fault(2, format_args!("umask: {}: not a mask", text.escape_ascii()))),
    }
}

/// The mask that `u=rwx,g-w,…` makes of another one: the letters say what is allowed.
fn symbolic(text: &[u8], old: u32) -> Option<u32> {
    let mut allowed = !old & 0o777;
    for clause in text.split(|&byte| byte == b',') {
        let who_length = clause.iter().take_while(|byte| b"ugoa".contains(byte)).count();
        let who = clause[..who_length].iter().fold(0, |who, letter| {
            who | match letter {
                b'u' => 0o700,
                b'g' => 0o070,
                b'o' => 0o007,
                _ => 0o777,
            }
        });
        let who = if who == 0 { 0o777 } else { who };
        let (operator, letters) = clause[who_length..].split_first()?;
        let mut bits = 0;
        for letter in letters {
            bits |= match letter {
                b'r' => 0o444,
                b'w' => 0o222,
                b'x' | b'X' => 0o111,
                b'u' => (allowed >> 6 & 7) * 0o111,
                b'g' => (allowed >> 3 & 7) * 0o111,
                b'o' => (allowed & 7) * 0o111,
                _ => return None,
            };
        }
        match operator {
            b'=' => allowed = allowed & !who | bits & who,
            b'+' => allowed |= bits & who,
            b'-' => allowed &= !(bits & who),
            _ => return None,
        }
    }
    Some(!allowed & 0o777)
}

/// `times`: what the shell and its children have used, in user mode and in the kernel.
pub fn times(_shell: &mut Shell, _arguments: &[Vec<u8>]) -> Outcome {
    for who in [RUSAGE_SELF, RUSAGE_CHILDREN] {
        let usage = calls::getrusage(who).unwrap_or_default();
        let shown =
            |seconds: i64, micros: i64| alloc::format!("{}m{}.{:06}s", seconds / 60, seconds % 60, micros);
        println!(
            "{} {}",
            shown(usage.ru_utime.tv_sec, usage.ru_utime.tv_usec),
            shown(usage.ru_stime.tv_sec, usage.ru_stime.tv_usec)
        );
    }
    Ok(u8::from(io::stdout().finish().is_err()))
}
