//! From hal's hand-over to the first program.
//!
//! The boot task starts what needs no sleep and becomes the idle task. A kernel task unpacks the initramfs and makes
//! process 1, whose own thread then looks for a program to become, as Linux does: `rdinit=`, `/init`, `init=`, and what
//! usually is there.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use filesystems::devtmpfs::DEVTMPFS;
use filesystems::sysfs::Sysfs;
use filesystems::tmpfs::{RAMFS, TMPFS};
use hal::boot::{BootInfo, Initramfs, LeftOut};
use hal::cpu::MAX_CPUS;
use hal::speculation;
use hal::task::{Runnable, Task, UserState};
use hal::user::{UserContext, UserRegs};
use klog::{Level, log, notice};
use libkernel::command_line::{CommandLine, FALLBACKS, Word};
use libkernel::speculation::Weakness;
use memory::AddressSpace;
use outcome::{Failure, OrErrno};
use sched::watchdog;
use subject::Credentials;
use vfs::filesystem::FileSystemType;
use vfs::walk::{LastLink, Walk};
use vfs::{FdTable, FsContext, directory, mount, running};

use crate::device::AllDevices;
use crate::namespaces::Namespaces;
use crate::proc::Proc;
use crate::process::{self, FirstProcess, RunningThread, Thread};
use crate::time::{alarm, choose_counter, clock};
use crate::{exec, futex, initramfs, kmsg, random, tty, vdso};

/// Options that are the kernel's own, and those of Linux that mean nothing here: init does not see them.
const KNOWN_OPTIONS: &[&[u8]] = &[
    b"acpi",
    b"clocksource",
    b"console",
    b"debug",
    b"earlycon",
    b"earlyprintk",
    b"idle",
    b"ignore_loglevel",
    b"init_on_alloc",
    b"ip",
    b"kaslr",
    b"loglevel",
    b"maxcpus",
    b"mem",
    b"mitigations",
    b"noapic",
    b"nokaslr",
    b"nolapic",
    b"norandmaps",
    b"nosmp",
    b"nr_cpus",
    b"panic",
    b"pci",
    b"quiet",
    b"reboot",
    b"ro",
    b"root",
    b"rootflags",
    b"rootfstype",
    b"rootwait",
    b"rw",
    b"tsc",
];

/// What init finds in its environment before the command line's own words.
const ENVIRONMENT: [&[u8]; 2] = [b"HOME=/", b"TERM=linux"];

/// Starts the kernel on the boot CPU and becomes its idle task.
pub fn start(boot: &'static BootInfo) -> ! {
    let command_line = CommandLine::new(boot.command_line);
    klog::configure(command_line);
    kmsg::configure(command_line);
    notice!("Orlop {} on {}", env!("CARGO_PKG_VERSION"), abi::native::process::MACHINE);
    notice!("Command line: {}", Printable(boot.command_line));
    notice!("Memory: {} KiB", boot.memory_bytes / 1024);
    clock::start();
    random::seeding::start(command_line);
    libkernel::ordered::seed(random::number());
    futex::draw_secret();
    let mut secret = [0; 16];
    random::fill(&mut secret);
    directory::set_secret(&secret);
    running::ask_by(&RunningThread);
    vfs::device::provide(&AllDevices);
    filesystems::sysfs::clocksource::choose_by(choose_counter);
    watchdog::configure(command_line);
    hal::boot::start_other_cpus(cpu_limit(&command_line), &mut |identity, reason| {
        let reason = match reason {
            LeftOut::NotStarted => "could not be started",
            LeftOut::Silent => "does not answer",
            LeftOut::ClockDiffers => "has a clock of its own",
        };
        log!("CPU {identity:#x} {reason}; it is left out");
    });
    notice!("CPUs: {}", hal::cpu::count());
    hal::boot::for_each_lack(&mut |what| notice!("This machine lacks {what}"));
    hal::boot::for_each_use(&mut |what| klog::line(Level::Debug, format_args!("This machine has {what}")));
    report_speculation();
    hal::cpu::for_each_erratum(&mut |number, answer| notice!("Erratum {number}: {answer}"));
    look_at_consoles(command_line);
    sched::provoke::overflow_boot_stack(command_line);
    sched::spawn(Box::new(move || bring_up(boot))).expect("memory for the first task");
    sched::idle()
}

