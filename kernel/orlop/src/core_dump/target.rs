//! Where a core dump goes. The file: its name, and who may make it. core(5); Linux 6.1's `do_coredump`.
//!
//! A new regular file of mode 0600 that belongs to the process's file-system user, in a directory where that user may
//! make one. What had the name before is removed first, as far as that user may. A process that acts with more rights
//! than its user (dumpable by root alone) is dumped as root, only to a path from the root directory of the first
//! process, and removes nothing.
//!
//! A pattern behind `|` names a program that reads the dump from a pipe. The process's limit does not count then,
//! unless it is that of such a program.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use abi::fs::{O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR};
use filesystems::pipe;
use klog::log;
use libkernel::core_dump::name::{self, Facts, NoName};
use memory::Dumpable;
use outcome::Failure;
use subject::{Credentials, Pid, Resource, UserId, UserNamespace};
use vfs::attributes::FileKind;
use vfs::open::{self, How};
use vfs::remove::{self, Victim};
use vfs::walk::{Last, Walk};
use vfs::{File, FsContext, mount};

use super::{Cause, Terms};
use crate::proc::{program_of, shown_path};
use crate::process::helper::{self, Helper};
use crate::process::{CORE_PIPE_LIMIT, Thread, core_uses_pid, find_process};

const PERMISSIONS: u32 = 0o600;

/// Where a dump goes.
pub enum Target {
    /// A file of its own.
    File(Arc<File>),
    /// A pipe that a program reads, which counts as long as this is there.
    Pipe(Arc<File>, Served),
}

/// How many processes are dumped to programs.
static SERVED: AtomicU32 = AtomicU32::new(0);

/// A process that is dumped to a program.
pub struct Served;

impl Drop for Served {
    fn drop(&mut self) {
        SERVED.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Target {
    /// Makes the file, or starts the program.
    pub fn open(thread: &Arc<Thread>, terms: &Terms, cause: &Cause<'_>) -> Result<Target, Errno> {
        match terms.pattern.split_first() {
            Some((b'|', rest)) => start_program(thread, terms, cause, rest),
            _ => make_file(thread, terms, cause).map(Target::File),
        }
    }

    /// What is written to.
    pub fn file(&self) -> &File {
        let (Target::File(file) | Target::Pipe(file, _)) = self;
        file
    }

    /// The dump is complete. Where the number of programs is limited, this waits until nobody has the pipe: the process
    /// is there for the program to look at until then.
    pub fn close(self) {
        if let Target::Pipe(file, served) = self {
            if CORE_PIPE_LIMIT.load(Ordering::Relaxed) != 0 {
                pipe::close_and_wait(file);
            }
            drop(served);
        }
    }
}

fn start_program(
    thread: &Arc<Thread>,
    terms: &Terms,
    cause: &Cause<'_>,
    pattern: &[u8],
) -> Result<Target, Errno> {
    /// What keeps a program that takes dumps from being dumped itself.
    const CORE_LIMIT: u64 = super::HELPERS_LIMIT;
    let made = with_facts(thread, terms, cause, |facts| name::arguments(pattern, facts));
    let Ok(arguments) = made else {
        log!("format_corename failed");
        log!("Aborting core");
        return Err(Errno::ENAMETOOLONG);
    };
    let served = Served;
    let count = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    let most = CORE_PIPE_LIMIT.load(Ordering::Relaxed).cast_unsigned();
    if most != 0 && count > most {
        log!("Pid {:?}({}) over core_pipe_limit", thread.process().pid(), thread.shown_name());
        log!("Skipping core dump");
        return Err(Errno::EAGAIN);
    }
    let shown = arguments.first().cloned().unwrap_or_default();
    let (input, writer) = pipe::open_pair(&Credentials::root(), 0)?;
    if let Err(errno) = helper::start(Helper { arguments, input, core_limit: CORE_LIMIT }) {
        log!("Core dump to |{} pipe failed", shown.escape_ascii());
        return Err(errno);
    }
    Ok(Target::Pipe(writer, served))
}

/// Makes the file, empty.
fn make_file(thread: &Arc<Thread>, terms: &Terms, cause: &Cause<'_>) -> Result<Arc<File>, Errno> {
    let name =
        with_facts(thread, terms, cause, |facts| name::expand(&terms.pattern, core_uses_pid(), facts))?;
    let mut credentials = (*thread.credentials()).clone();
    let mut context = thread.fs();
    let by_root = terms.dumpable == Dumpable::ByRoot;
    if by_root {
        if name.first() != Some(&b'/') {
            let pid = thread.process().pid();
            log!("Pid {pid:?}({}) can only dump core to fully qualified path!", thread.shown_name());
            return Err(Errno::EPERM);
        }
        credentials.set_file_system_user(UserId::ROOT);
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
    init.map(|context| context.root()).ok_or(Errno::ENOENT)
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

/// What can be named of the process.
fn with_facts<R>(
    thread: &Thread,
    terms: &Terms,
    cause: &Cause<'_>,
    make: impl FnOnce(&Facts<'_>) -> Result<R, NoName>,
) -> Result<R, Errno> {
    let process = thread.process();
    // Whoever set the pattern gave names by the initial namespace (Linux: `format_corename`).
    let outside = UserNamespace::initial();
    let number =
        |own: &Arc<Credentials>| (own.user.real.number_in(outside), own.group.real.number_in(outside));
    let (user, group) = thread.with_credentials(number);
    let padded = thread.name();
    let program = program_of(&terms.space).and_then(|place| shown_path(&place)).ok();
    let host = thread.namespaces().names.host.text();
    let facts = Facts {
        process: process.pid().number_in(process.pid_namespace()),
        thread: thread.id().number_in(process.pid_namespace()),
        user,
        group,
        dumpable: terms.dumpable as u32,
        signal: cause.signal.number(),
        seconds: vfs::clock::now().tv_sec,
        limit: process.limits().soft(Resource::Core),
        host: &host,
        name: padded.split(|&byte| byte == 0).next().unwrap_or_default(),
        program: program.as_deref(),
    };
    make(&facts).map_err(|NoName| Errno::ENAMETOOLONG)
}
