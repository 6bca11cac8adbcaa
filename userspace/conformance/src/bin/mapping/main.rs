//! Rules of mappings, each at every door through which memory comes or changes: the table of docs/rules-memory.md.
#![no_std]
#![no_main]

extern crate alloc;

mod areas;
mod arguments;
mod edges;
mod files;
mod locks;
mod places;
mod stacks;

use abi::Errno;
use abi::memory::*;
use abi::native::nr;
use abi::resource::Rlimit;
use conformance::raw;
use libsyscall::process::prlimit64;

conformance::tests!(&[
    ("low_addresses_are_for_the_privileged", places::low_addresses_are_for_the_privileged),
    ("low_hints", places::low_hints),
    ("low_addresses_in_the_order_of_checks", places::low_addresses_in_the_order_of_checks),
    ("a_stack_does_not_grow_to_low_addresses", places::a_stack_does_not_grow_to_low_addresses),
    ("addresses_have_an_end", places::addresses_have_an_end),
    ("the_gap_below_a_stack_is_kept", stacks::the_gap_below_a_stack_is_kept),
    ("the_limit_on_stacks", stacks::the_limit_on_stacks),
    ("the_break_and_its_limits", stacks::the_break_and_its_limits),
    ("no_execution_from_such_a_mount", files::no_execution_from_such_a_mount),
    ("no_writing_through_a_read_only_descriptor", files::no_writing_through_a_read_only_descriptor),
    ("a_write_through_a_mapping_is_a_modification", files::a_write_through_a_mapping_is_a_modification),
    ("a_failed_allocation_keeps_what_was_there", files::a_failed_allocation_keeps_what_was_there),
    ("the_limit_on_addresses", areas::the_limit_on_addresses),
    ("the_limit_on_data", areas::the_limit_on_data),
    ("the_limit_on_areas", areas::the_limit_on_areas),
    ("areas_that_meet_become_one", areas::areas_that_meet_become_one),
    ("the_limit_on_locked_memory", locks::the_limit_on_locked_memory),
    ("locking_pages_in", locks::locking_pages_in),
    ("future_locks", locks::future_locks),
    ("locked_memory_and_advice", locks::locked_memory_and_advice),
    ("words_of_64_bits", arguments::words_of_64_bits),
    ("flags_that_nobody_knows", arguments::flags_that_nobody_knows),
    ("a_futex_in_memory_that_cannot_be_read", arguments::a_futex_in_memory_that_cannot_be_read),
    ("advice_that_is_refused", arguments::advice_that_is_refused),
    ("nothing_at_all", edges::nothing_at_all),
    ("lengths_that_wrap", edges::lengths_that_wrap),
    ("beyond_the_user_half", edges::beyond_the_user_half),
    ("before_the_first_gap", edges::before_the_first_gap),
    ("pages_of_others_files", edges::pages_of_others_files),
    ("places_of_huge_pages", edges::places_of_huge_pages),
    ("offsets_beyond_files", edges::offsets_beyond_files),
    ("where_a_mapping_moves_to", edges::where_a_mapping_moves_to),
    ("beyond_the_limit_on_addresses", edges::beyond_the_limit_on_addresses),
]);

const PAGE: u64 = 4096;
const READ: u32 = PROT_READ;
const WRITE: u32 = PROT_READ | PROT_WRITE;
const EXECUTE: u32 = PROT_READ | PROT_EXEC;
const PRIVATE: u32 = MAP_PRIVATE | MAP_ANONYMOUS;

/// `mmap` of fresh memory.
fn map(address: u64, length: u64, protection: u32, flags: u32) -> Result<u64, Errno> {
    map_file(address, length, protection, flags | MAP_ANONYMOUS, -1)
}

fn map_file(address: u64, length: u64, protection: u32, flags: u32, fd: i32) -> Result<u64, Errno> {
    raw::call(nr::mmap, &[address, length, protection.into(), flags.into(), fd as u64, 0])
}

fn unmap(address: u64, length: u64) -> Result<(), Errno> {
    raw::call(nr::munmap, &[address, length]).map(drop)
}

fn protect(address: u64, length: u64, protection: u32) -> Result<(), Errno> {
    raw::call(nr::mprotect, &[address, length, protection.into()]).map(drop)
}

fn remap(old: u64, old_length: u64, new_length: u64, flags: u32, new: u64) -> Result<u64, Errno> {
    raw::call(nr::mremap, &[old, old_length, new_length, flags.into(), new])
}

fn advise(address: u64, length: u64, advice: u32) -> Result<(), Errno> {
    raw::call(nr::madvise, &[address, length, advice.into()]).map(drop)
}

/// Sets both limits of a resource.
fn limit(resource: u32, bytes: u64) -> Result<(), Errno> {
    prlimit64(0, resource, Some(&Rlimit { rlim_cur: bytes, rlim_max: bytes })).map(drop)
}
