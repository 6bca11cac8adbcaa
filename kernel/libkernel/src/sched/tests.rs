//! Fairness, order and bounds of the policy, over fixed and random workloads.

use alloc::vec::Vec;
use std::vec;

use proptest::prelude::*;

use super::tree::Tree;
use super::*;

impl Member for usize {
    fn note_place(&self, _place: QueuePosition) {}
}

/// One CPU with tasks numbered from 0, of which each is running, waiting or asleep.
struct Machine {
    queue: Queue<usize>,
    now_ns: u64,
    running: Option<usize>,
    asleep: Vec<Option<alloc::boxed::Box<Entity<usize>>>>,
    received_ns: Vec<u64>,
    switches: usize,
}

fn nice(nice: i8) -> Parameters {
    Parameters { nice, ..Parameters::default() }
}

fn real_time(policy: Policy, priority: u8) -> Parameters {
    Parameters { policy, priority, ..Parameters::default() }
}

impl Machine {
    fn new(tasks: &[Parameters]) -> Machine {
        let asleep =
            tasks.iter().enumerate().map(|(number, task)| Some(Entity::new(*task, number as u32))).collect();
        let received_ns = vec![0; tasks.len()];
        Machine { queue: Queue::new(), now_ns: 1000, running: None, asleep, received_ns, switches: 0 }
    }

    /// With all tasks awake and one of them running.
    fn awake(tasks: &[Parameters]) -> Machine {
        let mut machine = Machine::new(tasks);
        for task in 0..tasks.len() {
            machine.wake(task, Arrival::Placed);
        }
        machine
    }

    fn charge(&mut self) {
        self.queue.charge(self.now_ns);
        let used_ns = self.queue.take_used_ns();
        if let Some(running) = self.running {
            self.received_ns[running] += used_ns;
        }
    }

    fn wake(&mut self, task: usize, arrival: Arrival) {
        let Some(mut entity) = self.asleep[task].take() else { return };
        entity.value = Some(task);
        self.charge();
        if self.queue.arrive(entity, arrival) {
            self.reconsider();
        }
    }

    fn reconsider(&mut self) {
        self.charge();
        let next = match self.running {
            Some(running) => self.queue.reconsider(|| running),
            None => self.queue.pick(),
        };
        self.switch(next);
    }

    fn switch(&mut self, next: Option<usize>) {
        if next.is_some() {
            self.running = next;
            self.switches += 1;
        }
    }

    fn sleep(&mut self) {
        self.charge();
        let Some(running) = self.running.take() else { return };
        self.asleep[running] = self.queue.leave();
        let next = self.queue.pick();
        self.switch(next);
    }

    fn yield_now(&mut self) {
        self.charge();
        let Some(running) = self.running else { return };
        let next = self.queue.yield_to_another(|| running);
        self.switch(next);
    }

    /// Runs for a time, with ticks as the queue asks for them.
    fn run(&mut self, ns: u64) {
        let end = self.now_ns + ns;
        while self.now_ns < end {
            self.charge();
            let tick = self.queue.next_tick_ns().unwrap_or(end).min(end);
            self.now_ns = tick;
            self.charge();
            if self.queue.is_time_up() {
                self.reconsider();
            }
        }
    }
}

#[test]
fn equals_share_equally_and_switch_once_a_slice() {
    let mut machine = Machine::awake(&[nice(0); 4]);
    machine.run(400 * SLICE_NS);
    for received in &machine.received_ns {
        assert!(received.abs_diff(100 * SLICE_NS) <= SLICE_NS, "{received}");
    }
    assert!((395..=405).contains(&machine.switches), "{}", machine.switches);
}

#[test]
fn nice_values_divide_the_cpu_by_their_weights_within_two_per_cent() {
    for (one, other) in [(0, 1), (0, 5), (-20, -10), (10, 19), (-5, 5), (18, 19)] {
        let mut machine = Machine::awake(&[nice(one), nice(other)]);
        machine.run(20_000 * SLICE_NS);
        let ratio = machine.received_ns[0] as f64 / machine.received_ns[1] as f64;
        let wanted = f64::from(weight_of_nice(i32::from(one))) / f64::from(weight_of_nice(i32::from(other)));
        assert!((ratio / wanted - 1.0).abs() < 0.02, "nice {one} : {other} got {ratio}, not {wanted}");
    }
}

