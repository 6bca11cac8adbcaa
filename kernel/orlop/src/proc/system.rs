//! The texts of `/proc` about the whole system: proc(5).

use alloc::format;
use alloc::vec::Vec;

use abi::Errno;
use libkernel::addr::PAGE_SIZE;
use libkernel::sched::load_average::POINT;
use libkernel::text::Text;
use memory::object::pages_in_use;
use sched::accounts::{self, Mode};
use vfs::types;

use crate::process::{current_pid_namespace, for_each_process, made_threads};
use crate::syscall::system as uts;
use crate::time::{SECOND_NS, clock};

/// Nanoseconds of a second, and of a tick as programs count them (`USER_HZ`).
const NS_PER_TICK: u64 = 10_000_000;

/// `cmdline`.
pub fn command_line(text: &mut Text) -> Result<(), Errno> {
    text.put(hal::boot::info().map_or(&b""[..], |info| info.command_line));
    text.put(b"\n");
    Ok(())
}

/// `cpuinfo`.
pub fn cpuinfo(text: &mut Text) -> Result<(), Errno> {
    for number in 0..hal::cpu::count() {
        writeln!(text, "processor\t: {number}");
        // Writing to a text does not fail.
        let _ = hal::cpu::describe(text);
        text.put(b"\n");
    }
    Ok(())
}

/// `filesystems`.
pub fn filesystems(text: &mut Text) -> Result<(), Errno> {
    text.put(&types::listing());
    Ok(())
}

/// `loadavg`.
pub fn loadavg(text: &mut Text) -> Result<(), Errno> {
    let running = sched::runnable_count();
    let mut threads = 0;
    for_each_process(|process| threads += process.thread_count());
    for average in sched::load::averages() {
        let hundredths = ((average * 100) + (1 << (POINT - 1))) >> POINT;
        write!(text, "{}.{:02} ", hundredths / 100, hundredths % 100);
    }
    writeln!(text, "{running}/{threads} {}", current_pid_namespace().last());
    Ok(())
}

/// `lock_stat`, in builds with debug assertions: for each place where locks are made how often they were taken, and how
/// often somebody had to wait. Linux has a file of this name (`CONFIG_LOCK_STAT`), with other columns.
#[cfg(debug_assertions)]
pub fn lock_statistics(text: &mut Text) -> Result<(), Errno> {
    text.put(b"acquisitions contentions class\n");
    for class in hal::sync::order::statistics() {
        writeln!(text, "{} {} {}:{}", class.acquisitions, class.contentions, class.file, class.line);
    }
    Ok(())
}

/// `meminfo`. What is not free and holds no file is in use by programs or the kernel; nothing can be reclaimed.
pub fn meminfo(text: &mut Text) -> Result<(), Errno> {
    let frames = hal::frame::statistics();
    let (total, free, files) = (frames.total as u64, frames.free as u64, pages_in_use());
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
    for (label, pages) in rows {
        writeln!(text, "{label:<16}{:8} kB", pages * (PAGE_SIZE / 1024));
    }
    Ok(())
}

/// The columns of a CPU in `stat`: user, nice, system, idle, steal; the rest is not told apart.
fn cpu_columns(cpu: usize) -> [u64; 5] {
    let busy = |mode| accounts::time_ns(cpu, mode);
    let (idle, stolen) = (sched::idle_ns(cpu), hal::cpu::stolen_ns(cpu));
    [busy(Mode::User), busy(Mode::Nice), busy(Mode::System), idle, stolen].map(|ns| ns / NS_PER_TICK)
}

/// `stat`.
pub fn stat(text: &mut Text) -> Result<(), Errno> {
    let cpus = hal::cpu::count();
    let columns: Vec<_> = (0..cpus).map(cpu_columns).collect();
    let sum = |index: usize| columns.iter().map(|columns| columns[index]).sum::<u64>();
    let mut line = |name: &str, [user, nice, system, idle, stolen]: [u64; 5]| {
        writeln!(text, "{name} {user} {nice} {system} {idle} 0 0 0 {stolen} 0 0");
    };
    line("cpu ", [0, 1, 2, 3, 4].map(sum));
    for (cpu, columns) in columns.iter().enumerate() {
        line(&format!("cpu{cpu}"), *columns);
    }
    let of_all = |count: fn(usize) -> u64| (0..cpus).map(count).sum::<u64>();
    let (interrupts, switches) = (of_all(accounts::interrupts), of_all(accounts::switches));
    let booted = clock::wall_offset_ns() / SECOND_NS;
    let (made, running) = (made_threads(), sched::runnable_count());
    write!(
        text,
        "intr {interrupts}\nctxt {switches}\nbtime {booted}\nprocesses {made}\nprocs_running {running}\nprocs_blocked 0\n"
    );
    Ok(())
}

/// `swaps`: none.
pub fn swaps(text: &mut Text) -> Result<(), Errno> {
    text.put(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    Ok(())
}

/// `uptime`: since boot, and idle.
pub fn uptime(text: &mut Text) -> Result<(), Errno> {
    let uptime_ns = hal::time::now_ns();
    let idle_ns = (0..hal::cpu::count()).map(sched::idle_ns).sum();
    let show = |ns: u64| format!("{}.{:02}", ns / SECOND_NS, ns % SECOND_NS / 10_000_000);
    writeln!(text, "{} {}", show(uptime_ns), show(idle_ns));
    Ok(())
}

/// `version`.
pub fn version(text: &mut Text) -> Result<(), Errno> {
    for part in [b"Linux version ", uts::release(), b" (orlop) ", uts::version(), b"\n"] {
        text.put(part);
    }
    Ok(())
}

/// `interrupts`: how many each CPU has taken; of which kind is not told apart.
pub fn interrupts(text: &mut Text) -> Result<(), Errno> {
    cpu_heads(text, 11);
    text.put(b"INT:");
    (0..hal::cpu::count()).for_each(|cpu| write!(text, " {:10}", accounts::interrupts(cpu)));
    text.put(b"   All interrupts\n");
    Ok(())
}

/// `softirqs`: there are none, what interrupts leave to be done is done by tasks.
pub fn soft_interrupts(text: &mut Text) -> Result<(), Errno> {
    cpu_heads(text, 20);
    let kinds =
        ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];
    for kind in kinds {
        write!(text, "{kind:>12}:");
        (0..hal::cpu::count()).for_each(|_| write!(text, " {:10}", 0));
        text.put(b"\n");
    }
    Ok(())
}

/// The line above a table that has a column for each CPU.
fn cpu_heads(text: &mut Text, margin: usize) {
    write!(text, "{:margin$}", "");
    (0..hal::cpu::count()).for_each(|cpu| write!(text, "CPU{cpu:<8}"));
    text.put(b"\n");
}

/// `cgroups`: no controller.
pub fn control_groups(text: &mut Text) -> Result<(), Errno> {
    text.put(b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    Ok(())
}

/// `execdomains`: programs of one kind.
pub fn execution_domains(text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "0-0\t{:<16}\t[kernel]", "Linux");
    Ok(())
}

/// `diskstats`, `fb`, `misc`, `modules`, `partitions`: there are none.
pub fn nothing(_text: &mut Text) -> Result<(), Errno> {
    Ok(())
}

/// `vmstat`: the counts that are kept; nothing is ever moved to a disk.
pub fn vmstat(text: &mut Text) -> Result<(), Errno> {
    write!(
        text,
        "nr_free_pages {}\nnr_shmem {}\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\n",
        hal::frame::statistics().free,
        pages_in_use()
    );
    Ok(())
}
