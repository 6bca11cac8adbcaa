//! The file of a core dump: its name, and who may make it. core(5); Linux 6.1's `do_coredump`.
//!
//! A new regular file of mode 0600 that belongs to the process's file-system user, in a directory where that user may make one. What
//! had the name before is removed first, as far as that user may. A process that acts with more rights than its user (dumpable by
//! root alone) is dumped as root, only to a path from the root directory of the first process, and removes nothing.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR};
use libkernel::core_dump::name::{self, Facts};

use super::{Cause, Terms};
use crate::fs::attributes::FileKind;
use crate::fs::open::{self, How};
use crate::fs::proc::{program_of, shown_path};
use crate::fs::remove::{self, Victim};
use crate::fs::walk::{Last, Walk};
use crate::fs::{File, FsContext, mount};
use crate::log;
use crate::memory::Dumpable;
use crate::process::{Credentials, Pid, Resource, Thread, core_uses_pid, find_process};
use crate::syscall::{Failure, system};

const PERMISSIONS: u32 = 0o600;

/// Makes the file, empty.
pub fn open(thread: &Arc<Thread>, terms: &Terms, cause: &Cause<'_>) -> Result<Arc<File>, Errno> {
    let name = name_of(thread, terms, cause)?;
    if terms.pattern.first() == Some(&b'|') {
        // There is nothing that starts programs from inside the kernel.
        log!("Core dump to {} pipe failed", name.escape_ascii());
        return Err(Errno::ENOEXEC);
    }
    let mut credentials = (*thread.credentials()).clone();
    let mut context = thread.fs();
    let by_root = terms.dumpable == Dumpable::ByRoot;
    if by_root {
        if name.first() != Some(&b'/') {
            let pid = thread.process().pid();
            log!("Pid {pid}({}) can only dump core to fully qualified path!", thread.shown_name());
            return Err(Errno::EPERM);
        }
        credentials.set_file_system_user(0);
        let umask = context.umask();
        context = FsContext::at(first_root()?);
        context.set_umask(umask);
    } else {
        remove_old(&context, &credentials, &name);
    }
    make(&context, &credentials, &name)
}

/// The root directory of the first process.
fn first_root() -> Result<mount::Location, Errno> {
    let init = find_process(Pid::INIT).and_then(|init| init.leader()).and_then(|leader| leader.try_fs());
    init.map(|context| context.root()).or_else(mount::root).ok_or(Errno::ENOENT)
}

/// What is not there need not be removed; what cannot be removed is met when the file is made.
fn remove_old(context: &FsContext, credentials: &Credentials, name: &[u8]) {
    let mut walk = Walk::new(context, credentials);
    if let Ok(tail) = walk.to_parent(Some(context.working_directory()), name)
        && let Last::Name(last) = &tail.last
        && !tail.must_be_directory
    {
        let _ = remove::remove(&tail.directory, last, Victim::File, credentials);
    }
}

fn make(context: &FsContext, credentials: &Credentials, name: &[u8]) -> Result<Arc<File>, Errno> {
    let how = How::new(O_CREAT | O_RDWR | O_NOFOLLOW | O_EXCL, PERMISSIONS & !context.umask())?;
    let mut walk = Walk::new(context, credentials);
    let file = match open::open(&mut walk, Some(context.working_directory()), name, how) {
        Ok(file) => file,
        Err(Failure::Errno(errno)) => return Err(errno),
        Err(Failure::Restart(_)) => return Err(Errno::EINTR),
    };
    let inode = file.inode();
    // A file system may give a new file another owner or mode.
    let is_private = inode.attributes.owner() == credentials.user.file_system
        && inode.attributes.permissions() & 0o677 == PERMISSIONS;
    let is_alone = inode.kind == FileKind::Regular && inode.attributes.links() == 1;
    if is_private && is_alone { Ok(file) } else { Err(Errno::EPERM) }
}

fn name_of(thread: &Thread, terms: &Terms, cause: &Cause<'_>) -> Result<alloc::vec::Vec<u8>, Errno> {
    let process = thread.process();
    let (user, group) = thread.with_credentials(|own| (own.user.real, own.group.real));
    let padded = thread.name();
    let program = program_of(&terms.space).and_then(|place| shown_path(&place)).ok();
    let host = system::host_name();
    let facts = Facts {
        process: process.pid().number(),
        thread: thread.id().number(),
        user,
        group,
        dumpable: terms.dumpable as u32,
        signal: cause.signal.number(),
        seconds: crate::time::clock::wall_clock().tv_sec,
        limit: process.limits().soft(Resource::Core),
        host: &host,
        name: padded.split(|&byte| byte == 0).next().unwrap_or_default(),
        program: program.as_deref(),
    };
    let is_pipe = terms.pattern.first() == Some(&b'|');
    name::expand(&terms.pattern, core_uses_pid() && !is_pipe, &facts).map_err(|_| Errno::ENAMETOOLONG)
}
