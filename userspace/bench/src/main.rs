//! Times system calls, in instructions where the machine counts them.
//!
//! Under QEMU's `-icount shift=0` the cycle counter counts instructions since reset, so the same binary on Orlop and on
//! Linux gives figures that can be compared; `cargo xtask bench` does that. The program is the machine's first process:
//! it notes the counter before anything else, executes itself again without address-space randomisation, makes the
//! device nodes and the tmpfs it needs, prints one line for each operation whose name contains its argument, and
//! switches the machine off. With `--long` it times operations beside many of their kind ([`long`]), with `--sharing`
//! nothing: see [`sharing`].
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod calls;
mod files;
mod long;
mod measure;
mod memory;
mod processes;
mod setup;
mod sharing;
mod signals;
mod threads;
mod vdso;

use abi::Errno;
use libsyscall::system::sysinfo;
use ulib::println;

ulib::entry!(main);

/// How an operation is timed: returns the instructions that one takes.
type Operation = fn() -> Result<u64, Errno>;

/// The rows of the table, in its order.
const OPERATIONS: [(&str, Operation); 20] = [
    ("getppid", calls::getppid),
    ("read 1 byte of /dev/zero", calls::read_zero),
    ("write 1 byte to /dev/null", calls::write_null),
    ("open + close (tmpfs)", files::open_close),
    ("stat (tmpfs)", files::stat),
    ("create + close + unlink (tmpfs)", files::create_unlink),
    ("read 4 KiB (tmpfs)", files::read_page),
    ("write 4 KiB (tmpfs)", files::write_page),
    ("pipe round trip, 2 processes", processes::pipe_round_trip),
    ("sched_yield between 2 processes", processes::yield_between),
    ("futex round trip, 2 threads", threads::futex_round_trip),
    ("fork + exit + wait", processes::fork_wait),
    ("fork + execve + wait, static", processes::fork_exec_wait),
    ("thread create + join (musl / glibc)", threads::create_join),
    ("mmap + touch + munmap", memory::map_touch_unmap),
    ("anonymous page fault", memory::anonymous_fault),
    ("copy-on-write fault", memory::copy_on_write_fault),
    ("mprotect there and back", memory::protect),
    ("sigaction", signals::set_action),
    ("raise + handler + return", signals::raise),
];

/// The last row: it calls no kernel.
const CLOCK: (&str, Operation) = ("clock_gettime (vDSO)", calls::clock);

fn main() -> Result<(), Errno> {
    let start = arch::counter();
    if processes::is_executed_for_its_end() {
        return Ok(());
    }
    let boot = setup::without_randomisation(start)?;
    let words = ulib::args::rest();
    setup::prepare();
    match &words[..] {
        [b"--sharing", rest @ ..] => sharing::run(rest.first().copied().unwrap_or_default())?,
        [b"--long", rest @ ..] => measure_all(boot, long::OPERATIONS, rest),
        words => measure_all(boot, &[&OPERATIONS, &[CLOCK]], words),
    }
    setup::finish();
    Ok(())
}

/// Prints the figures of the rows whose names contain all of `words`.
fn measure_all(boot: u64, rows: &[&[(&str, Operation)]], words: &[&[u8]]) {
    println!("bench begin");
    println!("boot {boot}");
    if let Ok(info) = sysinfo() {
        println!("free_kib {}", info.freeram * u64::from(info.mem_unit) / 1024);
    }
    let wanted = |name: &str| words.iter().all(|word| contains(name.as_bytes(), word));
    for (name, operation) in rows.iter().copied().flatten().filter(|row| wanted(row.0)) {
        match operation() {
            Ok(instructions) => println!("{name} = {instructions}"),
            Err(error) => println!("{name} = failed {error}"),
        }
    }
    println!("bench end");
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    part.is_empty() || name.windows(part.len()).any(|window| window == part)
}
