//! Parents and children in the process table: who waits for whom, and who gets the children of a process that ends.
//!
//! A parent's children are found in the order of their birth, and those that it has to be told of apart from the others, so that a
//! wait costs the same beside any number of them. All of it changes under the table's lock. A child that somebody has waited for,
//! or that nobody will wait for, is in no family any more.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use super::process::News;
use super::report::Vanishes;
use super::table::Table;
use super::wait::Wanted;
use super::{Pid, Process, Thread};
use crate::signal::Signal;

/// How many children change their parent before the table's lock is given up.
pub(super) const BATCH: usize = 64;

/// A group of so few members is looked at rather than all of the parent's children.
const FEW: usize = 64;

/// Parents, children and news.
pub(super) struct Families {
    /// By parent and birth.
    children: BTreeMap<(Pid, u64), Arc<Process>>,
    /// Those with news, by parent, kind and birth.
    news: BTreeMap<(Pid, Kind, u64), Arc<Process>>,
}

/// What a wait can ask for, and whether only with `__WCLONE`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) event: Event,
    pub(super) is_clone: bool,
}

/// What has happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Ended,
    Stopped,
    Continued,
}

/// Among whom a new process is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Siblings {
    /// The children of its maker.
    Children,
    /// The maker's own siblings: `CLONE_PARENT`.
    OfMaker,
}

/// What there is for a wait.
pub(super) enum Found {
    /// This child has news that are wanted.
    News(Arc<Process>),
    /// There may be news some day.
    Nothing,
    /// There is nobody to wait for.
    NoChild,
}

/// A child that has got another parent.
pub(super) struct Adopted {
    pub(super) child: Arc<Process>,
    /// For one that has ended: whether it leaves no zombie.
    pub(super) ended: Option<Vanishes>,
}

impl News {
    /// What there is to tell.
    pub(super) fn event(&self) -> Option<Event> {
        if self.reaped {
            None
        } else if self.ended.is_some() {
            Some(Event::Ended)
        } else if self.stopped.is_some() {
            Some(Event::Stopped)
        } else {
            self.continued.then_some(Event::Continued)
        }
    }
}

impl Process {
    /// Whether an ordinary wait passes it by: its parent is told of its end by another signal than `SIGCHLD`, or by none.
    fn is_clone(&self) -> bool {
        self.exit_signal.load(Ordering::Relaxed) != Signal::CHLD.number()
    }

    pub(super) fn birth(&self) -> u64 {
        self.birth.load(Ordering::Relaxed)
    }

    fn kind_of_news(&self) -> Option<Kind> {
        let event = self.news.lock().event()?;
        Some(Kind { event, is_clone: self.is_clone() })
    }

    /// How many children it has, of those that need `__WCLONE` or of the others.
    fn child_count(&self, is_clone: bool) -> usize {
        self.child_counts[usize::from(is_clone)].load(Ordering::Relaxed)
    }
}

impl Families {
    pub(super) const fn new() -> Families {
        Families { children: BTreeMap::new(), news: BTreeMap::new() }
    }

    fn index(&mut self, child: &Arc<Process>) {
        if let Some(kind) = child.kind_of_news() {
            self.news.insert((child.parent(), kind, child.birth()), child.clone());
        }
    }

    fn unindex(&mut self, child: &Process) {
        if let Some(kind) = child.kind_of_news() {
            self.news.remove(&(child.parent(), kind, child.birth()));
        }
    }

    fn children(&self, parent: Pid) -> impl Iterator<Item = &Arc<Process>> {
        self.children.range((parent, 0)..=(parent, u64::MAX)).map(|(_, child)| child)
    }

    fn news(&self, parent: Pid, kind: Kind) -> impl Iterator<Item = &Arc<Process>> {
        self.news.range((parent, kind, 0)..=(parent, kind, u64::MAX)).map(|(_, child)| child)
    }
}

