//! Pipelines, background commands and job control.
//!
//! On a terminal, each pipeline is a process group of its own, and the one that is waited for is the terminal's
//! foreground: Ctrl-C and Ctrl-Z reach it and not the shell. Elsewhere, all run in the shell's group.

use crate::execute::{Leave, Outcome};
use crate::options::Choice;
use crate::state::{Future, Shell};
use abi::fs::O_CLOEXEC;
use abi::process::{WNOHANG, WUNTRACED, WaitStatus};
use abi::signal::{SIGCONT, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};
use abi::terminal::Termios;
use alloc::string::String;
use alloc::vec::Vec;
use programs::shell::syntax::{Command as Tree, Kind, Part, Pipeline};
use ulib::libsyscall::file::{self, RawFd};
use ulib::libsyscall::process as calls;
use ulib::process::{Child, Command};
use ulib::signal::{Disposition, notice, set_disposition};
use ulib::{Errno, eprintln, io};

/// Signals that an interactive shell does not die of, and its programs do.
pub const JOB_SIGNALS: [u32; 6] = [SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU];

/// The terminal that a shell controls jobs on.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// A descriptor of it.
    pub fd: RawFd,
    /// The shell's own group.
    pub group: i32,
    /// The terminal's modes when the last command began.
    pub modes: Termios,
}

/// A pipeline that runs beside the shell, or is stopped.
#[derive(Debug)]
pub struct Job {
    /// What `%n` calls it.
    pub number: usize,
    /// Its process group; the first process where there is no job control.
    pub group: i32,
    /// Its processes and what became of them.
    pub processes: Vec<(i32, Option<WaitStatus>)>,
    /// What it runs, for the reader.
    pub text: String,
}

impl Job {
    /// Its status, once all its processes have ended.
    pub fn ended(&self) -> Option<WaitStatus> {
        let end = |status: &Option<WaitStatus>| status.filter(|status| status.stop_signal().is_none());
        self.processes
            .iter()
            .all(|(_, status)| end(status).is_some())
            .then(|| self.processes.last()?.1)
            .flatten()
    }

    /// The status of the last of its processes that failed, 0 if none did.
    fn failure(&self) -> u8 {
        let statuses = self.processes.iter().filter_map(|(_, status)| status.map(WaitStatus::shell_status));
        statuses.rev().find(|status| *status != 0).unwrap_or(0)
    }

    /// Whether one of its processes is stopped.
    pub fn is_stopped(&self) -> bool {
        self.processes.iter().any(|(_, status)| status.is_some_and(|status| status.stop_signal().is_some()))
    }
}

impl Shell {
    /// Takes job control of the terminal at standard input, where that is possible.
    pub fn take_terminal(&mut self) {
        let own = calls::getpid();
        for signal in JOB_SIGNALS {
            let _ = if signal == SIGINT {
                notice(signal).map(drop)
            } else {
                set_disposition(signal, Disposition::Ignore).map(drop)
            };
        }
        // A session leader cannot change its group, and has one of its own already.
        let _ = calls::setpgid(0, own);
        let group = calls::getpgid(0).unwrap_or(own);
        if let Ok(modes) = file::terminal_modes(io::STDIN)
            && file::set_foreground_group(io::STDIN, group).is_ok()
        {
            self.terminal = Some(Terminal { fd: io::STDIN, group, modes });
        }
    }

    /// Gives a copy of the shell the signals and the modesty of a program.
    pub fn become_subshell(&mut self) {
        if self.terminal.take().is_some() {
            for signal in JOB_SIGNALS {
                let _ = set_disposition(signal, Disposition::Default);
            }
        }
        self.forget_traps();
        self.jobs.clear();
        self.future = Future::GoesOn;
    }

    /// A program with the signals it expects.
    pub fn leave_terminal(&self, command: Command) -> Command {
        let signals = JOB_SIGNALS.iter().fold(0, |set, signal| set | 1 << (signal - 1));
        if self.terminal.is_some() { command.default_signals(signals) } else { command }
    }

    /// A program in the terminal's foreground, in a group of its own.
    pub fn place(&self, command: Command) -> Command {
        // What is buffered comes before what the program prints. An error stays in the buffer.
        let _ = io::stdout().finish();
        match self.terminal {
            Some(terminal) => self.leave_terminal(command).group(0).foreground_of(terminal.fd),
            None => command,
        }
    }

    /// Runs the commands of a pipeline at once and waits for them.
    pub fn run_together(&mut self, commands: &[Tree]) -> Outcome {
        match self.start_pipeline(commands, Place::Foreground) {
            Ok(job) => self.wait_for_job(job),
            Err(error) => {
                self.reclaim_terminal();
                Ok(self.fail(126, format_args!("pipeline: {}", error.message())))
            }
        }
    }

