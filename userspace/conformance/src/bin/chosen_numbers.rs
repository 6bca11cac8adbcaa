//! Children with numbers of their maker's choice (`clone3`, `set_tid`), and with its I/O context (`CLONE_IO`).
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::process::*;
use abi::resource::*;
use abi::signal::SIGCHLD;
use alloc::string::String;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use libsyscall::file::{pipe2, read, write};
use libsyscall::process::{exit_group, getpid};

conformance::tests!(&[
    ("a_number_is_had", a_number_is_had),
    ("numbers_that_cannot_be_had", numbers_that_cannot_be_had),
    ("lists_of_numbers", lists_of_numbers),
    ("who_may_choose", who_may_choose),
    ("an_io_context_is_shared", an_io_context_is_shared),
    ("what_is_not_there_is_not_shared", what_is_not_there_is_not_shared),
]);

fn try_clone3(arguments: CloneArgs) -> Result<i32, Errno> {
    let pid = raw::call(nr::clone3, &[(&raw const arguments) as u64, size_of::<CloneArgs>() as u64])?;
    if pid == 0 {
        exit_group(getpid() & 0x7f);
    }
    Ok(pid as i32)
}

/// Arguments that choose these numbers.
fn choosing(numbers: &[i32]) -> CloneArgs {
    let set_tid = numbers.as_ptr() as u64;
    CloneArgs {
        exit_signal: SIGCHLD.into(),
        set_tid,
        set_tid_size: numbers.len() as u64,
        ..CloneArgs::default()
    }
}

fn clone_as(number: i32) -> Result<i32, Errno> {
    let numbers = core::hint::black_box([number]);
    try_clone3(choosing(&numbers))
}

fn pid_max() -> Result<i32, Failure> {
    let text = files::content(c"/proc/sys/kernel/pid_max")?;
    String::from_utf8_lossy(&text).trim().parse().map_err(|_| Failure::new("pid_max is no number"))
}

/// A number that nobody has, high up.
fn free_number() -> Result<i32, Failure> {
    for number in (pid_max()? / 2..pid_max()?).rev() {
        if raw::call(nr::kill, &[number as u64, 0]) == Err(Errno::ESRCH) {
            return Ok(number);
        }
    }
    Err(Failure::new("no number is free"))
}

fn a_number_is_had() -> Outcome {
    let number = free_number()?;
    for _ in 0..3 {
        check_eq!(clone_as(number), Ok(number));
        // As long as nobody has waited for it the number is taken.
        check_eq!(clone_as(number), Err(Errno::EEXIST));
        check_eq!(child::wait(number)?, WaitStatus::exited(number & 0x7f));
    }
    // The next number comes after the last that was not chosen.
    let before = child::start(|| 0)?;
    check_eq!(clone_as(number), Ok(number));
    let after = child::start(|| 0)?;
    check!(after < number || before > number, "{before} {number} {after}");
    for _ in 0..3 {
        child::wait(-1)?;
    }
    Ok(())
}

fn numbers_that_cannot_be_had() -> Outcome {
    for number in [0, -1, i32::MIN, pid_max()?, i32::MAX] {
        check_eq!((number, clone_as(number)), (number, Err(Errno::EINVAL)));
    }
    for number in [1, getpid()] {
        check_eq!((number, clone_as(number)), (number, Err(Errno::EEXIST)));
    }
    // A group keeps its number without its leader.
    let (told, teller) = pipe2(0)?;
    let leader = child::start(|| {
        let Ok(leader) = raw::call(nr::setpgid, &[0, 0]).map(|_| getpid()) else { return 1 };
        let member = child::start(|| i32::from(read(told, &mut [0]) != Ok(1)));
        i32::from(member.is_err() || leader == 0)
    })?;
    check_eq!(child::wait(leader)?, WaitStatus(0));
    check_eq!(clone_as(leader), Err(Errno::EEXIST));
    write(teller, b"x")?;
    Ok(())
}

