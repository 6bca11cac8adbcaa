//! One directory that many processes change.

use crate::round::Round;
use crate::teams;
use abi::Errno;
use abi::fs::*;
use alloc::ffi::CString;
use alloc::format;
use conformance::{Failure, Outcome, check, check_eq, files, scratch};
use core::ffi::CStr;
use libsyscall::file::*;

fn name(prefix: &str, number: usize) -> Result<CString, Failure> {
    CString::new(format!("{prefix}{number}")).map_err(Failure::new)
}

/// Names in the working directory, without the two that are always there.
fn entries() -> Result<usize, Failure> {
    let directory = open(c".", O_RDONLY | O_DIRECTORY, 0)?;
    let mut buffer = [0; 2048];
    let mut count = 0;
    loop {
        let length = getdents64(directory, &mut buffer)?;
        if length == 0 {
            break;
        }
        let mut at = 0;
        while at < length {
            at += usize::from(u16::from_le_bytes([buffer[at + 16], buffer[at + 17]]));
            count += 1;
        }
    }
    close(directory)?;
    Ok(count - 2)
}

/// Processes rename their files over one name, which is always there and always whole; others exchange two names.
pub fn renames(round: Round) -> Outcome {
    const STEPS: usize = 80;
    const SIZE: usize = 3000;
    scratch::enter()?;
    close(files::create(c"target", &[1; SIZE])?)?;
    close(files::create(c"left", b"l")?)?;
    close(files::create(c"right", b"r")?)?;
    teams::processes(round.threads, |worker| {
        let own = name("own", worker)?;
        for step in 0..STEPS {
            close(files::create(&own, &[(worker + step) as u8; SIZE])?)?;
            files::rename(&own, c"target", 0)?;
            check!(!files::exists(&own), "a renamed file has its old name");
            let content = files::content(c"target")?;
            check_eq!(content.len(), SIZE);
            check!(content.iter().all(|byte| *byte == content[0]), "two files are mixed");
            if step % 4 == 0 {
                files::rename(c"left", c"right", RENAME_EXCHANGE)?;
            }
            noreplace(&own)?;
        }
        Ok(())
    })?;
    check_eq!(entries()?, 3);
    let both = [files::content(c"left")?, files::content(c"right")?].concat();
    check!(both == b"lr" || both == b"rl", "an exchange has lost a file");
    Ok(())
}

fn noreplace(own: &CStr) -> Outcome {
    close(files::create(own, b"x")?)?;
    check_eq!(files::rename(own, c"target", RENAME_NOREPLACE), Err(Errno::EEXIST));
    files::unlink(own)?;
    Ok(())
}
