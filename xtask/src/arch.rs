//! The two architectures and the names the outside world gives them.

use clap::ValueEnum;

/// An architecture that Orlop runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Arch {
    /// 64-bit x86 (Intel 64, AMD64).
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit Arm (Armv8-A and later).
    #[value(name = "aarch64")]
    Aarch64,
}

impl Arch {
    /// Both, in the order in which tests run.
    pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// The one that this machine's own programs are built for; x86_64 where Orlop does not run natively.
    pub fn host() -> Arch {
        Arch::ALL.into_iter().find(|arch| arch.name() == std::env::consts::ARCH).unwrap_or(Arch::X86_64)
    }

    /// Linux's and Rust's name; also the folder below `out/`.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// The Rust target of the kernel: no FPU registers in kernel code.
    pub fn kernel_target(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-unknown-none",
            Arch::Aarch64 => "aarch64-unknown-none-softfloat",
        }
    }

    /// The Rust target of userspace programs: static position-independent executables on `x86_64`.
    pub fn program_target(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-unknown-none",
            Arch::Aarch64 => "aarch64-unknown-none",
        }
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
