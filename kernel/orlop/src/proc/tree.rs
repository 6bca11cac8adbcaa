//! The fixed names of procfs.

use alloc::sync::Arc;

use abi::Errno;
use vfs::directory::{DirectoryOperations, Emit, Exposure};
use vfs::generated::{Class, Fixed, directory, file, find_fixed, link, list_fixed, opened};
use vfs::inode::Inode;

use super::view::View;
use super::{kernel, locks, mounts, process, sysctl, system, task, terminals};
use crate::process::current_pid_namespace;

static ROOT: &[Fixed] = &[
    file("cgroups", system::control_groups),
    file("cmdline", system::command_line),
    file("cpuinfo", system::cpuinfo),
    file("consoles", terminals::consoles),
    file("devices", terminals::devices),
    file("diskstats", system::nothing),
    file("execdomains", system::execution_domains),
    file("fb", system::nothing),
    file("filesystems", system::filesystems),
    file("interrupts", system::interrupts),
    opened("kallsyms", 0o444, kernel::open_symbols),
    opened("kmsg", 0o400, kernel::open_log),
    file("loadavg", system::loadavg),
    opened("locks", 0o444, || locks::open(current_pid_namespace())),
    file("meminfo", system::meminfo),
    #[cfg(debug_assertions)]
    file("lock_stat", system::lock_statistics),
    file("misc", system::nothing),
    file("modules", system::nothing),
    link("mounts", mounts::link),
    file("partitions", system::nothing),
    link("self", task::self_link),
    file("softirqs", system::soft_interrupts),
    file("stat", system::stat),
    file("swaps", system::swaps),
    directory("sys", sysctl::SYS),
    link("thread-self", task::thread_self_link),
    directory("tty", TTY),
    opened("sysrq-trigger", 0o200, kernel::open_trigger),
    file("uptime", system::uptime),
    file("version", system::version),
    file("vmstat", system::vmstat),
];

static TTY: &[Fixed] = &[file("drivers", terminals::drivers), file("ldiscs", terminals::line_disciplines)];

/// The root: fixed names, then processes. A process stands at the position of its number, above all fixed names.
pub struct Root {
    pub view: Arc<View>,
}

/// The links to the one who asks, which are there where nothing but processes is.
static ONLY_PROCESSES: &[Fixed] =
    &[link("self", task::self_link), link("thread-self", task::thread_self_link)];

impl Root {
    fn names(&self) -> &'static [Fixed] {
        if self.view.has_only_processes() { ONLY_PROCESSES } else { ROOT }
    }
}

/// The inode number of the root.
const ROOT_NUMBER: u64 = 0;

/// The position of process 0, which does not exist.
const FIRST_PROCESS: u64 = 256;

impl Exposure for Root {}

impl DirectoryOperations for Root {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        match task::parse_number(name) {
            Some(pid) => process::find(&self.view, directory, pid),
            None => find_fixed(self.names(), ROOT_NUMBER, Class::System, directory, name),
        }
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        if position < FIRST_PROCESS && !list_fixed(self.names(), ROOT_NUMBER, position, emit) {
            return Ok(());
        }
        process::list(&self.view, position.saturating_sub(FIRST_PROCESS), &mut |next, shown| {
            emit(FIRST_PROCESS + next, shown)
        });
        Ok(())
    }
}
