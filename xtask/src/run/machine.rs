//! The virtual machine: from options to QEMU's command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::{bochs, nested, session};
use crate::arch::Arch;
use crate::toolchain;

/// Options that describe the machine.
#[derive(Args, Clone)]
pub struct MachineOptions {
    /// The architecture to run.
    #[arg(long, value_enum, default_value_t = Arch::host())]
    pub arch: Arch,
    /// QEMU's machine; microvm starts fastest, and is the default for Orlop on x86_64.
    #[arg(long, value_enum)]
    pub machine: Option<Machine>,
    /// Properties for QEMU's machine: gic-version=3,virtualization=on, …
    #[arg(long, value_name = "NAME=VALUE,…")]
    pub machine_options: Option<String>,
    /// QEMU's CPU model, with features if wanted: qemu64, max,-erms, cortex-a72, …
    #[arg(long, default_value = "max")]
    pub cpu: String,
    /// Number of CPUs.
    #[arg(long, value_name = "N", default_value = "1")]
    pub smp: u32,
    /// Memory in MiB: 512, or more if the initramfs needs it.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u32>,
    /// What executes the guest's instructions; auto takes KVM where the CPU can.
    #[arg(long, value_enum, default_value = "auto")]
    pub accel: Accelerator,
    /// Count instructions: one guest nanosecond is one guest instruction.
    #[arg(long)]
    pub icount: bool,
}

/// QEMU's machines that Orlop runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// A PC of 2009: PCI Express, ACPI.
    Q35,
    /// A PC without PCI and, nearly, without firmware.
    Microvm,
    /// A PC of 1996.
    Pc,
    /// QEMU's own Arm machine.
    Virt,
}

impl Machine {
    /// QEMU's name of the machine.
    fn name(self) -> &'static str {
        match self {
            Machine::Q35 => "q35",
            Machine::Microvm => "microvm",
            Machine::Pc => "pc",
            Machine::Virt => "virt",
        }
    }
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accelerator {
    /// KVM if it can run this guest, else TCG.
    Auto,
    /// QEMU's translator.
    Tcg,
    /// The host's CPU.
    Kvm,
    /// KVM of a Linux that runs under the translator, see [`super::nested`].
    Nested,
    /// Bochs, another emulator, see [`super::bochs`].
    Bochs,
}

/// How the guest's console reaches this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Through pipes; nothing but the guest's bytes.
    Pipe,
    /// QEMU reads this terminal itself; Ctrl-A x ends it.
    Terminal,
}

/// Everything that one boot needs.
pub struct Boot<'a> {
    /// The machine.
    pub machine: &'a MachineOptions,
    /// What `-kernel` takes.
    pub kernel: &'a Path,
    /// What `-initrd` takes.
    pub initramfs: &'a Path,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// Where the console goes.
    pub console: Console,
    /// Wait for a debugger at this port.
    pub debugger: Option<u16>,
    /// The socket for [`super::control::Control`], which Bochs has not.
    pub control: Option<&'a Path>,
    /// Let QEMU say why its machine ends, see [`session::TELL_WHY`].
    pub tells_why: bool,
}

impl Boot<'_> {
    /// QEMU's command line.
    pub fn command(&self) -> Result<Command> {
        if self.machine.accel == Accelerator::Nested {
            return self.nested();
        }
        if self.machine.accel == Accelerator::Bochs {
            return bochs::command(self.machine, self.kernel, self.initramfs, self.command_line);
        }
        let mut qemu = self.empty_machine()?;
        self.load(&mut qemu);
        Ok(qemu)
    }

    /// The command line of a machine in which QEMU runs this one by KVM.
    fn nested(&self) -> Result<Command> {
        let mut machine = self.machine.clone();
        machine.accel = Accelerator::Kvm;
        if machine.cpu == "max" {
            machine.cpu = "host".to_owned();
        }
        if machine.arch == Arch::Aarch64 {
            // The outer machine's interrupt controller has no place for a GICv2.
            let properties = machine.machine_options.get_or_insert_default();
            if !properties.contains("gic-version") {
                let comma = if properties.is_empty() { "" } else { "," };
                properties.push_str(&format!("{comma}gic-version=3"));
            }
        }
        let (kernel, initramfs) = (Path::new(nested::KERNEL), Path::new(nested::INITRAMFS));
        let (console, control) = (Console::Pipe, None);
        let mut inner = Boot { machine: &machine, kernel, initramfs, console, control, ..*self }.command()?;
        inner.args(nested::control(machine.arch));
        nested::command(self.machine, &inner, self.kernel, self.initramfs, self.control)
    }

    /// QEMU's command line without anything to run.
    pub fn empty_machine(&self) -> Result<Command> {
        let mut qemu = Command::new(ensure_qemu(self.machine.arch)?);
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot"]);
        qemu.args(["-M", &self.machine.qemu_machine()?, "-cpu", &self.machine.qemu_cpu()]);
        qemu.args(["-smp", &self.machine.smp.to_string(), "-m", &self.machine.memory().to_string()]);
        qemu.args(self.machine.accelerator_arguments());
        qemu.args(match self.console {
            Console::Pipe => ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
            Console::Terminal => {
                ["-chardev", "stdio,id=console,signal=off,mux=on", "-serial", "chardev:console"]
            }
        });
        if self.console == Console::Terminal {
            qemu.args(["-mon", "chardev=console"]);
        }
        match self.machine.arch {
            Arch::X86_64 => qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]),
            // KVM leaves the instruction to the guest.
            Arch::Aarch64 if self.machine.accel == Accelerator::Kvm => &mut qemu,
            Arch::Aarch64 => qemu.args(["-semihosting-config", "enable=on,target=native"]),
        };
        if let Some(port) = self.debugger {
            qemu.args(["-S", "-gdb", &format!("tcp:127.0.0.1:{port}")]);
        }
        if let Some(path) = self.control {
            qemu.arg("-qmp").arg(control_socket(path));
        }
        if self.tells_why {
            qemu.args(session::TELL_WHY);
        }
        Ok(qemu)
    }

    /// Lets QEMU load the kernel, as the machine's boot protocol says.
    fn load(&self, qemu: &mut Command) {
        qemu.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.initramfs);
        qemu.args(["-append", self.command_line]);
    }
}

