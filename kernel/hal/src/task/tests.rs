//! Tasks on the host machine: tokens, wakes and ends.
use super::*;
use crate::sync::preempt;
use libkernel::sched::Parameters;
use std::collections::VecDeque;
use std::string::ToString;
use std::sync::Mutex;

/// The smallest scheduler: one queue.
#[derive(Default)]
struct Queue(Mutex<VecDeque<Runnable>>);

impl Queue {
    fn push(&self, runnable: Runnable) {
        self.0.lock().unwrap().push_back(runnable);
    }

    fn next(&self) -> Runnable {
        self.0.lock().unwrap().pop_front().expect("somebody to run")
    }

    fn yield_now(&self) {
        let guard = preempt::disable();
        self.push(yield_current());
        switch_to(self.next(), guard);
    }

    fn exit(&self) -> ! {
        let guard = preempt::disable();
        exit_to(self.next(), guard)
    }
}

fn queue() -> &'static Queue {
    Box::leak(Box::default())
}

#[test]
fn tasks_take_turns_and_end() {
    let queue = queue();
    let trace: &'static Mutex<std::vec::Vec<u32>> = Box::leak(Box::default());
    for number in [1, 2] {
        let entry = Box::new(move || {
            for turn in 0..3 {
                trace.lock().unwrap().push(number * 10 + turn);
                queue.yield_now();
            }
            queue.exit()
        });
        queue.push(Task::new_kernel(entry).unwrap());
    }
    for _ in 0..6 {
        queue.yield_now();
    }
    assert_eq!(*trace.lock().unwrap(), [10, 20, 11, 21, 12, 22]);
    assert!(queue.0.lock().unwrap().is_empty());
}

#[test]
fn a_blocked_task_is_woken_once() {
    let queue = queue();
    let woken: &'static Mutex<Option<TaskRef>> = Box::leak(Box::default());
    let entry = Box::new(move || {
        *woken.lock().unwrap() = Some(current_ref());
        let guard = preempt::disable();
        prepare_to_block();
        assert!(commit_block(Entity::new(Parameters::default(), 0), &guard).is_ok());
        switch_to(queue.next(), guard);
        queue.exit()
    });
    queue.push(Task::new_kernel(entry).unwrap());
    queue.yield_now();
    let task = woken.lock().unwrap().take().unwrap();
    let runnable = task.wake().expect("it is blocked");
    assert!(task.wake().is_none());
    queue.push(runnable);
    queue.yield_now();
    assert!(task.wake().is_none());
}

#[test]
fn a_wake_before_the_commitment_calls_it_off() {
    let own = current_ref();
    let guard = preempt::disable();
    prepare_to_block();
    assert!(own.wake().is_none());
    let entity = commit_block(Entity::new(Parameters::default(), 7), &guard).expect_err("it was woken");
    assert_eq!(entity.number(), 7);
    prepare_to_block();
    cancel_block();
    assert!(own.wake().is_none());
}

#[test]
fn a_wake_after_the_commitment_gives_a_token_with_the_entity() {
    let own = current_ref();
    let guard = preempt::disable();
    prepare_to_block();
    assert!(commit_block(Entity::new(Parameters::default(), 7), &guard).is_ok());
    let mut runnable = own.wake().expect("blocked");
    assert!(own.is_on_cpu());
    assert_eq!(runnable.take_entity().map(|entity| entity.number()), Some(7));
    assert!(runnable.take_entity().is_none());
    switch_to(runnable, guard);
}

/// What stands behind a task in these tests.
#[derive(Debug, PartialEq, Eq)]
struct Number(u32);
struct Nobody;

impl Owner for Number {
    fn write_name(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[number {}]", self.0)
    }
}

impl Owner for Nobody {
    fn write_name(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[nobody]")
    }
}

#[test]
fn the_owner_is_found_by_its_type_and_dropped_with_the_task() {
    let queue = queue();
    let owner = Arc::new(Number(42));
    let runnable = Task::new_kernel(Box::new(|| queue.exit())).unwrap();
    assert_eq!(runnable.task().name().to_string(), "[kernel]");
    assert!(runnable.task().set_owner(owner.clone()));
    assert!(!runnable.task().set_owner(Arc::new(Nobody)));
    assert_eq!(runnable.task().owner::<Number>(), Some(&Number(42)));
    assert!(runnable.task().owner::<Nobody>().is_none());
    assert_eq!(runnable.task().name().to_string(), "[number 42]");
    queue.push(runnable);
    queue.yield_now();
    assert_eq!(Arc::strong_count(&owner), 1);
}

#[test]
fn a_task_that_never_ran_is_freed_with_its_token() {
    let owner = Arc::new(Nobody);
    let runnable = Task::new_kernel(Box::new(|| unreachable!())).unwrap();
    runnable.task().set_owner(owner.clone());
    drop(runnable);
    assert_eq!(Arc::strong_count(&owner), 1);
}

#[test]
fn an_address_space_lasts_while_a_cpu_uses_it() {
    let queue = queue();
    let table = PageTable::new().unwrap();
    let entry = Box::new(|| {
        queue.yield_now();
        queue.exit()
    });
    let user = Task::new_user(entry, UserState::new().unwrap(), table.clone(), None).unwrap();
    queue.push(user);
    assert_eq!(Arc::strong_count(&table), 2);
    queue.yield_now();
    // This task has no memory: the table stays active, and is the CPU's too.
    assert_eq!(Arc::strong_count(&table), 3);
    queue.yield_now();
    assert_eq!(Arc::strong_count(&table), 1);
}

#[test]
fn between_tasks_with_memory_nothing_is_counted() {
    let queue = queue();
    let tables = [(); 2].map(|()| PageTable::new().unwrap());
    let counts = || tables.each_ref().map(Arc::strong_count);
    let seen: &'static Mutex<std::vec::Vec<usize>> = Box::leak(Box::default());
    for table in &tables {
        let own = Arc::downgrade(table);
        let entry = Box::new(move || {
            for _ in 0..2 {
                seen.lock().unwrap().push(own.strong_count());
                queue.yield_now();
            }
            queue.exit()
        });
        queue.push(Task::new_user(entry, UserState::new().unwrap(), table.clone(), None).unwrap());
    }
    queue.yield_now();
    // The last one stayed active.
    assert_eq!(counts(), [2, 3]);
    queue.yield_now();
    queue.yield_now();
    assert_eq!(*seen.lock().unwrap(), [2, 2, 2, 2]);
    assert_eq!(counts(), [1, 1]);
}

/// Notes whether interrupts are enabled where it is dropped.
struct Last(&'static Mutex<std::vec::Vec<bool>>);

impl Owner for Last {
    fn write_name(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[last]")
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(Arch::interrupts_enabled());
    }
}

/// As on the way out of an interrupt, where they are masked.
#[test]
fn what_a_switch_leaves_is_dropped_with_interrupts_enabled() {
    let queue = queue();
    let seen: &'static Mutex<std::vec::Vec<bool>> = Box::leak(Box::default());
    let runnable = Task::new_kernel(Box::new(|| queue.exit())).unwrap();
    assert!(runnable.task().set_owner(Arc::new(Last(seen))));
    queue.push(runnable);
    assert!(Arch::interrupts_disable());
    queue.yield_now();
    assert!(!Arch::interrupts_enabled());
    Arch::interrupts_enable();
    assert_eq!(*seen.lock().unwrap(), [true]);
}
