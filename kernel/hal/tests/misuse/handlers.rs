//! What a handler of an interrupt may not do: it would find what the code that it interrupted has half done.
//!
//! The host machine delivers one interrupt, the timer's, to a CPU that waits.
use hal::frame::{Account, SharedFrame};
use hal::paging::{Kind, PageTable, Prot};
use hal::sync::preempt;
use hal::task::{
    Entity, Task, commit_block, copy_floating_point, duplicate_user_state, exit_to, load_floating_point,
    prepare_to_block, reset_floating_point, reset_user_state, set_gs_base, set_page_table, set_tls,
    yield_current,
};
use hal::user::{UserContext, UserFault, UserRegs};
use hal::{IrqLine, Unresolved, Upcalls, boot, console, cpu};
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::sched::Parameters;
use std::cell::Cell;

thread_local! {
    static HANDLER: Cell<Option<fn()>> = const { Cell::new(None) };
}

struct Kernel;

impl Upcalls for Kernel {
    fn start(&self, _: &'static boot::BootInfo) -> ! {
        unreachable!("the host is running")
    }
    fn start_cpu(&self) -> ! {
        unreachable!("the host starts no CPUs")
    }
    fn end_task(&self) -> ! {
        unreachable!("no task's entry returns")
    }
    fn reschedule(&self) {}
    fn user_fault(&self, _: UserFault) -> Result<(), Unresolved> {
        Err(Unresolved)
    }
    fn timer(&self) {
        HANDLER.take().expect("a timer that was set")();
    }
    fn interrupt(&self, _: IrqLine) {}
    fn preempt(&self) {}
    fn console_input(&self, _: console::Received) -> bool {
        true
    }
}

/// Takes an interrupt now, whose handler this is.
fn interrupted_by(handler: fn()) {
    hal::register(&Kernel);
    HANDLER.set(Some(handler));
    hal::time::set_deadline(Some(0));
    cpu::wait_for_interrupt(|| false);
}

#[test]
fn the_handler_is_called() {
    interrupted_by(|| assert!(!preempt::may_block()));
    assert!(HANDLER.take().is_none() && preempt::may_block());
}

#[test]
#[should_panic(expected = "sleeping with preemption off")]
fn waiting_for_another_interrupt() {
    interrupted_by(|| cpu::wait_for_interrupt(|| true));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn yielding() {
    interrupted_by(|| drop(yield_current()));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn preparing_to_block() {
    interrupted_by(prepare_to_block);
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn blocking() {
    prepare_to_block();
    interrupted_by(|| {
        let entity = Entity::new(Parameters::default(), 0);
        drop(commit_block(entity, &preempt::disable()));
    });
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn ending() {
    interrupted_by(|| {
        let other = Task::new_kernel(Box::new(|| ())).expect("memory for a task");
        exit_to(other, preempt::disable())
    });
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn changing_the_address_space() {
    interrupted_by(|| set_page_table(None));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn copying_the_programs_registers() {
    interrupted_by(|| drop(duplicate_user_state()));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn reading_floating_point_registers() {
    interrupted_by(|| copy_floating_point(&mut [0; 64]));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn loading_floating_point_registers() {
    interrupted_by(|| assert!(load_floating_point(UserAddr::new(0x4000_0000)).is_err()));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn resetting_floating_point_registers() {
    interrupted_by(|| reset_floating_point().expect("a fresh image"));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn resetting_the_programs_registers() {
    interrupted_by(|| reset_user_state().expect("a fresh image"));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn setting_the_thread_pointer() {
    interrupted_by(|| assert!(set_tls(0x40_0000)));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn setting_the_second_thread_pointer() {
    interrupted_by(|| assert!(set_gs_base(0x40_0000)));
}

#[test]
#[should_panic(expected = "in an interrupt handler")]
fn making_a_context() {
    interrupted_by(|| {
        UserContext::new(UserRegs::new(0x40_0000, 0x7000_0000));
    });
}

/// A debug kernel sees a handler at the lock before.
#[test]
#[should_panic(expected = "handler")]
fn taking_a_page_away() {
    const PLACE: UserAddr = UserAddr::new(0x4000_0000);
    interrupted_by(|| {
        let table = PageTable::new().expect("memory for a table");
        let frame = SharedFrame::alloc_zeroed(Account::NONE).expect("a frame");
        table.map(PLACE, frame, Prot::READ, Kind::Anonymous).expect("a free place");
        table.edit().unmap(UserRange::new(PLACE, PAGE_SIZE).expect("a page"));
    });
}