/// QEMU's words for a socket that somebody may connect to.
fn control_socket(path: &Path) -> String {
    format!("unix:{},server=on,wait=off", path.display())
}

/// QEMU's program for `arch`, installed if need be and allowed.
pub fn ensure_qemu(arch: Arch) -> Result<&'static str> {
    let (program, package) = match arch {
        Arch::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
        Arch::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
    };
    toolchain::ensure_program(program, package)?;
    Ok(program)
}

impl MachineOptions {
    /// Memory in MiB.
    pub fn memory(&self) -> u32 {
        self.memory.unwrap_or(512)
    }

    /// The machine named on the command line, or the usual one, with its properties.
    pub fn qemu_machine(&self) -> Result<String> {
        let machine = self.machine.unwrap_or(match self.arch {
            Arch::X86_64 => Machine::Microvm,
            Arch::Aarch64 => Machine::Virt,
        });
        if (machine == Machine::Virt) != (self.arch == Arch::Aarch64) {
            bail!("--machine {} does not go with --arch {}", machine.name(), self.arch);
        }
        let options = self.machine_options.as_deref().unwrap_or_default();
        // QEMU's own choice is a GICv2, which has room for eight CPUs.
        let interrupts = match machine {
            Machine::Virt if self.smp > 8 && !options.contains("gic-version") => "gic-version=3",
            _ => "",
        };
        let words = [machine.name(), options, interrupts];
        Ok(words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(","))
    }

    /// The word that makes the guest use its first serial port.
    pub fn console_word(&self) -> &'static str {
        match self.arch {
            Arch::X86_64 => "console=ttyS0",
            Arch::Aarch64 => "console=ttyAMA0",
        }
    }

    /// Pointer authentication in software takes most of an AArch64 guest's time unless QEMU may use its own cipher.
    fn qemu_cpu(&self) -> String {
        match (self.arch, self.cpu.as_str()) {
            (Arch::Aarch64, "max") => "max,pauth-impdef=on".to_owned(),
            _ => self.cpu.clone(),
        }
    }

    fn accelerator_arguments(&self) -> &'static [&'static str] {
        if self.icount {
            return &["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-rtc", "clock=vm"];
        }
        match self.accel {
            Accelerator::Kvm | Accelerator::Nested => &["-accel", "kvm"],
            // QEMU takes the first that works.
            Accelerator::Auto if kvm_can_run(self.arch) => &["-accel", "kvm", "-accel", "tcg"],
            _ => &["-accel", "tcg"],
        }
    }
}

/// Whether KVM can run a guest of `arch`. On x86_64 `/dev/kvm` can exist and open where no guest runs, so the CPU is
/// asked too; on AArch64 Linux has no `/dev/kvm` unless it was started at EL2.
fn kvm_can_run(arch: Arch) -> bool {
    let device = PathBuf::from("/dev/kvm");
    let opens = || std::fs::OpenOptions::new().read(true).write(true).open(&device).is_ok();
    let features = || std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    arch.name() == std::env::consts::ARCH
        && (arch == Arch::Aarch64 || has_virtualisation(&features()))
        && opens()
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arch: Arch, machine: Option<Machine>) -> MachineOptions {
        let cpu = "max".to_owned();
        let (machine_options, accel) = (None, Accelerator::Tcg);
        MachineOptions { arch, machine, machine_options, cpu, smp: 1, memory: Some(64), accel, icount: false }
    }

    #[test]
    fn machines_go_with_their_architecture() {
        assert_eq!(options(Arch::X86_64, None).qemu_machine().unwrap(), "microvm");
        assert_eq!(options(Arch::Aarch64, None).qemu_machine().unwrap(), "virt");
        assert!(options(Arch::Aarch64, Some(Machine::Pc)).qemu_machine().is_err());
        assert!(options(Arch::X86_64, Some(Machine::Virt)).qemu_machine().is_err());
    }

    #[test]
    fn many_cpus_get_an_interrupt_controller_with_room() {
        let mut options = options(Arch::Aarch64, None);
        options.smp = 9;
        assert_eq!(options.qemu_machine().unwrap(), "virt,gic-version=3");
        options.machine_options = Some("gic-version=max,secure=on".to_owned());
        assert_eq!(options.qemu_machine().unwrap(), "virt,gic-version=max,secure=on");
    }

    #[test]
    fn virtualisation_is_a_whole_word_of_the_flags_line() {
        assert!(has_virtualisation("processor: 0\nflags\t\t: fpu vmx sse\n"));
        assert!(!has_virtualisation("flags : fpu novmx\nmodel name : vmx\n"));
    }
}
