//! The texts of `/proc` about the whole system: proc(5).

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use abi::Errno;
use abi::fs::{MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_RELATIME};
use libkernel::addr::PAGE_SIZE;
use libkernel::sched::load_average::POINT;

use crate::fs::filesystem::FileSystemKind;
use crate::fs::mount::{self, Location, Mount};
use crate::fs::{path_from, types};
use crate::process::{for_each_process, made_threads};
use crate::sched;
use crate::sched::accounts::{self, Mode};
use crate::syscall::system as uts;
use crate::time::clock;

/// Nanoseconds of a second, and of a tick as programs count them (`USER_HZ`).
const NS_PER_SECOND: u64 = 1_000_000_000;
const NS_PER_TICK: u64 = 10_000_000;

/// `cmdline`.
pub fn command_line() -> Result<Vec<u8>, Errno> {
    let mut text = hal::boot::info().map_or(&b""[..], |info| info.command_line).to_vec();
    text.push(b'\n');
    Ok(text)
}

/// `cpuinfo`.
pub fn cpuinfo() -> Result<Vec<u8>, Errno> {
    let mut description = String::new();
    // Writing to a string does not fail.
    let _ = hal::cpu::describe(&mut description);
    let lines = (0..hal::cpu::count()).map(|number| format!("processor\t: {number}\n{description}\n"));
    Ok(lines.collect::<String>().into_bytes())
}

/// `filesystems`.
pub fn filesystems() -> Result<Vec<u8>, Errno> {
    Ok(types::listing())
}

/// `loadavg`.
pub fn loadavg() -> Result<Vec<u8>, Errno> {
    let running = sched::runnable_count();
    let (mut threads, mut newest) = (0, 0);
    for_each_process(|process| {
        threads += process.thread_count();
        newest = newest.max(process.pid().number());
    });
    let mut text = String::new();
    for average in sched::load::averages() {
        let hundredths = ((average * 100) + (1 << (POINT - 1))) >> POINT;
        // Writing to a string does not fail.
        let _ = write!(text, "{}.{:02} ", hundredths / 100, hundredths % 100);
    }
    Ok(format!("{text}{running}/{threads} {newest}\n").into_bytes())
}

/// `lock_stat`, in builds with debug assertions: for each place where locks are made how often they were taken, and how often
/// somebody had to wait. Linux has a file of this name (`CONFIG_LOCK_STAT`), with other columns.
#[cfg(debug_assertions)]
pub fn lock_statistics() -> Result<Vec<u8>, Errno> {
    let mut text = String::from("acquisitions contentions class\n");
    for class in hal::sync::order::statistics() {
        writeln!(text, "{} {} {}:{}", class.acquisitions, class.contentions, class.file, class.line)
            .map_err(|_| Errno::ENOMEM)?;
    }
    Ok(text.into_bytes())
}

/// Pages that hold files of mounted file systems.
fn file_pages() -> u64 {
    let mut seen: Vec<Arc<Mount>> = Vec::new();
    for mount in mount::all() {
        if !seen.iter().any(|other| Arc::ptr_eq(&other.filesystem, &mount.filesystem)) {
            seen.push(mount);
        }
    }
    seen.iter().map(|mount| mount.filesystem.budget.used()).sum()
}

/// `meminfo`. What is not free and holds no file is in use by programs or the kernel; nothing can be reclaimed.
pub fn meminfo() -> Result<Vec<u8>, Errno> {
    let frames = hal::frame::statistics();
    let (total, free, files) = (frames.total as u64, frames.free as u64, file_pages());
    let rows = [
        ("MemTotal:", total),
        ("MemFree:", free),
        ("MemAvailable:", free),
        ("Buffers:", 0),
        ("Cached:", files),
        ("SwapCached:", 0),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("Shmem:", files),
        ("SReclaimable:", 0),
    ];
    let mut text = String::new();
    for (label, pages) in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{label:<16}{:8} kB", pages * (PAGE_SIZE / 1024));
    }
    Ok(text.into_bytes())
}

/// The columns of a CPU in `stat`: user, nice, system, idle; the rest is not told apart.
fn cpu_columns(cpu: usize) -> [u64; 4] {
    let busy = |mode| accounts::time_ns(cpu, mode) / NS_PER_TICK;
    [busy(Mode::User), busy(Mode::Nice), busy(Mode::System), sched::idle_ns(cpu) / NS_PER_TICK]
}

