//! What becomes of the locks of those who end.

use crate::*;

pub fn locks_of_the_dead_are_handed_over() -> Outcome {
    static LOCK: Lock = Lock::new();
    static OVER: AtomicBool = AtomicBool::new(false);
    let owner = spawn(|| {
        LOCK.lock()?;
        spin_until(|| OVER.load(SeqCst));
        Ok::<_, Errno>(own())
    })?;
    wait_until(|| LOCK.value() != 0);
    let waiters = [contender(&LOCK, 0)?, contender(&LOCK, 0)?];
    OVER.store(true, SeqCst);
    owner.join()?;
    for (waiter, _) in waiters {
        waiter.join()?;
    }
    check_eq!(LOCK.value(), 0);
    // And seen by who gets it.
    let owner = child::start(|| 0)?;
    child::wait(owner)?;
    OVER.store(false, SeqCst);
    let owner = spawn(|| {
        LOCK.lock()?;
        spin_until(|| OVER.load(SeqCst));
        Ok::<_, Errno>(())
    })?;
    wait_until(|| LOCK.value() != 0);
    let me = gettid();
    let helper = spawn(move || {
        until_asleep(me);
        OVER.store(true, SeqCst);
    })?;
    check_eq!(LOCK.lock(), Ok(0));
    check_eq!(LOCK.value(), own() | FUTEX_OWNER_DIED | FUTEX_WAITERS);
    helper.join();
    owner.join()?;
    Ok(())
}

/// A robust list with one lock.
#[repr(C)]
struct Robust {
    head: RobustListHead,
    next: u64,
    lock: Lock,
}

impl Robust {
    /// Puts the lock onto the running thread's list.
    fn enlist(&mut self) -> Result<(), Errno> {
        let head = (&raw const self.head) as u64;
        self.next = head;
        self.head =
            RobustListHead { list: (&raw const self.next) as u64 | 1, futex_offset: 8, list_op_pending: 0 };
        raw::call(nr::set_robust_list, &[head, 24]).map(drop)
    }
}

pub fn robust_locks_of_the_dead_are_taken() -> Outcome {
    let shared = shared_memory::<Robust>()?;
    for waits in [false, true] {
        shared.lock.0.store(0, SeqCst);
        let address = &raw mut *shared as usize;
        let owner = child::start(|| {
            // SAFETY: the mapping is the child's as well, and nobody else uses the list.
            let shared = unsafe { &mut *(address as *mut Robust) };
            let locked = shared.lock.call(FUTEX_LOCK_PI, 0);
            if locked.is_err() || shared.enlist().is_err() {
                return 1;
            }
            wait_until(|| !waits || shared.lock.value() & FUTEX_WAITERS != 0);
            sleep(10 * MS);
            0
        })?;
        wait_until(|| shared.lock.value() != 0);
        if !waits {
            child::wait(owner)?;
            check_eq!(shared.lock.value(), FUTEX_OWNER_DIED);
        }
        check_eq!(shared.lock.call(FUTEX_LOCK_PI, 0), Ok(0));
        let waiters = if waits { FUTEX_WAITERS } else { 0 };
        check_eq!(shared.lock.value(), own() | FUTEX_OWNER_DIED | waiters);
        check_eq!(shared.lock.call(FUTEX_UNLOCK_PI, 0), Ok(0));
        check_eq!(shared.lock.value(), 0);
        if waits {
            child::wait(owner)?;
        }
    }
    Ok(())
}

/// A zeroed page that children share.
fn shared_memory<T>() -> Result<&'static mut T, Failure> {
    use abi::memory::{MAP_ANONYMOUS, MAP_SHARED, PROT_READ, PROT_WRITE};
    // SAFETY: a new mapping, of zeros, which every `T` of these tests may consist of; never unmapped.
    let page = unsafe {
        mmap(core::ptr::null_mut(), 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    }?;
    // SAFETY: as above.
    Ok(unsafe { &mut *(page as *mut T) })
}

pub fn processes_share_locks() -> Outcome {
    let lock = &*shared_memory::<Lock>()?;
    check_eq!(lock.call(FUTEX_LOCK_PI, 0), Ok(0));
    let other = child::start(|| {
        let locked = set_fifo(0, 50).and_then(|()| lock.call(FUTEX_LOCK_PI, 0));
        i32::from(locked.and_then(|_| lock.call(FUTEX_UNLOCK_PI, 0)).is_err())
    })?;
    until_asleep(other);
    wait_until(|| lock.value() & FUTEX_WAITERS != 0);
    until_asleep(other);
    check_eq!(inner_priority(gettid()), -51);
    // One who dies while it waits takes what it lent along.
    kill(other, SIGKILL)?;
    child::wait(other)?;
    check_eq!(inner_priority(gettid()), 20);
    check_eq!(lock.call(FUTEX_UNLOCK_PI, 0), Ok(0));
    // One who dies with the lock leaves it to who waits.
    let owner = child::start(|| {
        if lock.call(FUTEX_LOCK_PI, 0).is_err() {
            return 1;
        }
        sleep(Duration::from_secs(100));
        0
    })?;
    wait_until(|| lock.value() != 0);
    let me = gettid();
    let killer = spawn(move || {
        until_asleep(me);
        kill(owner, SIGKILL)
    })?;
    check_eq!(lock.call(FUTEX_LOCK_PI, 0), Ok(0));
    check_eq!(lock.value(), own() | FUTEX_OWNER_DIED | FUTEX_WAITERS);
    killer.join()?;
    child::wait(owner)?;
    check_eq!(lock.call(FUTEX_UNLOCK_PI, 0), Ok(0));
    Ok(())
}

/// What a program holds, and has on its robust list, is given up when another takes its place.
pub fn programs_leave_their_locks() -> Outcome {
    let shared = shared_memory::<Robust>()?;
    let address = &raw mut *shared as usize;
    let owner = child::start(|| {
        // SAFETY: as in `robust_locks_of_the_dead_are_taken`.
        let shared = unsafe { &mut *(address as *mut Robust) };
        if shared.lock.call(FUTEX_LOCK_PI, 0).is_err() || shared.enlist().is_err() {
            return 1;
        }
        wait_until(|| shared.lock.value() & FUTEX_WAITERS != 0);
        let program = ulib::args::args().next().unwrap_or_default();
        let (slow, arguments) = (c"none".as_ptr(), program.as_ptr());
        let arguments = [arguments, c"--helper".as_ptr(), slow, core::ptr::null()];
        // SAFETY: NUL-terminated strings, and a null pointer after them.
        i32::from(
            unsafe {
                libsyscall::process::execve(program, arguments.as_ptr(), arguments[3..].as_ptr().cast())
            }
            .number(),
        )
    })?;
    wait_until(|| shared.lock.value() != 0);
    check_eq!(shared.lock.call(FUTEX_LOCK_PI, 0), Ok(0));
    check_eq!(shared.lock.value(), own() | FUTEX_OWNER_DIED | FUTEX_WAITERS);
    check_eq!(shared.lock.call(FUTEX_UNLOCK_PI, 0), Ok(0));
    child::wait(owner)?;
    Ok(())
}
