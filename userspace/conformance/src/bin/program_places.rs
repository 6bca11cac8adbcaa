//! What a program says of itself (`PR_SET_MM`): where its parts lie, its arguments, its auxiliary vector and its file.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::auxv::AT_PAGESZ;
use abi::fs::*;
use abi::native::nr;
use abi::native::process::AT_VECTOR_SIZE;
use abi::process::*;
use abi::resource::{RLIMIT_DATA, Rlimit};
use alloc::string::String;
use alloc::vec::Vec;
use conformance::files::{content, create};
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use core::hint::black_box;
use libsyscall::file::*;

conformance::tests!(&[
    ("stat_tells_the_places", stat_tells_the_places),
    ("every_place_can_be_set", every_place_can_be_set),
    ("places_that_are_refused", places_that_are_refused),
    ("arguments_and_environment", arguments_and_environment),
    ("only_anonymous_memory_is_shown", only_anonymous_memory_is_shown),
    ("the_break_follows", the_break_follows),
    ("data_is_limited", data_is_limited),
    ("the_auxiliary_vector", the_auxiliary_vector),
    ("all_at_once", all_at_once),
    ("all_at_once_is_refused", all_at_once_is_refused),
    ("everybody_may_say_all_but_the_file", everybody_may_say_all_but_the_file),
    ("the_program_is_still_mapped", the_program_is_still_mapped),
    ("children_inherit_what_was_said", children_inherit_what_was_said),
]);

const PAGE: usize = 4096;

fn set_mm(option: u32, argument: u64, size: u64) -> Result<u64, Errno> {
    raw::call(nr::prctl, &[PR_SET_MM.into(), option.into(), argument, size, 0])
}

fn set(option: u32, address: u64) -> Result<(), Errno> {
    set_mm(option, address, 0).map(drop)
}

fn set_all(places: &PrctlMmMap) -> Result<(), Errno> {
    set_mm(PR_SET_MM_MAP, (&raw const *places) as u64, size_of::<PrctlMmMap>() as u64).map(drop)
}

/// The fields of `/proc/self/stat` behind the name; the first is the state, field 3 of proc(5).
fn stat_field(number: usize) -> Result<u64, Failure> {
    let text = content(c"/proc/self/stat")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let rest = text.rsplit(") ").next().unwrap_or_default();
    let field = rest.split(' ').nth(number - 3).map(|field| field.trim().parse());
    field.and_then(Result::ok).ok_or_else(|| Failure::new(&text))
}

/// Where `stat` says that things are.
fn places() -> Result<PrctlMmMap, Failure> {
    Ok(PrctlMmMap {
        start_code: stat_field(26)?,
        end_code: stat_field(27)?,
        start_stack: stat_field(28)?,
        start_data: stat_field(45)?,
        end_data: stat_field(46)?,
        start_brk: stat_field(47)?,
        brk: raw::call(nr::brk, &[0])?,
        arg_start: stat_field(48)?,
        arg_end: stat_field(49)?,
        env_start: stat_field(50)?,
        env_end: stat_field(51)?,
        auxv: 0,
        auxv_size: 0,
        exe_fd: u32::MAX,
    })
}

/// Pages of the program's own.
fn pages(count: usize) -> Result<&'static mut [u8], Errno> {
    let address = raw::call(nr::mmap, &[0, (count * PAGE) as u64, 3, 0x22, u64::MAX, 0])?;
    // SAFETY: fresh memory that nobody else knows.
    Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, count * PAGE) })
}

fn stat_tells_the_places() -> Outcome {
    let places = places()?;
    let code = places.start_code..places.end_code;
    check!(code.contains(&(stat_tells_the_places as *const () as u64)), "{places:x?}");
    static mut DATA: u64 = 1;
    let data = places.start_data..places.end_data;
    check!(data.contains(&((&raw const DATA) as u64)) || places.end_data > places.start_data, "{places:x?}");
    check!(places.start_stack < places.arg_start && places.arg_start < places.arg_end, "{places:x?}");
    check!(places.arg_end == places.env_start && places.env_start <= places.env_end, "{places:x?}");
    check!(places.start_brk > 0 && places.start_brk <= places.brk, "{places:x?}");
    Ok(())
}

