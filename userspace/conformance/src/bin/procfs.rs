//! `/proc`, as far as everyday programs read it.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::{AT_FDCWD, O_RDONLY, O_WRONLY};
use alloc::format;
use alloc::string::String;
use conformance::{Failure, Outcome, check, check_eq, child};
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use core::time::Duration;
use libsyscall::file::*;
use libsyscall::process::{getpid, getppid, getuid};
use libsyscall::thread::{gettid, sched_yield};
use ulib::thread::spawn;

conformance::tests!(&[
    ("a_process_has_a_folder", a_process_has_a_folder),
    ("a_thread_has_a_hidden_folder", a_thread_has_a_hidden_folder),
    ("the_status_line", the_status_line),
    ("the_status_page", the_status_page),
    ("the_command_line", the_command_line),
    ("mappings", mappings),
    ("descriptors", descriptors),
    ("links", links),
    ("processes_come_and_go", processes_come_and_go),
    ("the_system", the_system),
    ("the_processor", the_processor),
    ("the_auxiliary_vector", the_auxiliary_vector),
    ("mounts", mounts),
    ("writing_is_refused", writing_is_refused),
]);

/// `/proc` is there, or is mounted now, where this process may.
fn prepare() -> Outcome {
    if newfstatat(AT_FDCWD, c"/proc/self", abi::fs::AT_SYMLINK_NOFOLLOW).is_err() {
        let _ = mkdirat(AT_FDCWD, c"/proc", 0o555);
        libsyscall::system::mount(c"proc", c"/proc", c"proc", 0, None)?;
    }
    Ok(())
}

fn page(path: &str) -> Result<String, Failure> {
    prepare()?;
    let fd = open(&ulib::c_string(path)?, O_RDONLY, 0)?;
    let bytes = ulib::io::read_to_end(fd)?;
    close(fd)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn link(path: &str) -> Result<String, Failure> {
    prepare()?;
    let mut target = [0; 4096];
    let length = readlinkat(AT_FDCWD, &ulib::c_string(path)?, &mut target)?;
    Ok(String::from_utf8_lossy(&target[..length]).into_owned())
}

fn a_thread_has_a_hidden_folder() -> Outcome {
    let over = alloc::sync::Arc::new(AtomicBool::new(false));
    let (until, number) = (over.clone(), alloc::sync::Arc::new(AtomicI32::new(0)));
    let told = number.clone();
    let thread = spawn(move || {
        told.store(gettid(), Ordering::SeqCst);
        while !until.load(Ordering::SeqCst) {
            ulib::time::sleep(Duration::from_millis(1));
        }
    })?;
    while number.load(Ordering::SeqCst) == 0 {
        sched_yield();
    }
    let (pid, number) = (getpid(), number.load(Ordering::SeqCst));
    check!(page(&format!("/proc/{number}/stat"))?.starts_with(&format!("{number} (")));
    let status = page(&format!("/proc/{number}/status"))?;
    check!(status.contains(&format!("Tgid:\t{pid}\n")) && status.contains(&format!("Pid:\t{number}\n")));
    check!(page(&format!("/proc/{number}/task/{pid}/stat"))?.starts_with(&format!("{pid} (")));
    check_eq!(link(&format!("/proc/{number}/exe"))?, link("/proc/self/exe")?);
    let listed =
        ulib::fs::read_dir(b"/proc")?.into_iter().any(|entry| entry.name == format!("{number}").as_bytes());
    check!(!listed);
    over.store(true, Ordering::SeqCst);
    thread.join();
    Ok(())
}

fn a_process_has_a_folder() -> Outcome {
    check_eq!(link("/proc/self")?, format!("{}", getpid()));
    let folder = ulib::c_string(format!("/proc/{}", getpid()))?;
    check_eq!(newfstatat(AT_FDCWD, &folder, 0)?.st_uid, getuid());
    check_eq!(newfstatat(AT_FDCWD, c"/proc/999999999", 0).map(drop), Err(Errno::ENOENT));
    check_eq!(newfstatat(AT_FDCWD, c"/proc/0", 0).map(drop), Err(Errno::ENOENT));
    Ok(())
}

fn the_status_line() -> Outcome {
    let line = page("/proc/self/stat")?;
    let (start, rest) = line.rsplit_once(") ").ok_or_else(|| Failure::new(&line))?;
    check!(start.starts_with(&format!("{} (procfs", getpid())), "{line}");
    let fields: alloc::vec::Vec<&str> = rest.split_whitespace().collect();
    check_eq!((fields[0], fields[1]), ("R", &*format!("{}", getppid())));
    // Linux 6.1 has 52 fields in all.
    check_eq!(fields.len(), 50);
    check!(
        fields
            .iter()
            .skip(1)
            .all(|field| field.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()))
    );
    Ok(())
}

fn the_status_page() -> Outcome {
    let page = page("/proc/self/status")?;
    let field = |name: &str| page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    check_eq!(field("Name"), Some("procfs"));
    check_eq!(field("Pid"), Some(&*format!("{}", getpid())));
    check_eq!(field("PPid"), Some(&*format!("{}", getppid())));
    check_eq!(field("Threads"), Some("1"));
    check!(field("Uid").is_some_and(|ids| ids.split('\t').count() == 4));
    check!(field("VmRSS").is_some_and(|size| size.ends_with(" kB")));
    Ok(())
}

fn the_command_line() -> Outcome {
    let own: String = ulib::args::args().map(|word| format!("{}\0", word.to_string_lossy())).collect();
    check_eq!(page("/proc/self/cmdline")?, own);
    check!(page("/proc/self/comm")?.starts_with("procfs"));
    Ok(())
}

