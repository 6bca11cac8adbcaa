//! What `/proc/PID` has of a process: its pages, what is written there, and what programs look for.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::memory::*;
use abi::native::nr;
use alloc::format;
use conformance::files::{page, store};
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use libsyscall::file::*;
use libsyscall::memory::{map_anonymous, mprotect};
use libsyscall::process::getpid;

conformance::tests!(&[
    ("the_name_can_be_written", the_name_can_be_written),
    ("names_of_others_cannot_be_written", names_of_others_cannot_be_written),
    ("the_adjustment_of_oom", the_adjustment_of_oom),
    ("the_filter_of_dumps", the_filter_of_dumps),
    ("who_has_logged_in", who_has_logged_in),
    ("the_slack_of_timers", the_slack_of_timers),
    ("pages_of_areas", pages_of_areas),
    ("pages_that_are_shared", pages_that_are_shared),
    ("the_sum_of_all_areas", the_sum_of_all_areas),
    ("the_map_of_pages", the_map_of_pages),
    ("memory_as_a_file", memory_as_a_file),
    ("what_programs_look_for", what_programs_look_for),
    ("strangers_may_not_look", strangers_may_not_look),
]);

const PAGE: usize = 4096;

fn prepare() -> Outcome {
    files::mount_proc()?;
    files::mount_sys()
}

fn the_name_can_be_written() -> Outcome {
    prepare()?;
    for (name, shown) in [
        ("short", "short\n"),
        ("a name that is much too long", "a name that is \n"),
        ("with line\n", "with line\n\n"),
        ("cut\0here", "cut\n"),
    ] {
        check_eq!(store("/proc/self/comm", name), Ok(name.len()));
        check_eq!(page("/proc/self/comm")?, shown);
    }
    let tid = libsyscall::thread::gettid();
    check_eq!(store(&format!("/proc/self/task/{tid}/comm"), "again"), Ok(5));
    check_eq!(page("/proc/self/comm")?, "again\n");
    Ok(())
}

fn names_of_others_cannot_be_written() -> Outcome {
    prepare()?;
    let pid = child::sleeper()?;
    let before = page(&format!("/proc/{pid}/comm"))?;
    check_eq!(store(&format!("/proc/{pid}/comm"), "other"), Err(Errno::EINVAL));
    check_eq!(page(&format!("/proc/{pid}/comm"))?, before);
    child::end(pid)
}

fn the_adjustment_of_oom() -> Outcome {
    const FILE: &str = "/proc/self/oom_score_adj";
    check_eq!(page(FILE)?, "0\n");
    check_eq!((store(FILE, "-500\n"), page(FILE)?.as_str()), (Ok(5), "-500\n"));
    for bad in ["1001", "-1001", "x", "", "1x", "1 2"] {
        check!(store(FILE, bad) == Err(Errno::EINVAL), "{bad}");
    }
    check!(child::succeeds(|| {
        check_eq!(page(FILE)?, "-500\n");
        Ok(())
    })?);
    files::as_user(|| {
        let pid = getpid();
        check_eq!(page(FILE)?, "-500\n");
        check_eq!(store(&format!("/proc/{pid}/oom_score_adj"), "0").map(drop), Err(Errno::EACCES));
        Ok(())
    })
}

fn the_filter_of_dumps() -> Outcome {
    const FILE: &str = "/proc/self/coredump_filter";
    check_eq!(page(FILE)?, "00000033\n");
    check_eq!((store(FILE, "0x7f\n"), page(FILE)?.as_str()), (Ok(5), "0000007f\n"));
    check_eq!((store(FILE, "0xffff"), page(FILE)?.as_str()), (Ok(6), "000001ff\n"));
    check_eq!(store(FILE, "abc"), Err(Errno::EINVAL));
    Ok(())
}

fn who_has_logged_in() -> Outcome {
    let session = page("/proc/self/sessionid")?;
    check_eq!((page("/proc/self/loginuid")?.as_str(), session.as_str()), ("4294967295", "4294967295"));
    check_eq!(store("/proc/self/loginuid", "1000"), Ok(4));
    check_eq!(page("/proc/self/loginuid")?, "1000");
    check!(page("/proc/self/sessionid")?.parse::<u32>().is_ok_and(|session| session < 10_000));
    let pid = child::sleeper()?;
    check_eq!(page(&format!("/proc/{pid}/loginuid"))?, "1000");
    check_eq!(store(&format!("/proc/{pid}/loginuid"), "5"), Err(Errno::EPERM));
    child::end(pid)
}

