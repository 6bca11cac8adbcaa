//! Threads made by `clone`.
//!
//! One mapping a thread, from low to high: guard page, stack, [`Shared`] (with the block). The kernel clears
//! `Shared::alive` and wakes its futex when the thread has left its stack for good (CLONE_CHILD_CLEARTID): from then on
//! the mapping can go.

use super::Block;
use crate::sync::Mutex;
use abi::Errno;
use abi::memory::PROT_NONE;
use abi::process::{
    CLONE_CHILD_CLEARTID, CLONE_FILES, CLONE_FS, CLONE_PARENT_SETTID, CLONE_SETTLS, CLONE_SIGHAND,
    CLONE_SYSVSEM, CLONE_THREAD, CLONE_VM,
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use libsyscall::arch::{clone_onto_stack, set_thread_pointer, thread_pointer};
use libsyscall::memory;
use libsyscall::thread::{Sharing, exit, futex_wait};

/// Bytes of a thread's mapping.
const MAPPING_SIZE: usize = 256 * 1024;
/// Bytes at its low end that fault, so that a stack that grows too far does not spoil other memory.
const GUARD_SIZE: usize = 4096;

const THREAD_FLAGS: u64 = CLONE_VM
    | CLONE_FS
    | CLONE_FILES
    | CLONE_SIGHAND
    | CLONE_THREAD
    | CLONE_SYSVSEM
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID;

/// The top of a thread's mapping.
#[repr(C, align(64))]
struct Shared {
    block: Block,
    /// The thread's id; 0 when it has ended.
    alive: AtomicU32,
    /// What the thread runs; taken by it at once.
    body: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

/// The main thread's block.
struct MainBlock(Block);

// SAFETY: only the main thread reaches it, through its thread pointer.
unsafe impl Sync for MainBlock {}

static MAIN_BLOCK: MainBlock = MainBlock(Block::new());

/// Gives the first thread its block.
///
/// # Safety
/// To be called once, by the only thread, before any thread-local is used.
pub(crate) unsafe fn adopt_main_thread() {
    let block = &MAIN_BLOCK.0;
    block.this.set(core::ptr::from_ref(block).cast_mut());
    // SAFETY: the block is static and of the form that `block()` expects. Setting a thread pointer to an address of the
    // program's own does not fail.
    let _ = unsafe { set_thread_pointer(block.this.get().cast()) };
}

/// This thread's block.
pub(super) fn block() -> &'static Block {
    // SAFETY: every thread's pointer was set to its block, which lives as long as the thread.
    unsafe { &*thread_pointer().cast::<Block>() }
}

/// How many [`Mapping`]s there are, those of threads that have ended among them.
static MAPPINGS: AtomicUsize = AtomicUsize::new(0);

/// Whether the caller is the main thread, and has joined all others, or let go of those that have ended.
pub(crate) fn is_alone() -> bool {
    free_ended();
    MAPPINGS.load(Ordering::Acquire) == 0
}

/// The mapping of a thread; unmapped when dropped.
struct Mapping(*mut u8);

// SAFETY: the mapping belongs to whoever holds this, whatever thread that is.
unsafe impl Send for Mapping {}
// SAFETY: what is reached through a shared reference is `Shared::alive`, an atomic.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(body: Box<dyn FnOnce() + Send>) -> Result<Mapping, Errno> {
        let mapping = Mapping(memory::map_anonymous(MAPPING_SIZE)?);
        MAPPINGS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the range is fresh and nobody refers to it.
        unsafe { memory::mprotect(mapping.0, GUARD_SIZE, PROT_NONE) }?;
        let shared = mapping.shared();
        let fresh =
            Shared { block: Block::new(), alive: AtomicU32::new(u32::MAX), body: Mutex::new(Some(body)) };
        // SAFETY: the address lies in the mapping with room for a `Shared`, aligned as the mapping's end is.
        unsafe { shared.write(fresh) };
        // SAFETY: as above; it has just been written.
        unsafe { (*shared).block.this.set(&raw mut (*shared).block) };
        Ok(mapping)
    }

    /// Where the stack ends and `Shared` starts: aligned to 64 as the mapping's end and the type's size are.
    fn shared(&self) -> *mut Shared {
        // SAFETY: the offset lies inside the mapping.
        unsafe { self.0.add(MAPPING_SIZE - size_of::<Shared>()).cast() }
    }

    /// The word that is 0 when the thread has ended.
    fn alive(&self) -> &AtomicU32 {
        // SAFETY: `new` has written it, and it lives as long as the mapping.
        unsafe { &(*self.shared()).alive }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: no thread uses the mapping any more: it was never started, or its `alive` is 0.
        let _ = unsafe { memory::munmap(self.0, MAPPING_SIZE) };
        MAPPINGS.fetch_sub(1, Ordering::Release);
    }
}

/// Mappings of threads whose handles were dropped while they ran; freed at a later [`spawn`].
static DETACHED: Mutex<Vec<Mapping>> = Mutex::new(Vec::new());

fn free_ended() {
    DETACHED.lock().retain(|mapping| mapping.alive().load(Ordering::Acquire) != 0);
}

/// A running thread. Dropping it lets the thread run on.
pub struct JoinHandle<T> {
    mapping: Option<Mapping>,
    result: Arc<Mutex<Option<T>>>,
}

/// Starts a thread that runs `body`. EAGAIN or ENOMEM if there cannot be another.
pub fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, Errno> {
    free_ended();
    let result = Arc::new(Mutex::new(None));
    let place = Arc::clone(&result);
    let mapping = Mapping::new(Box::new(move || *place.lock() = Some(body())))?;
    let shared = mapping.shared();
    // SAFETY: the stack below `shared` is fresh and stays mapped until `alive` is 0; `block` is what a thread pointer
    // has to point to; the body is `Send`.
    let thread = unsafe {
        let alive = (*shared).alive.as_ptr();
        let block = (*shared).block.this.get() as u64;
        clone_onto_stack(THREAD_FLAGS, shared.cast(), alive, alive, block, run, shared.cast())
    };
    Errno::from_return(thread)?;
    Ok(JoinHandle { mapping: Some(mapping), result })
}

/// Where a new thread starts.
extern "C" fn run(argument: *mut u8) -> ! {
    // SAFETY: the argument is this thread's `Shared`, which stays mapped while the thread lives.
    let shared = unsafe { &*argument.cast::<Shared>() };
    let body = shared.body.lock().take();
    if let Some(body) = body {
        body();
    }
    shared.block.clear();
    exit(0)
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has ended and returns what it returned.
    pub fn join(mut self) -> T {
        if let Some(mapping) = self.mapping.take() {
            loop {
                match mapping.alive().load(Ordering::Acquire) {
                    0 => break,
                    // The kernel's wake at a thread's end is for shared futexes. Any outcome is answered by looking
                    // again.
                    thread => drop(futex_wait(mapping.alive(), thread, None, Sharing::Shared)),
                }
            }
        }
        let result = self.result.lock().take();
        result.expect("a thread stores its result before it ends")
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(mapping) = self.mapping.take() {
            DETACHED.lock().push(mapping);
        }
    }
}
