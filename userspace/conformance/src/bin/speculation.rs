//! What a program learns of speculation, and gives up of it: `/sys/devices/system/cpu/vulnerabilities`, `prctl`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::S_IFREG;
use abi::native::nr;
use abi::process::*;
use alloc::format;
use alloc::string::String;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use core::sync::atomic::{AtomicU64, Ordering};
use libsyscall::process::execve;

conformance::tests!(
    &[
        ("weaknesses_are_described", weaknesses_are_described),
        ("questions_are_checked", questions_are_checked),
        ("words_and_answers_agree", words_and_answers_agree),
        ("only_what_helps_can_be_asked_for", only_what_helps_can_be_asked_for),
        ("limits_are_inherited", limits_are_inherited),
        ("limits_are_each_threads_own", limits_are_each_threads_own),
        ("forced_limits_stay", forced_limits_stay),
        ("limits_outlive_execve_unless_asked_otherwise", limits_outlive_execve_unless_asked_otherwise),
        ("branches_are_answered_for", branches_are_answered_for),
    ],
    &[("tells_store_bypass", tells_store_bypass)]
);

/// The two architectures answer differently where nothing can be limited.
const IS_X86: bool = abi::native::HAS_TSC;

const NAMES: [&str; 17] = [
    "gather_data_sampling",
    "indirect_target_selection",
    "itlb_multihit",
    "l1tf",
    "mds",
    "meltdown",
    "mmio_stale_data",
    "reg_file_data_sampling",
    "retbleed",
    "spec_rstack_overflow",
    "spec_store_bypass",
    "spectre_v1",
    "spectre_v2",
    "srbds",
    "tsa",
    "tsx_async_abort",
    "vmscape",
];

fn words(name: &str) -> Result<String, Failure> {
    files::mount_sys()?;
    let path = ulib::c_string(format!("/sys/devices/system/cpu/vulnerabilities/{name}"))?;
    check_eq!(files::mode_of(&path)?, S_IFREG | 0o444);
    Ok(String::from_utf8_lossy(&files::content(&path)?).into_owned())
}

fn weaknesses_are_described() -> Outcome {
    for name in NAMES {
        let words = words(name)?;
        let begins = ["Not affected\n", "Vulnerable", "Mitigation: ", "Unknown: ", "KVM: "];
        check!(begins.iter().any(|start| words.starts_with(start)), "{name}: {words}");
        check!(words.ends_with('\n') && words.matches('\n').count() == 1, "{name}: {words}");
    }
    // Every CPU does it, and every kernel says more or less of it.
    check!(!words("spectre_v1")?.starts_with("Not"));
    Ok(())
}

fn get(which: u64) -> Result<u64, Errno> {
    raw::call(nr::prctl, &[PR_GET_SPECULATION_CTRL.into(), which, 0, 0, 0])
}

fn set(which: u64, control: u64) -> Result<u64, Errno> {
    raw::call(nr::prctl, &[PR_SET_SPECULATION_CTRL.into(), which, control, 0, 0])
}

const BYPASS: u64 = PR_SPEC_STORE_BYPASS;

/// Whether a thread can ask for anything on this CPU.
fn can_limit() -> Result<bool, Errno> {
    Ok(get(BYPASS)? & PR_SPEC_PRCTL != 0)
}

fn questions_are_checked() -> Outcome {
    for which in [3, 4, 99, u64::MAX] {
        check_eq!(get(which), Err(Errno::ENODEV));
        check_eq!(set(which, PR_SPEC_ENABLE), Err(Errno::ENODEV));
    }
    for rest in [[1, 0, 0], [0, 1, 0], [0, 0, 1]] {
        let arguments = [&[PR_GET_SPECULATION_CTRL.into(), BYPASS][..], &rest].concat();
        check_eq!(raw::call(nr::prctl, &arguments), Err(Errno::EINVAL));
    }
    for rest in [[1, 0], [0, 1]] {
        let arguments = [&[PR_SET_SPECULATION_CTRL.into(), BYPASS, PR_SPEC_ENABLE][..], &rest].concat();
        check_eq!(raw::call(nr::prctl, &arguments), Err(Errno::EINVAL));
    }
    Ok(())
}

fn words_and_answers_agree() -> Outcome {
    let (words, answer) = (words("spec_store_bypass")?, get(BYPASS)?);
    let expected = match words.as_str() {
        "Not affected\n" => PR_SPEC_NOT_AFFECTED,
        "Mitigation: Speculative Store Bypass disabled via prctl\n" => PR_SPEC_PRCTL | PR_SPEC_ENABLE,
        _ => PR_SPEC_ENABLE,
    };
    check_eq!(answer, expected);
    Ok(())
}

fn only_what_helps_can_be_asked_for() -> Outcome {
    let odd = [0, 1, 3, 5, 32, u64::MAX];
    if IS_X86 && !can_limit()? {
        for control in [PR_SPEC_ENABLE, PR_SPEC_DISABLE, PR_SPEC_FORCE_DISABLE].into_iter().chain(odd) {
            check_eq!(set(BYPASS, control), Err(Errno::ENXIO));
        }
        return Ok(());
    }
    for control in odd {
        check_eq!(set(BYPASS, control), Err(Errno::ERANGE));
    }
    check_eq!(set(BYPASS, PR_SPEC_ENABLE), Ok(0));
    Ok(())
}

