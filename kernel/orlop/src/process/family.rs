//! Parents and children in the process table: who waits for whom, and who gets the children of a process that ends.
//!
//! A parent lists its children in the order of their birth, by links that they carry, and keeps those that it has to be
//! told of apart from the others, so that a wait costs the same beside any number of them. All of it changes under the
//! table's lock. A child that somebody has waited for, or that nobody will wait for, is in no family any more.
//!
//! Lock order: the table → families → `Process::news`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use hal::list::List;
use libkernel::front_map::FrontMap;

use super::process::News;
use super::report::Vanishes;
use super::table::{self, Table};
use super::wait::Wanted;
use super::{Process, Thread};
use crate::signal::Signal;

/// How many children change their parent before the table's lock is given up.
pub(super) const BATCH: usize = 64;

/// A group of so few members is looked at rather than all of the parent's children.
const FEW: usize = 64;

/// A process's children.
#[derive(Default)]
pub(super) struct Family {
    /// By birth.
    children: List<Process>,
    /// How many of them an ordinary wait passes by.
    clones: usize,
    /// Those with news, by kind and birth.
    news: FrontMap<(Kind, u64), Arc<Process>>,
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

/// Which of the children that move are listed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// All of them.
    OfAll,
    /// Those that have ended.
    OfEnded,
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

/// A child that has got another parent, of which somebody may have to hear.
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
    /// Whether an ordinary wait passes it by: its parent is told of its end by another signal than `SIGCHLD`, or by
    /// none.
    fn is_clone(&self) -> bool {
        self.exit_signal.load(Ordering::Relaxed) != Signal::CHLD.number()
    }

    pub(super) fn birth(&self) -> u64 {
        self.birth.load(Ordering::Relaxed)
    }

    /// Gives a child up; whether it was one. Under the table's lock.
    pub(super) fn leave(&self, child: &Process) -> bool {
        self.family.lock().leave(child)
    }

    /// The children behind those of its own that were seen last, or the first ones; some, not all at once.
    pub fn some_children(&self, seen: &[Arc<Process>]) -> Vec<Arc<Process>> {
        table::lock().some_children(self, seen)
    }

    fn kind_of_news(&self) -> Option<Kind> {
        let event = self.news.lock().event()?;
        Some(Kind { event, is_clone: self.is_clone() })
    }
}

impl Family {
    /// Makes a process the youngest child; its birth is known.
    fn enter(&mut self, child: &Arc<Process>) {
        self.clones += usize::from(child.is_clone());
        self.children.push_back(child.clone(), |child| &child.sibling);
        self.index(child, child.kind_of_news());
    }

    /// Takes a child out that is in it; whether it was.
    fn leave(&mut self, child: &Process) -> bool {
        let removed = self.children.remove(&child.sibling);
        if removed.is_some() {
            self.clones -= usize::from(child.is_clone());
            self.unindex(child, child.kind_of_news());
        }
        removed.is_some()
    }

    fn index(&mut self, child: &Arc<Process>, kind: Option<Kind>) {
        if let Some(kind) = kind {
            self.news.insert((kind, child.birth()), child.clone());
        }
    }

    fn unindex(&mut self, child: &Process, kind: Option<Kind>) {
        if let Some(kind) = kind {
            self.news.remove(&(kind, child.birth()));
        }
    }

    /// Whether there is no child.
    pub(super) const fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// How many children need `__WCLONE`, or how many do not.
    const fn count(&self, is_clone: bool) -> usize {
        if is_clone { self.clones } else { self.children.len() - self.clones }
    }

    fn news(&self, kind: Kind) -> impl Iterator<Item = &Arc<Process>> {
        self.news.range((kind, 0)..=(kind, u64::MAX))
    }
}

impl Table {
    /// Makes a process the youngest child of its parent.
    pub(super) fn enter_family(&mut self, parent: &Process, child: &Arc<Process>) {
        child.birth.store(self.next_serial(), Ordering::Relaxed);
        parent.family.lock().enter(child);
    }