/// `stat`.
pub fn stat() -> Result<Vec<u8>, Errno> {
    let cpus = hal::cpu::count();
    let columns: Vec<_> = (0..cpus).map(cpu_columns).collect();
    let sum = |index: usize| columns.iter().map(|columns| columns[index]).sum::<u64>();
    let mut text = String::new();
    let mut line = |name: &str, [user, nice, system, idle]: [u64; 4]| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name} {user} {nice} {system} {idle} 0 0 0 0 0 0");
    };
    line("cpu ", [sum(0), sum(1), sum(2), sum(3)]);
    for (cpu, columns) in columns.iter().enumerate() {
        line(&format!("cpu{cpu}"), *columns);
    }
    let of_all = |count: fn(usize) -> u64| (0..cpus).map(count).sum::<u64>();
    let (interrupts, switches) = (of_all(accounts::interrupts), of_all(accounts::switches));
    let booted = clock::wall_offset_ns() / NS_PER_SECOND;
    let (made, running) = (made_threads(), sched::runnable_count());
    let _ = write!(
        text,
        "intr {interrupts}\nctxt {switches}\nbtime {booted}\nprocesses {made}\nprocs_running {running}\nprocs_blocked 0\n"
    );
    Ok(text.into_bytes())
}

/// `swaps`: none.
pub fn swaps() -> Result<Vec<u8>, Errno> {
    Ok(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_vec())
}

/// `uptime`: since boot, and idle.
pub fn uptime() -> Result<Vec<u8>, Errno> {
    let uptime_ns = hal::time::now_ns();
    let idle_ns = (0..hal::cpu::count()).map(sched::idle_ns).sum();
    let show = |ns: u64| format!("{}.{:02}", ns / NS_PER_SECOND, ns % NS_PER_SECOND / 10_000_000);
    Ok(format!("{} {}\n", show(uptime_ns), show(idle_ns)).into_bytes())
}

/// `version`.
pub fn version() -> Result<Vec<u8>, Errno> {
    let parts = [b"Linux version ", uts::release(), b" (orlop) ", uts::version(), b"\n"];
    Ok(parts.concat())
}

/// `vmstat`: the counts that are kept.
pub fn vmstat() -> Result<Vec<u8>, Errno> {
    Ok(format!("nr_free_pages {}\nnr_shmem {}\n", hal::frame::statistics().free, file_pages()).into_bytes())
}

/// `mounts`: the table of the process that asks.
pub fn mounts_link() -> Result<Arc<[u8]>, Errno> {
    Ok(Arc::from(&b"self/mounts"[..]))
}

/// The mounts below `root`: source, place, type, flags.
pub fn mounts_from(root: &Location) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    for mount in mount::all() {
        let Some(place) = place_below(&mount, root) else { continue };
        escape(&mut text, &mount.source);
        text.push(b' ');
        escape(&mut text, &place);
        let kind = mount.filesystem.kind.name();
        let options = options_of(&mount);
        text.extend_from_slice(format!(" {kind} {options} 0 0\n").as_bytes());
    }
    Ok(text)
}

/// `mountinfo`: the same with numbers and parents.
pub fn mount_info_from(root: &Location) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    for mount in mount::all() {
        let Some(place) = place_below(&mount, root) else { continue };
        let parent = mount.place().map_or(mount.id, |place| place.mount.id);
        let device = mount.filesystem.device;
        let head = format!("{} {parent} {}:{} / ", mount.id, device.major, device.minor);
        text.extend_from_slice(head.as_bytes());
        escape(&mut text, &place);
        let kind = mount.filesystem.kind.name();
        let flags = flag_words(mount.flags());
        text.extend_from_slice(format!(" {flags} - {kind} ").as_bytes());
        escape(&mut text, &mount.source);
        let access = if mount.flags() & MS_RDONLY != 0 { "ro" } else { "rw" };
        text.extend_from_slice(format!(" {access}\n").as_bytes());
    }
    Ok(text)
}

fn place_below(mount: &Arc<Mount>, root: &Location) -> Option<Vec<u8>> {
    let path = path_from(&mount.root_location(), root);
    path.reachable.then_some(path.text)
}

fn flag_words(flags: u64) -> String {
    let words = [
        (MS_NOSUID, ",nosuid"),
        (MS_NODEV, ",nodev"),
        (MS_NOEXEC, ",noexec"),
        (MS_NOATIME, ",noatime"),
        (MS_NODIRATIME, ",nodiratime"),
        (MS_RELATIME, ",relatime"),
    ];
    let mut text = String::from(if flags & MS_RDONLY != 0 { "ro" } else { "rw" });
    text.extend(words.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, word)| *word));
    text
}

/// The flags, and the limits that tmpfs shows of itself.
fn options_of(mount: &Mount) -> String {
    let mut text = flag_words(mount.flags());
    let pages = mount.filesystem.budget.limit();
    if matches!(mount.filesystem.kind, FileSystemKind::RootFs | FileSystemKind::DevTmpFs) {
        // Writing to a string does not fail.
        let _ = write!(text, ",size={}k,nr_inodes={pages}", pages * (PAGE_SIZE / 1024));
    }
    text
}

/// Blanks and backslashes as octal numbers: fstab(5).
fn escape(text: &mut Vec<u8>, name: &[u8]) {
    for &byte in name {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => text.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            _ => text.push(byte),
        }
    }
}
