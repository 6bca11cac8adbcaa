//! Tests of the runtime itself: start, arguments, heap, threads, thread-locals, processes, panics.
//!
//! Runs on Linux (AArch64's under `qemu-aarch64`) and on Orlop. Prints `N passed, N failed`; exit code 0 if none
//! failed.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use ulib::libsyscall::{file, process as calls};
use ulib::process::Command;
use ulib::thread::ThreadLocal;
use ulib::{Errno, args, env, eprintln, fs, io, println, process, sync::Mutex, thread, time};

ulib::entry!(main);

type Test = (&'static str, fn() -> bool);

/// A table of addresses: wrong unless the image has relocated itself.
static TESTS: &[Test] = &[
    ("arguments", arguments),
    ("environment", environment),
    ("heap_small_and_large", heap_small_and_large),
    ("relocated_vtable", relocated_vtable),
    ("stack_is_aligned", stack_is_aligned),
    ("two_threads_see_two_values", two_threads_see_two_values),
    ("thread_locals_are_dropped", thread_locals_are_dropped),
    ("threads_share_a_lock", threads_share_a_lock),
    ("many_threads_in_turn", many_threads_in_turn),
    ("fork_copies", fork_copies),
    ("files", files),
    ("clocks", clocks),
];

/// Tests that execute programs, which `qemu-aarch64` cannot pass on: `selftest emulated` leaves them out.
static PROGRAM_TESTS: &[Test] = &[
    ("environment_is_passed_on", environment_is_passed_on),
    ("spawn_and_status", spawn_and_status),
    ("spawn_reports_errors", spawn_reports_errors),
    ("panic_says_where_and_exits_101", panic_says_where_and_exits_101),
    ("output_that_fails_is_a_failure", output_that_fails_is_a_failure),
];

fn main() -> u8 {
    let arguments = args::rest();
    match arguments.first() {
        Some(&b"exit") => return arguments.get(1).and_then(|status| parse(status)).unwrap_or(255),
        Some(&b"check-environment") => {
            return u8::from(env::vars().count() != 1 || env::var(b"SELFTEST") != Some(b"a=b"));
        }
        Some(&b"panic") => panic!("as asked"),
        Some(&b"print") => {
            println!("{}", String::from_utf8_lossy(arguments.get(1).unwrap_or(&&b""[..])));
            return 0;
        }
        _ => {}
    }
    let emulated = arguments.first() == Some(&&b"emulated"[..]);
    let program_tests = if emulated { &[] } else { PROGRAM_TESTS };
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS.iter().chain(program_tests) {
        if test() {
            passed += 1;
        } else {
            eprintln!("{name} failed");
            failed += 1;
        }
    }
    println!("{passed} passed, {failed} failed");
    u8::from(failed != 0)
}

fn parse(text: &[u8]) -> Option<u8> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// This program with an argument.
fn again(arguments: &[&[u8]]) -> Result<Command, Errno> {
    let own_path = args::args().next().map_or(&b""[..], |path| path.to_bytes());
    Command::new(own_path)?.args(arguments.iter().copied())
}

fn arguments() -> bool {
    args::args().count() >= 1 && args::program_name().starts_with(b"selftest")
}

fn environment() -> bool {
    env::vars().all(|variable| variable.to_bytes().contains(&b'=')) && env::var(b"NO_SUCH_VARIABLE").is_none()
}

/// The child finds one variable, whose value has an equals sign in it.
fn environment_is_passed_on() -> bool {
    let variable = ulib::c_string(*b"SELFTEST=a=b");
    let command =
        variable.and_then(|variable| Ok(again(&[b"check-environment"])?.environment(vec![variable])));
    let status = command.and_then(|command| command.spawn()).and_then(process::Child::wait);
    status.map(|status| status.exit_code()) == Ok(Some(0))
}

fn heap_small_and_large() -> bool {
    let mut map = BTreeMap::new();
    for key in 0..1000u32 {
        map.insert(key, vec![key as u8; key as usize]);
    }
    map.retain(|key, _| key % 3 == 0);
    let large = vec![7u8; 8 << 20];
    map.iter().all(|(&key, value)| value.len() == key as usize && value.iter().all(|&byte| byte == key as u8))
        && large.iter().all(|&byte| byte == 7)
}

fn relocated_vtable() -> bool {
    let parts: [&dyn core::fmt::Display; 3] = [&1u8, &"two", &'3'];
    parts.iter().map(|part| alloc::format!("{part}")).collect::<Vec<_>>().concat() == "1two3"
}

fn stack_is_aligned() -> bool {
    let on_main = core::hint::black_box(&0u128);
    let on_thread =
        thread::spawn(|| core::ptr::from_ref(core::hint::black_box(&0u128)).addr() % 16).map(|t| t.join());
    core::ptr::from_ref(on_main).addr().is_multiple_of(16) && on_thread == Ok(0)
}

static VALUE: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(1));