/// Says in Linux's words how things stand with what every CPU may have.
fn report_speculation() {
    for (name, weakness) in [("V1", Weakness::SpectreV1), ("V2", Weakness::SpectreV2)] {
        if speculation::is_affected(weakness) {
            notice!("Spectre {name} : {}", speculation::Words(weakness));
        }
    }
}

/// How many CPUs may run: `nosmp`, `maxcpus=` (zero means one) and `nr_cpus=`, as for Linux.
fn cpu_limit(command_line: &CommandLine<'_>) -> usize {
    if command_line.words().any(|word| word.is_named(b"nosmp")) {
        return 1;
    }
    let number = |name| core::str::from_utf8(command_line.option(name)?).ok()?.parse::<usize>().ok();
    ["maxcpus", "nr_cpus"].into_iter().filter_map(number).fold(MAX_CPUS, usize::min).max(1)
}

/// Says where the log goes if `console=` names a line that this machine does not have.
fn look_at_consoles(command_line: CommandLine<'_>) {
    let line = vfs::device::serial();
    let is_ours = |value: &[u8]| {
        let name = value.split(|&byte| byte == b',').next().unwrap_or_default();
        name == line.name.as_bytes() || line.synonyms.iter().any(|synonym| name == synonym.as_bytes())
    };
    // One of several that is there is what whoever wrote them counted on.
    let level = if command_line.options("console").any(is_ours) { Level::Information } else { Level::Error };
    for absent in command_line.options("console").filter(|value| !is_ours(value)) {
        let name = Printable(absent);
        klog::line(level, format_args!("console={name}: there is no such device; {} is used", line.name));
    }
}

/// Bytes that are mostly text.
struct Printable<'a>(&'a [u8]);

impl core::fmt::Display for Printable<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{}", byte.escape_ascii()))
    }
}

/// Brings files, terminals and clocks up, and starts process 1. Each step is called, not inlined: what unpacks an
/// archive needs most of the kernel's stack, and the room of one step is not to stand on it during the next.
fn bring_up(boot: &'static BootInfo) {
    start_clocks();
    let mounts = unpack_initramfs();
    start_tasks(boot);
    let first = first_thread(CommandLine::new(boot.command_line), mounts).expect("memory for process 1");
    sched::start(first);
}

#[inline(never)]
fn start_clocks() {
    vdso::start().expect("memory for the vDSO");
    alarm::start().expect("memory for the alarm task");
}

/// The types of file system that programs can mount.
static FILE_SYSTEMS: &[&dyn FileSystemType] = &[&Sysfs, &TMPFS, &DEVTMPFS, &Proc, &RAMFS];

#[inline(never)]
fn unpack_initramfs() -> Arc<mount::Namespace> {
    vfs::types::provide(FILE_SYSTEMS);
    let initramfs = hal::boot::take_initramfs();
    initramfs::unpack(initramfs.as_ref().map_or(&[], Initramfs::bytes))
}

#[inline(never)]
fn start_tasks(boot: &'static BootInfo) {
    sched::provoke::start(CommandLine::new(boot.command_line)).expect("memory for a fault on purpose");
    sched::spawn(Box::new(tty::console::serve)).expect("memory for the console task");
    vfs::reaper::start().expect("memory for the reaper");
    hal::console::enable_input();
}

