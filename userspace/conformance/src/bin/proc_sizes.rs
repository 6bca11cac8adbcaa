//! How much memory a process has, and had at most: `status`, `statm`, `getrusage`.
//!
//! Linux 6.1 counts pages in lots of 64 for each thread, so sizes here are large, and half a MiB more or less is right.
#![no_std]
#![no_main]

extern crate alloc;

use abi::fs::*;
use abi::memory::*;
use abi::native::nr;
use abi::process::*;
use alloc::format;
use alloc::string::{String, ToString};
use conformance::files::page;
use conformance::{Failure, Outcome, check, check_eq, child, raw, scratch};
use libsyscall::file::*;
use libsyscall::process::getpid;

conformance::tests!(&[
    ("the_lines_of_status", the_lines_of_status),
    ("pages_by_kind", pages_by_kind),
    ("pages_of_zeros_are_not_counted", pages_of_zeros_are_not_counted),
    ("private_copies_become_anonymous", private_copies_become_anonymous),
    ("peaks_outlast_what_was_there", peaks_outlast_what_was_there),
    ("a_peak_of_many_small_steps", a_peak_of_many_small_steps),
    ("columns_of_statm", columns_of_statm),
    ("a_child_begins_with_what_it_has", a_child_begins_with_what_it_has),
    ("the_largest_set_of_children", the_largest_set_of_children),
    ("code_and_stack", code_and_stack),
    ("who_is_gone_has_no_sizes", who_is_gone_has_no_sizes),
]);

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Kilobytes.
const SIZE_KB: u64 = 8 << 10;
const SLACK_KB: u64 = 512;

fn map(length: u64, protection: u32, flags: u32, fd: i32) -> Result<u64, Failure> {
    Ok(raw::call(nr::mmap, &[0, length, protection.into(), flags.into(), fd as u64, 0])?)
}

fn anonymous(length: u64) -> Result<u64, Failure> {
    map(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1)
}

fn unmap(start: u64, length: u64) -> Outcome {
    raw::call(nr::munmap, &[start, length])?;
    Ok(())
}

fn write_pages(start: u64, length: u64) {
    for at in (start..start + length).step_by(PAGE as usize) {
        // SAFETY: the page is mapped, and nothing refers to it.
        unsafe { (at as *mut u8).write_volatile(1) };
    }
}

fn read_pages(start: u64, length: u64) {
    for at in (start..start + length).step_by(PAGE as usize) {
        // SAFETY: the page is mapped.
        unsafe { (at as *const u8).read_volatile() };
    }
}

/// A number of kilobytes in `status`.
fn size(status: &str, label: &str) -> Result<u64, Failure> {
    let value = status.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':'));
    let value = value.and_then(|value| value.strip_suffix(" kB")).map(str::trim);
    value.and_then(|value| value.parse().ok()).ok_or_else(|| Failure::new(format!("no {label}")))
}

fn own(label: &str) -> Result<u64, Failure> {
    size(&page("/proc/self/status")?, label)
}

/// Whether something has grown by about [`SIZE_KB`].
fn has_grown(before: u64, after: u64) -> bool {
    after.abs_diff(before + SIZE_KB) <= SLACK_KB
}

/// Whether something has hardly changed.
fn has_stayed(before: u64, after: u64) -> bool {
    after.abs_diff(before) <= SLACK_KB
}

