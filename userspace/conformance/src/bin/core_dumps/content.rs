//! What a dump holds of the process and its memory.

use abi::auxv::{AT_NULL, AT_PAGESZ};
use abi::core_dump::*;
use abi::fs::*;
use abi::memory::*;
use abi::native::nr;
use alloc::format;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, files, raw};
use core::sync::atomic::{AtomicU64, Ordering};
use libsyscall::file::*;
use libsyscall::memory::map_anonymous;
use libsyscall::process::{getpid, setsid};
use zerocopy::FromBytes;

use crate::dump::{Core, UNLIMITED, crash, prepare, store};

const PAGE: u64 = 4096;

/// The path that the test was started by.
fn program() -> &'static [u8] {
    ulib::args::args().next().map_or(&[], |path| path.to_bytes())
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

pub fn what_is_said_of_the_process() -> Outcome {
    let _pattern = prepare("core")?;
    let (pid, _) = crash(UNLIMITED, || {
        setsid()?;
        raw::call(nr::prctl, &[abi::process::PR_SET_NAME.into(), c"some name".as_ptr() as u64])?;
        raw::call(nr::setpriority, &[0, 0, 5])?;
        close(files::create(c"vector", &files::content(c"/proc/self/auxv")?)?)?;
        Ok(())
    })?;
    let core = Core::read(c"core")?;
    let kinds: Vec<_> =
        core.notes()?.iter().take(5).map(|(name, kind, _)| (*name == b"CORE", *kind)).collect();
    let wanted = [NT_PRSTATUS, NT_PRPSINFO, NT_SIGINFO, NT_AUXV, NT_FILE].map(|kind| (true, kind));
    check_eq!(kinds, wanted);
    let info = Prpsinfo::read_from_bytes(core.note(NT_PRPSINFO)?).map_err(|_| Failure::new("size"))?;
    check_eq!((info.pr_state, info.pr_sname, info.pr_zomb, info.pr_nice), (0, b'R', 0, 5));
    check_eq!((info.pr_uid, info.pr_gid), (0, 0));
    check_eq!((info.pr_pid, info.pr_ppid, info.pr_pgrp, info.pr_sid), (pid, getpid(), pid, pid));
    check!(info.pr_fname.starts_with(b"some name\0"));
    let program = program();
    let arguments = info.pr_psargs.split(|&byte| byte == 0).next().unwrap_or_default();
    check!(arguments.starts_with(&program[..program.len().min(79)]));
    let head = core.threads()?[0].head;
    check_eq!((head.pr_pid, head.pr_ppid, head.pr_pgrp, head.pr_sid), (pid, getpid(), pid, pid));
    let signal = core.note(NT_SIGINFO)?;
    check_eq!(signal.len(), 128);
    let signal = abi::signal::SigInfo::read_from_bytes(signal).map_err(|_| Failure::new("size"))?;
    check_eq!((signal.si_signo, signal.si_code), (abi::signal::SIGABRT as i32, abi::signal::SI_USER));
    check_eq!(signal.fields[0], pid as u64);
    let vector = core.note(NT_AUXV)?;
    check_eq!(vector, files::content(c"vector")?);
    let pairs = words(vector);
    check!(pairs.chunks(2).any(|pair| pair == [AT_PAGESZ, PAGE]));
    check_eq!(pairs[pairs.len() - 2..], [AT_NULL, 0]);
    Ok(())
}

/// Maps memory that no neighbour becomes one with: between two pages that cannot be touched. A child has it at the same
/// address.
fn map(pages: u64) -> Result<u64, Failure> {
    let first = map_anonymous(((pages + 2) * PAGE) as usize)? as u64;
    protect(first, 1, PROT_NONE)?;
    protect(first + (pages + 1) * PAGE, 1, PROT_NONE)?;
    Ok(first + PAGE)
}

fn protect(address: u64, pages: u64, prot: u32) -> Outcome {
    raw::call(nr::mprotect, &[address, pages * PAGE, prot.into()])?;
    Ok(())
}

