//! Files of `/proc` that tools look at now and then: timers, scheduling, mapped files, namespaces of users, lists of
//! the kernel's.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::memory::*;
use abi::native::nr;
use abi::signal::*;
use abi::time::*;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use conformance::files::{page, store};
use conformance::{Failure, Outcome, check, check_eq, files, raw, scratch};
use libsyscall::file::*;
use libsyscall::process::getpid;

conformance::tests!(&[
    ("timers", timers),
    ("how_it_is_scheduled", how_it_is_scheduled),
    ("files_that_are_mapped", files_that_are_mapped),
    ("names_of_mapped_files", names_of_mapped_files),
    ("strangers_see_no_mapped_files", strangers_see_no_mapped_files),
    ("the_old_adjustment_of_oom", the_old_adjustment_of_oom),
    ("the_namespace_of_users", the_namespace_of_users),
    ("lists_of_the_kernel", lists_of_the_kernel),
]);

fn timers() -> Outcome {
    check_eq!(page("/proc/self/timers")?, "");
    let create = |clock: i32, event: Option<&Sigevent>| {
        let mut id = -1i32;
        let event = event.map_or(0, |event| (&raw const *event) as u64);
        raw::call(nr::timer_create, &[clock as u64, event, (&raw mut id) as u64])
            .map(|_| core::hint::black_box(id))
    };
    let event = |notify: i32, signal: u32| Sigevent {
        sigev_notify: notify,
        sigev_signo: signal.cast_signed(),
        sigev_value: 0x1234_5678_9abc,
        sigev_tid: getpid(),
        ..Sigevent::default()
    };
    let first = create(CLOCK_MONOTONIC, Some(&event(SIGEV_SIGNAL, SIGUSR1)))?;
    let second = create(CLOCK_REALTIME, Some(&event(SIGEV_NONE, SIGUSR2)))?;
    let third = create(CLOCK_PROCESS_CPUTIME_ID, Some(&event(SIGEV_THREAD_ID, 34)))?;
    let fourth = create(CLOCK_THREAD_CPUTIME_ID, Some(&event(SIGEV_THREAD, SIGHUP)))?;
    let fifth = create(CLOCK_BOOTTIME, None)?;
    let pid = getpid();
    let shown = page("/proc/self/timers")?;
    let expected = format!(
        "ID: {fifth}\nsignal: 14/{fifth:016x}\nnotify: signal/pid.{pid}\nClockID: 7\n\
         ID: {fourth}\nsignal: 1/0000123456789abc\nnotify: thread/pid.{pid}\nClockID: -2\n\
         ID: {third}\nsignal: 34/0000123456789abc\nnotify: signal/tid.{pid}\nClockID: -6\n\
         ID: {second}\nsignal: 12/0000123456789abc\nnotify: none/pid.{pid}\nClockID: 0\n\
         ID: {first}\nsignal: 10/0000123456789abc\nnotify: signal/pid.{pid}\nClockID: 1\n"
    );
    check_eq!(shown, expected);
    raw::call(nr::timer_delete, &[fifth as u64])?;
    let rest = expected.find(&format!("ID: {fourth}\n")).map_or("", |start| &expected[start..]);
    check_eq!(page("/proc/self/timers")?, rest);
    check!(
        open(&ulib::c_string(format!("/proc/self/task/{pid}/timers"))?, O_RDONLY, 0) == Err(Errno::ENOENT)
    );
    Ok(())
}

/// The value in a line of `sched`.
fn value<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(label))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn how_it_is_scheduled() -> Outcome {
    let text = page("/proc/self/sched")?;
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    check!(head.ends_with(&format!(" ({}, #threads: 1)", getpid())), "{head}");
    check_eq!(lines.next(), Some(&*"-".repeat(67)));
    check!(text.lines().skip(2).filter(|line| line.len() != 67).all(|line| line.contains("numa")), "{text}");
    check_eq!((value(&text, "policy"), value(&text, "prio")), (Some("0"), Some("120")));
    check_eq!(value(&text, "se.load.weight"), Some("1048576"));
    let used = value(&text, "se.sum_exec_runtime").and_then(|used| used.split_once('.'));
    check!(used.is_some_and(|(whole, rest)| whole.parse::<u64>().is_ok() && rest.len() == 6), "{used:?}");
    let count = |label| value(&text, label).and_then(|count| count.parse::<u64>().ok()).unwrap_or(u64::MAX);
    let parts = count("nr_voluntary_switches").wrapping_add(count("nr_involuntary_switches"));
    check_eq!(count("nr_switches"), parts);
    raw::call(nr::setpriority, &[0, 0, 5])?;
    let text = page(&format!("/proc/self/task/{}/sched", getpid()))?;
    check_eq!((value(&text, "prio"), value(&text, "se.load.weight")), (Some("125"), Some("343040")));
    check_eq!((store("/proc/self/sched", "anything"), store("/proc/self/sched", "")), (Ok(8), Ok(0)));
    Ok(())
}

