//! Walks that may not leave a directory (`RESOLVE_BENEATH`, `RESOLVE_IN_ROOT`), while what they come by is moved out of
//! it.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::signal::SIGKILL;
use conformance::files::rename;
use conformance::{Failure, Outcome, check_eq, child, raw, scratch};
use libsyscall::file::*;

conformance::tests!(&[("never_out_of_it", never_out_of_it), ("moves_elsewhere", moves_elsewhere)]);

const ROUNDS: u32 = 4_000;

fn open_below(directory: i32, resolve: u64) -> Result<i32, Errno> {
    let path = c"c/../../c/../../c/../../c/../../c/../../c/../../c/../..";
    let how = OpenHow { flags: O_PATH.into(), mode: 0, resolve };
    let size = size_of::<OpenHow>() as u64;
    raw::call(nr::openat2, &[directory as u64, path.as_ptr() as u64, (&raw const how).addr() as u64, size])
        .map(|fd| fd as i32)
}

fn number_of(fd: i32) -> Result<u64, Errno> {
    fstat(fd).map(|stat| stat.st_ino)
}

/// How many of many openings below `a`, each of which may only say that it does not know, came elsewhere.
fn escapes(directory: i32, resolve: u64) -> Result<u32, Failure> {
    let own = number_of(directory)?;
    let mut escapes = 0;
    for _ in 0..ROUNDS {
        match open_below(directory, resolve) {
            Ok(fd) => {
                escapes += u32::from(number_of(fd)? != own);
                close(fd)?;
            }
            Err(Errno::EAGAIN) => {}
            Err(Errno::EXDEV) if resolve == RESOLVE_BENEATH => {}
            Err(_) => escapes += 1,
        }
    }
    Ok(escapes)
}

/// Folders `a`, `a/c` and `b`, and a child that moves things until it is killed.
fn while_moving(moves: fn() -> Result<(), Errno>, look: fn(i32) -> Outcome) -> Outcome {
    scratch::enter()?;
    for name in [c"a", c"a/c", c"b", c"x"] {
        mkdirat(AT_FDCWD, name, 0o755)?;
    }
    let directory = open(c"a", O_PATH, 0)?;
    let pid = child::start(move || {
        loop {
            if moves().is_err() {
                return 1;
            }
        }
    })?;
    let outcome = look(directory);
    raw::call(nr::kill, &[pid as u64, SIGKILL.into()])?;
    check_eq!(child::wait(pid)?.0, SIGKILL as i32);
    outcome
}

fn never_out_of_it() -> Outcome {
    while_moving(
        || rename(c"a/c", c"b", RENAME_EXCHANGE),
        |directory| {
            check_eq!(escapes(directory, RESOLVE_BENEATH)?, 0);
            check_eq!(escapes(directory, RESOLVE_IN_ROOT)?, 0);
            Ok(())
        },
    )
}

/// Who does not go up is not held up by moves.
fn moves_elsewhere() -> Outcome {
    while_moving(
        || rename(c"x", c"y", 0).and_then(|()| rename(c"y", c"x", 0)),
        |directory| {
            let how = OpenHow { flags: O_PATH.into(), mode: 0, resolve: RESOLVE_BENEATH };
            let down = [directory as u64, c"c".as_ptr() as u64, (&raw const how).addr() as u64, 24];
            for _ in 0..100 {
                close(raw::call(nr::openat2, &down)? as i32)?;
            }
            Ok(())
        },
    )
}
