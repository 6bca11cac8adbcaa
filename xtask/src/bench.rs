//! `cargo xtask bench`: what operations cost, in instructions, on Orlop and on Linux in the same QEMU.
//!
//! QEMU counts: one guest nanosecond is one guest instruction. The program `userspace/bench` is the guest's `init`; it
//! measures, prints a line for each operation and powers off.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::arch::Arch;
use crate::build::{self, Checks};
use crate::initramfs::{self, host_files};
use crate::run::Kernel;
use crate::run::machine::{Accelerator, Boot, Console, Machine, MachineOptions};
use crate::run::session::{Next, Session};
use crate::toolchain::Toolchain;
use crate::workspace;

mod figures;
mod table;

use figures::Figures;

/// What SeaBIOS of QEMU 7.2 takes on `q35` until it enters a PVH kernel, measured with one that only reads the counter.
/// QEMU's Arm machine starts the kernel at once.
const Q35_FIRMWARE: u64 = 15_800_000;

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    /// The architecture to measure.
    #[arg(long, value_enum, default_value_t = Arch::host())]
    arch: Arch,
    /// Only operations whose names contain all of these words.
    #[arg(long)]
    filter: Option<String>,
    /// Operations beside many of their kind, instead of the everyday ones.
    #[arg(long)]
    long: bool,
    /// The kernel that is compared with Linux: orlop, or another image of it.
    #[arg(long, default_value = "orlop", value_name = "orlop|FILE")]
    kernel: Kernel,
    /// What both kernels do against speculation: their boot word.
    #[arg(long, default_value = "off", value_name = "off|auto")]
    mitigations: String,
    /// Another CPU model of QEMU's than the one that is compared over time.
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
}

/// Where the program lies in the guest.
pub const PROGRAM: &str = "/bin/bench";

/// Linux at its best.
pub const LINUX_WORDS: &str = "init_on_alloc=0";

/// A guest that counts instructions runs on one CPU of the host and is slow.
const PATIENCE: Duration = Duration::from_secs(900);

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let toolchain = Toolchain::find()?;
    let arch = options.arch;
    let initramfs = image(&toolchain, arch)?;
    let table = if options.long { "--long " } else { "" };
    let words = format!("{table}{}", options.filter.as_deref().unwrap_or_default());
    let mut machine = machine(arch);
    if let Some(cpu) = &options.cpu {
        machine.cpu.clone_from(cpu);
    }
    let bench = Bench { machine, initramfs, mitigations: options.mitigations.clone(), words };
    let kernels = [options.kernel.clone(), Kernel::Linux].map(|kernel| {
        let file = kernel.file(&toolchain, arch, Checks::Release);
        file.map(|file| (kernel, file))
    });
    let [orlop, linux] = kernels;
    let ((orlop, orlop_file), (linux, linux_file)) = (orlop?, linux?);
    let (orlop_figures, linux_figures) = std::thread::scope(|scope| {
        let linux = scope.spawn(|| bench.measure(&linux, linux_file));
        let orlop = bench.measure(&orlop, orlop_file.clone());
        (orlop, linux.join())
    });
    let linux_figures = linux_figures.ok().context("the measurement of Linux has failed")??;
    print!("{}", table::format(&orlop_figures?, &linux_figures));
    println!("kernel image: {} KiB", orlop_file.metadata()?.len().div_ceil(1024));
    Ok(ExitCode::SUCCESS)
}

/// The everyday initramfs with the program in it.
pub fn image(toolchain: &Toolchain, arch: Arch) -> Result<PathBuf> {
    let programs = build::package(toolchain, arch, "bench")?;
    let program =
        programs.iter().find(|program| program.ends_with("bench")).context("package bench has no bench")?;
    let mut archive = initramfs::default_image(&build::programs(toolchain, arch)?)?;
    host_files::insert(&mut archive, program, PROGRAM)?;
    let path = workspace::out(arch)?.join("bench.cpio");
    initramfs::write(&path, &archive.to_bytes()?)?;
    Ok(path)
}

struct Bench {
    machine: MachineOptions,
    initramfs: PathBuf,
    mitigations: String,
    /// The program's arguments.
    words: String,
}

impl Bench {
    /// Boots `kernel` and collects what the program prints.
    fn measure(&self, kernel: &Kernel, file: PathBuf) -> Result<Figures> {
        let machine = &self.machine;
        let linux_words = if *kernel == Kernel::Linux { LINUX_WORDS } else { "" };
        let console = machine.console_word();
        let command_line = format!(
            "{console} quiet panic=-1 mitigations={} {linux_words} rdinit={PROGRAM} -- {}",
            self.mitigations, self.words
        );
        let boot = Boot {
            machine,
            kernel: &file,
            initramfs: &self.initramfs,
            command_line: &command_line,
            console: Console::Pipe,
            debugger: None,
            control: None,
            tells_why: false,
        };
        let mut session = Session::start(&boot.command()?, Stdio::piped())?;
        let deadline = Instant::now() + PATIENCE;
        let mut output = Vec::new();
        while let Next::Bytes(bytes) = session.next(Some(deadline)) {
            output.extend(bytes);
        }
        session.wait(Duration::from_secs(1))?;
        let output = String::from_utf8_lossy(&output);
        match Figures::parse(&output) {
            Some(mut figures) => {
                figures.boot = figures.boot.saturating_sub(self.firmware());
                Ok(figures)
            }
            None => bail!("the measurement on {kernel:?} did not come to its end:\n{output}"),
        }
    }

    /// Instructions between reset and the kernel's first.
    fn firmware(&self) -> u64 {
        match self.machine.arch {
            Arch::X86_64 => Q35_FIRMWARE,
            Arch::Aarch64 => 0,
        }
    }
}

/// The machine that counts: its CPU is the same for both kernels.
pub fn machine(arch: Arch) -> MachineOptions {
    let (machine, cpu) = match arch {
        // Each iteration of a repeated string instruction counts; without these features Linux moves words.
        Arch::X86_64 => (Machine::Q35, "max,-erms,-fsrm"),
        Arch::Aarch64 => (Machine::Virt, "cortex-a72"),
    };
    MachineOptions {
        machine_options: None,
        arch,
        machine: Some(machine),
        cpu: cpu.to_owned(),
        smp: 1,
        memory: None,
        accel: Accelerator::Tcg,
        icount: true,
    }
}
