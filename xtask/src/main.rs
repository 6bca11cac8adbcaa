//! Builds, runs, tests and measures Orlop: the program behind `cargo xtask`.
//!
//! One module per command (`build`, `initramfs`, `run`, …), each with a clap argument struct and an entry function.
//! Below them: `toolchain` finds a compiler for the bare-metal targets, `workspace` knows the paths.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod arch;
mod bench;
mod build;
mod busybox;
mod command;
mod debian;
mod initramfs;
mod linux;
mod near;
mod run;
mod sharing;
mod stress;
mod test;
mod tidy;
mod toolchain;
mod workspace;

/// Build, run, test and measure Orlop.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

/// What to do.
#[derive(Subcommand)]
enum Task {
    /// Build kernel, programs and initramfs into out/<arch>/.
    Build(build::Options),
    /// Write an initramfs with files of your own.
    Initramfs(initramfs::Options),
    /// Boot to a shell, or run one program and exit with its status.
    Run(Box<run::Options>),
    /// Run every test, or those whose names contain a word.
    Test(test::Options),
    /// Check the rules of the house.
    Tidy(tidy::Options),
    /// Compare what operations cost on Orlop and on Linux.
    Bench(bench::Options),
    /// Count what operations by all CPUs at once share: stores to the same cache lines, locks found taken.
    Sharing(sharing::Options),
    /// Boot many times.
    Stress(stress::Options),
    #[command(hide = true)]
    ExecWithParent {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<std::ffi::OsString>,
    },
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().task {
        Task::Build(options) => build::run(&options),
        Task::Initramfs(options) => initramfs::run(&options),
        Task::Run(options) => run::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Tidy(options) => tidy::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Sharing(options) => sharing::run(&options),
        Task::Stress(options) => stress::run(&options),
        Task::ExecWithParent { words } => run::session::exec_with_parent(&words),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
