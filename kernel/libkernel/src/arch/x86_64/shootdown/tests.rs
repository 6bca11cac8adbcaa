//! Shoot-downs among threads that keep translations, as CPUs do.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::addr::PAGE_SIZE;

const THREADS: usize = 4;
const PAGES: usize = 8;
const ROUNDS: u64 = 2_000;

fn page(number: u64) -> UserAddr {
    UserAddr::new(number * PAGE_SIZE)
}

/// Page tables that all threads share, what each has kept of them, and interrupts that wait.
struct World {
    shootdown: Shootdown,
    /// What each page's entry says: it only grows.
    entries: [AtomicU64; PAGES],
    /// Nobody may use an entry older than this.
    promised: [AtomicU64; PAGES],
    /// For each CPU: nonzero entries are kept translations.
    kept: [[AtomicU64; PAGES]; THREADS],
    interrupts: [AtomicUsize; THREADS],
    sent: AtomicUsize,
    ended: AtomicUsize,
    /// Whether a hypervisor has stopped each CPU, and whether it makes it forget everything before it goes on.
    stopped: [AtomicU32; THREADS],
}

/// Values of [`World::stopped`].
const STOPPED: u32 = 1;
const STOPPED_AND_FORGETS: u32 = 3;

struct Thread<'a>(&'a World, usize);

impl Machine for Thread<'_> {
    fn interrupt(&self, cpus: u64) {
        for cpu in members(cpus) {
            self.0.interrupts[cpu].fetch_add(1, SeqCst);
            self.0.sent.fetch_add(1, SeqCst);
        }
    }

    fn forgets_by_itself(&self, cpu: usize) -> bool {
        let stopped = &self.0.stopped[cpu];
        stopped.compare_exchange(STOPPED, STOPPED_AND_FORGETS, SeqCst, SeqCst) != Err(0)
    }

    fn forget(&self, first: UserAddr, last: UserAddr) {
        let last = if last == KERNEL_TOO { page(PAGES as u64 - 1) } else { last };
        for number in first.page_number()..=last.page_number() {
            self.0.kept[self.1][number as usize].store(0, SeqCst);
        }
    }

    fn relax(&self) {
        std::thread::yield_now();
    }
}

impl World {
    fn new() -> Self {
        Self {
            shootdown: Shootdown::new(),
            entries: [const { AtomicU64::new(1) }; PAGES],
            promised: [const { AtomicU64::new(0) }; PAGES],
            kept: [const { [const { AtomicU64::new(0) }; PAGES] }; THREADS],
            interrupts: [const { AtomicUsize::new(0) }; THREADS],
            sent: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            stopped: [const { AtomicU32::new(0) }; THREADS],
        }
    }

    /// Delivers a waiting interrupt.
    fn deliver(&self, thread: &Thread<'_>) {
        if self.interrupts[thread.1].swap(0, SeqCst) != 0 {
            self.shootdown.answer(thread.1, thread);
        }
    }

    /// Uses a page: by the kept translation, else by a new one, which is kept.
    fn translate(&self, cpu: usize, number: usize) {
        let promised = self.promised[number].load(SeqCst);
        let mut used = self.kept[cpu][number].load(SeqCst);
        if used == 0 {
            used = self.entries[number].load(SeqCst);
            self.kept[cpu][number].store(used, SeqCst);
        }
        assert!(used >= promised, "page {number}: {used} used after {promised} was promised");
    }
}

