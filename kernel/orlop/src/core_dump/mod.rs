//! Core dumps: what a process leaves when a signal ends it whose default action is to dump. core(5), Linux 6.1's
//! `fs/coredump.c`.
//!
//! The thread that takes the signal dumps. It has all others of its process come together first ([`gathering`]), each
//! of which brings its registers as notes; then it opens the file ([`target`]), or has a program take the dump, looks
//! what is to be stored of the memory ([`image`]) and writes page by page ([`writer`]). Nothing of the process is held
//! meanwhile but its threads, and SIGKILL ends it between any two pages.
//!
//! A dump counts as made, and the status of the process says so, once its notes could be made: also when the limit, a
//! full file system or SIGXFSZ's limit then cuts it short. What was written stays. All as on Linux.

pub mod gathering;
mod image;
mod notes;
mod target;
mod writer;

use alloc::sync::Arc;

use abi::Errno;
use abi::core_dump::MIN_CORE_SIZE;
use abi::process::WaitStatus;
use hal::user::UserContext;
use klog::log;
use libkernel::core_dump::{Layout, Notes};
use memory::{AddressSpace, Dumpable};
use subject::{INFINITY, Resource};

use crate::process::{Thread, core_pattern};
use crate::signal::{SigInfo, Signal, send};
use gathering::Gathering;
use notes::ThreadNotes;
use target::Target;
use writer::Writer;

/// Why the thread dumps.
pub struct Cause<'a> {
    /// The signal.
    pub signal: Signal,
    /// What came with it.
    pub info: &'a SigInfo,
}

/// What is settled before anything of the process is touched.
struct Terms {
    space: Arc<AddressSpace>,
    dumpable: Dumpable,
    /// Bytes that may be written.
    limit: u64,
    pattern: alloc::vec::Vec<u8>,
}

/// The limit on dumps of a program that takes one.
const HELPERS_LIMIT: u64 = 1;

impl Terms {
    /// `None` where no dump is made: by the limit, or because the process may not be dumped.
    fn of(thread: &Thread) -> Option<Terms> {
        let process = thread.process();
        let space = process.address_space()?;
        let dumpable = space.dumpable();
        let pattern = core_pattern();
        let mut limit = process.limits().soft(Resource::Core);
        if pattern.first() == Some(&b'|') {
            // Its own limit is what keeps a helper from being dumped to a helper.
            if limit == HELPERS_LIMIT {
                let pid = process.pid();
                log!("Process {pid:?}({}) has RLIMIT_CORE set to 1", thread.shown_name());
                log!("Aborting core");
                return None;
            }
            limit = INFINITY;
        }
        if dumpable == Dumpable::No || limit < MIN_CORE_SIZE {
            return None;
        }
        Some(Terms { space, dumpable, limit, pattern })
    }
}

/// Ends the process of the running thread because of a signal that asks for a dump, and makes the dump if that may be.
pub fn end_process(thread: &Arc<Thread>, context: &UserContext, cause: &Cause<'_>) {
    let process = thread.process();
    let status = WaitStatus::signaled(cause.signal.number());
    if let Some(terms) = Terms::of(thread)
        && let Some(gathering) = Gathering::begin(thread, cause, status)
    {
        let made = dump(thread, context, cause, &terms, &gathering);
        gathering.end(process, made.is_ok());
    }
    send::end_process(process, status);
}

/// Makes the dump. An error means that there is none.
fn dump(
    thread: &Arc<Thread>,
    context: &UserContext,
    cause: &Cause<'_>,
    terms: &Terms,
    gathering: &Gathering,
) -> Result<(), Errno> {
    gathering.wait_for_all()?;
    let target = Target::open(thread, terms, cause)?;
    let image = image::survey(&terms.space, thread.process().kept.dump_filter())?;
    let own = ThreadNotes::of(thread, &context.regs, cause)?;
    let mut notes = Notes::default();
    notes::collect(&mut notes, own, gathering, |notes| {
        notes::add_process(notes, thread, &terms.space, cause)?;
        image.add_files(notes)
    })?;
    let layout = Layout::new(&image.segments, notes.size());
    let mut writer = Writer::new(target.file(), terms.limit)?;
    // Where it stops is how far the dump reaches.
    let _ = writer.write_dump(&terms.space, &layout, &image.segments, &notes);
    writer.finish();
    target.close();
    Ok(())
}
