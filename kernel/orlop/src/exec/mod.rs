//! Starting programs: `execve` from a path to the first instruction.
//!
//! The new address space is built whole beside the old one: open the file, follow `#!` lines, copy the arguments,
//! map segments, interpreter and stack. Whatever fails until then is an ordinary error and the caller goes on.
//! Then comes the point of no return ([`commit`]): the other threads of the process are ended, the address space
//! is exchanged, signals, descriptors and credentials are reset, and the registers are those of a fresh program.

mod arguments;
mod identity;
mod loader;
mod script;
mod stack;
mod vdso;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use abi::process::{ADDR_COMPAT_LAYOUT, ADDR_NO_RANDOMIZE, MMAP_PAGE_ZERO, READ_IMPLIES_EXEC, WaitStatus};
use hal::user::{UserContext, UserRegs};
use libkernel::addr::UserAddr;
use memory::layout::Offsets;
use memory::{AddressSpace, Dumpable, ExecuteAccess, Layout};
use outcome::{Failure, OrErrno};
use subject::Resource;
use vfs::File;
use vfs::mount::Location;
use vfs::open::{open_for_exec, open_place_for_exec};
use vfs::walk::LastLink;

use crate::process::{self, Thread};
use crate::signal::{Signal, send};

use arguments::{Room, Strings};
use identity::NewIdentity;
use loader::Program;
use stack::StackContent;

/// So many interpreters may stand before a program, each the script of the next (execve(2): ELOOP).
const SCRIPT_DEPTH: usize = 5;

/// What a program must not inherit that a file's set-id bits or capabilities make another (Linux's
/// `PER_CLEAR_ON_SETID`).
const UNSAFE_PERSONALITY: u32 = ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC | ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO;

/// The stack that a program with more rights than its user has at most (Linux's `_STK_LIM`), whatever the limit was.
const SECURE_STACK: u64 = 8 << 20;

/// What is to be executed, by name.
pub struct Request<'a> {
    /// Where a relative path starts, if not in the working directory.
    pub start: Option<Location>,
    /// The path; empty to execute `start` itself (`AT_EMPTY_PATH`).
    pub path: &'a [u8],
    /// Whether a symbolic link at the end is followed.
    pub last_link: LastLink,
    /// The name by which an interpreter can open the script again.
    pub name: Vec<u8>,
    /// Whether that name will be gone then, with a descriptor that is closed by `execve`.
    pub name_vanishes: bool,
}

/// Arguments and environment, still in user memory.
#[derive(Clone, Copy)]
pub struct UserVectors {
    /// Array of argument pointers.
    pub arguments: UserAddr,
    /// Array of environment pointers.
    pub environment: UserAddr,
}

/// `execve`: replaces the program of the calling process. On success the registers are the new program's.
pub fn execute(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    request: Request<'_>,
    vectors: UserVectors,
) -> Result<(), Failure> {
    thread.check_execution()?;
    let mut room = Room::new(thread.process().limits().soft(Resource::Stack));
    room.take(request.name.len() as u64 + 1)?;
    let arguments = Strings::read_user(vectors.arguments, &mut room)?;
    let environment = Strings::read_user(vectors.environment, &mut room)?;
    // Last, as on Linux: a list that cannot be read is EFAULT whatever the file is.
    let file = open(thread, &request)?;
    start(thread, context, Start { file, request, interpreter: None, arguments, environment, room })
}

/// Starts the first program of the system, or says why it cannot be.
pub fn load_first(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    path: &[u8],
    arguments: &[&[u8]],
    environment: &[&[u8]],
) -> Result<(), Failure> {
    let name = copy_bytes(path)?;
    let request = Request { start: None, path, last_link: LastLink::Follow, name, name_vanishes: false };
    let file = open(thread, &request)?;
    let mut room = Room::new(thread.process().limits().soft(Resource::Stack));
    let mut strings = [Strings::default(), Strings::default()];
    for (list, source) in strings.iter_mut().zip([arguments, environment]) {
        source.iter().try_for_each(|string| list.push(string, &mut room))?;
    }
    let [arguments, environment] = strings;
    start(thread, context, Start { file, request, interpreter: None, arguments, environment, room })
}

