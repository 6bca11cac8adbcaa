//! The balance of priorities over machines of several CPUs, for random orders of events.

use alloc::boxed::Box;
use alloc::vec::Vec;
use std::vec;

use proptest::prelude::*;

use super::{source, target};
use crate::sched::{Arrival, Entity, Parameters, Policy, Queue};

/// One CPU as the kernel runs it: the queue, who runs, what it has published, and whether it is asked to look again.
struct Cpu {
    queue: Queue<usize>,
    running: Option<usize>,
    level: u8,
    waiting_level: u8,
    asked: bool,
}

struct Task {
    /// `None` while it is in a queue or runs.
    entity: Option<Box<Entity<usize>>>,
    allowed: u64,
    cpu: usize,
}

/// Plays the kernel's part, event by event.
struct Machine {
    cpus: Vec<Cpu>,
    tasks: Vec<Task>,
    now_ns: u64,
}

fn parameters(priority: u8) -> Parameters {
    let policy = if priority == 0 { Policy::Normal } else { Policy::Fifo };
    Parameters { policy, priority, ..Parameters::default() }
}

impl Machine {
    fn new(cpus: usize, tasks: &[(u8, u64)]) -> Machine {
        let cpu = || Cpu { queue: Queue::new(), running: None, level: 0, waiting_level: 0, asked: false };
        let all = (1 << cpus) - 1;
        let tasks = tasks.iter().enumerate().map(|(number, (priority, allowed))| {
            let allowed = if allowed & all == 0 { all } else { allowed & all };
            let entity = Entity::new(parameters(*priority), number as u32);
            Task { entity: Some(entity), allowed, cpu: 0 }
        });
        Machine { cpus: (0..cpus).map(|_| cpu()).collect(), tasks: tasks.collect(), now_ns: 0 }
    }

    fn publish(&mut self, cpu: usize) {
        let tasks = &self.tasks;
        let could_leave = |task: &usize| tasks[*task].allowed & !(1 << cpu) != 0;
        let cpu = &mut self.cpus[cpu];
        (cpu.level, cpu.waiting_level) = (cpu.queue.level(), cpu.queue.waiting_level(could_leave));
    }

    fn choose(&self, task: usize, priority: u8, last: usize) -> Option<usize> {
        target(priority, self.tasks[task].allowed, [last, last], |cpu| self.cpus[cpu].level)
    }

    fn arrive(&mut self, cpu: usize, task: usize, mut entity: Box<Entity<usize>>) {
        entity.value = Some(task);
        self.tasks[task].cpu = cpu;
        let to = &mut self.cpus[cpu];
        to.queue.charge(self.now_ns);
        to.asked |= to.queue.arrive(entity, Arrival::Woken);
        self.publish(cpu);
    }

    fn settle(&mut self, task: usize) {
        let Some(entity) = self.tasks[task].entity.take() else { return };
        let (last, allowed) = (self.tasks[task].cpu, self.tasks[task].allowed);
        let first = if allowed & 1 << last != 0 { last } else { allowed.trailing_zeros() as usize };
        let cpu = self.choose(task, entity.parameters().real_time_priority(), last).unwrap_or(first);
        self.arrive(cpu, task, entity);
        self.push(cpu);
    }

    fn push(&mut self, from: usize) {
        let mut cpus = vec![from];
        while let Some(from) = cpus.last().copied() {
            let mut queue = core::mem::replace(&mut self.cpus[from].queue, Queue::new());
            let mut to = None;
            let taken = queue.take_real_time(|task, priority| {
                to = self.choose(*task, priority, from);
                to.is_some()
            });
            self.cpus[from].queue = queue;
            self.publish(from);
            match (taken, to) {
                (Some(mut entity), Some(to)) => {
                    let task = entity.value.take().unwrap();
                    self.arrive(to, task, entity);
                    cpus.push(to);
                }
                _ => drop(cpus.pop()),
            }
        }
    }

