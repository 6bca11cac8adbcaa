//! `cargo xtask run`: boots a kernel, runs a shell or one program, and ends with its exit status.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::arch::Arch;
use crate::build::{self, Checks};
use crate::initramfs::{Mapping, host_files};
use crate::linux;
use crate::near;
use crate::toolchain::Toolchain;

mod bochs;
pub mod control;
pub mod debugger;
mod gdb;
pub mod input;
pub mod iso;
pub mod job;
mod libraries;
pub mod lines;
pub mod machine;
pub mod markers;
mod memory;
pub mod nested;
pub mod outcome;
pub mod placement;
pub mod programs;
pub mod segments;
pub mod session;

use input::Source;
use job::{Input, Job, Terminal};
use machine::{Boot, Console, Machine, MachineOptions};
use outcome::Conversation;
use segments::Segments;

/// Options of `cargo xtask run`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    machine: MachineOptions,
    /// The kernel: orlop, linux (Debian 12's, fetched once), or a file.
    #[arg(long, default_value = "orlop", value_name = "orlop|linux|FILE")]
    kernel: Kernel,
    /// The initramfs to boot instead of Orlop's own programs.
    #[arg(long, value_name = "FILE")]
    initramfs: Option<PathBuf>,
    /// More words for the kernel's command line.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Copy a program of this machine into the guest and run it; what follows -- are its arguments.
    #[arg(long, value_name = "HOST_ELF")]
    program: Option<PathBuf>,
    /// Run a conformance program; what follows -- is the part of its tests' names that are wanted.
    #[arg(long, value_name = "NAME", conflicts_with = "program")]
    test: Option<String>,
    /// Copy a file or folder of this machine into the guest.
    #[arg(long, value_name = "HOST=GUEST")]
    share: Vec<Mapping>,
    /// End the guest after so many seconds, with status 124.
    #[arg(long, value_name = "S")]
    timeout: Option<u64>,
    /// Wait for GDB before the first instruction, at this port or a free one; says how to start it.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true)]
    gdb: Option<Option<u16>>,
    /// Build Orlop with overflow checks and debug assertions.
    #[arg(long)]
    debug: bool,
    /// The program to run instead of a shell, with its arguments.
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    words: Vec<String>,
}

/// Which kernel to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// This repository's.
    Orlop,
    /// Debian's.
    Linux,
    /// Any other that QEMU can load.
    File(PathBuf),
}

impl std::str::FromStr for Kernel {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "orlop" => Self::Orlop,
            "linux" => Self::Linux,
            path => Self::File(path.into()),
        })
    }
}

impl Kernel {
    /// The file for QEMU's `-kernel`, built or fetched if need be.
    pub fn file(&self, toolchain: &Toolchain, arch: Arch, checks: Checks) -> Result<PathBuf> {
        match self {
            Kernel::Orlop => build::kernel(toolchain, arch, checks),
            Kernel::Linux => linux::kernel(arch),
            Kernel::File(path) if path.exists() => Ok(path.clone()),
            Kernel::File(path) => {
                bail!("--kernel takes orlop, linux or a file, and there is no {}", path.display())
            }
        }
    }

    /// `machine`, with the devices that this kernel needs where it does not name a machine: Linux's are a PC's.
    pub fn machine(&self, machine: &MachineOptions) -> MachineOptions {
        let mut machine = machine.clone();
        if *self != Kernel::Orlop && machine.arch == Arch::X86_64 {
            machine.machine.get_or_insert(Machine::Q35);
        }
        machine
    }
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let machine = options.kernel.machine(&options.machine);
    // What is wrong with the options shall be said before anything is built.
    machine.qemu_machine()?;
    machine::ensure_qemu(machine.arch)?;
    if let Some(name) = &options.test {
        let names = build::conformance_names()?;
        let is_there = names.contains(name);
        ensure!(is_there, "no conformance program is called {name:?}{}", near::advice(name, &names));
    }
    let source = Source::of_this_process();
    let job = options.job(source)?;
    let debugger = options.gdb.map(|_| gdb::program(machine.arch)).transpose()?;
    let toolchain = Toolchain::find()?;
    let checks = if options.debug { Checks::Debug } else { Checks::Release };
    let kernel = options.kernel.file(&toolchain, machine.arch, checks)?;
    let folder = tempfile::tempdir()?;
    let is_debugged = debugger.is_some();
    let test = options.test.as_deref();
    let test =
        test.map(|name| build::conformance(&toolchain, machine.arch, name, is_debugged)).transpose()?;
    let mut segments = options.segments(&toolchain, job.as_ref())?;
    if let Some(test) = &test {
        host_files::insert(&mut segments.extra, test, CONFORMANCE)?;
    }
    let initramfs = segments.write(folder.path())?;
    let machine = memory::fit(&machine, segments.base(), segments.extra.content_length())?;
    let command_line = options.command_line(&machine, job.as_ref());
    let port = options.gdb.map(|port| port.map_or_else(gdb::free_port, Ok)).transpose()?;
    let boot = Boot {
        machine: &machine,
        kernel: &kernel,
        initramfs: &initramfs,
        command_line: &command_line,
        console: if source == Source::Terminal { Console::Terminal } else { Console::Pipe },
        debugger: port,
        control: None,
        tells_why: false,
    };
    if let (Some(port), Some(debugger)) = (port, debugger) {
        let program = options.program.as_deref().or(test.as_deref());
        let target = gdb::Target { arch: machine.arch, port, kernel: &kernel, program };
        eprintln!("debugger: {debugger} -x {}", target.write_script(folder.path())?.display());
    }
    let timeout = options.timeout.map(Duration::from_secs);
    Conversation { kernel: &kernel, job: job.as_ref(), source, timeout }.hold(&boot.command()?)
}

