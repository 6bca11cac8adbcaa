//! What is said of locks in the wrong order.
use super::checked::{self, Entry};
use core::fmt;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, Ordering};
use libkernel::lock_order::Path;

/// A place in the source.
pub type Site = &'static Location<'static>;

/// Set by the first report on a machine: the report itself takes locks.
static OVER: AtomicBool = AtomicBool::new(false);

/// Whether the kernel is ending because of a report.
pub fn is_over() -> bool {
    OVER.load(Ordering::Relaxed)
}

fn end(text: fmt::Arguments<'_>) -> ! {
    // On the host a report ends one test.
    OVER.store(cfg!(not(target_os = "linux")), Ordering::Relaxed);
    panic!("{text}")
}

/// A class by the place where its locks are made.
struct Name(usize);

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match checked::made(self.0) {
            Some(made) => write!(formatter, "the lock of {made}"),
            None => formatter.write_str("an unknown lock"),
        }
    }
}

/// The way back, edge by edge.
struct Back<'a>(&'a Path);

impl fmt::Display for Back<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let successors = self.0.classes().skip(1);
        self.0.classes().zip(successors).try_for_each(|(from, to)| match checked::edge(from, to) {
            Some(edge) => {
                write!(formatter, "; {} held at {}", Name(from), edge.held_at)?;
                write!(formatter, " while {} was taken at {}", Name(to), edge.taken_at)
            }
            None => write!(formatter, "; {} before {}", Name(from), Name(to)),
        })
    }
}

/// An edge closes a cycle.
#[cold]
pub fn cycle(held: Entry, id: usize, at: Site, back: &Path) -> ! {
    end(format_args!(
        "lock order: {} held at {} while {} is taken at {at}{}",
        Name(held.id),
        held.at,
        Name(id),
        Back(back),
    ))
}

/// A task waits for itself.
#[cold]
pub fn twice(held: Entry, at: Site) -> ! {
    end(format_args!("{} is taken twice: at {} and at {at}", Name(held.id), held.at))
}

/// A sleeping lock under a spin lock.
#[cold]
pub fn sleeping(held: Entry, id: usize, at: Site) -> ! {
    end(format_args!(
        "sleeping lock: {} is waited for at {at} with {} held at {}",
        Name(id),
        Name(held.id),
        held.at,
    ))
}

/// A turn, which may last as long as a program's memory takes to come, under a lock.
#[cold]
pub fn turn(held: Entry, id: usize, at: Site) -> ! {
    end(format_args!("turn: {} is waited for at {at} with {} held at {}", Name(id), Name(held.id), held.at))
}

/// A copy that may have to wait for a page, under a lock.
#[cold]
pub fn paging(held: Entry, at: Site) -> ! {
    end(format_args!("a program's memory is touched at {at} with {} held at {}", Name(held.id), held.at))
}

/// A handler takes a lock whose holders leave interrupts enabled. Reported whether or not one has been seen to.
#[cold]
pub fn plain(id: usize, at: Site) -> ! {
    end(format_args!("interrupt: a handler takes {}, which does not mask interrupts, at {at}", Name(id)))
}

/// A handler may wait for the task that it interrupts.
#[cold]
pub fn interrupt(outer: usize, handler: Site, inner: usize, task: Site) -> ! {
    end(format_args!(
        "interrupt: a handler takes {} at {handler}, with it held {} is waited for, which is held with interrupts enabled at {task}",
        Name(outer),
        Name(inner),
    ))
}