/// `cpu` alone changes pages `2 * cpu` and the next, and afterwards nobody may use the old ones.
fn live(world: &World, cpu: usize, mut seed: u64) {
    let thread = Thread(world, cpu);
    let others = (1u64 << THREADS) - 1 - (1 << cpu);
    for round in 2..ROUNDS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match seed >> 61 {
            0..=2 => {
                let (first, last) = (2 * cpu, 2 * cpu + (seed >> 60 & 1) as usize);
                for number in first..=last {
                    world.entries[number].store(round, SeqCst);
                }
                thread.forget(page(first as u64), page(last as u64));
                if round % 16 == 0 {
                    world.shootdown.ask_kernel(cpu, others, &thread);
                } else {
                    world.shootdown.ask(cpu, others, (page(first as u64), page(last as u64)), &thread);
                }
                for number in first..=last {
                    world.promised[number].store(round, SeqCst);
                }
            }
            3 => {
                world.shootdown.rest(cpu);
                std::thread::yield_now();
                if world.shootdown.wake(cpu) {
                    thread.forget(page(0), page(PAGES as u64 - 1));
                }
            }
            4 => {
                world.stopped[cpu].store(STOPPED, SeqCst);
                std::thread::yield_now();
                if world.stopped[cpu].swap(0, SeqCst) == STOPPED_AND_FORGETS {
                    thread.forget(page(0), page(PAGES as u64 - 1));
                }
            }
            _ => {
                world.translate(cpu, (seed >> 40) as usize % PAGES);
            }
        }
        world.deliver(&thread);
    }
    // It ends as a CPU that sleeps, and still takes interrupts.
    world.shootdown.rest(cpu);
    world.ended.fetch_add(1, SeqCst);
    while world.ended.load(SeqCst) < THREADS {
        world.deliver(&thread);
        std::thread::yield_now();
    }
}

#[test]
fn threads_that_ask_each_other_all_go_on_and_use_nothing_old() {
    for seed in 1..6 {
        let world = World::new();
        std::thread::scope(|scope| {
            let world = &world;
            let threads: Vec<_> = (0..THREADS)
                .map(|cpu| scope.spawn(move || live(world, cpu, seed * 77 + cpu as u64)))
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

#[test]
fn a_resting_cpu_is_not_interrupted_and_forgets_when_it_wakes() {
    let world = World::new();
    let pages = (page(1), page(2));
    world.shootdown.rest(1);
    world.shootdown.ask(0, 1 << 1, pages, &Thread(&world, 0));
    world.shootdown.ask(2, 1 << 1, pages, &Thread(&world, 2));
    assert_eq!(world.sent.load(SeqCst), 0);
    assert!(world.shootdown.wake(1));
    assert!(!world.shootdown.wake(1));
    world.shootdown.rest(1);
    assert!(!world.shootdown.wake(1));
}

#[test]
fn a_cpu_that_does_not_run_is_not_waited_for() {
    let world = World::new();
    world.stopped[1].store(STOPPED, SeqCst);
    world.shootdown.ask(0, 1 << 1, (page(1), page(2)), &Thread(&world, 0));
    assert_eq!(world.sent.load(SeqCst), 0);
    assert_eq!(world.stopped[1].load(SeqCst), STOPPED_AND_FORGETS);
}

#[test]
fn a_resting_cpu_forgets_the_kernels_pages_at_once() {
    let world = World::new();
    world.shootdown.rest(1);
    (0..PAGES).for_each(|number| world.kept[1][number].store(1, SeqCst));
    std::thread::scope(|scope| {
        scope.spawn(|| world.shootdown.ask_kernel(0, 1 << 1, &Thread(&world, 0)));
        while world.interrupts[1].load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        world.deliver(&Thread(&world, 1));
    });
    assert!(world.kept[1].iter().all(|kept| kept.load(SeqCst) == 0));
    assert!(!world.shootdown.wake(1));
}

#[test]
fn requests_that_meet_cost_one_interrupt() {
    let world = World::new();
    let asker = |cpu| {
        let world = &world;
        move || world.shootdown.ask(cpu, 1 << 3, (page(cpu as u64), page(cpu as u64)), &Thread(world, cpu))
    };
    std::thread::scope(|scope| {
        scope.spawn(asker(0));
        scope.spawn(asker(1));
        while world.shootdown.cpus[3].inbox.load(SeqCst) != 0b11 {
            std::thread::yield_now();
        }
        (0..3).for_each(|number| world.kept[3][number].store(1, SeqCst));
        world.deliver(&Thread(&world, 3));
    });
    assert_eq!(world.sent.load(SeqCst), 1);
    assert_eq!([0, 1, 2].map(|number| world.kept[3][number].load(SeqCst)), [0, 0, 1]);
}

proptest! {
    #[test]
    fn a_mask_is_read_bit_by_bit(mask: u64) {
        prop_assert_eq!(members(mask).fold(0, |all, cpu| all | 1u64 << cpu), mask);
        prop_assert_eq!(members(mask).count() as u32, mask.count_ones());
    }
}