impl Options {
    /// What `init` shall do; none if somebody else's `init` is in charge.
    fn job(&self, source: Source) -> Result<Option<Job>> {
        let mut program = self.words.clone();
        if let Some(path) = &self.program {
            program.insert(0, guest_path(path)?);
        }
        if let Some(name) = &self.test {
            program.insert(0, format!("{CONFORMANCE}{name}"));
        }
        let foreign_init = self.initramfs.is_some() || self.append.iter().any(|words| chooses_init(words));
        if program.is_empty() && foreign_init {
            return Ok(None);
        }
        let terminal = if source == Source::Terminal { Terminal::Interactive } else { Terminal::Plain };
        let input = if source == Source::Nothing { Input::Null } else { Input::Console };
        let programs = if program.is_empty() { Vec::new() } else { vec![program] };
        Job::new(terminal, input, programs).map(Some)
    }

    /// The initramfs and what this run adds to it.
    fn segments(&self, toolchain: &Toolchain, job: Option<&Job>) -> Result<Segments> {
        let mut segments = match &self.initramfs {
            Some(file) => Segments::new(file.clone()),
            None => Segments::new(build::initramfs(toolchain, self.machine.arch)?),
        };
        if let Some(path) = &self.program {
            programs::insert(&mut segments.extra, self.machine.arch, path, &guest_path(path)?)?;
        }
        for mapping in &self.share {
            host_files::insert(&mut segments.extra, &mapping.host, &mapping.guest)?;
        }
        if let Some(job) = job {
            job.insert(&mut segments.extra)?;
            if self.initramfs.is_some() {
                let programs = build::programs(toolchain, self.machine.arch)?;
                let init = programs.iter().find(|path| path.ends_with("init")).context("there is no init")?;
                host_files::insert(&mut segments.extra, init, job::INIT)?;
            }
        }
        Ok(segments)
    }

    fn command_line(&self, machine: &MachineOptions, job: Option<&Job>) -> String {
        let mut words = vec![machine.console_word(), "panic=-1"];
        if job.is_some_and(|job| !job.programs.is_empty()) {
            words.push("quiet");
        }
        let own_init = format!("rdinit={}", job::INIT);
        if job.is_some() && self.initramfs.is_some() {
            words.push(&own_init);
        }
        words.extend(self.append.iter().map(String::as_str));
        words.join(" ")
    }
}

/// Where conformance programs lie in the guest.
const CONFORMANCE: &str = "/conformance/";

/// Where `--program` puts a program of this machine.
fn guest_path(host: &Path) -> Result<String> {
    let name = host.file_name().with_context(|| format!("{} has no name", host.display()))?;
    Ok(format!("/bin/{}", name.to_str().context("the program's name is not UTF-8")?))
}

fn chooses_init(words: &str) -> bool {
    words.split_whitespace().any(|word| word.starts_with("rdinit=") || word.starts_with("init="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(words: &[&str]) -> Options {
        Line::parse_from(std::iter::once("run").chain(words.iter().copied())).options
    }

    #[test]
    fn arguments_after_the_dashes_are_the_programs_own() {
        let options = parse(&["--program", "/x/a.out", "--", "--arch", "-l"]);
        let job = options.job(Source::Stream).unwrap().unwrap();
        assert_eq!(job.programs, [["/bin/a.out", "--arch", "-l"]]);
        assert_eq!(options.machine.arch, Arch::X86_64);
    }

    #[test]
    fn a_foreign_init_gets_no_job_unless_there_is_a_program() {
        assert!(parse(&[]).job(Source::Stream).unwrap().is_some());
        assert!(parse(&["--initramfs", "f"]).job(Source::Stream).unwrap().is_none());
        assert!(parse(&["--append", "x rdinit=/bin/sh"]).job(Source::Stream).unwrap().is_none());
        let options = parse(&["--initramfs", "f", "--", "/bin/true"]);
        let job = options.job(Source::Stream).unwrap();
        let words = options.command_line(&options.machine, job.as_ref());
        assert_eq!(words, "console=ttyS0 panic=-1 quiet rdinit=/.orlop/init");
    }

    #[test]
    fn linux_gets_a_machine_it_knows() {
        let machine = |options: &Options| options.kernel.machine(&options.machine).machine;
        assert_eq!(machine(&parse(&["--kernel", "linux"])), Some(Machine::Q35));
        assert_eq!(machine(&parse(&[])), None);
    }
}