#[test]
fn each_step_of_nice_is_a_quarter_more() {
    for step in NICE_MIN..NICE_MAX {
        let ratio = f64::from(weight_of_nice(step)) / f64::from(weight_of_nice(step + 1));
        assert!((1.15..1.30).contains(&ratio), "{step}: {ratio}");
    }
    assert_eq!(weight_of_nice(0), 1024);
}

#[test]
fn an_idle_task_gets_next_to_nothing_but_not_nothing() {
    let idle = Parameters { policy: Policy::Idle, ..Parameters::default() };
    let mut machine = Machine::awake(&[nice(0), idle]);
    machine.run(10_000 * SLICE_NS);
    let share = machine.received_ns[1] as f64 / (machine.received_ns[0] + machine.received_ns[1]) as f64;
    assert!((0.0025..0.0034).contains(&share), "{share}");
}

#[test]
fn yielding_lets_the_other_run_and_forgoes_no_more() {
    let mut machine = Machine::awake(&[nice(0), nice(0)]);
    for _ in 0..1000 {
        let before = machine.running;
        machine.now_ns += 300;
        machine.yield_now();
        assert_ne!(machine.running, before);
    }
    machine.run(100 * SLICE_NS);
    assert!(machine.received_ns[0].abs_diff(machine.received_ns[1]) <= 2 * SLICE_NS);
}

#[test]
fn yielding_goes_round_everybody() {
    let mut machine = Machine::awake(&[nice(0); 5]);
    let mut turns = vec![0; 5];
    for _ in 0..5000 {
        machine.now_ns += 500;
        machine.yield_now();
        turns[machine.running.unwrap()] += 1;
    }
    assert!(turns.iter().all(|turns| (900..=1100).contains(turns)), "{turns:?}");
}

#[test]
fn who_yields_to_a_spinner_is_not_starved_later() {
    let mut machine = Machine::awake(&[nice(0), nice(0)]);
    for _ in 0..100 {
        if machine.running == Some(0) {
            machine.yield_now();
        }
        machine.run(SLICE_NS / 4);
    }
    let before = machine.received_ns[0];
    machine.run(20 * SLICE_NS);
    assert!(machine.received_ns[0] - before >= 8 * SLICE_NS);
}

#[test]
fn who_runs_on_time_given_away_is_not_starved_for_it() {
    let values = [nice(-7), nice(16)];
    let mut machine = Machine::awake(&values);
    for _ in 0..1000 {
        machine.run(SLICE_NS);
        if machine.running == Some(0) {
            machine.yield_now();
            assert_eq!(machine.running, Some(1));
        }
    }
    machine.run(2 * SLICE_NS);
    assert_eq!(machine.running, Some(0));
    let before = machine.received_ns[1];
    let share = u64::from(values[0].weight() + values[1].weight()) / u64::from(values[1].weight());
    machine.run(4 * SLICE_NS * share);
    assert!(machine.received_ns[1] > before);
}

#[test]
fn sleep_earns_no_credit_and_erases_no_debt() {
    let mut machine = Machine::awake(&[nice(0), nice(0)]);
    // One sleeps for a long time while the other runs alone: afterwards they share again.
    machine.sleep();
    machine.run(1000 * SLICE_NS);
    let asleep = usize::from(machine.running == Some(0));
    machine.wake(asleep, Arrival::Woken);
    let before = machine.received_ns.clone();
    machine.run(100 * SLICE_NS);
    let gained: Vec<u64> = machine.received_ns.iter().zip(&before).map(|(now, then)| now - then).collect();
    assert!(gained[0].abs_diff(gained[1]) <= 2 * SLICE_NS, "{gained:?}");
}

#[test]
fn a_sleeper_that_used_little_runs_soon() {
    let mut machine = Machine::awake(&[nice(0), nice(0), nice(0)]);
    for _ in 0..50 {
        while machine.running != Some(2) {
            machine.run(SLICE_NS / 8);
        }
        machine.run(SLICE_NS / 20);
        machine.sleep();
        machine.run(3 * SLICE_NS);
        machine.wake(2, Arrival::Woken);
        let woken = machine.now_ns;
        while machine.running != Some(2) {
            machine.run(SLICE_NS / 8);
        }
        assert!(machine.now_ns - woken <= 2 * SLICE_NS);
    }
}