    fn pull(&mut self, cpu: usize) {
        let mut sources = ((1 << self.cpus.len()) - 1) & !(1 << cpu);
        while let Some(from) = source(self.cpus[cpu].level, sources, |cpu| self.cpus[cpu].waiting_level) {
            sources &= !(1 << from);
            let (level, tasks) = (self.cpus[cpu].level, &self.tasks);
            let fits = |task: &usize, priority| priority > level && tasks[*task].allowed & 1 << cpu != 0;
            let taken = self.cpus[from].queue.take_real_time(fits);
            self.publish(from);
            if let Some(mut entity) = taken {
                let task = entity.value.take().unwrap();
                self.arrive(cpu, task, entity);
            }
        }
    }

    /// The CPU decides anew.
    fn reschedule(&mut self, cpu: usize) {
        self.pull(cpu);
        self.push(cpu);
        let here = &mut self.cpus[cpu];
        here.asked = false;
        here.queue.charge(self.now_ns);
        let next = match here.running {
            Some(running) => here.queue.reconsider(|| running),
            None => here.queue.pick(),
        };
        if next.is_some() {
            here.running = next;
            self.decided(cpu);
        }
    }

    /// The next task looks, once it runs, if others wait.
    fn decided(&mut self, cpu: usize) {
        self.publish(cpu);
        self.cpus[cpu].asked |= self.cpus.iter().any(|cpu| cpu.waiting_level != 0);
    }

    fn block(&mut self, cpu: usize) {
        let here = &mut self.cpus[cpu];
        here.queue.charge(self.now_ns);
        let Some(task) = here.running.take() else { return };
        self.tasks[task].entity = here.queue.leave();
        here.running = here.queue.pick();
        self.decided(cpu);
    }

    fn find(&mut self, task: usize) -> Option<Box<Entity<usize>>> {
        let queue = &mut self.cpus[self.tasks[task].cpu].queue;
        queue.take_real_time(|other, _| *other == task).or_else(|| queue.steal(|other| *other == task))
    }

    fn change_priority(&mut self, task: usize, priority: u8) {
        let cpu = self.tasks[task].cpu;
        if let Some(entity) = &mut self.tasks[task].entity {
            return entity.refresh(parameters(priority).pack());
        }
        if self.cpus[cpu].running == Some(task) {
            self.cpus[cpu].queue.change_running(parameters(priority));
            self.publish(cpu);
            self.cpus[cpu].asked = true;
        } else if let Some(mut entity) = self.find(task) {
            entity.refresh(parameters(priority).pack());
            self.publish(cpu);
            self.tasks[task].entity = Some(entity);
            self.settle(task);
            self.cpus[cpu].asked = true;
        }
    }

    fn change_affinity(&mut self, task: usize, allowed: u64) {
        let cpu = self.tasks[task].cpu;
        let running = self.cpus[cpu].running == Some(task);
        let allowed = allowed & ((1 << self.cpus.len()) - 1);
        if allowed == 0 {
            return;
        }
        self.tasks[task].allowed = allowed;
        if running && allowed & 1 << cpu == 0 {
            self.block(cpu);
            self.settle(task);
        } else if !running && let Some(entity) = self.find(task) {
            self.publish(cpu);
            self.tasks[task].entity = Some(entity);
            self.settle(task);
            self.cpus[cpu].asked = true;
        } else {
            self.publish(cpu);
            self.cpus[cpu].asked = true;
        }
    }

    /// Lets all CPUs do what they are asked for, in some order. False if that does not end.
    fn come_to_rest(&mut self, order: u64) -> bool {
        for round in 0..1000 {
            let asked: Vec<usize> = (0..self.cpus.len()).filter(|cpu| self.is_asked(*cpu)).collect();
            if asked.is_empty() {
                return true;
            }
            self.reschedule(asked[(order as usize + round) % asked.len()]);
        }
        false
    }