    /// Enters a new process with the relatives that its maker has now. A sibling tells of its end as its maker does.
    pub(super) fn insert_child(
        &mut self,
        leader: &Arc<Thread>,
        maker: &Thread,
        siblings: Siblings,
        exit_signal: u32,
    ) {
        let (process, family) = (leader.process(), maker.process());
        let (parent, by, exit_signal) = match siblings {
            Siblings::Children => (Some(family.clone()), maker.serial(), exit_signal),
            Siblings::OfMaker => {
                let of = |value: &AtomicU32| value.load(Ordering::Relaxed);
                let parent = self.process(family.parent()).cloned();
                (parent, family.maker.load(Ordering::Relaxed), of(&family.exit_signal))
            }
        };
        process.exit_signal.store(exit_signal, Ordering::Relaxed);
        process.maker.store(by, Ordering::Relaxed);
        let (group, session) = (family.group.lock().clone(), family.session());
        // In statements of their own, so that what was there is dropped with nothing locked but the table.
        let group = core::mem::replace(&mut *process.group.lock(), group);
        let session = core::mem::replace(&mut *process.session.lock(), session);
        drop((group, session));
        self.insert_process(leader);
        if let Some(parent) = parent.and_then(|parent| self.parent_of_new(parent)) {
            process.parent.store(parent.pid().kernel_number(), Ordering::Relaxed);
            process.note_parent(&parent);
            self.enter_family(&parent, process);
        }
    }

    /// Changes what a child's parent has to learn.
    pub(super) fn change_news<R>(
        &mut self,
        parent: Option<&Process>,
        child: &Arc<Process>,
        change: impl FnOnce(&mut News) -> R,
    ) -> R {
        let mut news = child.news.lock();
        let before = news.event();
        let result = change(&mut news);
        let after = news.event();
        drop(news);
        // Most looks change nothing: the end of a child stays until it leaves the family.
        if before != after
            && let Some(parent) = parent
        {
            let kind = |event| Kind { event, is_clone: child.is_clone() };
            let mut family = parent.family.lock();
            if family.children.has(&child.sibling) {
                family.unindex(child, before.map(kind));
                family.index(child, after.map(kind));
            }
        }
        result
    }

    /// Changes the signal that tells the parent of the end.
    pub(super) fn set_exit_signal(&mut self, child: &Arc<Process>, signal: u32) {
        if child.exit_signal.load(Ordering::Relaxed) == signal {
            return;
        }
        let parent = self.process(child.parent());
        let mut family = parent.map(|parent| parent.family.lock());
        let mut family = family.as_mut().filter(|family| family.children.has(&child.sibling));
        if let Some(family) = &mut family {
            family.clones -= usize::from(child.is_clone());
            family.unindex(child, child.kind_of_news());
        }
        child.exit_signal.store(signal, Ordering::Relaxed);
        if let Some(family) = &mut family {
            family.clones += usize::from(child.is_clone());
            family.index(child, child.kind_of_news());
        }
    }

    /// The children behind those that were seen last, or the first ones; some, not all at once. Whoever is gone of
    /// those that were seen does not tell any more where to go on, but the ones before it were born earlier.
    pub(super) fn some_children(&self, parent: &Process, seen: &[Arc<Process>]) -> Vec<Arc<Process>> {
        let family = parent.family.lock();
        let children = &family.children;
        let next = match seen.iter().rev().find(|child| children.has(&child.sibling)) {
            Some(child) => children.behind(&child.sibling),
            None => {
                let seen = seen.last().map_or(0, |child| child.birth());
                children.iter().find(|child| child.birth() > seen)
            }
        };
        let all = core::iter::successors(next, |child| children.behind(&child.sibling));
        all.take(BATCH).map(|child| child.to_arc()).collect()
    }

    /// The parent of a new process: this one, unless it is about to give its children away.
    fn parent_of_new(&self, parent: Arc<Process>) -> Option<Arc<Process>> {
        if parent.gives_children_away.load(Ordering::Relaxed) { self.adopter(&parent) } else { Some(parent) }
    }

    /// Who gets the children: the nearest ancestor that adopts, else init. Ancestors are asked only if any process ever
    /// adopted: the chain of them can be long.
    pub(super) fn adopter(&self, process: &Process) -> Option<Arc<Process>> {
        let mut ancestor = self.process(process.parent()).filter(|_| Process::any_adopts());
        while let Some(candidate) = ancestor {
            if candidate.adopts() && !candidate.gives_children_away.load(Ordering::Relaxed) {
                return Some(candidate.clone());
            }
            ancestor = self.process(candidate.parent());
        }
        let first = process.pid_namespace().first();
        self.process(first).filter(|init| init.pid() != process.pid()).cloned()
    }