#[test]
fn batch_and_idle_tasks_do_not_preempt() {
    for policy in [Policy::Batch, Policy::Idle] {
        let calm = Parameters { policy, nice: -20, ..Parameters::default() };
        let mut machine = Machine::new(&[nice(19), calm]);
        machine.wake(0, Arrival::Woken);
        machine.run(100);
        machine.wake(1, Arrival::Woken);
        assert_eq!(machine.running, Some(0));
    }
    let mut machine = Machine::new(&[nice(19), nice(-20)]);
    machine.wake(0, Arrival::Woken);
    machine.run(100);
    machine.wake(1, Arrival::Woken);
    assert_eq!(machine.running, Some(1));
}

#[test]
fn real_time_runs_by_priority_and_before_all_others() {
    let tasks = [
        nice(-20),
        real_time(Policy::Fifo, 10),
        real_time(Policy::RoundRobin, 50),
        real_time(Policy::Fifo, 99),
    ];
    let mut machine = Machine::new(&tasks);
    for task in 0..4 {
        machine.wake(task, Arrival::Woken);
        assert_eq!(machine.running, Some(task));
    }
    for expected in [2, 1, 0] {
        machine.sleep();
        assert_eq!(machine.running, Some(expected));
    }
}

#[test]
fn fifo_keeps_the_cpu_among_equals_and_is_first_again_after_preemption() {
    let fifo = real_time(Policy::Fifo, 10);
    let mut machine = Machine::awake(&[fifo, fifo, real_time(Policy::Fifo, 20)]);
    assert_eq!(machine.running, Some(2));
    machine.sleep();
    machine.run(50 * SLICE_NS);
    assert_eq!(machine.running, Some(0));
    machine.wake(2, Arrival::Woken);
    assert_eq!(machine.running, Some(2));
    machine.sleep();
    assert_eq!(machine.running, Some(0));
    machine.yield_now();
    assert_eq!(machine.running, Some(1));
}

#[test]
fn round_robin_takes_turns_of_a_tenth_of_a_second() {
    let turn = real_time(Policy::RoundRobin, 10);
    let mut machine = Machine::awake(&[turn, turn, turn]);
    machine.run(9 * ROUND_ROBIN_NS);
    assert_eq!(machine.received_ns, [3 * ROUND_ROBIN_NS; 3]);
}

#[test]
fn a_real_time_spinner_leaves_a_twentieth_to_the_others() {
    let mut machine = Machine::awake(&[real_time(Policy::Fifo, 99), nice(0)]);
    machine.run(20 * REAL_TIME_PERIOD_NS);
    let share = machine.received_ns[1] as f64 / (20 * REAL_TIME_PERIOD_NS) as f64;
    assert!((0.04..0.06).contains(&share), "{share}");
    let mut alone = Machine::awake(&[real_time(Policy::Fifo, 99)]);
    alone.run(20 * REAL_TIME_PERIOD_NS);
    assert_eq!(alone.received_ns[0], 20 * REAL_TIME_PERIOD_NS);
}

#[test]
fn a_stolen_task_keeps_its_lag_and_parameters() {
    let mut machine = Machine::awake(&[nice(0), nice(5), nice(5)]);
    machine.run(SLICE_NS / 2);
    let mut thief = Machine::new(&[]);
    thief.now_ns = 77;
    let stolen = machine.queue.steal(|task| *task == 2).expect("it waits");
    assert_eq!(stolen.value, Some(2));
    assert!(stolen.lag > 0);
    assert_eq!(stolen.parameters(), nice(5));
    assert_eq!(machine.queue.waiting(), 1);
    assert!(machine.queue.steal(|task| *task == 0).is_none());
    assert!(thief.queue.arrive(stolen, Arrival::Placed));
    assert_eq!(thief.queue.pick(), Some(2));
    assert_eq!(thief.queue.load(), u64::from(weight_of_nice(5)));
}

