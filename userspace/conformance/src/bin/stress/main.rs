//! Races that a kernel of many CPUs has to win.
//!
//! Each program below is repeated in rounds. A round is a process of its own with a few threads or children, does the
//! same calls whenever it has the same number, and checks what may not depend on who was faster. Nothing looks at the
//! clock to judge: a lost wake-up is a round without end, for who runs this program to notice.
//!
//! Without arguments all programs run for a few rounds, as tests do. `stress NAME --rounds N` or `--seconds S` runs one
//! for longer, with `--threads N` instead of as many as there are CPUs; `stress --list` names them all.
#![no_std]
#![no_main]

extern crate alloc;

mod affinity;
mod clocks;
mod copies;
mod copy_on_write;
mod endings;
mod executions;
mod files;
mod futexes;
mod lending;
mod mappings;
mod noise;
mod pipes;
mod polling;
mod priorities;
mod processes;
mod requeues;
mod round;
mod shootdown;
mod signals;
mod teams;
mod threads;
mod timers;

use conformance::harness::Helper;
use conformance::{Outcome, Test};
use round::{Plan, Program};

/// Names the programs: as tests with their few rounds, and for runs of their own.
///
/// `programs! { 3 fork_bomb: processes::fork_bomb; }` becomes
/// `const TESTS: &[Test] = &[("fork_bomb", || Plan::short(3).run(processes::fork_bomb))];` and
/// `const PROGRAMS: &[(&str, Program)] = &[("fork_bomb", processes::fork_bomb)];`.
macro_rules! programs {
    ($($rounds:literal $name:ident: $round:path;)*) => {
        const TESTS: &[Test] = &[$((stringify!($name), || -> Outcome { Plan::short($rounds).run($round) })),*];
        const PROGRAMS: &[(&str, Program)] = &[$((stringify!($name), $round)),*];
    };
}

programs! {
    2 fork_bomb: processes::fork_bomb;
    3 orphans: processes::orphans;
    3 waiting_siblings: processes::waiting_siblings;
    2 own_mappings: mappings::own;
    1 shootdown: shootdown::handed_around;
    2 parallel_faults: mappings::parallel_faults;
    1 copy_on_write: copy_on_write::fork_while_writing;
    2 first_writes: copy_on_write::first_writes;
    2 mapped_files: copies::mapped_files;
    1 whole_records: copies::whole_records;
    2 holes: copies::holes;
    2 standard_signals: signals::standard;
    2 queued_signals: signals::queued;
    2 signals_between_processes: signals::between_processes;
    2 pipe_records: pipes::records;
    2 pipe_streams: pipes::streams;
    3 futex_lock: futexes::lock;
    3 futex_turns: futexes::turns;
    3 futex_accounts: futexes::accounts;
    3 futex_requeue: requeues::broadcast;
    1 exec_among_threads: executions::among_threads;
    3 exec_twice: executions::twice;
    1 exit_among_threads: endings::exit_among_threads;
    2 death_among_threads: endings::death_among_threads;
    3 first_thread_ends_first: endings::first_thread_ends_first;
    3 thread_creation: threads::creation;
    3 thread_trees: threads::trees;
    3 affinity_churn: affinity::churn;
    3 priority_churn: priorities::churn;
    2 event_counters: polling::event_counters;
    2 changing_interest: polling::changing_interest;
    2 one_directory: files::one_directory;
    2 renames: files::renames;
    2 sleepers: timers::sleepers;
    2 interval_timers: timers::interval_timers;
    1 yields: timers::yields;
    1 processor_clocks: clocks::processor_clocks;
    3 lent_priorities: lending::priorities;
    3 locks_of_the_dead: lending::deaths;
    3 futex_noise: noise::futex_noise;
}

const HELPERS: &[Helper] = &[("end", executions::end)];

fn main() -> u8 {
    let arguments = ulib::args::rest();
    match &arguments[..] {
        [b"--list"] => {
            PROGRAMS.iter().for_each(|(name, _)| ulib::println!("{name}"));
            0
        }
        [name, options @ ..] if !options.is_empty() && *name != b"--helper" => run_one(name, options),
        _ => conformance::main(TESTS, HELPERS),
    }
}

/// Runs the program `name` by itself; the status to end with.
fn run_one(name: &[u8], options: &[&[u8]]) -> u8 {
    let Some((name, program)) = PROGRAMS.iter().find(|(other, _)| other.as_bytes() == name) else {
        ulib::eprintln!("stress: no such program; --list names them");
        return 2;
    };
    let Some(plan) = Plan::parse(options) else {
        ulib::eprintln!("usage: stress NAME [--threads N] --rounds N | --seconds S");
        return 2;
    };
    match plan.repeat(*program) {
        Ok(rounds) => {
            ulib::println!("{name}: {rounds} rounds");
            0
        }
        Err(failure) => {
            ulib::println!("{name}: {failure}");
            1
        }
    }
}

ulib::entry!(main);
