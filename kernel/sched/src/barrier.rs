//! Memory barriers that other CPUs execute: `membarrier`.
//!
//! A CPU is interrupted and answers. It need not be if it comes to the caller's memory later, since a switch between
//! address spaces is a barrier itself (`hal::task::other_cpus_on`). To return from an interrupt is enough to forget
//! instructions fetched ahead (Intel SDM vol. 3A, "Serializing Instructions": IRET; Arm ARM, glossary, "Context
//! synchronization event": exception return).

use core::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU64, fence};

use hal::cpu::MAX_CPUS;
use hal::sync::{PerCpu, spin_until};

/// How often a CPU was asked, and how often of these it has answered.
struct Requests {
    asked: AtomicU64,
    answered: AtomicU64,
}

static REQUESTS: PerCpu<Requests> =
    PerCpu::new([const { Requests { asked: AtomicU64::new(0), answered: AtomicU64::new(0) } }; MAX_CPUS]);

/// Executes a full barrier here and on the CPUs of a mask.
#[inline(never)]
pub fn execute_on(cpus: u64) {
    fence(SeqCst);
    let mut awaited = [0; MAX_CPUS];
    let wanted = |cpu: &usize| cpus & 1 << cpu != 0;
    for cpu in (0..hal::cpu::count()).filter(wanted) {
        if let Some(requests) = REQUESTS.of(cpu) {
            awaited[cpu] = requests.asked.fetch_add(1, SeqCst) + 1;
            hal::cpu::send_reschedule(cpu);
        }
    }
    for cpu in (0..hal::cpu::count()).filter(wanted) {
        if let Some(requests) = REQUESTS.of(cpu) {
            spin_until(&requests.answered, |answered| answered >= awaited[cpu]);
        }
    }
    fence(SeqCst);
}

/// Answers what this CPU was asked for. Interrupt context.
pub fn answer() {
    REQUESTS.with(|requests| {
        let asked = requests.asked.load(SeqCst);
        if requests.answered.load(Relaxed) != asked {
            fence(SeqCst);
            requests.answered.store(asked, Release);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use core::sync::atomic::AtomicBool;
    use std::sync::mpsc::channel;

    #[test]
    fn a_barrier_waits_for_the_answer() {
        let (asks, has_answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (to_test, cpu) = channel();
        let other = std::thread::spawn({
            let (asks, has_answered) = (asks.clone(), has_answered.clone());
            move || {
                to_test.send(hal::cpu::id()).expect("the test waits");
                while !asks.load(SeqCst) || REQUESTS.with(|own| own.asked.load(SeqCst)) == 0 {
                    std::thread::yield_now();
                }
                has_answered.store(true, SeqCst);
                answer();
            }
        });
        let cpu = cpu.recv().expect("the thread is a CPU");
        asks.store(true, SeqCst);
        execute_on(1 << cpu);
        assert!(has_answered.load(SeqCst));
        other.join().expect("the other CPU has answered");
    }

    #[test]
    fn nobody_is_waited_for_who_is_not_asked() {
        execute_on(0);
    }
}
