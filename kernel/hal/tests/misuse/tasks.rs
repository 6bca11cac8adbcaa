//! Two tokens of one task would run one stack on two CPUs; a task without user memory would reach what is another's, or
//! nobody's.
use hal::frame::{Account, SharedFrame};
use hal::paging::{Kind, PageTable, Prot};
use hal::sync::{SpinLock, preempt};
use hal::task::{
    Entity, Runnable, Task, commit_block, current_ref, exit_to, prepare_to_block, set_page_table, switch_to,
    yield_current,
};
use hal::user::{UserContext, UserRegs};
use hal::user_copy::{copy_from_user, copy_to_user};
use libkernel::addr::UserAddr;
use libkernel::sched::Parameters;
use std::sync::Mutex;

fn entity() -> Box<Entity> {
    Entity::new(Parameters::default(), 0)
}

fn other() -> Runnable {
    Task::new_kernel(Box::new(|| ())).expect("memory for a task")
}

#[test]
#[should_panic(expected = "has yielded or is to block")]
fn yielding_twice() {
    let _first = yield_current();
    let _second = yield_current();
}

#[test]
#[should_panic(expected = "has yielded or is to block")]
fn blocking_with_a_token_out() {
    let _token = yield_current();
    prepare_to_block();
}

#[test]
fn blocking_unprepared_with_a_token_out() {
    let _token = yield_current();
    let guard = preempt::disable();
    assert!(commit_block(entity(), &guard).is_err());
}

#[test]
#[should_panic(expected = "has yielded or is to block")]
fn yielding_while_preparing() {
    prepare_to_block();
    let _token = yield_current();
}

#[test]
#[should_panic(expected = "has yielded or is to block")]
fn yielding_while_a_waker_may_have_the_token() {
    prepare_to_block();
    let guard = preempt::disable();
    assert!(commit_block(entity(), &guard).is_ok());
    let task = current_ref();
    let _token = task.wake().expect("it is blocked");
    let _second = yield_current();
}

#[test]
#[should_panic(expected = "has yielded or is to block")]
fn ending_with_a_token_out() {
    let _token = yield_current();
    exit_to(other(), preempt::disable());
}

#[test]
#[should_panic(expected = "has yielded or is to block")]
fn ending_while_a_waker_may_have_the_token() {
    prepare_to_block();
    let guard = preempt::disable();
    assert!(commit_block(entity(), &guard).is_ok());
    exit_to(other(), guard);
}

#[test]
#[should_panic(expected = "under a second guard")]
fn switching_under_a_second_guard() {
    let _stays = preempt::disable();
    let token = yield_current();
    switch_to(token, preempt::disable());
}

#[test]
#[should_panic(expected = "under a second guard")]
fn switching_under_a_spin_lock() {
    static LOCK: SpinLock<u32> = SpinLock::new(0);
    let _held = LOCK.lock();
    let token = yield_current();
    switch_to(token, preempt::disable());
}

#[test]
#[should_panic(expected = "started before")]
fn starting_the_other_cpus_twice() {
    hal::boot::start_other_cpus(1, &mut |_, _| ());
    hal::boot::start_other_cpus(1, &mut |_, _| ());
}

#[test]
#[should_panic(expected = "without a user side")]
fn a_program_in_anothers_memory() {
    UserContext::new(UserRegs::new(0x40_0000, 0x7000_0000));
}

/// The program's tables stay active under a task that has none, and on x86_64 nobody takes back what its CPU has kept
/// of them.
#[test]
fn copying_without_memory_of_its_own() {
    const PLACE: UserAddr = UserAddr::new(0x4000_0000);
    static BACK: Mutex<Option<Runnable>> = Mutex::new(None);
    static COPIED: Mutex<Option<usize>> = Mutex::new(None);
    let table = PageTable::new().expect("memory for a table");
    table
        .map(
            PLACE,
            SharedFrame::alloc_zeroed(Account::NONE).expect("a frame"),
            Prot::READ_WRITE,
            Kind::Anonymous,
        )
        .expect("a free place");
    set_page_table(Some(table));
    assert_eq!(copy_to_user(PLACE, &[1]), 1);
    let entry = || {
        *COPIED.lock().unwrap() = Some(copy_to_user(PLACE, &[2]));
        let back = BACK.lock().unwrap().take().expect("the task that made this one");
        exit_to(back, preempt::disable())
    };
    let other = Task::new_kernel(Box::new(entry)).expect("memory for a task");
    let guard = preempt::disable();
    *BACK.lock().unwrap() = Some(yield_current());
    switch_to(other, guard);
    let mut byte = [0];
    assert_eq!((*COPIED.lock().unwrap(), copy_from_user(&mut byte, PLACE), byte), (Some(0), 1, [1]));
    set_page_table(None);
    assert_eq!(copy_from_user(&mut byte, PLACE), 0);
}