fn the_slack_of_timers() -> Outcome {
    const FILE: &str = "/proc/self/timerslack_ns";
    let before = page(FILE)?;
    check_eq!(before, "50000\n");
    check_eq!((store(FILE, "70000\n"), page(FILE)?.as_str()), (Ok(6), "70000\n"));
    check_eq!(raw::call(nr::prctl, &[abi::process::PR_GET_TIMERSLACK.into(), 0, 0, 0, 0]), Ok(70_000));
    check_eq!((store(FILE, "0"), page(FILE)?), (Ok(1), before));
    check_eq!(store(FILE, "x"), Err(Errno::EINVAL));
    Ok(())
}

/// A row of `smaps` in kilobytes, of the area at an address, or of the first.
fn row(smaps: &str, area: Option<usize>, label: &str) -> Result<u64, Failure> {
    let start = area.map_or(0, |area| smaps.find(&format!("{area:08x}-")).unwrap_or(smaps.len()));
    let line = smaps[start..].lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':'));
    let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| Failure::new(format!("no {label} in {}", &smaps[start..])))
}

/// Eight pages of an area of its own, of which the first `touched` are written.
fn pages(touched: usize) -> Result<usize, Failure> {
    let start = map_anonymous(10 * PAGE)?;
    for edge in [0, 9] {
        // SAFETY: nothing refers to these pages.
        unsafe { mprotect(start.wrapping_add(edge * PAGE), PAGE, PROT_NONE) }?;
    }
    let start = start.wrapping_add(PAGE);
    for index in 0..touched {
        // SAFETY: the pages are mapped, and nothing refers to them.
        unsafe { start.wrapping_add(index * PAGE).write_volatile(1) };
    }
    Ok(start as usize)
}

fn pages_of_areas() -> Outcome {
    let start = pages(3)?;
    let smaps = page("/proc/self/smaps")?;
    for (label, value) in [
        ("Size", 32),
        ("KernelPageSize", 4),
        ("MMUPageSize", 4),
        ("Rss", 12),
        ("Pss", 12),
        ("Pss_Dirty", 12),
        ("Private_Dirty", 12),
        ("Private_Clean", 0),
        ("Shared_Clean", 0),
        ("Anonymous", 12),
        ("Swap", 0),
        ("Locked", 0),
        ("THPeligible", 0),
    ] {
        check!(row(&smaps, Some(start), label)? == value, "{label}");
    }
    let area = &smaps[smaps.find(&format!("{start:08x}-")).unwrap_or(0)..];
    check!(
        area.lines().any(|line| line.starts_with("VmFlags: rd wr mr mw me ") && line.ends_with(' ')),
        "{area}"
    );
    check!(area.contains("\nRss:                  12 kB\n"), "{area}");
    raw::call(nr::mlock, &[start as u64, 8 * PAGE as u64])?;
    let smaps = page("/proc/self/smaps")?;
    check_eq!((row(&smaps, Some(start), "Rss")?, row(&smaps, Some(start), "Locked")?), (32, 32));
    Ok(())
}

fn pages_that_are_shared() -> Outcome {
    let start = pages(4)?;
    let pid = child::sleeper()?;
    // SAFETY: the page is mapped, and nothing refers to it.
    unsafe { (start as *mut u8).write_volatile(2) };
    for smaps in [page("/proc/self/smaps")?, page(&format!("/proc/{pid}/smaps"))?] {
        check_eq!(row(&smaps, Some(start), "Rss")?, 16);
        check_eq!(row(&smaps, Some(start), "Pss")?, 10);
        check_eq!(
            (row(&smaps, Some(start), "Shared_Dirty")?, row(&smaps, Some(start), "Private_Dirty")?),
            (12, 4)
        );
    }
    child::end(pid)
}