/// An `execve` whose strings have been copied in.
struct Start<'a> {
    file: Arc<File>,
    request: Request<'a>,
    /// The path of `file`, when it is the interpreter of a script.
    interpreter: Option<Vec<u8>>,
    arguments: Strings,
    environment: Strings,
    room: Room,
}

fn start(thread: &Arc<Thread>, context: &mut UserContext, mut start: Start<'_>) -> Result<(), Failure> {
    if start.arguments.count() == 0 {
        // A program may rely on argv[0] (CVE-2021-4034): Linux gives it an empty one.
        start.arguments.push(b"", &mut start.room)?;
    }
    let (program, access) = find_program(thread, &mut start)?;
    let interpreter = match program.interpreter()? {
        Some(path) => Some(open_interpreter(thread, &path)?),
        None => None,
    };
    let identity = identity::after_exec(thread, program.file())?;
    let built = build(thread, &Programs { program, interpreter }, &start, &identity, access)?;
    commit(thread, context, built, identity, &start.request.name)
}

fn open(thread: &Arc<Thread>, request: &Request<'_>) -> Result<Arc<File>, Failure> {
    let credentials = thread.credentials();
    if request.path.is_empty() {
        let place = request.start.clone().unwrap_or_else(|| thread.fs().working_directory());
        return open_place_for_exec(place, &credentials);
    }
    open_for_exec(&thread.fs(), &credentials, request.start.clone(), request.path, request.last_link)
}

/// Follows `#!` lines until a program is found; the arguments then begin with the interpreters.
fn find_program(thread: &Arc<Thread>, start: &mut Start<'_>) -> Result<(Program, ExecuteAccess), Failure> {
    for _ in 0..=SCRIPT_DEPTH {
        let object = start.file.object().ok_or(Errno::EACCES)?;
        let access = ExecuteAccess::acquire(object)?;
        let mut head = [0; script::HEAD_SIZE];
        let length = loader::read_head(&start.file, &mut head)?;
        let head = head.get(..length).unwrap_or_default();
        if !script::is_script(head) {
            return Ok((Program::read(start.file.clone(), head)?, access));
        }
        if start.request.name_vanishes {
            return Err(Errno::ENOENT.into());
        }
        start.file = enter_script(thread, start, head)?;
    }
    Err(Errno::ELOOP.into())
}

/// Puts the interpreter of a script before the arguments and opens it.
fn enter_script(thread: &Arc<Thread>, start: &mut Start<'_>, head: &[u8]) -> Result<Arc<File>, Failure> {
    let interpreter = script::parse(head).ok_or(Errno::ENOEXEC)?;
    let mut arguments = Strings::default();
    arguments.push(interpreter.path, &mut start.room)?;
    if let Some(argument) = interpreter.argument {
        arguments.push(argument, &mut start.room)?;
    }
    let script = start.interpreter.as_deref().unwrap_or(&start.request.name);
    arguments.push(script, &mut start.room)?;
    arguments.push_all(&start.arguments, 1, &mut start.room)?;
    start.arguments = arguments;
    start.interpreter = Some(copy_bytes(interpreter.path)?);
    open_by_path(thread, interpreter.path)
}

fn open_by_path(thread: &Arc<Thread>, path: &[u8]) -> Result<Arc<File>, Failure> {
    open_for_exec(&thread.fs(), &thread.credentials(), None, path, LastLink::Follow)
}

/// What is loaded.
struct Programs {
    program: Program,
    interpreter: Option<Program>,
}

/// A new address space, ready to run.
struct Built {
    space: Arc<AddressSpace>,
    start: u64,
    stack: UserAddr,
}