fn the_lines_of_status() -> Outcome {
    const LABELS: &str = "Name Umask State Tgid Ngid Pid PPid TracerPid Uid Gid FDSize Groups NStgid NSpid NSpgid \
        NSsid VmPeak VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmPTE VmSwap \
        HugetlbPages CoreDumping THP_enabled Threads SigQ SigPnd ShdPnd SigBlk SigIgn SigCgt CapInh CapPrm CapEff \
        CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters Speculation_Store_Bypass SpeculationIndirectBranch \
        Cpus_allowed Cpus_allowed_list Mems_allowed Mems_allowed_list voluntary_ctxt_switches \
        nonvoluntary_ctxt_switches";
    let status = page("/proc/self/status")?;
    let labels: alloc::vec::Vec<_> = status.lines().filter_map(|line| line.split(':').next()).collect();
    check_eq!(labels.join(" "), LABELS.split_whitespace().collect::<alloc::vec::Vec<_>>().join(" "));
    let line =
        |label: &str| status.lines().find_map(|line| line.strip_prefix(label)).map(ToString::to_string);
    for label in ["NStgid:\t", "NSpid:\t"] {
        check_eq!(line(label), Some(getpid().to_string()));
    }
    check_eq!((line("CoreDumping:\t"), line("Mems_allowed_list:\t")), (Some("0".into()), Some("0".into())));
    check_eq!((line("Seccomp:\t"), line("Seccomp_filters:\t")), (Some("0".into()), Some("0".into())));
    for label in ["VmPin", "VmSwap", "HugetlbPages", "VmLck"] {
        check_eq!(size(&status, label)?, 0);
    }
    let tables = size(&status, "VmPTE")?;
    check!((4..1024).contains(&tables) && tables.is_multiple_of(4), "{tables}");
    Ok(())
}

fn pages_by_kind() -> Outcome {
    let before = page("/proc/self/status")?;
    let private = anonymous(8 * MIB)?;
    write_pages(private, 8 * MIB);
    let after = page("/proc/self/status")?;
    for (label, grows) in [("VmRSS", true), ("RssAnon", true), ("RssFile", false), ("RssShmem", false)] {
        let (before, after) = (size(&before, label)?, size(&after, label)?);
        check!(
            if grows { has_grown(before, after) } else { has_stayed(before, after) },
            "{label} {before} {after}"
        );
    }
    let shared = map(8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1)?;
    write_pages(shared, 8 * MIB);
    let last = page("/proc/self/status")?;
    for (label, grows) in [("VmRSS", true), ("RssAnon", false), ("RssFile", false), ("RssShmem", true)] {
        let (before, after) = (size(&after, label)?, size(&last, label)?);
        check!(
            if grows { has_grown(before, after) } else { has_stayed(before, after) },
            "{label} {before} {after}"
        );
    }
    unmap(private, 8 * MIB)?;
    unmap(shared, 8 * MIB)?;
    let end = page("/proc/self/status")?;
    for label in ["VmRSS", "RssAnon", "RssFile", "RssShmem", "VmSize"] {
        let (before, after) = (size(&before, label)?, size(&end, label)?);
        check!(has_stayed(before, after), "{label} {before} {after}");
    }
    Ok(())
}

fn pages_of_zeros_are_not_counted() -> Outcome {
    let before = own("VmRSS")?;
    let start = anonymous(8 * MIB)?;
    read_pages(start, 8 * MIB);
    let after = own("VmRSS")?;
    check!(has_stayed(before, after), "{before} {after}");
    write_pages(start, 8 * MIB);
    let written = own("RssAnon")?;
    check!(written >= SIZE_KB - SLACK_KB, "{written}");
    raw::call(nr::madvise, &[start, 8 * MIB, u64::from(MADV_DONTNEED)])?;
    let dropped = own("VmRSS")?;
    check!(has_stayed(before, dropped), "{before} {dropped}");
    Ok(())
}

fn private_copies_become_anonymous() -> Outcome {
    scratch::enter()?;
    let fd = open(c"file", O_RDWR | O_CREAT, 0o600)?;
    raw::call(nr::ftruncate, &[fd as u64, 8 * MIB])?;
    let start = map(8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd)?;
    write_pages(start, 8 * MIB);
    unmap(start, 8 * MIB)?;
    let before = page("/proc/self/status")?;
    let start = map(8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd)?;
    read_pages(start, 8 * MIB);
    let read = page("/proc/self/status")?;
    let of_files = |status: &str| Ok::<_, Failure>(size(status, "RssFile")? + size(status, "RssShmem")?);
    // Linux maps sixteen pages at a fault, and has counted half of all by now.
    check!(of_files(&read)? >= of_files(&before)? + SIZE_KB / 2 - SLACK_KB, "{before} {read}");
    check!(has_stayed(size(&before, "RssAnon")?, size(&read, "RssAnon")?));
    write_pages(start, 8 * MIB);
    let written = page("/proc/self/status")?;
    check!(has_stayed(of_files(&before)?, of_files(&written)?), "{before} {written}");
    check!(has_grown(size(&before, "RssAnon")?, size(&written, "RssAnon")?));
    // What is cut off is not there any more, whoever has made a copy of it.
    raw::call(nr::ftruncate, &[fd as u64, 0])?;
    let cut = page("/proc/self/status")?;
    check!(has_stayed(size(&before, "RssAnon")?, size(&cut, "RssAnon")?), "{cut}");
    Ok(())
}