    /// An idle CPU looks for itself.
    fn is_asked(&self, cpu: usize) -> bool {
        let here = &self.cpus[cpu];
        here.asked || here.running.is_none() && here.queue.waiting() != 0
    }

    /// Nobody waits above a CPU that it may run on.
    fn check(&mut self) {
        for number in 0..self.cpus.len() {
            let levels: Vec<u8> = self.cpus.iter().map(Cpu::running_level).collect();
            let tasks = &self.tasks;
            let wrong = |task: &usize, priority: u8| {
                levels
                    .iter()
                    .enumerate()
                    .any(|(cpu, level)| tasks[*task].allowed & 1 << cpu != 0 && *level < priority)
            };
            let cpu = &mut self.cpus[number];
            assert!(cpu.queue.waiting() == 0 || cpu.running.is_some());
            assert_eq!(cpu.queue.level(), cpu.running_level(), "a higher one waits on the same CPU");
            assert!(cpu.queue.take_real_time(wrong).is_none(), "it could run elsewhere: {levels:?}");
        }
    }
}

impl Cpu {
    fn running_level(&self) -> u8 {
        self.queue.running().map_or(0, |running| running.parameters().real_time_priority())
    }
}

#[derive(Clone, Debug)]
enum Event {
    Wake(usize),
    Block(usize),
    Priority(usize, u8),
    Affinity(usize, u64),
    Reschedule(usize),
}

fn events(cpus: usize, tasks: usize) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..tasks).prop_map(Event::Wake),
        2 => (0..cpus).prop_map(Event::Block),
        1 => (0..tasks, 0u8..8).prop_map(|(task, priority)| Event::Priority(task, priority)),
        1 => (0..tasks, any::<u64>()).prop_map(|(task, allowed)| Event::Affinity(task, allowed)),
        2 => (0..cpus).prop_map(Event::Reschedule),
    ];
    prop::collection::vec(event, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_highest_priorities_run(
        cpus in 1usize..6,
        tasks in prop::collection::vec((0u8..8, prop_oneof![2 => Just(0u64), 1 => any::<u64>()]), 12),
        events in events(5, 12),
        rests in any::<u64>(),
    ) {
        let mut machine = Machine::new(cpus, &tasks);
        for (step, event) in events.into_iter().enumerate() {
            machine.now_ns += 1000;
            match event {
                Event::Wake(task) => machine.settle(task),
                Event::Block(cpu) => machine.block(cpu % cpus),
                Event::Priority(task, priority) => machine.change_priority(task, priority),
                Event::Affinity(task, allowed) => machine.change_affinity(task, allowed),
                Event::Reschedule(cpu) => machine.reschedule(cpu % cpus),
            }
            // Some events meet a machine at rest, others one that is still busy with those before.
            if rests >> (step % 64) & 1 != 0 {
                prop_assert!(machine.come_to_rest(rests), "it goes round and round");
                machine.check();
            }
        }
        prop_assert!(machine.come_to_rest(rests), "it goes round and round");
        machine.check();
    }
}

#[test]
fn a_task_goes_where_the_lowest_runs() {
    let levels = [30, 10, 20, 10];
    let level = |cpu: usize| levels[cpu];
    assert_eq!(target(25, 0b1111, [0, 0], level), Some(1));
    assert_eq!(target(25, 0b1111, [3, 0], level), Some(3));
    assert_eq!(target(25, 0b1111, [2, 2], level), Some(3));
    assert_eq!(target(25, 0b0101, [1, 1], level), Some(2));
    assert_eq!(target(10, 0b1111, [0, 0], level), None);
    assert_eq!(target(99, 0, [0, 0], level), None);
}

#[test]
fn a_cpu_fetches_the_highest() {
    let waiting = [5, 0, 7, 6];
    assert_eq!(source(0, 0b1111, |cpu| waiting[cpu]), Some(2));
    assert_eq!(source(0, 0b1011, |cpu| waiting[cpu]), Some(3));
    assert_eq!(source(6, 0b1011, |cpu| waiting[cpu]), None);
}