fn limits_are_inherited() -> Outcome {
    if !can_limit()? {
        return Ok(());
    }
    check_eq!(set(BYPASS, PR_SPEC_DISABLE), Ok(0));
    check_eq!(get(BYPASS), Ok(PR_SPEC_PRCTL | PR_SPEC_DISABLE));
    check!(child::succeeds(|| {
        check_eq!(get(BYPASS), Ok(PR_SPEC_PRCTL | PR_SPEC_DISABLE));
        check_eq!(set(BYPASS, PR_SPEC_ENABLE), Ok(0));
        Ok(())
    })?);
    check_eq!(get(BYPASS), Ok(PR_SPEC_PRCTL | PR_SPEC_DISABLE));
    check_eq!(set(BYPASS, PR_SPEC_ENABLE), Ok(0));
    check_eq!(get(BYPASS), Ok(PR_SPEC_PRCTL | PR_SPEC_ENABLE));
    Ok(())
}

fn limits_are_each_threads_own() -> Outcome {
    if !can_limit()? {
        return Ok(());
    }
    static SEEN: AtomicU64 = AtomicU64::new(0);
    check_eq!(set(BYPASS, PR_SPEC_DISABLE), Ok(0));
    let thread = ulib::thread::spawn(|| {
        SEEN.store(get(BYPASS).unwrap_or(0), Ordering::Relaxed);
        let _ = set(BYPASS, PR_SPEC_ENABLE);
    })?;
    thread.join();
    check_eq!(SEEN.load(Ordering::Relaxed), PR_SPEC_PRCTL | PR_SPEC_DISABLE);
    check_eq!(get(BYPASS), Ok(PR_SPEC_PRCTL | PR_SPEC_DISABLE));
    Ok(())
}

fn forced_limits_stay() -> Outcome {
    if !can_limit()? {
        return Ok(());
    }
    check_eq!(set(BYPASS, PR_SPEC_FORCE_DISABLE), Ok(0));
    check_eq!(get(BYPASS), Ok(PR_SPEC_PRCTL | PR_SPEC_FORCE_DISABLE));
    check_eq!(set(BYPASS, PR_SPEC_ENABLE), Err(Errno::EPERM));
    check_eq!(set(BYPASS, PR_SPEC_DISABLE_NOEXEC), Err(Errno::EPERM));
    check_eq!(set(BYPASS, PR_SPEC_DISABLE), Ok(0));
    check_eq!(get(BYPASS), Ok(PR_SPEC_PRCTL | PR_SPEC_FORCE_DISABLE));
    Ok(())
}

/// What the program after `execve` finds.
fn after_execve(control: u64) -> Result<WaitStatus, Failure> {
    child::run(|| {
        if set(BYPASS, control).is_err() {
            return 1;
        }
        let program = ulib::args::args().next().unwrap_or_default();
        let arguments =
            [program.as_ptr(), c"--helper".as_ptr(), c"tells_store_bypass".as_ptr(), core::ptr::null()];
        // SAFETY: NUL-terminated strings, and a null pointer after them.
        i32::from(unsafe { execve(program, arguments.as_ptr(), arguments[3..].as_ptr().cast()) }.number())
    })
}

fn tells_store_bypass(_arguments: &[&[u8]]) -> i32 {
    get(BYPASS).map_or(-1, |answer| answer as i32)
}

fn limits_outlive_execve_unless_asked_otherwise() -> Outcome {
    if !can_limit()? {
        return Ok(());
    }
    check_eq!(after_execve(PR_SPEC_DISABLE)?, WaitStatus::exited((PR_SPEC_PRCTL | PR_SPEC_DISABLE) as i32));
    check_eq!(
        after_execve(PR_SPEC_DISABLE_NOEXEC)?,
        WaitStatus::exited((PR_SPEC_PRCTL | PR_SPEC_ENABLE) as i32)
    );
    check_eq!(
        after_execve(PR_SPEC_FORCE_DISABLE)?,
        WaitStatus::exited((PR_SPEC_PRCTL | PR_SPEC_FORCE_DISABLE) as i32)
    );
    Ok(())
}

fn branches_are_answered_for() -> Outcome {
    if !IS_X86 {
        for which in [PR_SPEC_INDIRECT_BRANCH, PR_SPEC_L1D_FLUSH] {
            check_eq!(get(which), Err(Errno::ENODEV));
            check_eq!(set(which, PR_SPEC_ENABLE), Err(Errno::ENODEV));
        }
        return Ok(());
    }
    check_eq!(get(PR_SPEC_L1D_FLUSH), Ok(PR_SPEC_FORCE_DISABLE));
    check_eq!(set(PR_SPEC_L1D_FLUSH, PR_SPEC_ENABLE), Err(Errno::EPERM));
    for control in [0, 1, PR_SPEC_DISABLE_NOEXEC, 32] {
        check_eq!(set(PR_SPEC_INDIRECT_BRANCH, control), Err(Errno::ERANGE));
    }
    check_eq!(set(PR_SPEC_INDIRECT_BRANCH, PR_SPEC_ENABLE), Ok(0));
    if get(PR_SPEC_INDIRECT_BRANCH)? == PR_SPEC_ENABLE {
        check_eq!(set(PR_SPEC_INDIRECT_BRANCH, PR_SPEC_DISABLE), Err(Errno::EPERM));
        check_eq!(set(PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE), Err(Errno::EPERM));
    }
    Ok(())
}
