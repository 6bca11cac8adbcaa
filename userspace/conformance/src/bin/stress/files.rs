//! One directory that many processes change.

use crate::round::Round;
use crate::teams::{self, shared};
use abi::Errno;
use abi::fs::*;
use alloc::ffi::CString;
use alloc::format;
use conformance::{Failure, Outcome, check, check_eq, files, scratch};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};
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

/// Processes create and remove the same few names: each creation has one winner, who is also the one that removes.
pub fn one_directory(round: Round) -> Outcome {
    const STEPS: usize = 100;
    const NAMES: usize = 5;
    scratch::enter()?;
    // Created less removed, for each name: 0 or 1 at any time.
    let balance = shared::<[AtomicU64; NAMES]>()?;
    teams::processes(round.threads, |worker| {
        let mut random = round.random(worker);
        for _ in 0..STEPS {
            let number = random.below(NAMES);
            let path = name("name", number)?;
            match open(&path, O_CREAT | O_EXCL | O_WRONLY, 0o600) {
                Ok(fd) => {
                    check_eq!(balance[number].fetch_add(1, Ordering::SeqCst), 0);
                    check_eq!(write(fd, path.to_bytes()), Ok(path.count_bytes()));
                    check_eq!(fstat(fd)?.st_nlink, 1);
                    if random.below(2) == 0 {
                        check!(entries()? <= NAMES + 2 * round.threads, "names that nobody made");
                    }
                    check_eq!(balance[number].fetch_sub(1, Ordering::SeqCst), 1);
                    files::unlink(&path)?;
                    check_eq!(fstat(fd)?.st_nlink, 0);
                    close(fd)?;
                }
                Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            folder(worker)?;
        }
        Ok(())
    })?;
    check_eq!(entries()?, 0);
    Ok(())
}

/// A folder that is not empty is not removed.
fn folder(worker: usize) -> Outcome {
    let (path, inside) = (name("folder", worker)?, CString::new(format!("folder{worker}/inside")));
    let inside = inside.map_err(Failure::new)?;
    mkdirat(AT_FDCWD, &path, 0o700)?;
    close(files::create(&inside, b"")?)?;
    check_eq!(files::rmdir(&path), Err(Errno::ENOTEMPTY));
    files::unlink(&inside)?;
    files::rmdir(&path)?;
    Ok(())
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
