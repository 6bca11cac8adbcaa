//! Whom a file below `/proc/PID` is about: a process as a whole, or one thread of it.
//!
//! A subject outlives its process: it then says so, also if the number is another's by now.

use alloc::sync::{Arc, Weak};

use abi::Errno;
use memory::AddressSpace;
use subject::{GroupId, Pid, PidNamespace, UserId};
use vfs::FsContext;
use vfs::directory::Admission;
use vfs::filesystem::FileSystem;
use vfs::inode::Ownership;

use super::view::{Hiding, View};
use crate::process::{Inspection, Process, Thread, current, find_thread};

/// A process, or one thread of it, that a directory is about.
#[derive(Clone)]
pub struct Subject {
    /// The process.
    pub process: Arc<Process>,
    /// The thread that is named, if it is not the process; else any thread speaks for that.
    thread: Option<Arc<Thread>>,
    scope: Scope,
    /// By whose numbers it is shown: those of the instance of procfs.
    namespace: Arc<PidNamespace>,
}

/// What a subject's sums are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Process,
    Thread,
}

impl Subject {
    /// A process as a whole.
    pub fn of_process(process: Arc<Process>, namespace: Arc<PidNamespace>) -> Subject {
        Subject { process, thread: None, scope: Scope::Process, namespace }
    }

    /// The process that one of its threads names.
    pub fn named_by(thread: Arc<Thread>, namespace: Arc<PidNamespace>) -> Subject {
        Subject { process: thread.process().clone(), thread: Some(thread), scope: Scope::Process, namespace }
    }

    /// One thread of it.
    pub fn of_thread(&self, thread: Arc<Thread>) -> Subject {
        Subject { thread: Some(thread), scope: Scope::Thread, ..self.clone() }
    }

    /// The thread that is asked; none once somebody has waited for the end of the process.
    pub fn thread(&self) -> Option<Arc<Thread>> {
        let living = || self.process.find_thread(|_| true);
        self.thread.clone().or_else(living).or_else(|| self.process.leader())
    }

    /// Whether it is about one thread alone.
    pub fn is_thread(&self) -> bool {
        self.scope == Scope::Thread
    }

    /// What the directory is named by.
    pub fn id(&self) -> Pid {
        self.thread.as_ref().map_or(self.process.pid(), |thread| thread.id())
    }

    /// By whose numbers it is shown.
    pub fn pid_namespace(&self) -> &PidNamespace {
        &self.namespace
    }

    /// The number that a process or thread has in this instance.
    pub fn shown(&self, pid: Pid) -> u32 {
        pid.number_in(&self.namespace)
    }

    /// ESRCH once nothing is left of it: a process has been waited for, a thread has ended.
    pub fn check(&self) -> Result<(), Errno> {
        let exists = match &self.thread {
            Some(thread) if thread.id() != self.process.pid() => {
                find_thread(thread.id()).is_some_and(|living| Arc::ptr_eq(&living, thread))
            }
            _ => !self.process.is_reaped(),
        };
        if exists { Ok(()) } else { Err(Errno::ESRCH) }
    }

    /// Leave to look into it, to be held until there is what is looked for. EACCES unless the running thread may.
    pub fn inspect(&self) -> Result<Inspection<'_>, Errno> {
        Inspection::begin(&self.process).ok_or(Errno::EACCES)
    }

    /// The directories of its descriptors and of its mapped files are open to the process itself, whoever owns them by
    /// now: a program that has become another user goes on with `/proc/self/fd` (Linux: `proc_fd_permission`).
    pub fn admission_of_itself(&self) -> Admission {
        let is_own = current().is_some_and(|thread| Arc::ptr_eq(thread.process(), &self.process));
        if is_own { Admission::Granted } else { Admission::ByMode }
    }

    /// Whether the running thread is let into the directories of the process, as the instance says: the error is EPERM
    /// where it knows that there is such a process (Linux: `proc_pid_permission`).
    pub fn admission_to(&self, filesystem: &FileSystem) -> Admission {
        let Some(view) = filesystem.operations::<View>() else { return Admission::ByMode };
        if view.shows(&self.process, Hiding::NoAccess) {
            return Admission::ByMode;
        }
        Admission::Refused(if view.hiding() == Hiding::Invisible { Errno::ENOENT } else { Errno::EPERM })
    }

    /// Whether the running thread may know, by this instance, that there is such a process.
    pub fn is_shown_by(&self, filesystem: &FileSystem) -> bool {
        filesystem.operations::<View>().is_none_or(|view| view.shows(&self.process, Hiding::Invisible))
    }

    /// The inode number of the entry at `index`; above those of all fixed names.
    pub fn inode_number(&self, index: u64) -> u64 {
        const FIRST: u64 = 1 << 32;
        const ENTRIES: u64 = 64;
        FIRST + (u64::from(self.shown(self.id())) * 2 + u64::from(self.is_thread())) * ENTRIES + index
    }

    /// The files of a process belong to its effective user, but to root if others of that user may not look into it;
    /// its directory is that user's always (Linux: `task_dump_owner`).
    pub fn ownership(&self, permissions: u32) -> Ownership {
        if permissions != 0o555 && !self.process.is_dumpable() {
            return Ownership::of_root(permissions);
        }
        let (user, group) = self.thread().map_or((UserId::ROOT, GroupId::ROOT), |thread| {
            thread.with_credentials(|credentials| (credentials.user.effective, credentials.group.effective))
        });
        Ownership { permissions, user, group }
    }

    /// The memory, unless the process has ended.
    pub fn address_space(&self) -> Result<Arc<AddressSpace>, Errno> {
        self.process.address_space().ok_or(Errno::ESRCH)
    }

    /// The memory that it has now, for an opening to come back to; gone when the process has left it. EACCES for a
    /// stranger's, ESRCH if the process is gone.
    pub fn memory(&self) -> Result<Weak<AddressSpace>, Errno> {
        self.check()?;
        let inspection = self.inspect();
        let Some(space) = self.process.address_space() else { return Ok(Weak::new()) };
        inspection.map(|_inspection| Arc::downgrade(&space))
    }

    /// Root, working directory and umask. ENOENT once the thread has ended.
    pub fn context(&self) -> Result<Arc<FsContext>, Errno> {
        self.thread().and_then(|thread| thread.try_fs()).ok_or(Errno::ENOENT)
    }
}
