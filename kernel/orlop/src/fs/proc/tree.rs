//! The fixed names of procfs.

use alloc::sync::Arc;

use abi::Errno;

use super::{mounts, process, sysctl, system, task, terminals};
use crate::fs::dentry::Dentry;
use crate::fs::generated::{Fixed, directory, file, find_fixed, link, list_fixed};
use crate::fs::inode::{GeneratedDirectory, GeneratedEntry};

static ROOT: &[Fixed] = &[
    file("cmdline", system::command_line),
    file("cpuinfo", system::cpuinfo),
    file("consoles", terminals::consoles),
    file("devices", terminals::devices),
    file("filesystems", system::filesystems),
    file("loadavg", system::loadavg),
    file("meminfo", system::meminfo),
    #[cfg(debug_assertions)]
    file("lock_stat", system::lock_statistics),
    link("mounts", mounts::link),
    link("self", task::self_link),
    file("stat", system::stat),
    file("swaps", system::swaps),
    directory("sys", SYS),
    link("thread-self", task::thread_self_link),
    directory("tty", TTY),
    file("uptime", system::uptime),
    file("version", system::version),
    file("vmstat", system::vmstat),
];

static SYS: &[Fixed] = &[directory("fs", FS), directory("kernel", KERNEL), directory("vm", VM)];

static TTY: &[Fixed] = &[file("drivers", terminals::drivers), file("ldiscs", terminals::line_disciplines)];

static FS: &[Fixed] = &[
    file("file-max", sysctl::file_max),
    file("nr_open", sysctl::open_max),
    file("pipe-max-size", sysctl::pipe_max_size),
];

static KERNEL: &[Fixed] = &[
    file("domainname", sysctl::domain_name),
    file("hostname", sysctl::host_name),
    file("ngroups_max", sysctl::groups_max),
    file("osrelease", sysctl::release),
    file("ostype", sysctl::system_name),
    file("pid_max", sysctl::pid_max),
    directory("random", RANDOM),
    file("threads-max", sysctl::threads_max),
    file("version", sysctl::build),
];

static RANDOM: &[Fixed] = &[
    file("boot_id", sysctl::boot_id),
    file("entropy_avail", sysctl::entropy),
    file("poolsize", sysctl::entropy),
    file("uuid", sysctl::uuid),
];

static VM: &[Fixed] =
    &[file("max_map_count", sysctl::max_map_count), file("overcommit_memory", sysctl::overcommit)];

/// The root: fixed names, then processes. A process stands at the position of its number, above all fixed names.
pub struct Root;

/// The inode number of the root.
const ROOT_NUMBER: u64 = 0;

/// The position of process 0, which does not exist.
const FIRST_PROCESS: u64 = 256;

impl GeneratedDirectory for Root {
    fn lookup(&self, directory: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        match task::parse_number(name) {
            Some(pid) => process::find(directory, name, pid),
            None => find_fixed(ROOT, ROOT_NUMBER, directory, name),
        }
    }

    fn list(
        &self,
        position: u64,
        emit: &mut dyn FnMut(u64, GeneratedEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        if position < FIRST_PROCESS && !list_fixed(ROOT, ROOT_NUMBER, position, emit) {
            return Ok(());
        }
        process::list(position.saturating_sub(FIRST_PROCESS), &mut |next, shown| {
            emit(FIRST_PROCESS + next, shown)
        });
        Ok(())
    }
}
