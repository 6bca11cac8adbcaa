//! Two tokens of one task would run one stack on two CPUs.
use hal::sync::{SpinLock, preempt};
use hal::task::{
    Entity, Runnable, Task, commit_block, current, exit_to, prepare_to_block, switch_to, yield_current,
};
use libkernel::sched::Parameters;

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
    let task = current().to_ref();
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
