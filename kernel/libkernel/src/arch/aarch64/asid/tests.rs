//! The allocator against CPUs that keep whatever they may, walk whenever they like and switch in small steps.
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Barrier, Mutex};
use std::vec;
use std::vec::Vec;

const CPUS: usize = 3;
const PAGES: usize = 2;
/// Seven address spaces at most have an ASID at once.
const BITS: u32 = 3;

/// What a page of an address space maps; every change makes a new one.
type Version = u32;

#[derive(Default)]
struct Space {
    tag: Tag,
    /// What the tables say.
    pages: [Version; PAGES],
    /// The oldest that may still be used.
    flushed: [Version; PAGES],
    ended: bool,
}

/// What is between the decision to run an address space and the write of TTBR0.
enum Switch {
    /// After the look, before the commit.
    Looked(usize, Attempt),
    /// After the commit: the register will be written with this ASID.
    Decided(usize, u16),
}

#[derive(Default)]
struct Cpu {
    ttbr0: Option<(usize, u16)>,
    switch: Option<Switch>,
    tlb: HashMap<(u16, usize), (usize, Version)>,
}

impl Cpu {
    fn uses(&self, space: usize) -> bool {
        let switching = match self.switch {
            Some(Switch::Looked(next, _) | Switch::Decided(next, _)) => next == space,
            None => false,
        };
        switching || self.ttbr0.is_some_and(|(active, _)| active == space)
    }
}

struct Machine {
    asids: Asids<CPUS>,
    pool: Pool<CPUS>,
    spaces: Vec<Space>,
    cpus: [Cpu; CPUS],
    /// A flush between its reading of the tag and its broadcast: space, page, version, ASID.
    flush: Option<(usize, usize, Version, Option<u16>)>,
}

/// One step of somebody; numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    End(usize),
    /// The next step of the CPU's switch, or the first one of a switch to the address space.
    Switch(usize, usize),
    LeaveUserMemory(usize),
    /// The CPU walks on its own account and keeps what it finds.
    Walk(usize, usize),
    /// A program's access, or the kernel's to its memory: not in the middle of a switch.
    Access(usize, usize),
    /// The next step of the change of a page: write and read the tag, or broadcast.
    Change(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let any = || 0usize..64;
    prop_oneof![
        2 => Just(Step::Create),
        1 => any().prop_map(Step::End),
        12 => (any(), any()).prop_map(|(cpu, space)| Step::Switch(cpu, space)),
        1 => any().prop_map(Step::LeaveUserMemory),
        6 => (any(), any()).prop_map(|(cpu, page)| Step::Walk(cpu, page)),
        6 => (any(), any()).prop_map(|(cpu, page)| Step::Access(cpu, page)),
        4 => (any(), any()).prop_map(|(space, page)| Step::Change(space, page)),
    ]
}

impl Machine {
    fn new() -> Self {
        Self {
            asids: Asids::new(),
            pool: Pool::new(BITS),
            spaces: (0..4).map(|_| Space::default()).collect(),
            cpus: Default::default(),
            flush: None,
        }
    }