/// Maps two pages of a file at an address that the kernel chooses.
fn map(fd: i32, protection: u32, flags: u32) -> Result<u64, Errno> {
    raw::call(nr::mmap, &[0, 8192, protection.into(), flags.into(), fd as u64, 0])
}

fn name_of(address: u64) -> Result<CString, Failure> {
    ulib::c_string(format!("/proc/self/map_files/{address:x}-{:x}", address + 8192)).map_err(Failure::new)
}

fn link_text(path: &core::ffi::CStr) -> Result<String, Errno> {
    let mut text = vec![0; 4096];
    let length =
        raw::call(nr::readlinkat, &[AT_FDCWD as u64, path.as_ptr() as u64, text.as_mut_ptr() as u64, 4096])?;
    Ok(String::from_utf8_lossy(&text[..length as usize]).into_owned())
}

fn files_that_are_mapped() -> Outcome {
    files::mount_proc()?;
    scratch::enter_tmpfs()?;
    let fd = files::create(c"mapped", &[7; 8192])?;
    let readable = open(c"mapped", O_RDONLY, 0)?;
    let whole = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED)?;
    let private = map(readable, PROT_READ | PROT_WRITE, MAP_PRIVATE)?;
    let nameless = map(-1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)?;
    check_eq!(files::mode_of(&name_of(whole)?)?, S_IFLNK | 0o600);
    check_eq!(files::mode_of(&name_of(private)?)?, S_IFLNK | 0o400);
    check!(!files::exists(&name_of(nameless)?));
    check!(link_text(&name_of(whole)?)?.ends_with("/mapped"));
    // It leads to the file, whatever became of the descriptor and the name.
    close(fd)?;
    files::unlink(c"mapped")?;
    check!(link_text(&name_of(whole)?)?.ends_with("/mapped (deleted)"));
    let again = open(&name_of(whole)?, O_RDWR, 0)?;
    let mut byte = [0];
    check_eq!((read(again, &mut byte), byte), (Ok(1), [7]));
    // SAFETY: the program's own mapping of a file that has so many bytes.
    unsafe { (whole as *mut u8).write_volatile(9) };
    check_eq!((pread64(again, &mut byte, 0), byte), (Ok(1), [9]));
    check_eq!(fstat(again)?.st_ino, newfstatat(AT_FDCWD, &name_of(private)?, 0)?.st_ino);
    raw::call(nr::munmap, &[whole, 4096])?;
    check!(!files::exists(&name_of(whole)?));
    raw::call(nr::munmap, &[whole + 4096, 4096])?;
    Ok(())
}

fn names_of_mapped_files() -> Outcome {
    files::mount_proc()?;
    let fd = open(c"/proc/self/map_files", O_RDONLY | O_DIRECTORY, 0)?;
    let maps = page("/proc/self/maps")?;
    let mut buffer = [0u8; 200];
    let mut listed = vec![];
    // So small that it takes several calls.
    loop {
        let count = raw::call(nr::getdents64, &[fd as u64, buffer.as_mut_ptr() as u64, 200])? as usize;
        if count == 0 {
            break;
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let size = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = rest[19..size].split(|&byte| byte == 0).next().unwrap_or_default();
            if !name.starts_with(b".") {
                check_eq!(rest[18], 10);
                listed.push(String::from_utf8_lossy(name).into_owned());
            }
            rest = &rest[size..];
        }
    }
    let mapped = maps.lines().filter(|line| line.contains('/'));
    let plain = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some(format!("{}-{}", start.trim_start_matches('0'), end.trim_start_matches('0')))
    };
    let expected: vec::Vec<String> = mapped.filter_map(plain).collect();
    check_eq!(listed, expected);
    let first = expected.first().cloned().unwrap_or_default();
    check!(files::exists(&ulib::c_string(format!("/proc/self/map_files/{first}"))?));
    let (start, end) = first.split_once('-').unwrap_or_default();
    for name in [
        format!("0{first}"),
        format!("{first} "),
        String::from(start),
        format!("{start}-"),
        format!("-{end}"),
        format!("{start}-{end}0"),
        format!("0-{end}"),
        String::from("x-y"),
    ] {
        let path = ulib::c_string(format!("/proc/self/map_files/{name}"))?;
        check_eq!((&name, open(&path, O_RDONLY, 0)), (&name, Err(Errno::ENOENT)));
    }
    Ok(())
}

