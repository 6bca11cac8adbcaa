//! Descriptors beside many others, and tables that were long once.

use super::MANY;
use super::processes::fork_wait;
use crate::Operation;
use crate::measure::repeat;
use abi::Errno;
use abi::fs::O_RDONLY;
use abi::resource::{RLIMIT_NOFILE, Rlimit};
use alloc::vec::Vec;
use libsyscall::file::{close, dup, dup3, open};
use libsyscall::process::prlimit64;

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("dup + close behind 10,000, a low one was free", duplicate),
    ("fork + exit + wait with 10,000 descriptors", fork_with_many),
    ("fork + exit + wait, descriptor 100,000 was open", fork_after_many),
];

fn with_descriptors(operation: impl FnOnce(&[i32]) -> Result<u64, Errno>) -> Result<u64, Errno> {
    prlimit64(0, RLIMIT_NOFILE, Some(&Rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 }))?;
    let first = open(c"/tmp", O_RDONLY, 0)?;
    let all = (1..MANY).map(|_| dup(first)).collect::<Result<Vec<_>, _>>()?;
    let result = operation(&all);
    all.into_iter().try_for_each(close)?;
    close(first)?;
    result
}

fn duplicate() -> Result<u64, Errno> {
    with_descriptors(|all| {
        // What was the lowest free one is known no more.
        close(all[0])?;
        dup(all[1])?;
        repeat(300, || close(dup(all[1])?))
    })
}

fn fork_with_many() -> Result<u64, Errno> {
    with_descriptors(|_| repeat(10, fork_wait))
}

fn fork_after_many() -> Result<u64, Errno> {
    prlimit64(0, RLIMIT_NOFILE, Some(&Rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 }))?;
    let first = open(c"/tmp", O_RDONLY, 0)?;
    close(dup3(first, 100_000, 0)?)?;
    let result = repeat(10, fork_wait);
    close(first)?;
    result
}