    /// Starts a pipeline that is not waited for.
    pub fn start_background(&mut self, pipeline: &Pipeline) -> Outcome {
        match self.start_pipeline(&pipeline.commands, Place::Background) {
            Ok(job) => {
                self.last_background = job.processes.last().map(|(pid, _)| *pid);
                if self.terminal.is_some() {
                    eprintln!("[{}] {}", job.number, job.group);
                }
                self.jobs.push(job);
                Ok(0)
            }
            Err(error) => Ok(self.fail(126, format_args!("{}", error.message()))),
        }
    }

    fn start_pipeline(&mut self, commands: &[Tree], place: Place) -> Result<Job, Errno> {
        let number = self.jobs.iter().map(|job| job.number).max().unwrap_or(0) + 1;
        let mut job = Job { number, group: 0, processes: Vec::new(), text: describe(commands) };
        let mut input = None;
        for (index, command) in commands.iter().enumerate() {
            let pipe = if index + 1 < commands.len() { Some(file::pipe2(O_CLOEXEC)?) } else { None };
            let ends = Ends { input, output: pipe, place };
            let child = self.start_member(command, &ends, job.group);
            for fd in [input, pipe.map(|pipe| pipe.1)].into_iter().flatten() {
                file::close(fd)?;
            }
            let pid = child?.id();
            if job.group == 0 {
                job.group = pid;
            }
            if self.terminal.is_some() {
                // The child does the same; whoever is first wins.
                let _ = calls::setpgid(pid, job.group);
            }
            job.processes.push((pid, None));
            input = pipe.map(|pipe| pipe.0);
        }
        Ok(job)
    }

    /// Starts one command of a pipeline in a copy of the shell.
    fn start_member(&mut self, command: &Tree, ends: &Ends, group: i32) -> Result<Child, Errno> {
        let terminal = self.terminal;
        self.fork_off(|shell| {
            if let Some(terminal) = terminal {
                let _ = calls::setpgid(0, group);
                if ends.place == Place::Foreground && group == 0 {
                    let _ = set_disposition(SIGTTOU, Disposition::Ignore);
                    let _ = file::set_foreground_group(terminal.fd, calls::getpid());
                    let _ = set_disposition(SIGTTOU, Disposition::Default);
                }
            }
            if let Err(error) = ends.connect(terminal.is_some()) {
                return Ok(shell.fail(126, format_args!("pipe: {}", error.message())));
            }
            if matches!(command.kind, Kind::Simple { .. }) {
                shell.future = Future::Ends;
            }
            shell.run_command(command)
        })
    }

    /// Waits for one child that is in the foreground.
    pub fn wait_in_foreground(&mut self, child: Result<Child, Errno>, text: String) -> Outcome {
        let pid = match child {
            Ok(child) => child.id(),
            Err(error) => return Ok(self.fail(126, format_args!("fork: {}", error.message()))),
        };
        let number = self.jobs.iter().map(|job| job.number).max().unwrap_or(0) + 1;
        self.wait_for_job(Job { number, group: pid, processes: Vec::from([(pid, None)]), text })
    }

    /// Waits for a job that runs beside the shell, until a signal comes that has a command: then the job goes on beside
    /// it, and the status tells of the signal.
    pub fn wait_unless_trapped(&mut self, mut job: Job) -> Outcome {
        for (pid, status) in &mut job.processes {
            while status.is_none() {
                if let Some(signal) = self.due_trap() {
                    self.jobs.push(job);
                    return Ok(128 + signal as u8);
                }
                match calls::wait4(*pid, WUNTRACED) {
                    Ok(Some((_, end))) => *status = Some(end),
                    Ok(None) | Err(Errno::EINTR) => {}
                    Err(_) => *status = Some(WaitStatus::exited(127)),
                }
            }
        }
        self.wait_for_job(job)
    }

    /// Waits until a job ends or stops, and takes the terminal back.
    pub fn wait_for_job(&mut self, mut job: Job) -> Outcome {
        for (pid, status) in &mut job.processes {
            while status.is_none() {
                match calls::wait4(*pid, WUNTRACED) {
                    Ok(Some((_, end))) => *status = Some(end),
                    Ok(None) | Err(Errno::EINTR) => {}
                    Err(_) => *status = Some(WaitStatus::exited(127)),
                }
            }
        }
        if let Some(terminal) = self.terminal {
            let _ = file::set_foreground_group(terminal.fd, terminal.group);
            if job.is_stopped() || job.ended().is_some_and(|end| end.term_signal().is_some()) {
                terminal.restore_modes();
            }
        }
        if job.is_stopped() {
            eprintln!("\n[{}] stopped: {}", job.number, job.text);
            self.jobs.push(job);
            return Ok(128 + SIGTSTP as u8);
        }
        let Some(end) = job.ended() else { return Ok(self.status) };
        self.report_death(end);
        if end.term_signal() == Some(SIGINT) && self.terminal.is_some() {
            return Err(Leave::Interrupt);
        }
        Ok(if self.options.has(Choice::PipeFail) { job.failure() } else { end.shell_status() })
    }

