//! Identifiers against CPUs that keep whatever they may, walk whenever they like, and switch and flush in small steps.

use std::collections::HashMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const CPUS: usize = 2;
const PAGES: usize = 2;
/// More than there are identifiers.
const SPACES: usize = KEPT + 3;

/// What a page of an address space maps; every change makes a new one.
type Version = u32;

#[derive(Default)]
struct Tables {
    space: Space,
    /// What the tables say.
    pages: [Version; PAGES],
    /// The oldest that may still be used.
    flushed: [Version; PAGES],
}

/// How far a CPU has come on its way to an address space. Interrupts are masked meanwhile.
enum Switch {
    Entered(usize),
    Chosen(usize, Choice),
    /// CR3 is written; this is the one to leave.
    Written(usize),
}

/// How far a CPU has come with a change. It does not switch meanwhile, but answers others.
struct Change {
    space: usize,
    page: usize,
    version: Version,
    before: u64,
    /// The CPUs that have not answered, itself included.
    unanswered: u64,
}

#[derive(Default)]
struct Cpu {
    identifiers: Identifiers,
    /// Address space and identifier; none on the kernel's tables.
    cr3: Option<(usize, u16)>,
    switch: Option<Switch>,
    change: Option<Change>,
    tlb: HashMap<(u16, usize), (usize, Version)>,
}

#[derive(Default)]
struct Machine {
    spaces: Vec<Tables>,
    cpus: [Cpu; CPUS],
}

/// One step of somebody; numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next step of the CPU's switch, or the first one of a switch to the address space.
    Switch(usize, usize),
    /// The CPU goes to the kernel's tables.
    LeaveUserMemory(usize),
    /// The CPU walks on its own account and keeps what it finds.
    Walk(usize, usize),
    /// A program's access.
    Access(usize, usize),
    /// The CPU changes a page of an address space, or goes on to flush what it has changed.
    Change(usize, usize, usize),
    /// The CPU answers one that flushes.
    Answer(usize, usize),
    /// An address space ends, and another one begins.
    Replace(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let any = || 0usize..64;
    prop_oneof![
        8 => (any(), any()).prop_map(|(cpu, space)| Step::Switch(cpu, space)),
        // Between two, so that they are found again, changed from several sides.
        16 => (any(), 0usize..2).prop_map(|(cpu, space)| Step::Switch(cpu, space)),
        1 => any().prop_map(Step::LeaveUserMemory),
        6 => (any(), any()).prop_map(|(cpu, page)| Step::Walk(cpu, page)),
        8 => (any(), any()).prop_map(|(cpu, page)| Step::Access(cpu, page)),
        8 => (any(), 0usize..2, any()).prop_map(|(cpu, space, page)| Step::Change(cpu, space, page)),
        12 => (any(), any()).prop_map(|(cpu, sender)| Step::Answer(cpu, sender)),
        1 => any().prop_map(Step::Replace),
    ]
}

