//! Tagged addresses: the top byte of a program's pointers, in loads and stores, in calls, in faults.

use crate::fault::{Fault, caught_with, store};
use crate::raw::call;
use crate::{Failure, Outcome, check, check_eq, child, handler};
use abi::Errno;
use abi::arch::aarch64::nr;
use abi::fs::{AT_FDCWD, Iovec};
use abi::futex::{FUTEX_PRIVATE_FLAG, FUTEX_WAKE};
use abi::memory::*;
use abi::process::{PR_GET_TAGGED_ADDR_CTRL, PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE, WaitStatus};
use abi::signal::*;
use abi::time::Timespec;
use core::ptr::without_provenance_mut;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use libsyscall::file::pipe2;
use libsyscall::memory::map_anonymous;
use libsyscall::thread::{Sharing, futex_wait, sched_yield};
use ulib::thread::{JoinHandle, spawn};

const PAGE: usize = 4096;
const TAG: u64 = 0xa5 << 56;

fn tagged<T>(pointer: *const T) -> u64 {
    pointer as u64 | TAG
}

fn control(bits: u64) -> Result<u64, Errno> {
    call(nr::prctl, &[u64::from(PR_SET_TAGGED_ADDR_CTRL), bits])
}

fn enable() -> Result<u64, Errno> {
    control(PR_TAGGED_ADDR_ENABLE)
}

fn state() -> Result<u64, Errno> {
    call(nr::prctl, &[u64::from(PR_GET_TAGGED_ADDR_CTRL)])
}

pub fn tagged_loads_and_stores() -> Outcome {
    let memory = map_anonymous(2 * PAGE)?;
    let pointer = without_provenance_mut::<u64>(tagged(memory) as usize);
    // SAFETY: the tag does not count; the first store makes the page.
    let value = unsafe {
        pointer.write_volatile(7);
        memory.cast::<u64>().read_volatile()
    };
    check_eq!(value, 7);
    // A copy on write, too.
    let status = child::run(|| {
        // SAFETY: as above.
        unsafe { pointer.write_volatile(8) };
        // SAFETY: as above.
        i32::from(unsafe { memory.cast::<u64>().read_volatile() } != 8)
    })?;
    check_eq!(status, WaitStatus(0));
    // SAFETY: as above.
    check_eq!(unsafe { pointer.read_volatile() }, 7);
    Ok(())
}

/// What calls say to tagged pointers, in an order that needs no state.
fn answers(reader: i32, writer: i32) -> [Result<u64, Errno>; 8] {
    let mut byte = 0u8;
    let time = Timespec { tv_sec: 0, tv_nsec: 0 };
    let vector = Iovec { iov_base: tagged(&raw const byte), iov_len: 1 };
    let (reader, writer) = (reader as u64, writer as u64);
    [
        call(nr::write, &[writer, tagged(&raw const byte), 1]),
        call(nr::read, &[reader, tagged(&raw mut byte), 1]),
        call(nr::writev, &[writer, &raw const vector as u64, 1]),
        call(nr::readv, &[reader, tagged(&raw const vector), 1]),
        call(nr::faccessat, &[AT_FDCWD as u64, tagged(c"/".as_ptr()), 0]),
        call(nr::nanosleep, &[tagged(&raw const time), 0]),
        call(nr::clock_gettime, &[1, tagged(&raw const time)]),
        call(nr::futex, &[tagged(&raw const byte) & !3, 1, 1]),
    ]
}

pub fn tagged_pointers_are_refused() -> Outcome {
    check_eq!(state(), Ok(0));
    let (reader, writer) = pipe2(0)?;
    check_eq!(answers(reader, writer), [Err(Errno::EFAULT); 8]);
    Ok(())
}

pub fn tagged_pointers_are_accepted() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    check_eq!(enable(), Ok(0));
    check_eq!(state(), Ok(PR_TAGGED_ADDR_ENABLE));
    let one = Ok(1);
    check_eq!(answers(reader, writer), [one, one, one, one, Ok(0), Ok(0), Ok(0), Ok(0)]);
    // The tag is no part of the address; what lies above 48 bits besides is.
    let byte = 0u8;
    for wrong in [1 << 48, 1 << 54, 1 << 55] {
        let address = tagged(&raw const byte) | wrong;
        check_eq!(call(nr::write, &[writer as u64, address, 1]), Err(Errno::EFAULT));
    }
    check_eq!(control(0), Ok(0));
    check_eq!(answers(reader, writer), [Err(Errno::EFAULT); 8]);
    Ok(())
}

pub fn the_control_of_tags() -> Outcome {
    let (set, get) = (u64::from(PR_SET_TAGGED_ADDR_CTRL), u64::from(PR_GET_TAGGED_ADDR_CTRL));
    for arguments in [[set, 1, 1, 0, 0], [set, 1, 0, 1, 0], [set, 1, 0, 0, 1], [set, 1 << 40, 0, 0, 0]] {
        check_eq!((arguments, call(nr::prctl, &arguments)), (arguments, Err(Errno::EINVAL)));
    }
    for arguments in [[get, 1, 0, 0, 0], [get, 0, 1, 0, 0], [get, 0, 0, 1, 0], [get, 0, 0, 0, 1]] {
        check_eq!((arguments, call(nr::prctl, &arguments)), (arguments, Err(Errno::EINVAL)));
    }
    check_eq!(state(), Ok(0));
    Ok(())
}

