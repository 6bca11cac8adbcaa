//! Kernel contexts: host threads that hand on a baton.
use super::Arch;
use super::cpu::{Running, running, set_running, unpoisoned};
use crate::contract::Context;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Where a thread waits for its turn.
#[derive(Default)]
struct Gate {
    message: Mutex<Option<Message>>,
    bell: Condvar,
}

enum Message {
    /// Go on, as the CPU in this state.
    Run(Running),
    /// The task is gone before it ever ran: end the thread.
    Cancel,
}

impl Gate {
    fn send(&self, message: Message) {
        *unpoisoned(&self.message) = Some(message);
        self.bell.notify_one();
    }

    fn receive(&self) -> Message {
        let mut slot = unpoisoned(&self.message);
        loop {
            match slot.take() {
                Some(message) => return message,
                None => slot = self.bell.wait(slot).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// A context that is not running: the gate its thread waits at. `None` for a test's own thread before its first switch.
///
/// A task that ends leaves its thread waiting for ever: the frames on it cannot be unwound. Tests can afford it.
pub struct Baton(Option<Arc<Gate>>);

impl Drop for Baton {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.send(Message::Cancel);
        }
    }
}

impl Context for Arch {
    type Saved = Baton;

    unsafe fn prepare(_stack_top: *mut u8, entry: extern "C" fn(usize) -> !, argument: usize) -> Baton {
        let gate = Arc::new(Gate::default());
        let thread_gate = gate.clone();
        let spawned = std::thread::Builder::new().name("task".into()).spawn(move || {
            if let Message::Run(running) = thread_gate.receive() {
                set_running(running);
                entry(argument);
            }
        });
        spawned.expect("the host refused a thread");
        Baton(Some(gate))
    }

    fn empty() -> Baton {
        Baton(None)
    }

    unsafe fn place(_saved: *const Baton) -> [u64; 2] {
        [0; 2]
    }

    unsafe fn switch(previous: *mut Baton, next: *const Baton) {
        // SAFETY: `previous` is the running task's own slot, which nobody else touches before it is saved.
        let own = unsafe { &mut *previous }.0.get_or_insert_default().clone();
        // SAFETY: the caller promises a saved context; its thread waits at the gate.
        let other = unsafe { &*next }.0.clone().expect("a context that was never saved");
        other.send(Message::Run(running()));
        match own.receive() {
            Message::Run(running) => set_running(running),
            // The task has ended and its record is gone: its thread has nowhere to go.
            Message::Cancel => loop {
                std::thread::park();
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Cpu;
    use core::cell::UnsafeCell;
    use std::vec::Vec;

    struct Pair {
        first: UnsafeCell<Baton>,
        second: UnsafeCell<Baton>,
        trace: Mutex<Vec<(char, usize, u32)>>,
    }

    fn note(pair: &Pair, who: char) {
        unpoisoned(&pair.trace).push((who, Arch::id(), Arch::preempt_count()));
    }

    extern "C" fn second(argument: usize) -> ! {
        // SAFETY: the test below passes its `Pair`, which outlives the last switch to this thread.
        let pair = unsafe { &*(argument as *const Pair) };
        loop {
            note(pair, 'b');
            // SAFETY: only the thread that holds the baton is here.
            unsafe { Arch::switch(pair.second.get(), pair.first.get()) };
        }
    }

    #[test]
    fn a_switch_hands_on_the_cpu_and_its_state() {
        let pair = Pair {
            first: UnsafeCell::new(Arch::empty()),
            second: UnsafeCell::new(Arch::empty()),
            trace: Mutex::new(Vec::new()),
        };
        Arch::preempt_add(1);
        // SAFETY: the host ignores the stack; the record is written before anyone else sees it.
        unsafe {
            *pair.second.get() = Arch::prepare(core::ptr::null_mut(), second, &raw const pair as usize)
        };
        for _ in 0..2 {
            note(&pair, 'a');
            // SAFETY: as in `second`.
            unsafe { Arch::switch(pair.first.get(), pair.second.get()) };
        }
        Arch::preempt_sub(1);
        let cpu = Arch::id();
        let expected = [('a', cpu, 1), ('b', cpu, 1), ('a', cpu, 1), ('b', cpu, 1)];
        assert_eq!(*unpoisoned(&pair.trace), expected);
    }
}