impl Machine {
    fn new() -> Self {
        Self { spaces: (0..SPACES).map(|_| Tables::default()).collect(), ..Self::default() }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Switch(cpu, space) => self.switch(cpu % CPUS, space % SPACES),
            Step::LeaveUserMemory(cpu) => self.leave_user_memory(cpu % CPUS),
            Step::Walk(cpu, page) => self.walk(cpu % CPUS, page % PAGES),
            Step::Access(cpu, page) => self.access(cpu % CPUS, page % PAGES),
            Step::Change(cpu, space, page) => self.change(cpu % CPUS, space % SPACES, page % PAGES),
            Step::Answer(cpu, sender) => self.answer(cpu % CPUS, sender % CPUS),
            Step::Replace(space) => self.replace(space % SPACES),
        }
    }

    fn switch(&mut self, number: usize, space: usize) {
        let cpu = &mut self.cpus[number];
        match cpu.switch.take() {
            None => {
                let same = cpu.cr3.is_some_and(|(active, _)| active == space);
                if cpu.change.is_none() && !same {
                    self.spaces[space].space.enter(number);
                    cpu.switch = Some(Switch::Entered(space));
                }
            }
            Some(Switch::Entered(space)) => {
                let choice = cpu.identifiers.choose(&self.spaces[space].space);
                cpu.switch = Some(Switch::Chosen(space, choice));
            }
            Some(Switch::Chosen(space, Choice { pcid, keep })) => {
                if !keep {
                    cpu.tlb.retain(|key, _| key.0 != pcid);
                }
                let old = cpu.cr3.replace((space, pcid));
                cpu.switch = old.map(|(old, _)| Switch::Written(old));
            }
            Some(Switch::Written(old)) => self.spaces[old].space.leave(number),
        }
    }

    fn leave_user_memory(&mut self, number: usize) {
        let cpu = &mut self.cpus[number];
        if cpu.switch.is_none()
            && cpu.change.is_none()
            && let Some((old, _)) = cpu.cr3.take()
        {
            cpu.switch = Some(Switch::Written(old));
        }
    }

    fn walk(&mut self, cpu: usize, page: usize) {
        let cpu = &mut self.cpus[cpu];
        if let Some((space, pcid)) = cpu.cr3 {
            cpu.tlb.entry((pcid, page)).or_insert((space, self.spaces[space].pages[page]));
        }
    }

    fn access(&mut self, cpu: usize, page: usize) {
        self.walk(cpu, page);
        let Some((space, pcid)) = self.cpus[cpu].cr3 else { return };
        let (owner, version) = self.cpus[cpu].tlb[&(pcid, page)];
        assert_eq!(owner, space, "CPU {cpu} uses another address space's translation under {pcid}");
        assert!(version >= self.spaces[space].flushed[page], "CPU {cpu} uses a flushed translation");
    }

    fn change(&mut self, number: usize, space: usize, page: usize) {
        let cpu = &mut self.cpus[number];
        if cpu.switch.is_some() {
            return;
        }
        let Some(change) = &mut cpu.change else {
            let tables = &mut self.spaces[space];
            tables.pages[page] += 1;
            let version = tables.pages[page];
            let (unanswered, before) = tables.space.change();
            cpu.change = Some(Change { space, page, version, before, unanswered });
            return;
        };
        if change.unanswered & 1 << number != 0 {
            change.unanswered &= !(1 << number);
            let (page, before, space) = (change.page, change.before, &self.spaces[change.space].space);
            let pcid = cpu.cr3.map_or(KERNEL, |(_, pcid)| pcid);
            cpu.tlb.remove(&(pcid, page));
            cpu.identifiers.note_forgotten(space, before);
        }
        if change.unanswered == 0 {
            let flushed = &mut self.spaces[change.space].flushed[change.page];
            *flushed = change.version.max(*flushed);
            cpu.change = None;
        }
    }

    fn answer(&mut self, number: usize, sender: usize) {
        if number == sender || self.cpus[number].switch.is_some() {
            return;
        }
        let Some(change) = &mut self.cpus[sender].change else { return };
        if change.unanswered & 1 << number != 0 {
            change.unanswered &= !(1 << number);
            let page = change.page;
            let cpu = &mut self.cpus[number];
            let pcid = cpu.cr3.map_or(KERNEL, |(_, pcid)| pcid);
            cpu.tlb.remove(&(pcid, page));
        }
    }

    fn replace(&mut self, space: usize) {
        let uses = |cpu: &Cpu| {
            let switching = match cpu.switch {
                Some(Switch::Entered(other) | Switch::Chosen(other, _) | Switch::Written(other)) => {
                    other == space
                }
                None => false,
            };
            let changing = cpu.change.as_ref().is_some_and(|change| change.space == space);
            switching || changing || cpu.cr3.is_some_and(|(active, _)| active == space)
        };
        if !self.cpus.iter().any(uses) {
            assert_eq!(self.spaces[space].space.cpus(), 0);
            self.spaces[space] = Tables::default();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_cpu_uses_a_translation_that_is_stale_or_not_its_address_spaces(
        steps in prop::collection::vec(step(), 1..800),
    ) {
        let mut machine = Machine::new();
        for step in steps {
            machine.run(step);
        }
    }
}

/// A CPU's switch to an address space.
fn switch(identifiers: &Identifiers, space: &Space) -> Choice {
    space.enter(0);
    let choice = identifiers.choose(space);
    space.leave(0);
    choice
}

#[test]
fn as_many_address_spaces_as_there_are_identifiers_keep_their_translations() {
    let identifiers = Identifiers::new();
    let spaces: [Space; KEPT] = Default::default();
    let first: Vec<_> = spaces.iter().map(|space| switch(&identifiers, space)).collect();
    assert!(first.iter().all(|choice| !choice.keep && choice.pcid != KERNEL));
    for _ in 0..3 {
        for (space, first) in spaces.iter().zip(&first) {
            assert_eq!(switch(&identifiers, space), Choice { keep: true, ..*first });
        }
    }
    let one_more = switch(&identifiers, &Space::new());
    assert_eq!(one_more, Choice { pcid: first[0].pcid, keep: false });
    assert!(!switch(&identifiers, &spaces[0]).keep);
}

#[test]
fn a_change_elsewhere_costs_the_translations_and_one_of_ones_own_does_not() {
    let (identifiers, space) = (Identifiers::new(), Space::new());
    switch(&identifiers, &space);
    space.change();
    assert!(!switch(&identifiers, &space).keep);
    assert!(switch(&identifiers, &space).keep);
    let (_, before) = space.change();
    identifiers.note_forgotten(&space, before);
    assert!(switch(&identifiers, &space).keep);
}

#[test]
fn a_change_of_ones_own_does_not_hide_another_that_was_missed() {
    let (identifiers, space) = (Identifiers::new(), Space::new());
    switch(&identifiers, &space);
    space.change();
    let (_, before) = space.change();
    identifiers.note_forgotten(&space, before);
    assert!(!switch(&identifiers, &space).keep);
}