    /// Gives some children of a process that ends to another one, those that `heard` wants to be told of in a list.
    /// Their end is told by `SIGCHLD` from now on: nobody may surprise init with another signal.
    pub(super) fn move_children(&mut self, from: &Process, to: &Process, heard: Heard) -> Vec<Adopted> {
        let mut told = Vec::new();
        let (mut old, mut new) = (from.family.lock(), to.family.lock());
        for _ in 0..BATCH {
            let Some(child) = old.children.pop_front() else { break };
            let (event, is_clone) = (child.news.lock().event(), child.is_clone());
            old.clones -= usize::from(is_clone);
            old.unindex(&child, event.map(|event| Kind { event, is_clone }));
            child.parent.store(to.pid().kernel_number(), Ordering::Relaxed);
            child.exit_signal.store(Signal::CHLD.number(), Ordering::Relaxed);
            child.note_parent(to);
            child.birth.store(self.next_serial(), Ordering::Relaxed);
            new.index(&child, event.map(|event| Kind { event, is_clone: false }));
            let has_ended = event == Some(Event::Ended);
            if has_ended || heard == Heard::OfAll {
                told.push((child.clone(), has_ended));
            }
            new.children.push_back(child, |child| &child.sibling);
        }
        drop((old, new));
        let tell = |(child, has_ended): (Arc<Process>, bool)| {
            let ended = has_ended.then(|| self.vanish_if_unwanted(&child, to));
            Adopted { child, ended }
        };
        told.into_iter().map(tell).collect()
    }

    /// Takes a child that has ended out of its family if the parent wants no zombie: then no wait finds one, at no
    /// moment.
    pub(super) fn vanish_if_unwanted(&mut self, child: &Arc<Process>, parent: &Process) -> Vanishes {
        let vanishes = Vanishes::for_parent(parent, child);
        if vanishes == Vanishes::Yes {
            parent.leave(child);
            child.news.lock().reaped = true;
        }
        vanishes
    }

    /// The eldest child that has what a wait wants.
    pub(super) fn find_news(&self, parent: &Process, wanted: &Wanted<'_>) -> Found {
        if let Some(pid) = wanted.pid() {
            return self.news_of(self.process(pid).filter(|child| child.parent() == parent.pid()), wanted);
        }
        if let Some(group) = wanted.group() {
            let Some(group) = self.group(group) else { return Found::NoChild };
            let members = group.members();
            if members.len() <= FEW {
                // By birth, as the order of the group is another one.
                let own = members.iter().filter(|member| member.parent() == parent.pid());
                let candidates = own.filter(|member| self.is_candidate(member, wanted));
                let first = candidates.min_by_key(|member| (!wanted.has_news(member), member.birth()));
                let first = first.map(|member| member.to_arc());
                return self.news_of(first.as_ref(), wanted);
            }
        }
        let family = parent.family.lock();
        let eldest_of = |kind| family.news(kind).find(|child| wanted.fits(child));
        match wanted.kinds().filter_map(eldest_of).min_by_key(|child| child.birth()) {
            Some(child) => Found::News(child.clone()),
            None if self.has_candidate(&family, wanted) => Found::Nothing,
            None => Found::NoChild,
        }
    }

    fn news_of(&self, child: Option<&Arc<Process>>, wanted: &Wanted<'_>) -> Found {
        let Some(child) = child.filter(|child| wanted.admits(child.is_clone()) && wanted.fits(child)) else {
            return Found::NoChild;
        };
        let news = child.news.lock();
        match news.event() {
            Some(event) if wanted.asks_for(event) => Found::News(child.clone()),
            _ if news.reaped => Found::NoChild,
            _ => Found::Nothing,
        }
    }

    /// Whether a wait may find this child some day.
    fn is_candidate(&self, child: &Process, wanted: &Wanted<'_>) -> bool {
        wanted.admits(child.is_clone()) && wanted.fits(child) && !child.is_reaped()
    }

    fn has_candidate(&self, family: &Family, wanted: &Wanted<'_>) -> bool {
        if wanted.is_for_any() {
            return [false, true].into_iter().any(|clone| wanted.admits(clone) && family.count(clone) != 0);
        }
        family.children.iter().any(|child| self.is_candidate(&child, wanted))
    }
}