/// Makes process 1 with an empty address space; its thread becomes init.
#[inline(never)]
fn first_thread(
    command_line: CommandLine<'static>,
    mounts: Arc<mount::Namespace>,
) -> Result<Runnable, Errno> {
    let memory = AddressSpace::new()?;
    let page_table = memory.page_table().clone();
    let files = FdTable::empty();
    let context = FsContext::at(mounts.root().ok_or(Errno::ENOENT)?.root_location());
    let credentials = Arc::new(Credentials::root());
    if let Err(errno) = tty::console::open_standard(&context, &credentials, &files) {
        log!("Warning: unable to open an initial console: {errno:?}");
    }
    let namespaces = Namespaces::initial(mounts);
    let thread = process::first(FirstProcess { memory, files, fs: context, credentials, namespaces })?;
    let own = thread.clone();
    let entry = Box::new(move || become_init(own, command_line));
    let user = UserState::new().or_errno()?;
    let runnable = Task::new_user(entry, user, page_table, Some(thread.clone())).or_errno()?;
    thread.set_task(runnable.task());
    Ok(runnable)
}

/// Becomes the first program that can be run.
fn become_init(thread: Arc<Thread>, command_line: CommandLine<'static>) {
    let context = load_init(&thread, command_line);
    process::run(thread, context);
}

/// Loads the first program that can be run, or ends the kernel, in the order and the words of Linux (`init/main.c`,
/// `kernel_init`).
fn load_init(thread: &Arc<Thread>, command_line: CommandLine<'static>) -> UserContext {
    let mut context = UserContext::new(UserRegs::new(0, 0));
    let strings = InitStrings::of(command_line);
    let mut run = |path| run_init(thread, &mut context, path, &strings).err();
    let (path, is_wanted) = command_line.initramfs_init();
    if let Err(errno) = look_for(thread, path) {
        if is_wanted {
            log!("check access for rdinit={} failed: -{}, ignoring", Printable(path), errno.number());
        }
    } else {
        let Some(error) = run(path) else { return context };
        log!("Failed to execute {} (error {error})", Printable(path));
    }
    if let Some(path) = command_line.requested_init() {
        let Some(error) = run(path) else { return context };
        panic!("Requested init {} failed (error {error}).", Printable(path));
    }
    for path in FALLBACKS {
        let Some(error) = run(path) else { return context };
        if error != ABSENT {
            log!("Starting init: {} exists but couldn't execute it (error {error})", Printable(path));
        }
    }
    panic!(
        "No working init found.  Try passing init= option to kernel. See Linux Documentation/admin-guide/init.rst for guidance."
    );
}

/// Whether there is something at `path`.
fn look_for(thread: &Thread, path: &[u8]) -> Result<(), Errno> {
    Walk::new(&thread.fs(), &thread.credentials()).resolve(None, path, LastLink::Follow).map(drop)
}

/// What init gets besides its name.
struct InitStrings {
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
}

impl InitStrings {
    fn of(command_line: CommandLine<'_>) -> InitStrings {
        let is_known =
            |name: &[u8]| KNOWN_OPTIONS.iter().any(|known| Word { name, value: None }.is_named(known));
        let arguments = command_line.init_arguments(is_known).map(|word| word.bytes().collect()).collect();
        let mut environment: Vec<Vec<u8>> = ENVIRONMENT.iter().map(|variable| variable.to_vec()).collect();
        environment.extend(command_line.init_environment(is_known).map(|word| word.bytes().collect()));
        InitStrings { arguments, environment }
    }
}

/// The error of a program that does not exist, as `run_init` tells it.
const ABSENT: i64 = Errno::ENOENT.to_return();

/// Loads one program. The error is told as Linux tells it, a negative number.
fn run_init(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    path: &[u8],
    strings: &InitStrings,
) -> Result<(), i64> {
    let arguments: Vec<&[u8]> =
        core::iter::once(path).chain(strings.arguments.iter().map(Vec::as_slice)).collect();
    let environment: Vec<&[u8]> = strings.environment.iter().map(Vec::as_slice).collect();
    notice!("Run {} as init process", Printable(path));
    exec::load_first(thread, context, path, &arguments, &environment).map_err(|failure| match failure {
        Failure::Errno(errno) => errno.to_return(),
        // Nothing signals process 1 before it runs.
        Failure::Restart(_) => Errno::EINTR.to_return(),
    })
}