#[test]
fn parameters_change_while_running_and_while_waiting() {
    let mut machine = Machine::awake(&[nice(0), nice(0)]);
    machine.run(10 * SLICE_NS);
    let running = machine.running.unwrap();
    machine.charge();
    machine.queue.change_running(nice(10));
    let before = machine.received_ns.clone();
    machine.run(4000 * SLICE_NS);
    let gained = |task: usize| (machine.received_ns[task] - before[task]) as f64;
    let ratio = gained(1 - running) / gained(running);
    assert!((ratio / (1024.0 / 110.0) - 1.0).abs() < 0.02, "{ratio}");
    let waiting = 1 - machine.running.unwrap();
    let mut place = None;
    machine.queue.steal(|_| true).map(|entity| {
        place = Some(entity.place());
        machine.queue.arrive(entity, Arrival::Placed)
    });
    let mut entity = None;
    if machine.queue.waiting() == 1 {
        entity = machine.queue.steal(|task| *task == waiting);
    }
    let mut entity = entity.expect("it waits");
    entity.refresh(real_time(Policy::Fifo, 1).pack());
    assert!(machine.queue.arrive(entity, Arrival::Placed));
    machine.reconsider();
    assert_eq!(machine.running, Some(waiting));
}

#[test]
fn packed_parameters_come_out_as_they_went_in() {
    for policy in [Policy::Normal, Policy::Fifo, Policy::RoundRobin, Policy::Batch, Policy::Idle] {
        for nice in -20..=19 {
            let parameters = Parameters { policy, nice, priority: 42, reset_on_fork: nice > 3, boost: 99 };
            assert_eq!(Parameters::unpack(parameters.pack()), parameters);
        }
    }
    assert_eq!(Parameters::default().pack(), 0);
}

#[test]
fn a_lent_priority_counts_if_it_is_higher() {
    let boosted = |boost, parameters| Parameters { boost, ..parameters };
    assert_eq!(boosted(0, nice(3)).effective(), nice(3));
    let raised = boosted(7, nice(3)).effective();
    assert_eq!((raised.policy, raised.priority, raised.nice), (Policy::Fifo, 7, 3));
    let turns = real_time(Policy::RoundRobin, 20);
    assert_eq!(boosted(20, turns).effective(), turns);
    assert_eq!(boosted(21, turns).effective(), real_time(Policy::Fifo, 21));
    assert_eq!(boosted(21, turns).of_child(), turns);
}

#[test]
fn a_child_of_one_that_resets_starts_modest() {
    let parent = Parameters { nice: -5, reset_on_fork: true, ..real_time(Policy::Fifo, 3) };
    assert_eq!(parent.of_child(), Parameters::default());
    let parent = Parameters { nice: -5, reset_on_fork: true, ..nice(0) };
    assert_eq!(parent.of_child(), Parameters::default());
    assert_eq!(nice(7).of_child(), nice(7));
}

/// What a random workload does next.
#[derive(Clone, Debug)]
enum Step {
    Run(u64),
    Sleep,
    Wake(usize),
    Yield,
}