impl Table {
    /// Makes a process the youngest child of its parent.
    pub(super) fn enter_family(&mut self, child: &Arc<Process>) {
        let birth = self.next_serial();
        child.birth.store(birth, Ordering::Relaxed);
        self.enter_family_again(child);
    }

    /// Enters a new process with the relatives that its maker has now. A sibling tells of its end as its maker does.
    pub(super) fn insert_child(
        &mut self,
        process: &Arc<Process>,
        maker: &Thread,
        siblings: Siblings,
        exit_signal: u32,
    ) {
        let family = maker.process();
        let (parent, by, exit_signal) = match siblings {
            Siblings::Children => (family.pid(), maker.serial(), exit_signal),
            Siblings::OfMaker => {
                let of = |value: &AtomicU32| value.load(Ordering::Relaxed);
                (family.parent(), family.maker.load(Ordering::Relaxed), of(&family.exit_signal))
            }
        };
        process.exit_signal.store(exit_signal, Ordering::Relaxed);
        process.maker.store(by, Ordering::Relaxed);
        if let Some(parent) = self.parent_of_new(parent) {
            process.parent.store(parent.pid().number(), Ordering::Relaxed);
            process.note_parent(&parent);
        }
        process.group.store(family.group().number(), Ordering::Relaxed);
        let session = core::mem::replace(&mut *process.session.lock(), family.session());
        drop(session);
        self.insert_process(process);
    }

    /// Enters a child where it was.
    fn enter_family_again(&mut self, child: &Arc<Process>) {
        let Some(parent) = self.process(child.parent()) else { return };
        parent.child_counts[usize::from(child.is_clone())].fetch_add(1, Ordering::Relaxed);
        let key = (parent.pid(), child.birth());
        self.families.children.insert(key, child.clone());
        self.families.index(child);
    }

    /// Takes a child out of its family; whether it was in one.
    pub(super) fn leave_family(&mut self, child: &Arc<Process>) -> bool {
        let was_in = self.families.children.remove(&(child.parent(), child.birth())).is_some();
        if was_in {
            self.families.unindex(child);
            if let Some(parent) = self.process(child.parent()) {
                parent.child_counts[usize::from(child.is_clone())].fetch_sub(1, Ordering::Relaxed);
            }
        }
        was_in
    }

    /// Changes what a child's parent has to learn.
    pub(super) fn change_news<R>(&mut self, child: &Arc<Process>, change: impl FnOnce(&mut News) -> R) -> R {
        let before = child.kind_of_news();
        let result = change(&mut child.news.lock());
        // Most looks change nothing: the end of a child stays until it leaves the family.
        if child.kind_of_news() != before {
            if let Some(before) = before {
                self.families.news.remove(&(child.parent(), before, child.birth()));
            }
            if self.families.children.contains_key(&(child.parent(), child.birth())) {
                self.families.index(child);
            }
        }
        result
    }

    /// Changes the signal that tells the parent of the end.
    pub(super) fn set_exit_signal(&mut self, child: &Arc<Process>, signal: u32) {
        if child.exit_signal.load(Ordering::Relaxed) == signal {
            return;
        }
        let was_in = self.leave_family(child);
        child.exit_signal.store(signal, Ordering::Relaxed);
        if was_in {
            self.enter_family_again(child);
        }
    }

    /// The children after the one of this birth.
    pub(super) fn some_children(&self, parent: &Process, after: u64) -> Vec<Arc<Process>> {
        let range = (parent.pid(), after + 1)..=(parent.pid(), u64::MAX);
        self.families.children.range(range).take(BATCH).map(|(_, child)| child.clone()).collect()
    }

    /// The parent of a new process: this one, unless it is about to give its children away.
    pub(super) fn parent_of_new(&self, parent: Pid) -> Option<Arc<Process>> {
        let parent = self.process(parent)?;
        if parent.gives_children_away.load(Ordering::Relaxed) {
            self.adopter(parent)
        } else {
            Some(parent.clone())
        }
    }