fn lists_of_numbers() -> Outcome {
    let number = free_number()?;
    let numbers = core::hint::black_box([number; 33]);
    for count in 2..34 {
        check_eq!((count, try_clone3(choosing(&numbers[..count]))), (count, Err(Errno::EINVAL)));
    }
    let with = |set_tid, set_tid_size| CloneArgs { set_tid, set_tid_size, ..choosing(&[]) };
    let address = numbers.as_ptr() as u64;
    check_eq!(
        (try_clone3(with(address, 0)), try_clone3(with(0, 1))),
        (Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    check_eq!((try_clone3(with(8, 1)), try_clone3(with(8, 33))), (Err(Errno::EFAULT), Err(Errno::EINVAL)));
    check_eq!(try_clone3(with(u64::MAX, 1)), Err(Errno::EFAULT));
    // Flags that are wrong are seen after the list, and before its content.
    let wrong = |set_tid| CloneArgs { flags: CLONE_SIGHAND, ..with(set_tid, 1) };
    check_eq!((try_clone3(wrong(8)), try_clone3(wrong(address))), (Err(Errno::EFAULT), Err(Errno::EINVAL)));
    // A structure of the first size has no list.
    let short = CLONE_ARGS_SIZE_VER0 as u64;
    let arguments = choosing(&numbers[..1]);
    let pid = raw::call(nr::clone3, &[(&raw const arguments) as u64, short])?;
    if pid == 0 {
        exit_group(0);
    }
    check!(pid as i32 != number);
    child::wait(pid as i32)?;
    Ok(())
}

fn who_may_choose() -> Outcome {
    let number = free_number()?;
    let most = pid_max()?;
    files::as_user(|| {
        check_eq!((clone_as(number), clone_as(1)), (Err(Errno::EPERM), Err(Errno::EPERM)));
        check_eq!((clone_as(0), clone_as(most)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
        Ok(())
    })
}

const BE: u32 = IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT;

fn set(priority: u32) -> Result<(), Errno> {
    raw::call(nr::ioprio_set, &[IOPRIO_WHO_PROCESS.into(), 0, priority.into()]).map(drop)
}

fn get(pid: i32) -> Result<u32, Errno> {
    raw::call(nr::ioprio_get, &[IOPRIO_WHO_PROCESS.into(), pid as u64]).map(|priority| priority as u32)
}

/// Runs `body` in a process made with these flags, which ends well if that does.
fn in_clone(flags: u64, body: impl FnOnce() -> Outcome) -> Outcome {
    let pid = raw::call(nr::clone, &[flags | u64::from(SIGCHLD), 0, 0, 0, 0])?;
    if pid == 0 {
        exit_group(i32::from(body().is_err()));
    }
    check_eq!(child::wait(pid as i32)?, WaitStatus(0));
    Ok(())
}

fn an_io_context_is_shared() -> Outcome {
    set(BE | 2)?;
    in_clone(CLONE_IO, || {
        check_eq!(get(0), Ok(BE | 2));
        Ok(set(BE | 3)?)
    })?;
    check_eq!(get(0), Ok(BE | 3));
    // Without the flag it is a copy, and a copy of a copy is none of the first's.
    in_clone(0, || {
        check_eq!(get(0), Ok(BE | 3));
        set(BE | 4)?;
        in_clone(CLONE_IO, || Ok(set(BE | 5)?))?;
        check_eq!(get(0), Ok(BE | 5));
        Ok(())
    })?;
    check_eq!(get(0), Ok(BE | 3));
    // It is seen while both live, and stays with a new program's maker.
    let (told, teller) = pipe2(0)?;
    let parent = getpid();
    let pid = raw::call(nr::clone, &[CLONE_IO | u64::from(SIGCHLD), 0, 0, 0, 0])?;
    if pid == 0 {
        let ended = read(told, &mut [0]).is_ok() && get(0) == Ok(BE | 6) && get(parent) == Ok(BE | 6);
        exit_group(i32::from(!ended));
    }
    set(BE | 6)?;
    check_eq!(get(pid as i32), Ok(BE | 6));
    write(teller, b"x")?;
    check_eq!(child::wait(pid as i32)?, WaitStatus(0));
    Ok(())
}

fn what_is_not_there_is_not_shared() -> Outcome {
    check_eq!(get(0), Ok(0));
    in_clone(CLONE_IO, || Ok(set(BE | 3)?))?;
    check_eq!(get(0), Ok(0));
    // A priority that was set and is none again leaves a context.
    set(0)?;
    in_clone(CLONE_IO, || Ok(set(BE | 3)?))?;
    check_eq!(get(0), Ok(BE | 3));
    Ok(())
}
