//! Where a dump goes: its name, what is in the way, how far it reaches.

use abi::fs::*;
use abi::resource::{RLIMIT_FSIZE, Rlimit};
use alloc::format;
use conformance::{Failure, Outcome, check, check_eq, files, raw};
use libsyscall::file::*;
use libsyscall::memory::map_anonymous;
use libsyscall::process::prlimit64;
use libsyscall::system::mount;

use crate::dump::{Core, Setting, UNLIMITED, crash, prepare};

fn made(name: &str) -> Result<bool, Failure> {
    let path = ulib::c_string(name)?;
    let exists = files::exists(&path);
    if exists {
        files::unlink(&path)?;
    }
    Ok(exists)
}

/// Seconds since 1970.
fn now() -> Result<i64, Failure> {
    Ok(libsyscall::time::clock_gettime(abi::time::CLOCK_REALTIME)?.tv_sec)
}

pub fn names_by_pattern() -> Outcome {
    let pattern = prepare("core")?;
    let mut host = [0; 6 * 65];
    raw::call(abi::native::nr::uname, &[host.as_mut_ptr() as u64])?;
    let host = host[65..130].split(|&byte| byte == 0).next().unwrap_or_default();
    let host = alloc::string::String::from_utf8_lossy(host).into_owned();
    for text in
        ["c.%p", "%P-x", "i%i.%I", "u%u-g%g", "s%s", "d%d", "c%c", "h%h", "e%e", "a%%b", "z%q%", "./%p"]
    {
        pattern.set(text.as_bytes())?;
        let (pid, status) = crash(1 << 20, || {
            raw::call(abi::native::nr::prctl, &[abi::process::PR_SET_NAME.into(), c"na/me".as_ptr() as u64])?;
            Ok(())
        })?;
        let name = text
            .replace("%p", &format!("{pid}"))
            .replace("%P", &format!("{pid}"))
            .replace("%i", &format!("{pid}"))
            .replace("%I", &format!("{pid}"))
            .replace("%u", "0")
            .replace("%g", "0")
            .replace("%s", "6")
            .replace("%d", "1")
            .replace("%c", "1048576")
            .replace("%h", &host)
            .replace("%e", "na!me")
            .replace("%q", "")
            .replace("%%", "/")
            .replace('%', "");
        let name = if text == "a%%b" { "a%b".into() } else { name };
        check!(status.has_core_dump(), "{text}");
        check!(made(&name)?, "{text}: no {name}");
    }
    pattern.set(b"%E")?;
    check!(crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    let program = ulib::args::args().next().unwrap_or_default();
    let name = program.to_string_lossy().replace('/', "!");
    check!(made(&name)?, "no {name}");
    pattern.set(b"%f.%t")?;
    let before = now()?;
    check!(crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    let after = now()?;
    let file = name.rsplit('!').next().unwrap_or_default();
    let found = (before..=after).map(|second| made(&format!("{file}.{second}")));
    check!(found.collect::<Result<alloc::vec::Vec<_>, _>>()?.contains(&true));
    Ok(())
}

pub fn names_with_a_number() -> Outcome {
    let pattern = prepare("core")?;
    let _setting = Setting::new(c"/proc/sys/kernel/core_uses_pid", "1")?;
    let (pid, _) = crash(UNLIMITED, || Ok(()))?;
    check!(made(&format!("core.{pid}"))?);
    pattern.set(b"x%p")?;
    let (pid, _) = crash(UNLIMITED, || Ok(()))?;
    check!(made(&format!("x{pid}"))?);
    Ok(())
}

pub fn names_lead_nowhere() -> Outcome {
    let pattern = prepare("%e")?;
    for (name, made_of_it) in [(c"..", "!."), (c".", "!"), (c"", "!"), (c"/etc", "!etc")] {
        let (_, status) = crash(UNLIMITED, || {
            raw::call(abi::native::nr::prctl, &[abi::process::PR_SET_NAME.into(), name.as_ptr() as u64])?;
            Ok(())
        })?;
        check!(status.has_core_dump() && made(made_of_it)?, "{name:?}");
    }
    for nowhere in ["nothing/core", "core/", "/", "/proc/core"] {
        pattern.set(nowhere.as_bytes())?;
        check!(!crash(UNLIMITED, || Ok(()))?.1.has_core_dump(), "{nowhere}");
    }
    pattern.set(b"\n")?;
    check!(!crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    Ok(())
}

pub fn a_pipe_that_cannot_be_opened() -> Outcome {
    let pattern = prepare("|/no/such/program %p")?;
    check!(!crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    pattern.set(b"|")?;
    check!(!crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    Ok(())
}

pub fn what_had_the_name_is_replaced() -> Outcome {
    let _pattern = prepare("core")?;
    close(files::create(c"core", b"old")?)?;
    files::link(c"core", c"other name")?;
    check!(crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    check_eq!(files::content(c"other name")?, b"old");
    check!(made("core")?);
    files::symlink(c"other name", c"core")?;
    check!(crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    check_eq!(files::content(c"other name")?, b"old");
    check_eq!(files::mode_of(c"core")?, S_IFREG | 0o600);
    check!(made("core")?);
    mknodat(AT_FDCWD, c"core", S_IFIFO | 0o666, 0)?;
    check!(crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    check_eq!(files::mode_of(c"core")?, S_IFREG | 0o600);
    Core::read(c"core")?;
    Ok(())
}

pub fn what_cannot_be_replaced() -> Outcome {
    let _pattern = prepare("core")?;
    mkdirat(AT_FDCWD, c"core", 0o755)?;
    check!(!crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    files::rmdir(c"core")?;
    // A folder of root's, and a file of root's in a sticky folder.
    fchmodat(AT_FDCWD, c".", 0o755)?;
    files::as_user(|| {
        raw::call(abi::native::nr::prctl, &[abi::process::PR_SET_DUMPABLE.into(), 1])?;
        check!(!crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
        Ok(())
    })?;
    fchmodat(AT_FDCWD, c".", 0o1777)?;
    close(files::create(c"core", b"root's")?)?;
    files::as_user(|| {
        raw::call(abi::native::nr::prctl, &[abi::process::PR_SET_DUMPABLE.into(), 1])?;
        check!(!crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
        Ok(())
    })?;
    check_eq!(files::content(c"core")?, b"root's");
    files::unlink(c"core")?;
    files::as_user(|| {
        raw::call(abi::native::nr::prctl, &[abi::process::PR_SET_DUMPABLE.into(), 1])?;
        check!(crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
        Ok(())
    })?;
    let made = newfstatat(AT_FDCWD, c"core", 0)?;
    check_eq!((made.st_uid, made.st_gid, made.st_mode), (1000, 1000, S_IFREG | 0o600));
    Ok(())
}

pub fn owner_and_mode() -> Outcome {
    let _pattern = prepare("core")?;
    for (mask, is_made) in [(0, true), (0o022, true), (0o177, true), (0o777, false), (0o200, false)] {
        let (_, status) = crash(UNLIMITED, || {
            umask(mask);
            Ok(())
        })?;
        check!(status.has_core_dump() == is_made, "{mask:o}");
        if is_made {
            check_eq!(files::mode_of(c"core")?, S_IFREG | 0o600);
        }
        let _ = files::unlink(c"core");
    }
    // Relative names begin at the working directory, absolute ones at the root.
    mkdirat(AT_FDCWD, c"inner", 0o755)?;
    let (_, status) = crash(UNLIMITED, || {
        raw::call(abi::native::nr::chroot, &[c"inner".as_ptr() as u64])?;
        chdir(c"/")?;
        Ok(())
    })?;
    check!(status.has_core_dump() && files::exists(c"inner/core"));
    Ok(())
}

/// A megabyte of the child's memory that is not zero.
fn fill() -> Outcome {
    let bytes = map_anonymous(1 << 20)?;
    for page in 0..256 {
        // SAFETY: inside the mapping.
        unsafe { bytes.add(page * 4096 + 7).write_volatile(1) };
    }
    Ok(())
}

pub fn cut_by_the_limit() -> Outcome {
    let _pattern = prepare("core")?;
    for bytes in [4096, 100_000, 300_000] {
        let (_, status) = crash(bytes, fill)?;
        check!(status.has_core_dump());
        let core = Core::read(c"core")?;
        check!(core.size() < core.whole_size(), "{} of {}", core.size(), core.whole_size());
        let blocks = newfstatat(AT_FDCWD, c"core", 0)?.st_blocks as u64;
        check!(blocks * 512 <= bytes + 4096, "{blocks} blocks");
        if bytes > 4096 {
            check!(blocks * 512 > bytes - 3 * 4096, "{blocks} blocks");
        }
        files::unlink(c"core")?;
    }
    Ok(())
}

pub fn cut_by_the_size_of_files() -> Outcome {
    let _pattern = prepare("core")?;
    let (_, status) = crash(UNLIMITED, || {
        fill()?;
        prlimit64(0, RLIMIT_FSIZE, Some(&Rlimit { rlim_cur: 50_000, rlim_max: 50_000 }))?;
        Ok(())
    })?;
    check_eq!((status.term_signal(), status.has_core_dump()), (Some(abi::signal::SIGABRT), true));
    let size = newfstatat(AT_FDCWD, c"core", 0)?.st_size;
    check!((4096..=50_000).contains(&size), "{size}");
    Ok(())
}

pub fn cut_by_a_full_file_system() -> Outcome {
    let _pattern = prepare("core")?;
    mkdirat(AT_FDCWD, c"small", 0o777)?;
    mount(c"tmpfs", c"small", c"tmpfs", 0, Some(c"size=64k"))?;
    let (_, status) = crash(UNLIMITED, || {
        chdir(c"small")?;
        fill()
    })?;
    check!(status.has_core_dump());
    let made = newfstatat(AT_FDCWD, c"small/core", 0)?;
    check!(made.st_blocks > 0 && made.st_blocks <= 128, "{} blocks", made.st_blocks);
    let core = Core::read(c"small/core")?;
    check!(core.size() < core.whole_size());
    drop(core);
    libsyscall::system::umount2(c"small", 0)?;
    Ok(())
}