fn poke(address: u64, value: u8) {
    // SAFETY: tests store into mappings of their own, which no Rust value lies in.
    unsafe { core::ptr::with_exposed_provenance_mut::<u8>(address as usize).write_volatile(value) };
}

fn peek(address: u64) -> u8 {
    // SAFETY: as above.
    unsafe { core::ptr::with_exposed_provenance::<u8>(address as usize).read_volatile() }
}

static WORD: AtomicU64 = AtomicU64::new(7);

pub fn pages_and_holes() -> Outcome {
    let _pattern = prepare("core")?;
    let (area, hidden, read_only) = (map(1024)?, map(4)?, map(4)?);
    crash(UNLIMITED, || {
        WORD.store(0x1234_5678_9abc_def0, Ordering::Relaxed);
        poke(area + 512 * PAGE + 5, 77);
        poke(hidden + 3, 88);
        protect(hidden, 4, PROT_NONE)?;
        check_eq!(peek(read_only), 0);
        protect(read_only, 4, PROT_READ)?;
        Ok(())
    })?;
    let core = Core::read(c"core")?;
    check_eq!(core.size(), core.whole_size());
    check_eq!((core.byte(area + 512 * PAGE + 5), core.byte(area + 512 * PAGE + 6)), (Some(77), Some(0)));
    check_eq!((core.byte(area + 1000 * PAGE), core.byte(area + PAGE)), (Some(0), Some(0)));
    let whole = core.segment(area + 512 * PAGE)?;
    check_eq!((whole.flags, whole.size, whole.stored), (6, 1024 * PAGE, 1024 * PAGE));
    check_eq!(whole.offset % 4096, 0);
    // What could not be read at the end is stored all the same.
    let none = core.segment(hidden)?;
    check_eq!((none.flags, none.stored, core.byte(hidden + 3)), (0, none.size, Some(88)));
    // What was only read is not.
    let unwritten = core.segment(read_only)?;
    check_eq!((unwritten.flags, unwritten.stored, unwritten.size), (4, 0, 4 * PAGE));
    let word = (0..8).map(|byte| core.byte(&raw const WORD as u64 + byte).unwrap_or(0));
    check_eq!(word.collect::<Vec<_>>(), 0x1234_5678_9abc_def0u64.to_le_bytes());
    // Holes take no room: the file has fewer blocks than the one area has pages.
    let blocks = newfstatat(AT_FDCWD, c"core", 0)?.st_blocks as u64;
    check!(blocks * 512 < 1000 * PAGE, "{blocks} blocks");
    Ok(())
}

pub fn advice_about_dumps() -> Outcome {
    let _pattern = prepare("core")?;
    let area = map(8)?;
    let advise = |page: u64, pages: u64, advice: u32| {
        raw::call(nr::madvise, &[area + page * PAGE, pages * PAGE, advice.into()])
    };
    crash(UNLIMITED, || {
        (0..8).for_each(|page| poke(area + page * PAGE, 1 + page as u8));
        advise(2, 4, MADV_DONTDUMP)?;
        advise(3, 1, MADV_DODUMP)?;
        Ok(())
    })?;
    let core = Core::read(c"core")?;
    let bytes: Vec<_> = (0..8).map(|page| core.byte(area + page * PAGE)).collect();
    check_eq!(bytes, [Some(1), Some(2), None, Some(4), None, None, Some(7), Some(8)]);
    check_eq!((core.segment(area + 4 * PAGE)?.size, core.segment(area + 4 * PAGE)?.stored), (2 * PAGE, 0));
    Ok(())
}

fn map_file(path: &core::ffi::CStr, flags: u32) -> Result<u64, Failure> {
    let fd = open(path, O_RDWR, 0)?;
    let prot = PROT_READ | PROT_WRITE;
    let address = raw::call(nr::mmap, &[0, 2 * PAGE, prot.into(), flags.into(), fd as u64, 0])?;
    close(fd)?;
    Ok(address)
}

