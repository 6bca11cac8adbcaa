//! Operations on different objects, by all CPUs at once: what do they still share?
//!
//! A worker for each CPU, bound to it, does the same operation many times on objects of its own. Nothing is timed:
//! between two marks, stores to a page at a fixed address, the observer of `cargo xtask sharing` records the kernel's
//! stores, and the kernel's own statistics of locks are read before and after, where it has them.
//!
//! Prints `operation NAME = TIMES WORKERS ACQUISITIONS CONTENTIONS` for each row whose name contains the argument.

mod gate;
mod locks;
mod rows;

use abi::Errno;
use alloc::boxed::Box;
use alloc::vec::Vec;
use libsyscall::process::{exit_group, fork, wait4};
use libsyscall::thread::{allowed_cpus, set_allowed_cpus};
use ulib::println;

use gate::Gate;
use locks::Locks;

/// An operation with the objects of one worker; is told how often it has been done.
type Work = Box<dyn FnMut(usize) -> Result<(), Errno>>;

/// Who does the work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Workers {
    /// Processes of one thread.
    Processes,
    /// Threads of one process.
    Threads,
}

/// A row of the table.
struct Row {
    name: &'static str,
    workers: Workers,
    /// Makes the objects of the worker with this number.
    prepare: fn(usize) -> Result<Work, Errno>,
}

/// How often each worker does its operation before the first mark, and between the marks.
const WARM_UP: usize = 500;
const TIMES: usize = 2000;

/// Runs the rows whose names contain `filter`.
pub fn run(filter: &[u8]) -> Result<(), Errno> {
    let allowed = allowed_cpus()?;
    let cpus: Vec<usize> = (0..64).filter(|cpu| allowed & 1 << cpu != 0).collect();
    println!("sharing begin");
    for row in rows::ROWS.iter().filter(|row| crate::contains(row.name.as_bytes(), filter)) {
        let gate = Gate::new(cpus.len())?;
        match row.workers {
            Workers::Processes => run_processes(row, gate, &cpus)?,
            Workers::Threads => run_threads(row, gate, &cpus)?,
        }
        if let Some(error) = gate.failure() {
            println!("operation {} = failed {error}", row.name);
        }
    }
    println!("sharing end");
    Ok(())
}

fn run_processes(row: &'static Row, gate: Gate, cpus: &[usize]) -> Result<(), Errno> {
    let mut children = Vec::new();
    for (number, &cpu) in cpus.iter().enumerate() {
        // SAFETY: no other thread runs now.
        let pid = unsafe { fork() }?;
        if pid == 0 {
            work(row, gate, number, cpu);
            let _ = ulib::io::stdout().finish();
            exit_group(0);
        }
        children.push(pid);
    }
    children.into_iter().try_for_each(|pid| wait4(pid, 0).map(drop))
}

fn run_threads(row: &'static Row, gate: Gate, cpus: &[usize]) -> Result<(), Errno> {
    let mut threads = Vec::new();
    for (number, &cpu) in cpus.iter().enumerate() {
        threads.push(ulib::thread::spawn(move || work(row, gate, number, cpu))?);
    }
    threads.into_iter().for_each(|thread| thread.join());
    Ok(())
}

/// The life of a worker. The first one makes the marks and prints the row.
fn work(row: &Row, gate: Gate, number: usize, cpu: usize) {
    if let Err(error) = try_work(row, gate, number, cpu) {
        gate.fail(error);
    }
}

fn try_work(row: &Row, gate: Gate, number: usize, cpu: usize) -> Result<(), Errno> {
    set_allowed_cpus(1 << cpu)?;
    let mut operation = (row.prepare)(number)?;
    (0..WARM_UP).try_for_each(&mut operation)?;
    let is_first = number == 0;
    gate.meet()?;
    let before = is_first.then(Locks::read);
    gate.start(is_first)?;
    (WARM_UP..WARM_UP + TIMES).try_for_each(&mut operation)?;
    gate.end(is_first)?;
    if let Some(before) = before {
        let Locks { acquisitions, contentions } = Locks::read().since(before);
        let workers = gate.workers();
        println!("operation {} = {TIMES} {workers} {acquisitions} {contentions}", row.name);
    }
    // Nobody ends before the row is read.
    gate.meet()
}
