//! Calls for which the kernel wants more than a page at a time, where hardly two free pages lie side by side.
//!
//! Each may say that there is no memory; the machine goes on. What has worked has to be whole.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::memory::{MADV_DONTNEED, MADV_NOHUGEPAGE, MADV_POPULATE_WRITE};
use abi::native::nr;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, Test, check, check_eq, child, files, raw, scratch};
use core::ptr;
use libsyscall::file::*;
use libsyscall::memory::{madvise, map_anonymous};
use libsyscall::process::geteuid;
use libsyscall::system::{mount, umount2};
use ulib::{c_string, thread};

conformance::tests!(&[("memory_in_pieces", memory_in_pieces)]);

const PAGE: usize = 4096;
const MIB: usize = 1 << 20;
/// Free memory that a process may leave the system without being ended for it.
const LEFT: usize = 16 * MIB;

/// Bytes that are free.
fn free_memory() -> Result<usize, Failure> {
    let text = String::from_utf8(files::content(c"/proc/meminfo")?).map_err(Failure::new)?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<usize>().ok());
    number.map(|kib| kib * 1024).ok_or_else(|| Failure::new("no MemFree"))
}

fn advise(memory: *mut u8, length: usize, advice: u32) -> Result<(), Errno> {
    // SAFETY: `break_up`'s memory, to which nothing refers.
    unsafe { madvise(memory, length, advice) }
}

/// Takes nearly all memory, page by page, and gives every other page back.
fn break_up() -> Outcome {
    let all = free_memory()? / MIB * MIB;
    let memory = map_anonymous(all)?;
    // Not every kernel knows huge pages.
    let _ = advise(memory, all, MADV_NOHUGEPAGE);
    let mut filled = 0;
    while filled < all && (filled % (8 * MIB) != 0 || free_memory()? > LEFT + 8 * MIB) {
        match advise(memory.wrapping_add(filled), MIB, MADV_POPULATE_WRITE) {
            Ok(()) => filled += MIB,
            Err(Errno::ENOMEM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    check!(filled > all / 2, "{filled} of {all}");
    for place in (0..filled).step_by(2 * PAGE) {
        advise(memory.wrapping_add(place), PAGE, MADV_DONTNEED)?;
    }
    Ok(())
}

fn memory_in_pieces() -> Outcome {
    files::mount_proc()?;
    if geteuid() != 0 {
        return Ok(());
    }
    let steps: [Test; 6] = [
        ("long links", long_links),
        ("long names", long_names),
        ("many threads", many_threads),
        ("many groups", many_groups),
        ("many folders", many_folders),
        ("tables", tables),
    ];
    // What a child has, it gives back at its end.
    check!(child::succeeds(|| {
        break_up()?;
        steps
            .iter()
            .try_for_each(|(name, step)| step().map_err(|failure| Failure::new(format!("{name}: {failure}"))))
    })?);
    long_links()
}

/// True if there was memory for it.
fn worked<T>(result: Result<T, Errno>) -> Result<bool, Failure> {
    match result {
        Ok(_) => Ok(true),
        Err(Errno::ENOMEM | Errno::ENOSPC) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A text of 4095 bytes and its NUL is a page; what a kernel keeps beside it needs another.
fn long_links() -> Outcome {
    const LINKS: usize = 4000;
    scratch::enter_tmpfs()?;
    let target = c_string("abcdefgh/".repeat(455))?;
    check_eq!(target.count_bytes(), 4095);
    let mut made = 0;
    while made < LINKS && worked(symlinkat(&target, AT_FDCWD, &c_string(format!("{made}"))?))? {
        made += 1;
    }
    let mut text = [0; PAGE];
    for link in (0..made).step_by(97) {
        check_eq!(readlinkat(AT_FDCWD, &c_string(format!("{link}"))?, &mut text), Ok(4095));
        check!(text[..4095] == *target.to_bytes(), "{link}");
    }
    chdir(c"..")?;
    Ok(umount2(c"t", 0)?)
}

/// The path of the working directory, as long as a path can be.
fn long_names() -> Outcome {
    scratch::enter_tmpfs()?;
    let mut path = [0; 2 * PAGE];
    let mut length = readlinkat(AT_FDCWD, c"/proc/self/cwd", &mut path)?;
    while length < PAGE - 10 {
        let name = c_string("n".repeat((PAGE - 2 - length).min(255)))?;
        if !worked(mkdirat(AT_FDCWD, &name, 0o700))? {
            return Ok(());
        }
        chdir(&name)?;
        length += 1 + name.count_bytes();
    }
    let before = length;
    for _ in 0..20 {
        let shown = readlinkat(AT_FDCWD, c"/proc/self/cwd", &mut path);
        if worked(shown)? {
            check_eq!(shown, Ok(before));
        }
    }
    Ok(chdir(c"/")?)
}

/// The list of a process's threads, and the end of each.
fn many_threads() -> Outcome {
    const THREADS: usize = 600;
    let (reader, writer) = pipe2(0)?;
    let mut threads = Vec::new();
    while threads.len() < THREADS {
        match thread::spawn(move || read(reader, &mut [0])) {
            Ok(thread) => threads.push(thread),
            Err(Errno::ENOMEM | Errno::EAGAIN) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let listed = ulib::fs::read_dir(b"/proc/self/task")?.len();
    check_eq!(listed, threads.len() + 1);
    close(writer)?;
    for thread in threads {
        check_eq!(thread.join(), Ok(0));
    }
    Ok(close(reader)?)
}

fn many_groups() -> Outcome {
    const GROUPS: usize = 65_536;
    let groups: Vec<u32> = (0..GROUPS as u32).collect();
    if worked(raw::call(nr::setgroups, &[GROUPS as u64, groups.as_ptr() as u64]))? {
        check_eq!(raw::call(nr::getgroups, &[0, 0]), Ok(GROUPS as u64));
        check_eq!(raw::call(nr::setgroups, &[0, 0]), Ok(0));
    }
    Ok(())
}

/// More folders in one than fit a page of pointers, in a file system that ends with them.
fn many_folders() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"m", 0o700)?;
    mount(c"none", c"m", c"tmpfs", 0, None)?;
    for number in 0..1500 {
        if !worked(mkdirat(AT_FDCWD, &c_string(format!("m/{number}"))?, 0o700))? {
            break;
        }
    }
    Ok(umount2(c"m", 0)?)
}

/// A table of descriptors, a pipe's slots, and arguments of many pieces.
fn tables() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    worked(raw::call(nr::dup3, &[reader as u64, 900, 0]))?;
    worked(raw::call(nr::fcntl, &[writer as u64, u64::from(F_SETPIPE_SZ), MIB as u64]))?;
    let pieces: Vec<[u64; 2]> = (0..1024).map(|_| [ptr::from_ref(&b'x') as u64, 1]).collect();
    check_eq!(raw::call(nr::writev, &[writer as u64, pieces.as_ptr() as u64, 1024]), Ok(1024));
    let mut room = [0; 2048];
    check_eq!(read(reader, &mut room), Ok(1024));
    check!(room[..1024].iter().all(|&byte| byte == b'x'));
    let _ = close(900);
    close(writer)?;
    Ok(close(reader)?)
}
