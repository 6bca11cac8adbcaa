//! The kernel's files as the models need them: on `loom`'s atomics, which no constant expression can make.
use std::path::Path;
use std::{env, fs};

/// The files, from the folder above this package's.
const FILES: [&str; 14] = [
    "hal/src/sync/gate.rs",
    "hal/src/sync/irq.rs",
    "hal/src/sync/once.rs",
    "hal/src/sync/reader_counts.rs",
    "hal/src/sync/spin.rs",
    "hal/src/sync/spin_rw.rs",
    "hal/src/sync/try_lock.rs",
    "hal/src/sync/try_rw_lock.rs",
    "sched/src/lock_queue.rs",
    "sched/src/mutex.rs",
    "sched/src/rwlock.rs",
    "sched/src/turns.rs",
    "sched/src/wait.rs",
    "sched/src/waiters.rs",
];

/// What is said differently. A text that no file has any more ends the build: the models would fall behind.
const CHANGES: [(&str, &str); 9] = [
    ("pub const fn new(", "pub fn new("),
    ("pub const fn filled(", "pub fn filled("),
    ("pub(super) const fn new(", "pub(super) fn new("),
    ("const fn for_turns(", "fn for_turns("),
    ("core::sync::atomic::", "crate::machine::atomic::"),
    // `loom` lets a `swap` read an old value and still be the last to write; a failed exchange writes nothing.
    (
        "locked.swap(true, Ordering::Acquire)",
        "locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err()",
    ),
    // `loom` takes sequentially consistent accesses for acquire and release. Fences it knows.
    ("if is_flag_up() {", "crate::machine::atomic::fence(Ordering::SeqCst);\nif is_flag_up() {"),
    ("let is_any = |count", "crate::machine::atomic::fence(Ordering::SeqCst);\nlet is_any = |count"),
    ("*self.state.get_mut()", "self.state.with_mut(|state| *state)"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let mut used = [false; CHANGES.len()];
    for file in FILES {
        let path = Path::new("..").join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // An included file has no documentation of its own.
        let mut text: String =
            text.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect();
        for ((from, to), used) in CHANGES.iter().zip(&mut used) {
            *used |= text.contains(from);
            text = text.replace(from, to);
        }
        let name = path.file_name().expect("a file");
        fs::write(Path::new(&out).join(name), text).expect("the output folder is writable");
    }
    assert!(used.iter().all(|&used| used), "a change of CHANGES has nothing to change");
}