    /// Says on a terminal what a foreground program died of.
    fn report_death(&self, end: WaitStatus) {
        let Some(signal) = end.term_signal() else { return };
        if self.terminal.is_some() {
            match signal {
                SIGINT => eprintln!(),
                abi::signal::SIGPIPE => {}
                abi::signal::SIGSEGV => eprintln!("Segmentation fault"),
                abi::signal::SIGKILL => eprintln!("Killed"),
                abi::signal::SIGABRT => eprintln!("Aborted"),
                signal => eprintln!("Ended by signal {signal}"),
            }
        }
    }

    /// Looks, without waiting, what became of the jobs.
    pub fn poll_jobs(&mut self) {
        for (pid, status) in self.jobs.iter_mut().flat_map(|job| &mut job.processes) {
            match calls::wait4(*pid, WNOHANG | WUNTRACED) {
                Ok(Some((_, change))) => *status = Some(change),
                Ok(None) => {}
                Err(_) => drop(status.get_or_insert(WaitStatus::exited(127))),
            }
        }
    }

    /// Says which jobs have ended, and forgets them.
    pub fn report_jobs(&mut self) {
        self.poll_jobs();
        self.jobs.retain(|job| match job.ended() {
            Some(end) => {
                eprintln!("[{}] done ({}): {}", job.number, end.shell_status(), job.text);
                false
            }
            None => true,
        });
    }

    /// Lets a stopped job go on; `place` says where. `None` if there is no such job.
    pub fn resume(&mut self, number: Option<usize>, place: Place) -> Option<Outcome> {
        let index = match number {
            Some(number) => self.jobs.iter().position(|job| job.number == number)?,
            None => self.jobs.len().checked_sub(1)?,
        };
        let mut job = self.jobs.remove(index);
        for (_, status) in &mut job.processes {
            *status = status.filter(|status| status.stop_signal().is_none());
        }
        eprintln!("{}", job.text);
        if let (Place::Foreground, Some(terminal)) = (place, self.terminal) {
            let _ = file::set_foreground_group(terminal.fd, job.group);
        }
        let _ = calls::kill(-job.group, SIGCONT);
        Some(match place {
            Place::Foreground => self.wait_for_job(job),
            Place::Background => {
                self.jobs.push(job);
                Ok(0)
            }
        })
    }
}

/// Whether a pipeline gets the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It does.
    Foreground,
    /// It does not.
    Background,
}

/// What a command of a pipeline is connected to.
struct Ends {
    input: Option<RawFd>,
    /// Both ends of the pipe to the next command: this one must not keep the end that the next one reads from, or it
    /// would never learn that nobody reads any more.
    output: Option<(RawFd, RawFd)>,
    place: Place,
}

impl Ends {
    /// Makes the ends standard input and output. Without job control, what runs in the background reads nothing.
    fn connect(&self, job_control: bool) -> Result<(), Errno> {
        match self.input {
            Some(input) => drop(file::dup3(input, io::STDIN, 0)?),
            None if self.place == Place::Background && !job_control => {
                let null = ulib::fs::File::open(b"/dev/null", abi::fs::O_RDONLY, 0)?;
                file::dup3(null.fd(), io::STDIN, 0)?;
            }
            None => {}
        }
        if let Some((read_end, write_end)) = self.output {
            file::close(read_end)?;
            file::dup3(write_end, io::STDOUT, 0)?;
        }
        Ok(())
    }
}

/// A pipeline as a reader recognises it.
fn describe(commands: &[Tree]) -> String {
    let texts: Vec<String> = commands.iter().map(describe_command).collect();
    texts.join(" | ")
}

fn describe_command(command: &Tree) -> String {
    let Kind::Simple { words, .. } = &command.kind else { return String::from("(…)") };
    let words = words.iter().map(|word| {
        let parts = word.iter().map(|part| match part {
            Part::Text(text, _) => String::from_utf8_lossy(text).into_owned(),
            Part::Parameter { name, .. } => alloc::format!("${}", String::from_utf8_lossy(name)),
            Part::Command(..) | Part::Arithmetic(..) => String::from("$(…)"),
        });
        parts.collect::<String>()
    });
    words.collect::<Vec<_>>().join(" ")
}