    fn living(&self, number: usize) -> Option<usize> {
        let number = number % self.spaces.len();
        (!self.spaces[number].ended).then_some(number)
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Create => self.spaces.push(Space::default()),
            Step::End(number) => self.end(number),
            Step::Switch(cpu, number) => self.switch(cpu % CPUS, number),
            Step::LeaveUserMemory(cpu) => {
                let cpu = &mut self.cpus[cpu % CPUS];
                if cpu.switch.is_none() {
                    cpu.ttbr0 = None;
                }
            }
            Step::Walk(cpu, page) => self.walk(cpu % CPUS, page % PAGES),
            Step::Access(cpu, page) => self.access(cpu % CPUS, page % PAGES),
            Step::Change(number, page) => self.change(number, page % PAGES),
        }
        self.check_owners();
    }

    fn end(&mut self, number: usize) {
        let Some(number) = self.living(number) else { return };
        let flushing = self.flush.is_some_and(|(space, ..)| space == number);
        if flushing || self.cpus.iter().any(|cpu| cpu.uses(number)) {
            return;
        }
        let tag = &self.spaces[number].tag;
        if let Some(asid) = tag.asid() {
            self.cpus.iter_mut().for_each(|cpu| cpu.tlb.retain(|key, _| key.0 != asid));
            self.asids.release(&mut self.pool, tag);
        }
        self.spaces[number].ended = true;
    }

    fn switch(&mut self, cpu: usize, number: usize) {
        match self.cpus[cpu].switch.take() {
            None => {
                let Some(number) = self.living(number) else { return };
                let tag = &self.spaces[number].tag;
                self.cpus[cpu].switch = Some(match self.asids.look(cpu, tag) {
                    Some(attempt) => Switch::Looked(number, attempt),
                    None => self.assign(cpu, number),
                });
            }
            Some(Switch::Looked(number, attempt)) => {
                self.cpus[cpu].switch = Some(match self.asids.commit(cpu, attempt) {
                    Some(asid) => Switch::Decided(number, asid),
                    None => self.assign(cpu, number),
                });
            }
            Some(Switch::Decided(number, asid)) => self.cpus[cpu].ttbr0 = Some((number, asid)),
        }
    }

    fn assign(&mut self, cpu: usize, number: usize) -> Switch {
        let Assignment { asid, forget } = self.asids.assign(&mut self.pool, cpu, &self.spaces[number].tag);
        if forget {
            self.cpus[cpu].tlb.clear();
        }
        Switch::Decided(number, asid)
    }

    fn walk(&mut self, cpu: usize, page: usize) {
        let cpu = &mut self.cpus[cpu];
        if let Some((space, asid)) = cpu.ttbr0 {
            cpu.tlb.entry((asid, page)).or_insert((space, self.spaces[space].pages[page]));
        }
    }

    fn access(&mut self, cpu: usize, page: usize) {
        self.walk(cpu, page);
        if self.cpus[cpu].switch.is_some() {
            // What it has decided to run is `active` already, so a new generation may give the address space that it
            // still has in its register another ASID, and a flush pass over the one there.
            return;
        }
        let Some((space, asid)) = self.cpus[cpu].ttbr0 else { return };
        let (owner, version) = self.cpus[cpu].tlb[&(asid, page)];
        assert_eq!(owner, space, "CPU {cpu} uses another address space's translation under ASID {asid}");
        assert!(version >= self.spaces[space].flushed[page], "CPU {cpu} uses a flushed translation");
    }

    fn change(&mut self, number: usize, page: usize) {
        if let Some((space, page, version, asid)) = self.flush.take() {
            for cpu in &mut self.cpus {
                cpu.tlb.retain(|key, _| Some(key.0) != asid || key.1 != page);
            }
            self.spaces[space].flushed[page] = version;
        } else if let Some(number) = self.living(number) {
            let space = &mut self.spaces[number];
            space.pages[page] += 1;
            self.flush = Some((number, page, space.pages[page], space.tag.asid()));
        }
    }

    /// Those who run, and are not about to run another one, have ASIDs of their own.
    fn check_owners(&self) {
        let settled = self.cpus.iter().filter(|cpu| !matches!(cpu.switch, Some(Switch::Decided(..))));
        let running: Vec<_> = settled.filter_map(|cpu| cpu.ttbr0).collect();
        for (first, one) in running.iter().enumerate() {
            for other in &running[first..] {
                assert_eq!(one.0 == other.0, one.1 == other.1, "{one:?} and {other:?} run at once");
                assert_ne!(one.1, NOBODY);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_cpu_uses_a_translation_that_is_not_its_address_spaces(steps in prop::collection::vec(step(), 1..600)) {
        let mut machine = Machine::new();
        for step in steps {
            machine.run(step);
        }
    }
}

#[test]
fn generations_pass_and_running_address_spaces_keep_their_asids() {
    let (asids, mut pool) = (Asids::<2>::new(), Pool::<2>::new(BITS_MIN));
    let tags: Vec<Tag> = (0..1000).map(|_| Tag::default()).collect();
    let kept = asids.assign(&mut pool, 0, &tags[0]);
    assert!(kept.forget && asids.activate(0, &tags[0]) == Some(kept.asid));
    for tag in &tags {
        asids.assign(&mut pool, 1, tag);
        assert_eq!(asids.assign(&mut pool, 1, &tags[0]).asid, kept.asid);
        asids.assign(&mut pool, 1, tag);
    }
    assert_eq!(asids.generation.load(Relaxed), 4, "254 others, then 253");
    assert_eq!(asids.activate(0, &tags[0]), None);
    assert_eq!(asids.assign(&mut pool, 0, &tags[0]), Assignment { asid: kept.asid, forget: true });
    assert_eq!(asids.activate(0, &tags[0]), Some(kept.asid));
}

#[test]
fn an_asid_that_was_released_is_given_away_without_a_new_generation() {
    let (asids, mut pool) = (Asids::<2>::new(), Pool::<2>::new(BITS_MIN));
    for _ in 0..10_000 {
        let tag = Tag::default();
        asids.assign(&mut pool, 0, &tag);
        asids.release(&mut pool, &tag);
    }
    assert_eq!(asids.generation.load(Relaxed), 1);
}

#[test]
fn all_asids_but_nobodys_are_given_away() {
    let mut pool = Pool::<2>::new(BITS_MIN);
    pool.widen(BITS_MAX);
    let mut seen = vec![false; 1 << BITS_MAX];
    while let Some(asid) = pool.take() {
        assert!(asid != NOBODY && !core::mem::replace(&mut seen[usize::from(asid)], true));
    }
    assert_eq!(seen.iter().filter(|seen| **seen).count(), (1 << BITS_MAX) - 1);
}

/// The same with threads as CPUs: what a CPU keeps is its own; broadcasts need a lock that walks take too.
#[test]
fn threads_find_no_translation_of_others() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;
    let asids = Arc::new(Asids::<THREADS>::new());
    let pool = Arc::new(Mutex::new(Pool::<THREADS>::new(4)));
    let tags: Arc<Vec<Tag>> = Arc::new((0..40).map(|_| Tag::default()).collect());
    let start = Arc::new(Barrier::new(THREADS));
    let cpu = |cpu: usize| {
        let (asids, pool, tags, start) = (asids.clone(), pool.clone(), tags.clone(), start.clone());
        std::thread::spawn(move || {
            let mut owners = [None; 16];
            start.wait();
            for round in 0..ROUNDS {
                let space = (round * (cpu * 2 + 3) + round / 7) % tags.len();
                let asid = asids.activate(cpu, &tags[space]).unwrap_or_else(|| {
                    let mut pool = pool.lock().unwrap();
                    let assignment = asids.assign(&mut pool, cpu, &tags[space]);
                    if assignment.forget {
                        owners = [None; 16];
                    }
                    assignment.asid
                });
                let owner = *owners[usize::from(asid)].get_or_insert(space);
                assert_eq!(owner, space, "CPU {cpu}, ASID {asid}");
            }
        })
    };
    let threads: Vec<_> = (0..THREADS).map(cpu).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(asids.generation.load(Relaxed) > 10);
}