pub fn the_filter() -> Outcome {
    let _pattern = prepare("core")?;
    let page = [b'x'; 2 * PAGE as usize];
    for name in [c"plain", c"program", c"elf", c"gone"] {
        close(files::create(name, &page)?)?;
    }
    fchmodat(AT_FDCWD, c"program", 0o755)?;
    store(c"elf", b"\x7fELF")?;
    let written = map(2)?;
    let shared = raw::call(
        nr::mmap,
        &[0, 2 * PAGE, (PROT_READ | PROT_WRITE).into(), (MAP_SHARED | MAP_ANONYMOUS).into(), u64::MAX, 0],
    )?;
    let gone = map_file(c"gone", MAP_SHARED)?;
    files::unlink(c"gone")?;
    let named = map_file(c"plain", MAP_SHARED)?;
    let private = map_file(c"plain", MAP_PRIVATE)?;
    let changed = map_file(c"plain", MAP_PRIVATE)?;
    let program = map_file(c"program", MAP_PRIVATE)?;
    let elf = map_file(c"elf", MAP_PRIVATE)?;
    let areas = [written, shared, gone, named, private, changed, program, elf];
    poke(written, 1);
    poke(shared, 2);
    poke(changed, 3);
    let (all, one) = (2 * PAGE, PAGE);
    for (filter, expected) in [
        ("0", [0, 0, 0, 0, 0, 0, 0, 0]),
        ("1", [all, 0, 0, 0, 0, all, 0, 0]),
        ("2", [0, all, all, 0, 0, 0, 0, 0]),
        ("4", [0, 0, 0, 0, all, all, all, all]),
        ("8", [0, 0, 0, all, 0, 0, 0, 0]),
        ("0x10", [0, 0, 0, 0, 0, 0, one, one]),
        ("0x33", [all, all, all, 0, 0, all, one, one]),
    ] {
        crash(UNLIMITED, || store(c"/proc/self/coredump_filter", filter.as_bytes()))?;
        let core = Core::read(c"core")?;
        let stored = areas.map(|area| core.segment(area).map_or(u64::MAX, |segment| segment.stored));
        check!(stored == expected, "{filter}: {stored:?}");
        if filter == "4" {
            check_eq!(
                (core.byte(private), core.byte(changed), core.byte(changed + PAGE)),
                (Some(b'x'), Some(3), Some(b'x'))
            );
        }
        if filter == "2" {
            check_eq!((core.byte(shared), core.byte(gone)), (Some(2), Some(b'x')));
        }
        if filter == "0x10" {
            check_eq!((core.byte(elf), core.byte(program)), (Some(0x7f), Some(b'x')));
        }
    }
    Ok(())
}

pub fn files_that_are_mapped() -> Outcome {
    let _pattern = prepare("core")?;
    close(files::create(c"mapped file", &[1; 3 * PAGE as usize])?)?;
    let fd = open(c"mapped file", O_RDONLY, 0)?;
    let address = raw::call(nr::mmap, &[0, PAGE, PROT_READ.into(), MAP_PRIVATE.into(), fd as u64, 2 * PAGE])?;
    close(fd)?;
    let removed = map_file(c"mapped file", MAP_SHARED)?;
    crash(UNLIMITED, || Ok(()))?;
    let core = Core::read(c"core")?;
    let note = core.note(NT_FILE)?;
    let numbers = words(note);
    let (count, size) = (numbers[0] as usize, numbers[1]);
    check_eq!(size, PAGE);
    let names: Vec<_> = note[16 + 24 * count..].split(|&byte| byte == 0).collect();
    check_eq!((names.len(), names.last().map(|last| last.len())), (count + 1, Some(0)));
    let mut folder = [0; 256];
    let folder = getcwd(&mut folder)?.to_string_lossy().into_owned();
    let path = format!("{folder}/mapped file");
    let entries: Vec<_> =
        (0..count).map(|index| (&numbers[2 + 3 * index..5 + 3 * index], names[index])).collect();
    check!(entries.contains(&(&[address, address + PAGE, 2][..], path.as_bytes())));
    check!(entries.contains(&(&[removed, removed + 2 * PAGE, 0][..], path.as_bytes())));
    check!(entries.iter().any(|(_, name)| *name == program()));
    check!(entries.windows(2).all(|pair| pair[0].0[0] < pair[1].0[0]));
    Ok(())
}