fn steps(tasks: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..3 * SLICE_NS).prop_map(Step::Run),
        1 => Just(Step::Sleep),
        2 => (0..tasks).prop_map(Step::Wake),
        1 => Just(Step::Yield),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn service_stays_within_a_slice_of_the_ideal(values in prop::collection::vec(-20i8..=19, 2..12), slices in 1u64..2000) {
        let mut machine = Machine::awake(&values.iter().map(|value| nice(*value)).collect::<Vec<_>>());
        let total: u64 = values.iter().map(|value| u64::from(weight_of_nice(i32::from(*value)))).sum();
        let start = machine.now_ns;
        for _ in 0..4 {
            machine.run(slices * SLICE_NS / 4);
            let passed = machine.now_ns - start;
            for (value, received) in values.iter().zip(&machine.received_ns) {
                let weight = u64::from(weight_of_nice(i32::from(*value)));
                let ideal = (u128::from(passed) * u128::from(weight) / u128::from(total)) as u64;
                // One slice by the theorem; the shortest tick and rounding come on top.
                prop_assert!(received.abs_diff(ideal) <= SLICE_NS + SLICE_NS / 8, "nice {value}: {received} for {ideal}");
            }
        }
    }

    #[test]
    fn nobody_who_waits_is_forgotten(values in prop::collection::vec(-20i8..=19, 1..8), steps in steps(8)) {
        let tasks: Vec<_> = values.iter().map(|value| nice(*value)).collect();
        let mut machine = Machine::awake(&tasks);
        for step in steps {
            match step {
                Step::Run(ns) => machine.run(ns),
                Step::Sleep => machine.sleep(),
                Step::Wake(task) if task < tasks.len() => machine.wake(task, Arrival::Woken),
                Step::Wake(_) => {}
                Step::Yield => machine.yield_now(),
            }
            let asleep = machine.asleep.iter().flatten().count();
            prop_assert_eq!(asleep + machine.queue.waiting() + usize::from(machine.running.is_some()), tasks.len());
            prop_assert!(machine.running.is_some() || machine.queue.waiting() == 0);
        }
        let before = machine.received_ns.clone();
        let awake: Vec<usize> = (0..tasks.len()).filter(|task| machine.asleep[*task].is_none()).collect();
        let total: u64 = awake.iter().map(|task| u64::from(tasks[*task].weight())).sum();
        let least = awake.iter().map(|task| u64::from(tasks[*task].weight())).min().unwrap_or(1);
        // Time for several slices of the lightest.
        machine.run(8 * SLICE_NS * (total / least + 1));
        for task in awake {
            prop_assert!(machine.received_ns[task] > before[task], "{task} starves");
        }
    }

    #[test]
    fn waking_often_gains_nothing(naps in prop::collection::vec((1u64..SLICE_NS, 1u64..SLICE_NS), 50..200)) {
        let mut machine = Machine::awake(&[nice(0), nice(0)]);
        machine.run(SLICE_NS);
        let start = machine.now_ns;
        let before = machine.received_ns[0];
        for (work, nap) in naps {
            let mut rest = work;
            while rest > 0 {
                let step = rest.min(SLICE_NS / 16);
                let received = machine.received_ns[0];
                machine.run(step);
                rest -= (machine.received_ns[0] - received).min(rest);
            }
            if machine.running == Some(0) {
                machine.sleep();
                machine.run(nap);
                machine.wake(0, Arrival::Woken);
            }
        }
        let passed = machine.now_ns - start;
        prop_assert!(machine.received_ns[0] - before <= passed / 2 + 2 * SLICE_NS);
    }

    #[test]
    fn the_tree_is_a_sorted_list(operations in prop::collection::vec((0u64..50, 0u64..50, 0u8..4), 1..200)) {
        let mut tree: Tree<usize> = Tree::new();
        let mut model: Vec<(QueuePosition, u64)> = Vec::new();
        for (number, (order, vruntime, operation)) in operations.into_iter().enumerate() {
            let by_place = |(place, _): &(QueuePosition, u64)| (place.order, place.number);
            match operation {
                0 | 1 => {
                    let mut entity = Entity::new(Parameters::default(), number as u32);
                    entity.place = QueuePosition { order, number: number as u64 };
                    entity.vruntime = vruntime;
                    model.push((entity.place, vruntime));
                    model.sort_by_key(by_place);
                    tree.insert(entity);
                }
                2 => {
                    let expected = model.iter().position(|(_, own)| *own <= vruntime);
                    let expected = expected.map(|index| model.remove(index).0);
                    prop_assert_eq!(tree.first(|own| own <= vruntime).map(Entity::place), expected);
                    prop_assert_eq!(tree.take_first(|own| own <= vruntime).map(|entity| entity.place()), expected);
                }
                _ if !model.is_empty() => {
                    let (place, _) = model.remove(order as usize % model.len());
                    prop_assert_eq!(tree.take(place).map(|entity| entity.place()), Some(place));
                    prop_assert!(tree.take(place).is_none());
                }
                _ => {}
            }
            tree.check();
        }
    }
}

#[test]
fn the_tree_stays_flat() {
    let mut tree: Tree<usize> = Tree::new();
    for number in 0..4096 {
        let mut entity = Entity::new(Parameters::default(), number as u32);
        entity.place = QueuePosition { order: number as u64, number: 0 };
        tree.insert(entity);
    }
    assert!(tree.check() <= 48);
}

/// Tasks that come in the order of what their ranks once were: a program that knew them built a list, and recursion
/// along it ran over the kernel's stack.
#[test]
fn no_order_of_arrival_makes_the_tree_deep() {
    fn scatter(number: u32) -> u32 {
        let mixed = (number ^ number >> 16).wrapping_mul(0x85eb_ca6b);
        let mixed = (mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35);
        mixed ^ mixed >> 16
    }
    let mut numbers: Vec<u32> = (0..20_000).collect();
    numbers.sort_by_key(|&number| core::cmp::Reverse(scatter(number)));
    let mut tree: Tree<usize> = Tree::new();
    for (order, number) in (0..).zip(numbers) {
        let mut entity = Entity::new(Parameters::default(), number);
        entity.place = QueuePosition { order, number: 0 };
        tree.insert(entity);
    }
    assert!(tree.check() <= 60);
}