    /// Who gets the children: the nearest ancestor that adopts, else init. Ancestors are asked only if any process ever adopted: the
    /// chain of them can be long.
    pub(super) fn adopter(&self, process: &Process) -> Option<Arc<Process>> {
        let mut ancestor = self.process(process.parent()).filter(|_| Process::any_adopts());
        while let Some(candidate) = ancestor {
            if candidate.adopts() && !candidate.gives_children_away.load(Ordering::Relaxed) {
                return Some(candidate.clone());
            }
            ancestor = self.process(candidate.parent());
        }
        self.process(Pid::INIT).filter(|init| init.pid() != process.pid()).cloned()
    }

    /// Gives some children of a process that ends to another one; fewer than [`BATCH`] are the last. Their end is told by `SIGCHLD`
    /// from now on: nobody may surprise init with another signal.
    pub(super) fn move_children(&mut self, from: &Process, to: &Process) -> Vec<Adopted> {
        let children = self.some_children(from, 0);
        let adopt = |child: Arc<Process>| {
            self.leave_family(&child);
            child.parent.store(to.pid().number(), Ordering::Relaxed);
            child.exit_signal.store(Signal::CHLD.number(), Ordering::Relaxed);
            child.note_parent(to);
            self.enter_family(&child);
            let ended = child.ended().map(|_| self.vanish_if_unwanted(&child, to));
            Adopted { child, ended }
        };
        children.into_iter().map(adopt).collect()
    }

    /// Takes a child that has ended out of its family if the parent wants no zombie: then no wait finds one, at no moment.
    pub(super) fn vanish_if_unwanted(&mut self, child: &Arc<Process>, parent: &Process) -> Vanishes {
        let vanishes = Vanishes::for_parent(parent, child);
        if vanishes == Vanishes::Yes {
            self.leave_family(child);
            child.news.lock().reaped = true;
        }
        vanishes
    }

    /// The eldest child that has what a wait wants.
    pub(super) fn find_news(&self, parent: &Process, wanted: &Wanted<'_>) -> Found {
        if let Some(pid) = wanted.pid() {
            return self.news_of(self.process(pid).filter(|child| child.parent() == parent.pid()), wanted);
        }
        if let Some(group) = wanted.group()
            && self.group_size(group) <= FEW
        {
            // By birth, as the order of the group is another one.
            let members = self.group(group).filter(|member| member.parent() == parent.pid());
            let first = members
                .filter(|member| self.is_candidate(member, wanted))
                .min_by_key(|member| (!wanted.has_news(member), member.birth()));
            return self.news_of(first, wanted);
        }
        let eldest_of = |kind| self.families.news(parent.pid(), kind).find(|child| wanted.fits(child));
        match wanted.kinds().filter_map(eldest_of).min_by_key(|child| child.birth()) {
            Some(child) => Found::News(child.clone()),
            None if self.has_candidate(parent, wanted) => Found::Nothing,
            None => Found::NoChild,
        }
    }

    fn news_of(&self, child: Option<&Arc<Process>>, wanted: &Wanted<'_>) -> Found {
        match child.filter(|child| self.is_candidate(child, wanted)) {
            Some(child) if wanted.has_news(child) => Found::News(child.clone()),
            Some(_) => Found::Nothing,
            None => Found::NoChild,
        }
    }

    /// Whether a wait may find this child some day.
    fn is_candidate(&self, child: &Process, wanted: &Wanted<'_>) -> bool {
        wanted.admits(child.is_clone()) && wanted.fits(child) && !child.is_reaped()
    }

    fn has_candidate(&self, parent: &Process, wanted: &Wanted<'_>) -> bool {
        if wanted.is_for_any() {
            return [false, true]
                .into_iter()
                .any(|clone| wanted.admits(clone) && parent.child_count(clone) != 0);
        }
        self.families.children(parent.pid()).any(|child| self.is_candidate(child, wanted))
    }
}