fn two_threads_see_two_values() -> bool {
    VALUE.with(|value| value.set(10));
    let other = thread::spawn(|| {
        let first = VALUE.with(Cell::get);
        VALUE.with(|value| value.set(20));
        (first, VALUE.with(Cell::get), thread::id())
    });
    let Ok(other) = other else { return false };
    let (first, second, id) = other.join();
    first == 1 && second == 20 && VALUE.with(Cell::get) == 10 && id != thread::id()
}

static DROPPED: AtomicU32 = AtomicU32::new(0);

/// Counts its own end.
struct CountsDrops;

impl Drop for CountsDrops {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

static COUNTED: ThreadLocal<CountsDrops> = ThreadLocal::new(|| CountsDrops);

fn thread_locals_are_dropped() -> bool {
    thread::spawn(|| COUNTED.with(|_| ())).map(|thread| thread.join()).is_ok()
        && DROPPED.load(Ordering::Relaxed) == 1
}

static TOTAL: Mutex<u64> = Mutex::new(0);

fn threads_share_a_lock() -> bool {
    let threads: Vec<_> = (0..8)
        .filter_map(|_| {
            thread::spawn(|| {
                for _ in 0..1000 {
                    *TOTAL.lock() += 1;
                }
            })
            .ok()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join());
    *TOTAL.lock() == 8000
}

fn many_threads_in_turn() -> bool {
    (0..200u32).all(|number| thread::spawn(move || number * 2).map(|thread| thread.join()) == Ok(number * 2))
}

fn spawn_and_status() -> bool {
    [0u8, 1, 42, 127, 128, 255].iter().all(|&status| {
        let text = alloc::format!("{status}");
        let child = again(&[b"exit", text.as_bytes()]).and_then(|command| command.spawn());
        child.and_then(process::Child::wait).map(|end| end.exit_code()) == Ok(Some(status))
    })
}

fn spawn_reports_errors() -> bool {
    let spawn = |name: &[u8]| Command::new(name).and_then(|command| command.spawn()).map(|child| child.id());
    spawn(b"/no/such/program") == Err(Errno::ENOENT) && spawn(b"/") == Err(Errno::EACCES)
}

/// Output on both descriptors, and status, of this program with arguments.
fn capture(arguments: &[&[u8]]) -> Result<(Vec<u8>, u8), Errno> {
    let (read_end, write_end) = file::pipe2(abi::fs::O_CLOEXEC)?;
    let child = again(arguments)?.redirect(write_end, io::STDOUT).redirect(write_end, io::STDERR).spawn();
    file::close(write_end)?;
    let output = io::read_to_end(read_end);
    file::close(read_end)?;
    Ok((output?, child?.wait()?.shell_status()))
}

fn panic_says_where_and_exits_101() -> bool {
    let Ok((output, status)) = capture(&[b"panic"]) else { return false };
    let text = String::from_utf8_lossy(&output);
    status == 101 && text.contains("selftest.rs:") && text.contains("as asked")
}

fn output_that_fails_is_a_failure() -> bool {
    let Ok(full) = fs::File::open(b"/dev/full", abi::fs::O_WRONLY, 0) else { return false };
    let command = again(&[b"print", b"lost"]).map(|command| command.redirect(full.fd(), io::STDOUT));
    let command = command.map(|command| command.redirect(full.fd(), io::STDERR));
    let status = command.and_then(|command| command.spawn()).and_then(process::Child::wait);
    status.map(|status| status.exit_code()) == Ok(Some(1))
}

fn fork_copies() -> bool {
    let number = Cell::new(1);
    let Ok(other) = thread::spawn(|| ()) else { return false };
    let refusal = process::fork().err();
    other.join();
    if refusal != Some(Errno::EBUSY) {
        return false;
    }
    match process::fork() {
        Ok(None) => {
            number.set(2);
            calls::exit_group(number.get())
        }
        Ok(Some(child)) => child.wait().map(|end| end.exit_code()) == Ok(Some(2)) && number.get() == 1,
        Err(_) => false,
    }
}

fn files() -> bool {
    let path = alloc::format!("/tmp/selftest-{}", process::id());
    let path = path.as_bytes();
    let written = fs::write(path, b"one\ntwo").is_ok() && fs::read(path).as_deref() == Ok(&b"one\ntwo"[..]);
    let listed = fs::read_dir(b"/tmp").is_ok_and(|all| all.iter().any(|entry| path.ends_with(&entry.name)));
    let lines = fs::File::open(path, abi::fs::O_RDONLY, 0).is_ok_and(|file| {
        let mut lines = io::Lines::new(file.fd());
        lines.next_line() == Ok(Some(b"one\n".to_vec()))
            && lines.next_line() == Ok(Some(b"two".to_vec()))
            && lines.next_line() == Ok(None)
    });
    let removed = ulib::c_string(path).and_then(|path| file::unlinkat(abi::fs::AT_FDCWD, &path, 0)).is_ok();
    written && listed && lines && removed && fs::read(path) == Err(Errno::ENOENT)
}

fn clocks() -> bool {
    let before = time::monotonic();
    time::sleep(Duration::from_millis(10));
    time::monotonic() - before >= Duration::from_millis(10) && time::since_epoch() > Duration::ZERO
}
