//! Folders with many names: more than any table of a fixed size, and names that come and go while they are listed.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use conformance::files::{exists, rename};
use conformance::{Failure, Outcome, check, check_eq, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;

conformance::tests!(&[
    ("seventy_thousand_names", seventy_thousand_names),
    ("few_names_become_many_and_few_again", few_names_become_many_and_few_again),
    ("listing_while_names_change", listing_while_names_change),
    ("renaming_among_many", renaming_among_many),
]);

fn make(name: &CStr) -> Result<(), Errno> {
    mknodat(AT_FDCWD, name, S_IFREG | 0o600, 0)
}

fn name(number: usize) -> Result<CString, Failure> {
    Ok(ulib::c_string(alloc::format!("file{number}"))?)
}

/// The next names of an open folder; none at its end.
fn next_names(fd: i32, buffer: &mut [u8]) -> Result<Vec<String>, Failure> {
    let length = getdents64(fd, buffer)?;
    let mut names = Vec::new();
    let mut rest = &buffer[..length];
    while rest.len() > 19 {
        let record = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
        let name = CStr::from_bytes_until_nul(&rest[19..record]).map_err(Failure::new)?;
        names.push(String::from_utf8_lossy(name.to_bytes()).into_owned());
        rest = &rest[record..];
    }
    Ok(names)
}

/// The numbers of the `file%d` of an open folder, sorted; in between, `step` does what it likes.
fn numbers(
    fd: i32,
    buffer: &mut [u8],
    mut step: impl FnMut(&[String]) -> Outcome,
) -> Result<Vec<usize>, Failure> {
    let mut numbers = Vec::new();
    loop {
        let names = next_names(fd, buffer)?;
        if names.is_empty() {
            break;
        }
        numbers.extend(names.iter().filter_map(|name| name.strip_prefix("file")?.parse::<usize>().ok()));
        step(&names)?;
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn here() -> Result<i32, Failure> {
    Ok(open(c".", O_RDONLY | O_DIRECTORY, 0)?)
}

fn seventy_thousand_names() -> Outcome {
    const COUNT: usize = 70_000;
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"d", 0o755)?;
    if geteuid() != 0 {
        return Ok(());
    }
    mount_without_limit(c"d")?;
    chdir(c"d")?;
    for number in 0..COUNT {
        make(&name(number)?)?;
    }
    check_eq!(make(&name(COUNT / 2)?), Err(Errno::EEXIST));
    for number in (0..COUNT).step_by(501) {
        check!(exists(&name(number)?));
    }
    check!(!exists(&name(COUNT)?));
    let mut buffer = alloc::vec![0; 32768];
    let listed = numbers(here()?, &mut buffer, |_| Ok(()))?;
    check!(listed.iter().copied().eq(0..COUNT));
    for number in 0..COUNT {
        unlinkat(AT_FDCWD, &name(number)?, 0)?;
    }
    check!(numbers(here()?, &mut buffer, |_| Ok(()))?.is_empty());
    Ok(())
}

/// A tmpfs of its own: the first one may have fewer inodes than are asked for here.
fn mount_without_limit(place: &CStr) -> Outcome {
    Ok(libsyscall::system::mount(c"tmpfs", place, c"tmpfs", 0, Some(c"nr_inodes=0"))?)
}

/// A folder goes through every size twice, and is looked at at each.
fn few_names_become_many_and_few_again() -> Outcome {
    const MOST: usize = 150;
    scratch::enter()?;
    for _ in 0..2 {
        for count in 0..MOST {
            check!((0..count).all(|number| name(number).is_ok_and(|name| exists(&name))));
            check!(!exists(&name(count)?));
            make(&name(count)?)?;
        }
        for count in (0..MOST).rev() {
            unlinkat(AT_FDCWD, &name(count)?, 0)?;
            check!(!exists(&name(count)?));
            check!(numbers(here()?, &mut [0; 8192], |_| Ok(()))?.into_iter().eq(0..count));
        }
    }
    Ok(())
}

/// What is there from the first to the last call is listed once, whatever happens to the names beside it.
fn listing_while_names_change() -> Outcome {
    const COUNT: usize = 600;
    scratch::enter()?;
    for number in 0..COUNT {
        make(&name(number)?)?;
    }
    let mut step = 0;
    let listed = numbers(here()?, &mut [0; 400], |_| {
        // One that comes, one that goes, one that is renamed: their numbers are not asked about.
        let passing = ulib::c_string(alloc::format!("passing{step}"))?;
        make(&passing)?;
        unlinkat(AT_FDCWD, &passing, 0)?;
        make(&ulib::c_string(alloc::format!("new{step}"))?)?;
        unlinkat(AT_FDCWD, &name(step * 4)?, 0)?;
        rename(&name(step * 4 + 1)?, &ulib::c_string(alloc::format!("moved{step}"))?, 0)?;
        step += 1;
        Ok(())
    })?;
    check!(step > 30 && step * 4 < COUNT);
    let stable = |number: &usize| *number >= step * 4 || number % 4 > 1;
    check!(listed.into_iter().filter(stable).eq((0..COUNT).filter(stable)));
    Ok(())
}

fn renaming_among_many() -> Outcome {
    scratch::enter()?;
    for number in 0..200 {
        make(&name(number)?)?;
    }
    let inode = |name: &CStr| newfstatat(AT_FDCWD, name, 0).map(|stat| stat.st_ino);
    let (first, second) = (inode(c"file10")?, inode(c"file150")?);
    rename(c"file10", c"file150", 0)?;
    check_eq!((inode(c"file150"), inode(c"file10")), (Ok(first), Err(Errno::ENOENT)));
    rename(c"file20", c"file30", RENAME_EXCHANGE)?;
    check_eq!(rename(c"file40", c"file50", RENAME_NOREPLACE), Err(Errno::EEXIST));
    rename(c"file150", c"file10", 0)?;
    check!(inode(c"file10") == Ok(first) && first != second);
    // The newest name is listed first, and a renamed one is as good as new.
    let names = next_names(here()?, &mut [0; 400])?;
    check_eq!(names.iter().take(3).map(String::as_str).collect::<Vec<_>>(), [".", "..", "file10"]);
    check_eq!(numbers(here()?, &mut [0; 8192], |_| Ok(()))?.len(), 199);
    Ok(())
}