/// A thread and a process start as their parent, and go their own way; a new program starts without.
pub fn tags_are_inherited() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    check_eq!(enable(), Ok(0));
    let other = spawn(move || {
        let inherited = state();
        (inherited, control(0), state())
    })?;
    check_eq!(other.join(), (Ok(PR_TAGGED_ADDR_ENABLE), Ok(0), Ok(0)));
    check_eq!(state(), Ok(PR_TAGGED_ADDR_ENABLE));
    check!(child::succeeds(|| {
        check_eq!(state(), Ok(PR_TAGGED_ADDR_ENABLE));
        check_eq!(answers(reader, writer)[0], Ok(1));
        check_eq!(control(0), Ok(0));
        Ok(())
    })?);
    check_eq!(state(), Ok(PR_TAGGED_ADDR_ENABLE));
    let status = child::run(|| {
        let Some(path) = ulib::args::args().next() else { return 1 };
        let arguments = [path.as_ptr(), c"tagged_pointers_are_refused".as_ptr(), core::ptr::null()];
        // SAFETY: both arrays end with a null pointer.
        unsafe { libsyscall::process::execve(path, arguments.as_ptr(), arguments[2..].as_ptr()) };
        2
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

/// Calls that manage memory, and do not touch it, take tags of what exists, enabled or not.
pub fn tagged_calls_on_memory() -> Outcome {
    let memory = map_anonymous(4 * PAGE)?;
    let (start, page) = (tagged(memory), PAGE as u64);
    let residency = [0u8; 4];
    let read_write = u64::from(PROT_READ | PROT_WRITE);
    check_eq!(call(nr::mprotect, &[start, page, u64::from(PROT_READ)]), Ok(0));
    check_eq!(call(nr::mprotect, &[start, page, read_write]), Ok(0));
    check_eq!(call(nr::madvise, &[start, page, u64::from(MADV_DONTNEED)]), Ok(0));
    check_eq!(call(nr::mlock, &[start, page]), Ok(0));
    check_eq!(call(nr::mlock2, &[start, page, 0]), Ok(0));
    check_eq!(call(nr::munlock, &[start, page]), Ok(0));
    check_eq!(call(nr::msync, &[start, page, u64::from(MS_SYNC)]), Ok(0));
    check_eq!(call(nr::mincore, &[start, page, residency.as_ptr() as u64]), Ok(0));
    check_eq!(call(nr::mincore, &[start, page, tagged(residency.as_ptr())]), Err(Errno::EFAULT));
    check_eq!(call(nr::mremap, &[start, page, page, 0]), Ok(memory as u64));
    check_eq!(call(nr::munmap, &[start, page]), Ok(0));
    check_eq!(call(nr::mprotect, &[memory as u64, page, read_write]), Err(Errno::ENOMEM));
    Ok(())
}

/// Where memory is to come to be is asked for without tags.
pub fn tagged_new_addresses() -> Outcome {
    enable()?;
    let memory = map_anonymous(4 * PAGE)?;
    let (start, page) = (tagged(memory), PAGE as u64);
    let (rights, anonymous) = (u64::from(PROT_READ | PROT_WRITE), u64::from(MAP_PRIVATE | MAP_ANONYMOUS));
    let fixed = anonymous | u64::from(MAP_FIXED);
    check_eq!(call(nr::mmap, &[start, page, rights, fixed, u64::MAX, 0]), Err(Errno::ENOMEM));
    let elsewhere = call(nr::mmap, &[start, page, rights, anonymous, u64::MAX, 0])?;
    check!(elsewhere >> 48 == 0 && elsewhere != memory as u64);
    let flags = u64::from(MREMAP_MAYMOVE | MREMAP_FIXED);
    let moved = call(nr::mremap, &[elsewhere, page, page, flags, start + 2 * page]);
    check_eq!(moved, Err(Errno::EINVAL));
    check_eq!(call(nr::munmap, &[memory as u64, 4 * page]), Ok(0));
    let brk = call(nr::brk, &[0])?;
    check_eq!(call(nr::brk, &[(brk + page) | TAG]), Ok(brk));
    Ok(())
}

pub fn the_fault_of_a_tagged_address() -> Outcome {
    const UNMAPPED: u64 = 0x1238;
    let pointer = without_provenance_mut::<u8>((UNMAPPED | TAG) as usize);
    let plain = Fault { signal: SIGSEGV, code: SEGV_MAPERR, address: UNMAPPED };
    check_eq!(caught_with(0, || store(pointer))?, Some(plain));
    let exposed = Fault { address: UNMAPPED | TAG, ..plain };
    check_eq!(caught_with(SA_EXPOSE_TAGBITS, || store(pointer))?, Some(exposed));
    let beyond = without_provenance_mut::<u8>((TAG | 1 << 48) as usize);
    let fault = caught_with(SA_EXPOSE_TAGBITS, || store(beyond))?.map(|fault| (fault.code, fault.address));
    check_eq!(fault, Some((SEGV_MAPERR, TAG | 1 << 48)));
    let above = without_provenance_mut::<u8>((TAG | 1 << 55) as usize);
    let fault = caught_with(0, || store(above))?.map(|fault| (fault.code, fault.address));
    check_eq!(fault, Some((SEGV_MAPERR, TAG | 1 << 55)));
    Ok(())
}

/// The address in the handler's context has no tag, whatever `si_addr` has.
pub fn the_frame_of_a_tagged_address() -> Outcome {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    extern "C" fn note(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context.
        let registers = unsafe { &mut (*context).uc_mcontext };
        SEEN.store(registers.fault_address, Ordering::Relaxed);
        // Behind the `str`.
        registers.pc += 4;
    }
    handler::install(SIGSEGV, note, SA_EXPOSE_TAGBITS)?;
    // SAFETY: the handler steps over the instruction.
    unsafe { core::arch::asm!("str xzr, [x1]", in("x1") TAG | 0x1238) };
    check_eq!(SEEN.load(Ordering::Relaxed), 0x1238);
    Ok(())
}

/// `SA_EXPOSE_TAGBITS` is about faults: what another signal carries stays as it is.
pub fn the_value_of_a_signal_keeps_its_tag() -> Outcome {
    handler::record_signal(SIGUSR1, 0)?;
    let mut info = SigInfo::new(SIGUSR1, SI_QUEUE);
    info.fields[1] = TAG | 5;
    let pid = libsyscall::process::getpid() as u64;
    call(nr::rt_sigqueueinfo, &[pid, u64::from(SIGUSR1), &raw const info as u64])?;
    check_eq!(handler::VALUE.load(Ordering::Relaxed), TAG | 5);
    Ok(())
}

/// A handler's stack may be tagged where calls accept tags: its frame is written by the kernel.
pub fn a_handler_on_a_tagged_stack() -> Outcome {
    let run = |enabled: bool| -> Result<WaitStatus, Failure> {
        child::run(|| {
            let prepared = || -> Outcome {
                let stack = map_anonymous(16 * PAGE)?;
                let stack = StackT { ss_sp: tagged(stack), ss_flags: 0, pad: 0, ss_size: 16 * PAGE as u64 };
                // SAFETY: the stack is fresh and used for nothing else.
                unsafe { libsyscall::signal::sigaltstack(Some(&stack)) }?;
                handler::record_signal(SIGUSR1, SA_ONSTACK)?;
                control(u64::from(enabled))?;
                Ok(())
            };
            if prepared().is_err() {
                return 1;
            }
            let _ = libsyscall::process::kill(libsyscall::process::getpid(), SIGUSR1);
            i32::from(handler::count() != 1)
        })
    };
    check_eq!(run(true)?, WaitStatus(0));
    check_eq!(run(false)?.term_signal(), Some(SIGSEGV));
    Ok(())
}

/// The tag is part of a futex's name, unless that is the place in a shared object.
pub fn a_tagged_futex() -> Outcome {
    enable()?;
    let shared = u64::from(MAP_SHARED | MAP_ANONYMOUS);
    let rights = u64::from(PROT_READ | PROT_WRITE);
    let object = call(nr::mmap, &[0, PAGE as u64, rights, shared, u64::MAX, 0])?;
    let own = map_anonymous(PAGE)? as u64;
    for (address, sharing, expected) in [
        (own, Sharing::Private, (0, 1)),
        (own, Sharing::Shared, (0, 1)),
        (object, Sharing::Private, (0, 1)),
        (object, Sharing::Shared, (1, 0)),
    ] {
        let waiter = sleeper(address, sharing)?;
        let flags = if sharing == Sharing::Private { FUTEX_PRIVATE_FLAG } else { 0 };
        let wake = |address: u64| call(nr::futex, &[address, u64::from(FUTEX_WAKE | flags), 10]);
        check_eq!(
            (address == own, sharing, (wake(address | TAG)?, wake(address)?)),
            (address == own, sharing, expected)
        );
        check_eq!(waiter.join(), Ok(()));
    }
    Ok(())
}

/// A thread that waits on the word at `address`, which is 0.
fn sleeper(address: u64, sharing: Sharing) -> Result<JoinHandle<Result<(), Errno>>, Failure> {
    static READY: AtomicU32 = AtomicU32::new(0);
    READY.store(0, Ordering::Relaxed);
    let waiter = spawn(move || {
        READY.store(1, Ordering::Relaxed);
        // SAFETY: the word is mapped and stays so.
        futex_wait(unsafe { AtomicU32::from_ptr(without_provenance_mut(address as usize)) }, 0, None, sharing)
    })?;
    while READY.load(Ordering::Relaxed) == 0 {
        sched_yield();
    }
    // From there to sleeping is one call.
    ulib::time::sleep(Duration::from_millis(20));
    Ok(waiter)
}