fn mappings() -> Outcome {
    let page = page("/proc/self/maps")?;
    let here = mappings as *const () as usize;
    let mut last = 0;
    let mut found = "";
    for line in page.lines() {
        let bounds = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16);
        let Some((Ok(start), Ok(end))) = bounds.map(|(start, end)| (number(start), number(end))) else {
            return Err(Failure::new(line));
        };
        check!(last <= start && start < end, "{line}");
        last = end;
        if (start..end).contains(&here) {
            found = line;
        }
    }
    check!(found.contains("r-xp"), "{found}");
    check!(page.lines().any(|line| line.contains("[stack]") && line.contains("rw-p")), "{page}");
    Ok(())
}

fn descriptors() -> Outcome {
    prepare()?;
    let (reader, _writer) = pipe2(0)?;
    let target = link(&format!("/proc/self/fd/{reader}"))?;
    check!(target.starts_with("pipe:["), "{target}");
    let null = open(c"/dev/null", O_RDONLY, 0)?;
    check_eq!(link(&format!("/proc/self/fd/{null}"))?, "/dev/null");
    let again = open(&ulib::c_string(format!("/proc/self/fd/{null}"))?, O_WRONLY, 0)?;
    check_eq!(write(again, b"x"), Ok(1));
    Ok(())
}

fn links() -> Outcome {
    let executable = link("/proc/self/exe")?;
    check!(executable.ends_with("/procfs"), "{executable}");
    check_eq!(link("/proc/self/root")?, "/");
    chdir(c"/tmp")?;
    check_eq!(link("/proc/self/cwd")?, "/tmp");
    check!(open(c"/proc/self/exe", O_RDONLY, 0).is_ok());
    Ok(())
}

fn processes_come_and_go() -> Outcome {
    prepare()?;
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| {
        let _ = read(reader, &mut [0]);
        0
    })?;
    let path = format!("/proc/{pid}/stat");
    while !page(&path)?.contains(") S ") {
        libsyscall::thread::sched_yield();
    }
    write(writer, b"x")?;
    while !page(&path)?.contains(") Z ") {
        libsyscall::thread::sched_yield();
    }
    check_eq!(page(&format!("/proc/{pid}/cmdline"))?, "");
    child::wait(pid)?;
    check!(page(&path).is_err());
    Ok(())
}

fn the_system() -> Outcome {
    let memory = page("/proc/meminfo")?;
    check!(["MemTotal:", "MemFree:", "MemAvailable:"].iter().all(|name| memory.contains(name)), "{memory}");
    check!(page("/proc/uptime")?.split_whitespace().count() == 2);
    check!(page("/proc/version")?.contains("version"));
    check!(page("/proc/cpuinfo")?.contains("processor\t: 0"));
    check!(page("/proc/stat")?.starts_with("cpu "));
    check_eq!(page("/proc/loadavg")?.split_whitespace().count(), 5);
    check!(page("/proc/filesystems")?.contains("tmpfs"));
    Ok(())
}

fn mounts() -> Outcome {
    let mounts = page("/proc/mounts")?;
    check!(mounts.lines().any(|line| line.split(' ').nth(1) == Some("/proc")), "{mounts}");
    check!(mounts.lines().all(|line| line.split(' ').count() == 6), "{mounts}");
    Ok(())
}

fn writing_is_refused() -> Outcome {
    prepare()?;
    let created = open(c"/proc/new", O_WRONLY | abi::fs::O_CREAT, 0o600);
    check!(
        matches!(created, Err(Errno::EACCES | Errno::ENOENT | Errno::EPERM | Errno::EROFS)),
        "{created:?}"
    );
    check!(mkdirat(AT_FDCWD, c"/proc/dir", 0o755).is_err());
    check!(unlinkat(AT_FDCWD, c"/proc/version", 0).is_err());
    Ok(())
}

/// What each architecture's programs look for; AArch64's list of features is that of AT_HWCAP.
fn the_processor() -> Outcome {
    let text = page("/proc/cpuinfo")?;
    let names = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(':').nth(1)).map(|words| words.split_whitespace().count())
    };
    check_eq!(names("processor"), Some(1));
    if let Some(features) = names("Features") {
        let word = |key| ulib::auxv::value(key).unwrap_or_default().count_ones() as usize;
        check_eq!(features, word(abi::auxv::AT_HWCAP) + word(abi::auxv::AT_HWCAP2));
        check!(text.contains("CPU architecture: 8\n"), "{text}");
        check!(text.contains("CPU implementer\t: 0x"), "{text}");
    } else {
        check_eq!(names("vendor_id"), Some(1));
        check!(names("flags").is_some_and(|flags| flags > 20), "{text}");
        check!(text.contains("cpu family\t: "), "{text}");
    }
    Ok(())
}

fn the_auxiliary_vector() -> Outcome {
    prepare()?;
    let fd = open(c"/proc/self/auxv", O_RDONLY, 0)?;
    let bytes = ulib::io::read_to_end(fd)?;
    close(fd)?;
    let words: alloc::vec::Vec<u64> =
        bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let value =
        |key: u64| words.as_chunks::<2>().0.iter().find(|entry| entry[0] == key).map(|entry| entry[1]);
    check_eq!(value(abi::auxv::AT_PAGESZ), Some(4096));
    check_eq!(value(abi::auxv::AT_RANDOM), ulib::auxv::value(abi::auxv::AT_RANDOM));
    check_eq!(value(abi::auxv::AT_NULL), Some(0));
    Ok(())
}