fn peaks_outlast_what_was_there() -> Outcome {
    let before = page("/proc/self/status")?;
    let start = anonymous(8 * MIB)?;
    write_pages(start, 8 * MIB);
    unmap(start, 8 * MIB)?;
    let after = page("/proc/self/status")?;
    for (now, peak) in [("VmRSS", "VmHWM"), ("VmSize", "VmPeak")] {
        check!(has_stayed(size(&before, now)?, size(&after, now)?), "{now} {after}");
        let at_least = size(&before, now)? + SIZE_KB - SLACK_KB;
        check!(size(&after, peak)? >= at_least, "{peak} {before} {after}");
    }
    // Smaller memory leaves the peak where it is.
    let start = anonymous(4 * MIB)?;
    write_pages(start, 4 * MIB);
    let later = page("/proc/self/status")?;
    check!(has_stayed(size(&after, "VmHWM")?, size(&later, "VmHWM")?), "{after} {later}");
    check_eq!(size(&after, "VmPeak")?, size(&later, "VmPeak")?);
    unmap(start, 4 * MIB)
}

/// Taken away page by page, and by other means.
fn a_peak_of_many_small_steps() -> Outcome {
    let before = own("VmRSS")?;
    let start = anonymous(8 * MIB)?;
    write_pages(start, 8 * MIB);
    for at in (start..start + 4 * MIB).step_by(PAGE as usize) {
        raw::call(nr::madvise, &[at, PAGE, u64::from(MADV_DONTNEED)])?;
    }
    raw::call(nr::mremap, &[start + 4 * MIB, 4 * MIB, PAGE, 0])?;
    let (now, peak) = (own("VmRSS")?, own("VmHWM")?);
    check!(has_stayed(before, now) && peak >= before + SIZE_KB - SLACK_KB, "{before} {now} {peak}");
    Ok(())
}

fn columns_of_statm() -> Outcome {
    let start = anonymous(8 * MIB)?;
    write_pages(start, 8 * MIB);
    let shared = map(8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1)?;
    write_pages(shared, 8 * MIB);
    let (statm, status) = (page("/proc/self/statm")?, page("/proc/self/status")?);
    let columns: alloc::vec::Vec<u64> =
        statm.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[total, resident, of_files, code, libraries, data, dirty] = &columns[..] else {
        return Err(Failure::new(statm));
    };
    let kb = |pages: u64| pages * 4;
    check!(statm.ends_with('\n') && (libraries, dirty) == (0, 0), "{statm}");
    check_eq!(kb(total), size(&status, "VmSize")?);
    check_eq!(kb(code), size(&status, "VmExe")?);
    check_eq!(kb(data), size(&status, "VmData")? + size(&status, "VmStk")?);
    check!(has_stayed(kb(resident), size(&status, "VmRSS")?), "{statm} {status}");
    let files = size(&status, "RssFile")? + size(&status, "RssShmem")?;
    check!(has_stayed(kb(of_files), files) && files >= SIZE_KB - SLACK_KB, "{statm} {status}");
    Ok(())
}

fn a_child_begins_with_what_it_has() -> Outcome {
    let start = anonymous(16 * MIB)?;
    write_pages(start, 16 * MIB);
    unmap(start, 16 * MIB)?;
    let kept = anonymous(4 * MIB)?;
    write_pages(kept, 4 * MIB);
    check!(child::succeeds(|| {
        let status = page("/proc/self/status")?;
        let (now, peak) = (size(&status, "VmRSS")?, size(&status, "VmHWM")?);
        check!(now >= 3 * 1024 && has_stayed(now, peak), "{status}");
        check!(size(&status, "RssAnon")? >= 3 * 1024, "{status}");
        check_eq!(size(&status, "VmSize")?, size(&status, "VmPeak")?);
        write_pages(kept, 4 * MIB);
        check!(has_stayed(now, own("VmRSS")?));
        Ok(())
    })?);
    Ok(())
}