fn build(
    thread: &Arc<Thread>,
    Programs { program, interpreter }: &Programs,
    start: &Start<'_>,
    identity: &NewIdentity,
    access: ExecuteAccess,
) -> Result<Built, Errno> {
    let stack_limit = thread.process().limits().soft(Resource::Stack);
    let stack_limit = if identity.secure { stack_limit.min(SECURE_STACK) } else { stack_limit };
    let offsets = choose_offsets(personality(thread, identity));
    let space = AddressSpace::new()?;
    let mmap_base = offsets.mmap_base(stack_limit);
    let mut layout = Layout { mmap_base, ..Layout::empty() };
    space.set_layout(layout.clone(), None);
    let loaded = program.load(interpreter.as_ref(), &space, &offsets, thread.bounds())?;
    let vdso = vdso::map(&space, thread.bounds())?;
    let content = StackContent {
        path: &start.request.name,
        arguments: &start.arguments,
        environment: &start.environment,
        loaded: &loaded,
        credentials: &identity.credentials,
        secure: identity.secure,
        vdso,
    };
    let executable = program.wants_executable_stack()?;
    let stack = stack::build(&space, offsets.stack_top(), executable, &content, thread.bounds())?;
    layout.brk_start = offsets.brk_start(loaded.end, loaded.among_mappings)?;
    layout.brk = layout.brk_start;
    layout.stack_start = stack.pointer;
    layout.vdso = vdso.unwrap_or_default();
    (layout.code, layout.data) = (loaded.code, loaded.data);
    layout.arguments = stack.arguments;
    layout.environment = stack.environment;
    layout.auxiliary_vector = stack.auxiliary_vector;
    space.set_layout(layout, Some((program.file().clone(), access)));
    Ok(Built { space, start: loaded.start, stack: stack.pointer })
}

fn open_interpreter(thread: &Arc<Thread>, path: &[u8]) -> Result<Program, Failure> {
    let file = open_by_path(thread, path)?;
    let mut head = [0; libkernel::elf::HEADER_SIZE];
    loader::read_head(&file, &mut head)?;
    // Linux: a file that is no program is ELIBBAD here, not ENOEXEC.
    let program = Program::read(file, &head);
    Ok(program.map_err(|errno| if errno == Errno::ENOEXEC { Errno::ELIBBAD } else { errno })?)
}

/// The personality that the new program has.
fn personality(thread: &Thread, identity: &NewIdentity) -> u32 {
    let personality = thread.process().personality();
    if identity.clears_personality { personality & !UNSAFE_PERSONALITY } else { personality }
}

/// `randomize_va_space`: whether programs are placed at random (1), and their heaps too (2).
pub static RANDOMIZE: AtomicU32 = AtomicU32::new(2);

fn choose_offsets(personality: u32) -> Offsets {
    let degree = RANDOMIZE.load(Ordering::Relaxed);
    if personality & ADDR_NO_RANDOMIZE != 0 || degree == 0 {
        return Offsets::default();
    }
    let mut bytes = [0; 32];
    crate::random::fill(&mut bytes);
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    if degree == 1 {
        words[3] = 0;
    }
    Offsets::from_random(words)
}

/// The point of no return: from here on the old program is gone, and a failure is the end of the process.
fn commit(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    built: Built,
    mut identity: NewIdentity,
    name: &[u8],
) -> Result<(), Failure> {
    // Until the end: nobody gets hold of the directories of a program that gains by its file.
    let _execution = identity.execution.take();
    process::exec::dethread(thread)?;
    process::exec::leave_memory(thread);
    thread.process().set_personality(personality(thread, &identity));
    // Before anybody can find the memory.
    built.space.set_dumpable(dumpable(thread, &identity));
    thread.process().exchange(thread, built.space, identity.credentials);
    // Afterwards: who learns by a file that is closed that the program runs finds it there.
    if reset(thread).is_err() {
        // There is no program left that could be told.
        send::end_process(thread.process(), WaitStatus::signaled(Signal::KILL.number()));
        return Err(Errno::ENOMEM.into());
    }
    if identity.secure {
        thread.process().limits().lower(Resource::Stack, SECURE_STACK);
        thread.set_parent_death_signal(None);
    }
    thread.set_name(name.rsplit(|byte| *byte == b'/').next().unwrap_or_default());
    context.regs = UserRegs::new(built.start, built.stack.as_u64());
    thread.speculation.execute(&mut context.regs);
    Ok(())
}

/// Who may see the memory of the new program.
fn dumpable(thread: &Thread, identity: &NewIdentity) -> Dumpable {
    let is_dumpable =
        identity.may_read && identity::is_dumpable(&thread.credentials(), &identity.credentials);
    if is_dumpable { Dumpable::ByUser } else { process::dumpable_with_privileges() }
}

/// Takes away what the new program must not inherit.
fn reset(thread: &Arc<Thread>) -> Result<(), Errno> {
    process::exec::finish(thread)?;
    hal::task::reset_user_state().or_errno()
}

fn copy_bytes(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).or_errno()?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}
