//! `/proc/self`, `/proc/PID/task`, and what names of threads and processes look like.

use alloc::format;
use alloc::sync::Arc;

use abi::Errno;
use vfs::attributes::FileKind;
use vfs::directory::{Admission, DirectoryOperations, Emit, Exposure, Listing};
use vfs::filesystem::FileSystem;
use vfs::generated::{Class, folder, inode_in};
use vfs::inode::Inode;

use super::process;
use super::subject::Subject;
use crate::process::{current, find_thread};

/// The number that a name is: digits without leading zeroes (Linux: `name_to_int`).
pub fn parse_number(name: &[u8]) -> Option<u32> {
    let has_zeroes = name.len() > 1 && name.first() == Some(&b'0');
    if !has_zeroes && name.iter().all(u8::is_ascii_digit) {
        core::str::from_utf8(name).ok()?.parse().ok()
    } else {
        None
    }
}

/// `/proc/self`: the number of the process that asks.
pub fn self_link() -> Result<Arc<[u8]>, Errno> {
    let thread = current().ok_or(Errno::ENOENT)?;
    Ok(Arc::from(format!("{}", thread.shown(thread.process().pid())).as_bytes()))
}

/// `/proc/thread-self`.
pub fn thread_self_link() -> Result<Arc<[u8]>, Errno> {
    let thread = current().ok_or(Errno::ENOENT)?;
    let (pid, tid) = (thread.shown(thread.process().pid()), thread.shown(thread.id()));
    Ok(Arc::from(format!("{pid}/task/{tid}").as_bytes()))
}

/// `/proc/PID/task`: a directory for every thread.
pub struct Tasks {
    pub subject: Subject,
}

impl Exposure for Tasks {
    fn admission(&self, filesystem: &FileSystem) -> Admission {
        self.subject.admission_to(filesystem)
    }

    fn class(&self) -> Class {
        Class::Process
    }
}

impl DirectoryOperations for Tasks {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        self.subject.check()?;
        let (whole, tid) = (&self.subject, parse_number(name).ok_or(Errno::ENOENT)?);
        let thread =
            i32::try_from(tid).ok().and_then(|tid| whole.pid_namespace().find(tid)).and_then(find_thread);
        let thread = thread.filter(|thread| whole.process.has_living(thread)).ok_or(Errno::ENOENT)?;
        let subject = whole.of_thread(thread);
        let (number, ownership) = (subject.inode_number(0), subject.ownership(0o555));
        let body = folder(process::Entries::of_thread(subject));
        Ok(inode_in(directory, number, FileKind::Directory, ownership, body))
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        self.subject.check().map_err(|_| Errno::ENOENT)?;
        // The position is the serial number of the thread that was shown last: they come as they were made, as on
        // Linux.
        let mut serial = position;
        loop {
            let threads = self.subject.process.threads_after(serial);
            for thread in &threads {
                let number = self.subject.shown(thread.id());
                let name = format!("{number}");
                let shown =
                    Listing { name: name.as_bytes(), number: u64::from(number), kind: FileKind::Directory };
                if !emit(thread.serial(), shown) {
                    return Ok(());
                }
            }
            let Some(last) = threads.last() else { return Ok(()) };
            serial = last.serial();
        }
    }
}
