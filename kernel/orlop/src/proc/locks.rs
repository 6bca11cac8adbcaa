//! `/proc/locks`: every lock on a file, and behind it who waits for it: proc(5).
//!
//! Source: Linux 6.1, `lock_get_status` of `fs/locks.c`. All requests stand one step behind their lock, where Linux
//! puts some behind other requests.

use alloc::sync::Arc;

use abi::Errno;
use libkernel::text::Text;
use sched::Mutex;
use subject::PidNamespace;
use vfs::file::FileOperations;
use vfs::generated::Class;
use vfs::generated::content::{Content, SequenceFile};
use vfs::lock::LockKind;
use vfs::lock::lease::LeaseState;
use vfs::lock::show::{Place, Shown, Sort};

/// Opens the file for somebody in this namespace.
pub fn open(namespace: Arc<PidNamespace>) -> Result<Arc<dyn FileOperations>, Errno> {
    Ok(SequenceFile::open(Locks { namespace, walk: Mutex::new(Walk::default()) }, Class::System))
}

struct Locks {
    /// Of who opened the file.
    namespace: Arc<PidNamespace>,
    walk: Mutex<Walk>,
}

/// Where the piece that was made last begins and ends; it is made again if there was no memory for its text.
#[derive(Default)]
struct Walk {
    cursor: u64,
    from: Place,
    to: Place,
}

impl Content for Locks {
    /// The cursor counts pieces.
    fn fill(&self, cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        let mut walk = self.walk.lock();
        let from = match cursor {
            0 => Place::default(),
            cursor if cursor == walk.cursor => walk.from,
            _ => walk.to,
        };
        let mut to = from;
        let is_more = to.advance(|lock| line(lock, &self.namespace, text));
        *walk = Walk { cursor, from, to };
        Ok(is_more.then_some(cursor + 1))
    }
}

/// The line of a lock, here and in `fdinfo`.
pub fn line(lock: &Shown, reader: &PidNamespace, text: &mut Text) {
    const END: u64 = i64::MAX as u64;
    let sort = match lock.sort {
        Sort::Whole => "FLOCK  ADVISORY ",
        Sort::Process => "POSIX  ADVISORY ",
        Sort::OpenFile => "OFDLCK ADVISORY ",
        Sort::Lease(LeaseState::Active) => "LEASE  ACTIVE   ",
        Sort::Lease(LeaseState::Breaking) => "LEASE  BREAKING ",
        Sort::Lease(LeaseState::Breaker) => "LEASE  BREAKER  ",
    };
    let arrow = if lock.is_request { "-> " } else { "" };
    let kind = match lock.kind {
        Some(LockKind::Exclusive) => "WRITE",
        Some(LockKind::Shared) => "READ",
        None => "UNLCK",
    };
    let (device, inode) = (lock.file.device, lock.file.number);
    // An open file's lock belongs to no process.
    let process = lock.process.map_or(-1, |pid| pid.signed_in(reader));
    write!(text, "{}: {arrow}{sort} {kind} {process} ", lock.number);
    match lock.sort {
        // Who waits for a lease has not opened the file yet.
        Sort::Lease(LeaseState::Breaker) => text.put(b"<none>:0 "),
        _ => write!(text, "{:02x}:{:02x}:{inode} ", device.major, device.minor),
    }
    write!(text, "{} ", lock.start);
    match lock.last {
        END => text.put(b"EOF\n"),
        last => writeln!(text, "{last}"),
    }
}