fn usage(who: i32) -> Result<Rusage, Failure> {
    let mut usage = Rusage::default();
    raw::call(nr::getrusage, &[who as u64, (&raw mut usage) as u64])?;
    Ok(core::hint::black_box(usage))
}

fn the_largest_set_of_children() -> Outcome {
    let before = usage(RUSAGE_SELF)?.ru_maxrss;
    check!(before > 0 && usage(RUSAGE_CHILDREN)?.ru_maxrss == 0, "{before}");
    let status = child::run(|| {
        let Ok(start) = anonymous(8 * MIB) else { return 1 };
        write_pages(start, 8 * MIB);
        i32::from(unmap(start, 8 * MIB).is_err())
    })?;
    check_eq!(status, WaitStatus(0));
    let of_children = usage(RUSAGE_CHILDREN)?.ru_maxrss;
    check!(of_children >= (SIZE_KB - SLACK_KB).cast_signed(), "{of_children}");
    // A smaller one does not take it back.
    check_eq!(child::run(|| 0)?, WaitStatus(0));
    check_eq!(usage(RUSAGE_CHILDREN)?.ru_maxrss, of_children);
    let start = anonymous(8 * MIB)?;
    write_pages(start, 8 * MIB);
    unmap(start, 8 * MIB)?;
    for who in [RUSAGE_SELF, RUSAGE_THREAD] {
        let after = usage(who)?.ru_maxrss;
        check!(after >= before + (SIZE_KB - 2 * SLACK_KB).cast_signed(), "{before} {after}");
    }
    Ok(())
}

fn code_and_stack() -> Outcome {
    let before = page("/proc/self/status")?;
    check!(size(&before, "VmExe")? >= 4 && size(&before, "VmStk")? >= 100, "{before}");
    let code = map(8 * MIB, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1)?;
    let with_code = page("/proc/self/status")?;
    check_eq!(size(&with_code, "VmLib")?, size(&before, "VmLib")? + SIZE_KB);
    check_eq!(size(&with_code, "VmData")?, size(&before, "VmData")?);
    raw::call(nr::mprotect, &[code, 4 * MIB, u64::from(PROT_READ | PROT_WRITE)])?;
    let half = page("/proc/self/status")?;
    check_eq!(size(&half, "VmLib")?, size(&before, "VmLib")? + SIZE_KB / 2);
    check_eq!(size(&half, "VmData")?, size(&before, "VmData")? + SIZE_KB / 2);
    unmap(code, 8 * MIB)?;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN;
    let stack = map(MIB, PROT_READ | PROT_WRITE, flags, -1)?;
    let with_stack = page("/proc/self/status")?;
    check_eq!(size(&with_stack, "VmStk")?, size(&before, "VmStk")? + 1024);
    check_eq!(size(&with_stack, "VmLib")?, size(&before, "VmLib")?);
    unmap(stack, MIB)
}

fn who_is_gone_has_no_sizes() -> Outcome {
    let pid = child::start(|| 0)?;
    // It is waited for, and left.
    let mut info = [0_u8; 128];
    raw::call(nr::waitid, &[1, pid as u64, info.as_mut_ptr() as u64, u64::from(WEXITED | WNOWAIT), 0])?;
    let status = page(&format!("/proc/{pid}/status"))?;
    check!(status.contains("State:\tZ (zombie)") && !status.contains("Vm"), "{status}");
    check!(!status.contains("CoreDumping") && status.contains("Seccomp_filters:\t0\n"), "{status}");
    check_eq!(page(&format!("/proc/{pid}/statm"))?, String::from("0 0 0 0 0 0 0\n"));
    child::wait(pid)?;
    Ok(())
}