fn the_sum_of_all_areas() -> Outcome {
    pages(5)?;
    let rollup = page("/proc/self/smaps_rollup")?;
    check!(
        rollup
            .lines()
            .next()
            .is_some_and(|line| line.ends_with(" [rollup]") && line.contains(" ---p 00000000 00:00 0 "))
    );
    check!(row(&rollup, None, "Rss")? >= 20 && row(&rollup, None, "Anonymous")? >= 20);
    for label in ["Pss", "Pss_Dirty", "Pss_Anon", "Pss_File", "Pss_Shmem", "Private_Dirty", "SwapPss"] {
        row(&rollup, None, label)?;
    }
    Ok(())
}

fn the_map_of_pages() -> Outcome {
    prepare()?;
    let start = pages(3)?;
    let fd = open(c"/proc/self/pagemap", O_RDONLY, 0)?;
    let mut bytes = [0; 64];
    check_eq!(pread64(fd, &mut bytes, (start / PAGE * 8) as u64)?, 64);
    let entries: [u64; 8] = core::array::from_fn(|index| {
        u64::from_ne_bytes(core::array::from_fn(|byte| bytes[index * 8 + byte]))
    });
    for (index, entry) in entries.iter().enumerate() {
        check!((entry >> 63 == 1) == (index < 3), "{index}: {entry:x}");
        check!((entry >> 56 & 1 == 1) == (index < 3), "{index}: {entry:x}");
        check!((entry & ((1 << 55) - 1) != 0) == (index < 3), "{index}: {entry:x}");
    }
    check_eq!(
        (pread64(fd, &mut bytes[..7], 0), pread64(fd, &mut bytes, 4)),
        (Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    // Behind the last address: of x86_64 with five levels of tables, and of AArch64 without the tag that it ignores.
    check_eq!(pread64(fd, &mut bytes, 1 << 50 | 1 << 45), Ok(0));
    Ok(())
}

fn memory_as_a_file() -> Outcome {
    prepare()?;
    let start = pages(2)?;
    let fd = open(c"/proc/self/mem", O_RDONLY, 0)?;
    let mut bytes = [9; 3];
    check_eq!(pread64(fd, &mut bytes, (start + PAGE - 1) as u64), Ok(3));
    check_eq!(bytes, [0, 1, 0]);
    check_eq!(pread64(fd, &mut bytes, 0), Err(Errno::EIO));
    check_eq!((lseek(fd, start as i64, SEEK_SET), read(fd, &mut bytes)), (Ok(start as u64), Ok(3)));
    check_eq!(bytes, [1, 0, 0]);
    Ok(())
}

fn what_programs_look_for() -> Outcome {
    for (name, text) in [
        ("self/cgroup", ""),
        ("self/uid_map", "         0          0 4294967295\n"),
        ("self/gid_map", "         0          0 4294967295\n"),
        ("self/setgroups", "allow\n"),
        ("self/personality", "00000000\n"),
        ("self/wchan", "0"),
        ("partitions", ""),
        ("modules", ""),
    ] {
        let found = page(&format!("/proc/{name}"))?;
        check!(found == text, "{name}: {found}");
    }
    check!(page("/proc/self/io")?.starts_with("rchar: "));
    check!(page("/proc/self/oom_score")?.trim_end().parse::<u32>().is_ok());
    check!(page("/proc/interrupts")?.starts_with("           CPU0"));
    check!(page("/proc/softirqs")?.starts_with("                    CPU0"));
    check!(page("/proc/vmstat")?.contains("\npswpin 0\n"));
    check!(page("/proc/cgroups")?.starts_with("#subsys_name\thierarchy\tnum_cgroups\tenabled\n"));
    let huge = page("/sys/kernel/mm/transparent_hugepage/enabled")?;
    check!(huge.split_whitespace().filter(|word| word.starts_with('[')).count() == 1, "{huge}");
    Ok(())
}

fn strangers_may_not_look() -> Outcome {
    prepare()?;
    let pid = getpid();
    files::as_user(|| {
        for name in ["smaps", "smaps_rollup", "pagemap", "mem", "io", "personality"] {
            check_eq!(
                open(&ulib::c_string(format!("/proc/{pid}/{name}"))?, O_RDONLY, 0).map(drop),
                Err(Errno::EACCES)
            );
        }
        for name in ["oom_score_adj", "loginuid", "comm", "cgroup", "limits"] {
            check!(page(&format!("/proc/{pid}/{name}")).is_ok(), "{name}");
        }
        Ok(())
    })
}