fn strangers_see_no_mapped_files() -> Outcome {
    files::mount_proc()?;
    scratch::enter_tmpfs()?;
    let fd = files::create(c"mapped", &[7; 8192])?;
    let whole = map(fd, PROT_READ, MAP_SHARED)?;
    let parent = getpid();
    files::as_user(|| {
        // Who has become another still finds its own descriptors, though the directories are root's.
        let own = ulib::c_string(format!("/proc/self/fd/{fd}"))?;
        check!(link_text(&own)?.ends_with("/mapped"));
        close(open(c"/proc/self/fd", O_RDONLY | O_DIRECTORY, 0)?)?;
        // One's own are seen, but opening them is for the privileged.
        check!(link_text(&name_of(whole)?)?.ends_with("/mapped"));
        check_eq!(open(&name_of(whole)?, O_RDONLY, 0), Err(Errno::EPERM));
        close(open(c"/proc/self/map_files", O_RDONLY | O_DIRECTORY, 0)?)?;
        let other = ulib::c_string(format!("/proc/{parent}/map_files"))?;
        check_eq!(open(&other, O_RDONLY | O_DIRECTORY, 0), Err(Errno::EACCES));
        Ok(())
    })
}

fn the_old_adjustment_of_oom() -> Outcome {
    files::mount_proc()?;
    let (old, new) = ("/proc/self/oom_adj", "/proc/self/oom_score_adj");
    check_eq!(page(old)?, "0\n");
    for (value, shown, scaled) in [
        ("5", "4\n", "294\n"),
        ("15\n", "15\n", "1000\n"),
        ("-16", "-15\n", "-941\n"),
        ("-17", "-17\n", "-1000\n"),
        ("0", "0\n", "0\n"),
    ] {
        check_eq!(store(old, value), Ok(value.len()));
        check_eq!((page(old)?, page(new)?), (shown.into(), scaled.into()));
    }
    for value in ["16", "-18", "x", "", "1 2"] {
        check_eq!((value, store(old, value)), (value, Err(Errno::EINVAL)));
    }
    store(new, "-500")?;
    check_eq!(page(old)?, "-8\n");
    store(new, "0")?;
    files::as_user(|| {
        // The file is root's for who was root before, so this is settled by the owner of the file.
        check_eq!(page(old)?, "0\n");
        Ok(())
    })
}

fn the_namespace_of_users() -> Outcome {
    for name in ["uid_map", "gid_map", "projid_map"] {
        let path = format!("/proc/self/{name}");
        check_eq!(page(&path)?, "         0          0 4294967295\n");
        for text in ["0 0 1", "x", ""] {
            check_eq!((name, text, store(&path, text)), (name, text, Err(Errno::EPERM)));
        }
        check_eq!(store(&path, &"0".repeat(5000)), Err(Errno::EPERM));
    }
    let path = "/proc/self/setgroups";
    check_eq!(page(path)?, "allow\n");
    check_eq!((store(path, "allow"), store(path, "allow\n")), (Ok(5), Ok(6)));
    check_eq!((store(path, "deny"), store(path, "deny \n")), (Err(Errno::EPERM), Err(Errno::EPERM)));
    for text in ["", "x", "allowed", "allow   \n", "deny x"] {
        check_eq!((text, store(path, text)), (text, Err(Errno::EINVAL)));
    }
    Ok(())
}

fn lists_of_the_kernel() -> Outcome {
    check_eq!(page("/proc/execdomains")?, "0-0\tLinux           \t[kernel]\n");
    // What there is differs from machine to machine: a number and a name each.
    for list in ["/proc/misc", "/proc/fb"] {
        for line in page(list)?.lines() {
            let number = line.split_whitespace().next().and_then(|number| number.parse::<u32>().ok());
            check!(number.is_some() && line.split_whitespace().count() >= 2, "{list}: {line}");
        }
        check_eq!(files::mode_of(&ulib::c_string(list)?)?, S_IFREG | 0o444);
        check_eq!(store(list, "x"), Err(Errno::EIO));
    }
    files::mount_sys()?;
    check_eq!(page("/sys/kernel/fscaps")?, "1\n");
    Ok(())
}
