//! Faults: does this instruction get the signal that it should?
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "wild pointers are what these functions are for")]

use crate::{Failure, child, handler};
use abi::signal::*;
use core::ffi::c_void;
use libsyscall::file::{close, pipe2, read, write};
use libsyscall::memory::map_anonymous;
use libsyscall::process::exit_group;
use libsyscall::signal::sigaltstack;

/// What a fault told its handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The signal.
    pub signal: u32,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub address: u64,
}

impl Fault {
    /// A fault at `address`.
    pub fn new(signal: u32, code: i32, address: *const c_void) -> Fault {
        Fault { signal, code, address: address as u64 }
    }
}

const HANDLED: i32 = 42;
const STACK_SIZE: usize = 64 * 1024;
/// The descriptor to which the handler writes, chosen so that it is known.
const REPORT: i32 = 100;

extern "C" fn report(_signal: i32, info: *const SigInfo, _context: *mut UContext) {
    // SAFETY: the kernel passes a `SigInfo`, which has no padding.
    let bytes = unsafe { core::slice::from_raw_parts(info.cast::<u8>(), size_of::<SigInfo>()) };
    let _ = write(REPORT, bytes);
    exit_group(HANDLED);
}

/// Runs `body` in a process and returns the fault that ended it, or `None` if it ran to its end. The handler has a
/// stack of its own, so that `body` may ruin the stack pointer.
pub fn caught(body: impl FnOnce()) -> Result<Option<Fault>, Failure> {
    caught_with(0, body)
}

/// [`caught`], with further flags of the handler's.
pub fn caught_with(flags: u64, body: impl FnOnce()) -> Result<Option<Fault>, Failure> {
    let (reader, writer) = pipe2(0)?;
    libsyscall::file::dup3(writer, REPORT, 0)?;
    close(writer)?;
    let pid = child::start(|| {
        let prepared = prepare(flags);
        if prepared.is_err() {
            return 1;
        }
        body();
        0
    })?;
    close(REPORT)?;
    let mut bytes = [0; size_of::<SigInfo>()];
    let length = read(reader, &mut bytes)?;
    close(reader)?;
    let status = child::wait(pid)?;
    match status.exit_code().map(i32::from) {
        Some(0) => Ok(None),
        Some(HANDLED) if length == bytes.len() => {
            let info: SigInfo =
                zerocopy::FromBytes::read_from_bytes(&bytes).map_err(|_| Failure::new("size"))?;
            Ok(Some(Fault { signal: info.si_signo as u32, code: info.si_code, address: info.fields[0] }))
        }
        _ => Err(Failure::new(alloc::format!("the child ended with {status:?}"))),
    }
}

fn prepare(flags: u64) -> Result<(), Failure> {
    let stack = map_anonymous(STACK_SIZE)?;
    let stack = StackT { ss_sp: stack as u64, ss_flags: 0, pad: 0, ss_size: STACK_SIZE as u64 };
    // SAFETY: the stack is fresh and used for nothing else.
    unsafe { sigaltstack(Some(&stack)) }?;
    for signal in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS] {
        handler::install(signal, report, flags | SA_ONSTACK)?;
    }
    Ok(())
}

/// Loads a byte.
pub fn load(address: *const u8) {
    // SAFETY: none; the caller wants to see what the kernel does about it.
    unsafe { address.read_volatile() };
}

/// Stores a byte.
pub fn store(address: *mut u8) {
    // SAFETY: none; the caller wants to see what the kernel does about it.
    unsafe { address.write_volatile(1) };
}

/// Jumps to `address`.
pub fn jump(address: *const u8) {
    // SAFETY: none; the caller wants to see what the kernel does about it.
    let function = unsafe { core::mem::transmute::<*const u8, extern "C" fn()>(address) };
    function();
}