fn every_place_can_be_set() -> Outcome {
    let before = places()?;
    let fields: [(u32, usize, u64); 10] = [
        (PR_SET_MM_START_CODE, 26, before.start_code + 16),
        (PR_SET_MM_END_CODE, 27, before.end_code + 16),
        (PR_SET_MM_START_STACK, 28, before.start_stack + 1),
        (PR_SET_MM_START_DATA, 45, before.start_data + 1),
        (PR_SET_MM_END_DATA, 46, before.end_data + 3),
        (PR_SET_MM_START_BRK, 47, before.start_brk - 5),
        (PR_SET_MM_ARG_START, 48, before.arg_start + 1),
        (PR_SET_MM_ARG_END, 49, before.arg_end - 1),
        (PR_SET_MM_ENV_END, 51, before.env_end + 1),
        (PR_SET_MM_ENV_START, 50, before.env_start + 1),
    ];
    for (option, field, value) in fields {
        check_eq!((option, set(option, value), stat_field(field)?), (option, Ok(()), value));
    }
    Ok(())
}

fn places_that_are_refused() -> Outcome {
    let now = places()?;
    // The environment is at the top.
    let end = now.env_end.next_power_of_two();
    for option in [PR_SET_MM_START_CODE, PR_SET_MM_BRK, PR_SET_MM_ARG_END, 0, 16, 99] {
        for address in [0, 4095, 1 << 57, u64::MAX] {
            check_eq!((option, address, set(option, address)), (option, address, Err(Errno::EINVAL)));
        }
    }
    check_eq!((set(0, now.brk), set(16, now.brk)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    // Out of order.
    let invalid = [
        (PR_SET_MM_START_CODE, now.end_code),
        (PR_SET_MM_END_CODE, now.start_code),
        (PR_SET_MM_START_DATA, now.end_data + 1),
        (PR_SET_MM_END_DATA, now.start_data - 1),
        (PR_SET_MM_START_BRK, now.brk + 1),
        (PR_SET_MM_BRK, now.start_brk - 1),
        (PR_SET_MM_ARG_START, now.arg_end + 1),
        (PR_SET_MM_ARG_END, now.arg_start - 1),
        (PR_SET_MM_ENV_START, now.env_end + 1),
        (PR_SET_MM_ENV_END, now.env_start - 1),
    ];
    for (option, address) in invalid {
        check_eq!((option, set(option, address)), (option, Err(Errno::EINVAL)));
    }
    // Above all memory.
    check_eq!(set(PR_SET_MM_ENV_START, end - 8192), Err(Errno::EINVAL));
    for option in [PR_SET_MM_START_STACK, PR_SET_MM_ARG_END, PR_SET_MM_ENV_END] {
        check_eq!((option, set(option, end - 8192)), (option, Err(Errno::EFAULT)));
    }
    check_eq!(set(PR_SET_MM_END_CODE, end - 8192), Ok(()));
    // Arguments that are not looked at must be zero.
    check_eq!(set_mm(PR_SET_MM_BRK, now.brk, 1), Err(Errno::EINVAL));
    for option in [PR_SET_MM_BRK, PR_SET_MM_AUXV, PR_SET_MM_MAP, PR_SET_MM_MAP_SIZE, PR_SET_MM_EXE_FILE] {
        let fifth = raw::call(nr::prctl, &[PR_SET_MM.into(), option.into(), now.brk, 0, 1]);
        check_eq!((option, fifth), (option, Err(Errno::EINVAL)));
    }
    files::as_user(|| {
        check_eq!((set(PR_SET_MM_BRK, now.brk), set(99, 0)), (Err(Errno::EPERM), Err(Errno::EPERM)));
        check_eq!(
            (set(PR_SET_MM_AUXV, 8), set(PR_SET_MM_EXE_FILE, 99)),
            (Err(Errno::EPERM), Err(Errno::EPERM))
        );
        check_eq!(set_mm(PR_SET_MM_BRK, now.brk, 1), Err(Errno::EINVAL));
        Ok(())
    })
}

fn arguments_and_environment() -> Outcome {
    let memory = pages(2)?;
    let title = b"a new title\0with two\0";
    memory[..title.len()].copy_from_slice(title);
    memory[PAGE..PAGE + 8].copy_from_slice(b"NAME=x\0\0");
    let at = |offset: usize| memory.as_ptr() as u64 + offset as u64;
    let start = at(0);
    // The start goes last where it moves beyond the end, and first otherwise.
    let below = places()?.arg_start > start;
    let (first, second) = if below { (8, 9) } else { (9, 8) };
    for option in [first, second] {
        let address = if option == PR_SET_MM_ARG_START { start } else { at(title.len()) };
        check_eq!(set(option, address), Ok(()));
    }
    check_eq!(content(c"/proc/self/cmdline")?, title);
    let (first, second) = if below { (10, 11) } else { (11, 10) };
    for option in [first, second] {
        let address = if option == PR_SET_MM_ENV_START { at(PAGE) } else { at(PAGE + 7) };
        check_eq!(set(option, address), Ok(()));
    }
    check_eq!(content(c"/proc/self/environ")?, b"NAME=x\0");
    // A title that is not ended runs on into an environment that touches it only.
    check_eq!(set(PR_SET_MM_ARG_END, at(5)), Ok(()));
    check_eq!(content(c"/proc/self/cmdline")?, b"a new");
    check_eq!(
        (set(PR_SET_MM_ENV_START, at(5)), content(c"/proc/self/cmdline")?),
        (Ok(()), b"a new title\0".to_vec())
    );
    // No arguments at all.
    check_eq!((set(PR_SET_MM_ARG_END, start), content(c"/proc/self/cmdline")?.len()), (Ok(()), 0));
    Ok(())
}

fn only_anonymous_memory_is_shown() -> Outcome {
    scratch::enter()?;
    let file = create(c"file", &alloc::vec![b'f'; PAGE])?;
    let mapped = raw::call(nr::mmap, &[0, PAGE as u64, 3, 2, file as u64, 0])?;
    // SAFETY: it was just mapped.
    unsafe { *(mapped as *mut u8) = b'm' };
    let wanted = PrctlMmMap {
        arg_start: mapped,
        arg_end: mapped + 8,
        env_start: mapped,
        env_end: mapped + 8,
        ..places()?
    };
    check_eq!(set_all(&wanted), Ok(()));
    check_eq!((content(c"/proc/self/cmdline")?.len(), content(c"/proc/self/environ")?.len()), (0, 0));
    Ok(())
}

fn the_break_follows() -> Outcome {
    let now = places()?;
    let brk = |address: u64| raw::call(nr::brk, &[address]);
    let memory = pages(8)?.as_ptr() as u64;
    raw::call(nr::munmap, &[memory, 8 * PAGE as u64])?;
    let moved = PrctlMmMap { start_brk: memory, brk: memory + 100, ..now };
    check_eq!((set_all(&moved), brk(0)), (Ok(()), Ok(memory + 100)));
    // It grows from there, and cannot go below its start.
    check_eq!(
        (brk(memory + 3 * PAGE as u64), brk(memory - 1)),
        (Ok(memory + 3 * PAGE as u64), Ok(memory + 3 * PAGE as u64))
    );
    // SAFETY: the break has made this memory.
    unsafe { *((memory + 2 * PAGE as u64) as *mut u8) = 1 };
    check_eq!(set_all(&now), Ok(()));
    check_eq!(brk(0), Ok(now.brk));
    Ok(())
}

fn data_is_limited() -> Outcome {
    let now = places()?;
    let limit = (now.brk - now.start_brk) + (now.end_data - now.start_data);
    let limit = Rlimit { rlim_cur: limit, rlim_max: u64::MAX };
    raw::call(nr::prlimit64, &[0, RLIMIT_DATA.into(), (&raw const limit) as u64, 0])?;
    check_eq!((set_all(&now), set(PR_SET_MM_END_DATA, now.end_data)), (Ok(()), Ok(())));
    check_eq!(set(PR_SET_MM_END_DATA, now.end_data + 1), Err(Errno::EINVAL));
    check_eq!(set_all(&PrctlMmMap { brk: now.brk + 1, ..now }), Err(Errno::EINVAL));
    // The break is bounded by both together, too.
    check_eq!(raw::call(nr::brk, &[now.brk + 1]), Ok(now.brk));
    Ok(())
}

fn the_auxiliary_vector() -> Outcome {
    let before = content(c"/proc/self/auxv")?;
    let pair = |kind: u64, value: u64| [kind.to_le_bytes(), value.to_le_bytes()].concat();
    let vector = [pair(AT_PAGESZ, 4096), pair(77, 88), pair(0, 0)].concat();
    let set_vector = |bytes: &[u8]| set_mm(PR_SET_MM_AUXV, bytes.as_ptr() as u64, bytes.len() as u64);
    check_eq!((set_vector(&vector), content(c"/proc/self/auxv")?), (Ok(0), vector.clone()));
    // Behind what is given there is nothing.
    check_eq!((set_vector(&pair(1, 2)), content(c"/proc/self/auxv")?.len()), (Ok(0), 32));
    check_eq!((set_vector(&[1]), content(c"/proc/self/auxv")?.len()), (Ok(0), 32));
    check_eq!((set_vector(&[]), content(c"/proc/self/auxv")?.len()), (Ok(0), 16));
    let whole: Vec<u8> = (0..AT_VECTOR_SIZE * 8).map(|_| 7).collect();
    check_eq!(set_vector(&whole), Ok(0));
    let shown = content(c"/proc/self/auxv")?;
    check_eq!((shown.len(), &shown[shown.len() - 16..], shown[0]), (whole.len(), &[0; 16][..], 7));
    let long = alloc::vec![1; whole.len() + 1];
    check_eq!((set_vector(&long), set_mm(PR_SET_MM_AUXV, 8, 8)), (Err(Errno::EINVAL), Err(Errno::EFAULT)));
    check!(before.len() > 64);
    Ok(())
}

fn all_at_once() -> Outcome {
    let mut size = 0u32;
    check_eq!(set_mm(PR_SET_MM_MAP_SIZE, (&raw mut size) as u64, 77), Ok(0));
    check_eq!(
        (black_box(size) as usize, set_mm(PR_SET_MM_MAP_SIZE, 8, 0)),
        (size_of::<PrctlMmMap>(), Err(Errno::EFAULT))
    );
    let vector = [AT_PAGESZ, 4096, 0, 0];
    let now = places()?;
    let wanted = PrctlMmMap {
        start_code: now.start_code + 1,
        end_code: now.end_code + 1,
        start_data: now.start_data + 1,
        end_data: now.end_data + 1,
        start_stack: now.start_stack + 1,
        arg_start: now.arg_start + 1,
        env_end: now.env_end + 1,
        auxv: vector.as_ptr() as u64,
        auxv_size: 32,
        ..now
    };
    check_eq!(set_all(&wanted), Ok(()));
    check_eq!(places()?, PrctlMmMap { auxv: 0, auxv_size: 0, ..wanted });
    check_eq!(content(c"/proc/self/auxv")?.len(), 32);
    // Without one the vector stays.
    check_eq!((set_all(&now), content(c"/proc/self/auxv")?.len()), (Ok(()), 32));
    Ok(())
}

fn all_at_once_is_refused() -> Outcome {
    let now = places()?;
    let address = (&raw const now) as u64;
    for size in [0, 1, 103, 105] {
        check_eq!((size, set_mm(PR_SET_MM_MAP, address, size)), (size, Err(Errno::EINVAL)));
    }
    check_eq!(set_mm(PR_SET_MM_MAP, 8, 104), Err(Errno::EFAULT));
    let wrong = [
        PrctlMmMap { start_code: now.end_code, ..now },
        PrctlMmMap { start_data: now.end_data + 1, ..now },
        PrctlMmMap { brk: now.start_brk - 1, ..now },
        PrctlMmMap { arg_end: now.arg_start - 1, ..now },
        PrctlMmMap { env_start: 0, ..now },
        PrctlMmMap { start_stack: 1 << 63, ..now },
        PrctlMmMap { auxv_size: 8, ..now },
        PrctlMmMap { auxv: 8, auxv_size: AT_VECTOR_SIZE as u32 * 8 + 1, ..now },
    ];
    for (index, wrong) in wrong.iter().enumerate() {
        check_eq!((index, set_all(wrong)), (index, Err(Errno::EINVAL)));
    }
    check_eq!(set_all(&PrctlMmMap { auxv: 8, auxv_size: 16, ..now }), Err(Errno::EFAULT));
    check_eq!(set_all(&PrctlMmMap { exe_fd: 99, ..now }), Err(Errno::EBADF));
    check_eq!(places()?, now);
    Ok(())
}

fn everybody_may_say_all_but_the_file() -> Outcome {
    scratch::enter()?;
    close(create(c"file", b"")?)?;
    fchmodat(AT_FDCWD, c"file", 0o755)?;
    let fd = open(c"file", O_RDONLY, 0)? as u32;
    let now = places()?;
    files::as_user(|| {
        check_eq!(set_all(&PrctlMmMap { exe_fd: fd, ..now }), Err(Errno::EPERM));
        check_eq!(set_all(&PrctlMmMap { exe_fd: 99, ..now }), Err(Errno::EPERM));
        check_eq!(set_all(&PrctlMmMap { exe_fd: fd, end_code: 0, ..now }), Err(Errno::EINVAL));
        check_eq!(set_all(&PrctlMmMap { arg_start: now.arg_start + 1, ..now }), Ok(()));
        Ok(())
    })
}

fn the_program_is_still_mapped() -> Outcome {
    scratch::enter()?;
    let writer = create(c"file", b"")?;
    let fd = open(c"file", O_RDONLY, 0)?;
    let name = |fd: i32| set_mm(PR_SET_MM_EXE_FILE, fd as u64, 0);
    check_eq!((name(99), name(fd)), (Err(Errno::EBADF), Err(Errno::EACCES)));
    fchmodat(AT_FDCWD, c"file", 0o755)?;
    check_eq!((name(fd), name(open(c".", O_RDONLY, 0)?)), (Err(Errno::EBUSY), Err(Errno::EACCES)));
    close(writer)?;
    check_eq!(name(fd), Err(Errno::EBUSY));
    check_eq!(name(open(c"file", O_PATH, 0)?), Err(Errno::EBADF));
    check_eq!(set_all(&PrctlMmMap { exe_fd: fd as u32, ..places()? }), Err(Errno::EBUSY));
    Ok(())
}

fn children_inherit_what_was_said() -> Outcome {
    let now = places()?;
    let vector = [1u64, 2, 0, 0];
    let wanted =
        PrctlMmMap { end_code: now.end_code + 7, auxv: vector.as_ptr() as u64, auxv_size: 32, ..now };
    check_eq!(set_all(&wanted), Ok(()));
    check!(child::succeeds(|| {
        check_eq!((stat_field(27)?, content(c"/proc/self/auxv")?.len()), (now.end_code + 7, 32));
        check_eq!(set(PR_SET_MM_END_CODE, now.end_code), Ok(()));
        Ok(())
    })?);
    check_eq!(stat_field(27)?, now.end_code + 7);
    Ok(())
}
