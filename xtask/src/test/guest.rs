//! A guest that runs a list of programs in one boot, and what became of each.
//!
//! A program that hangs or takes the kernel down costs a reboot, and the list goes on with the next one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::run::control::Control;
use crate::run::debugger::Debugger;
use crate::run::job::{Input, Job, Terminal};
use crate::run::lines;
use crate::run::machine::{Boot, Console, MachineOptions};
use crate::run::markers::{Event, Markers};
use crate::run::placement::Placement;
use crate::run::segments::Segments;
use crate::run::session::{self, Next, Session};

/// How long a kernel that is asked what its threads wait for may take to say it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// What is shorter says nothing of threads: an echo, or the rest of a line that had got stuck.
const SHORTEST_ANSWER: usize = 200;
/// How long the rest of what a machine has written may take to arrive.
const REST: Duration = Duration::from_millis(500);
/// How long a kernel may take to start `init`, and to power off.
const BOOT_PATIENCE: Duration = Duration::from_secs(60);
const POWER_OFF_PATIENCE: Duration = Duration::from_secs(10);

/// No more of a program's output is kept; what comes later is dropped.
const OUTPUT_LIMIT: usize = 4 << 20;

/// A machine with a kernel and an initramfs.
#[derive(Clone)]
pub struct Guest {
    /// The machine.
    pub machine: MachineOptions,
    /// What `-kernel` takes.
    pub kernel: PathBuf,
    /// What `-initrd` takes, without the job.
    pub initramfs: PathBuf,
    /// More words for the kernel's command line.
    pub append: String,
    /// How long one program may take.
    pub patience: Duration,
}

/// A program's end, with everything it wrote.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// What came from the console while the program ran.
    pub output: Vec<u8>,
    /// How it ended.
    pub ending: Ending,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself or by a signal (128 + its number).
    Status(u8),
    /// It was still running when its time was over.
    TimedOut,
    /// The kernel ended first.
    KernelEnded,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Status(status) => write!(formatter, "status {status}"),
            Ending::TimedOut => write!(formatter, "no end within the time allowed"),
            Ending::KernelEnded => write!(formatter, "the kernel ended first"),
        }
    }
}

/// Asks a kernel under which nothing goes on what all threads are at (`BREAK`, `t`), or else QEMU what its CPUs are at.
/// A kernel may have no answer: Linux has it only where that is switched on.
fn ask(session: &Session, control: &Path, input: &mut ChildStdin) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    let outcome = Control::connect(control).and_then(|mut control| {
        control.send_break()?;
        input.write_all(b"t")?;
        let deadline = Instant::now() + ANSWER_PATIENCE;
        while let Next::Bytes(bytes) = session.next(Some(deadline)) {
            said.push(bytes);
        }
        if said.iter().map(Vec::len).sum::<usize>() < SHORTEST_ANSWER {
            said.push(control.registers()?.into_bytes());
        }
        Ok(())
    });
    if let Err(error) = outcome {
        said.push(format!("nothing could be asked: {error:#}\n").into_bytes());
    }
    said
}

/// What one boot without a job wrote, and how QEMU ended by itself.
struct Heard {
    output: Vec<u8>,
    status: Option<session::Ended>,
}

/// What a machine of which nothing more is awaited has written, and QEMU of itself.
fn so_far(session: &Session) -> String {
    let mut output = Vec::new();
    let deadline = Instant::now() + REST;
    while let Next::Bytes(bytes) = session.next(Some(deadline)) {
        output.extend(bytes);
    }
    String::from_utf8_lossy(&output).into_owned() + &session.complaints()
}

impl Guest {
    /// Runs all `programs`, each a path with its arguments, and tells how each of them ended, in the same order.
    pub fn run(&self, programs: &[Vec<String>]) -> Result<Vec<Ended>> {
        let mut ended = Vec::new();
        while ended.len() < programs.len() {
            let boot = self.run_once(&programs[ended.len()..], &mut |_| ())?;
            let never_started = boot.ended.len() == 1 && !boot.begun;
            ended.extend(boot.ended);
            if never_started {
                // The next boot would not get further.
                ended.resize_with(programs.len(), || Ended {
                    output: Vec::new(),
                    ending: Ending::KernelEnded,
                });
            }
        }
        Ok(ended)
    }

    /// Runs `programs` in one boot, tells `watch` of each end at once, and returns all ends and whether the machine
    /// then went off by itself. The last program in the answer may be one that did not end.
    pub fn boot(
        &self,
        programs: &[Vec<String>],
        watch: &mut dyn FnMut(&Ended),
    ) -> Result<(Vec<Ended>, bool)> {
        let boot = self.run_once(programs, watch)?;
        Ok((boot.ended, boot.powered_off))
    }

    fn run_once(&self, programs: &[Vec<String>], watch: &mut dyn FnMut(&Ended)) -> Result<OneBoot> {
        let job = Job::new(Terminal::Plain, Input::Null, programs.to_vec())?;
        let folder = tempfile::tempdir()?;
        let control = folder.path().join("control");
        let mut session = self.start(&self.with_job(&job, folder.path())?, "quiet", Some(&control))?;
        let mut input = session.take_input();
        let mut heard = OneBoot::default();
        let mut markers = Markers::new(&job.nonce);
        let mut deadline = Instant::now() + BOOT_PATIENCE;
        while heard.ended.len() < programs.len() {
            let before = (heard.begun, heard.ended.len());
            let cut_short = match session.next(Some(deadline)) {
                Next::Bytes(bytes) => {
                    markers.push(&bytes, &mut |event| heard.take(event));
                    None
                }
                Next::End => {
                    markers.finish(&mut |event| heard.take(event));
                    let calls = lines::of_report(&heard.output, &self.kernel);
                    heard.output.extend(calls.into_bytes());
                    let status = session.wait(POWER_OFF_PATIENCE)?;
                    heard.output.extend(session.last_words(status).into_bytes());
                    Some(Ending::KernelEnded)
                }
                Next::TimedOut => {
                    for bytes in input.as_mut().map_or_else(Vec::new, |input| ask(&session, &control, input))
                    {
                        markers.push(&bytes, &mut |event| heard.take(event));
                    }
                    // Half a marker is all that a console may have said that got stuck.
                    markers.finish(&mut |event| heard.take(event));
                    heard.output.extend(session.complaints().into_bytes());
                    Some(Ending::TimedOut)
                }
            };
            let over = cut_short.is_some();
            // The program may have come to its end while its kernel was asked.
            if let Some(ending) = cut_short
                && heard.ended.len() == before.1
            {
                heard.end(ending);
            }
            heard.ended[before.1..].iter().for_each(&mut *watch);
            if over {
                return Ok(heard);
            }
            if before != (heard.begun, heard.ended.len()) {
                deadline = Instant::now() + self.patience;
            }
        }
        heard.powered_off = session.wait(POWER_OFF_PATIENCE)?.is_some_and(|status| status.success());
        Ok(heard)
    }

    /// Boots without a job and returns everything written until the machine ends or the time is over.
    pub fn run_to_end(&self) -> Result<Vec<u8>> {
        let mut session = self.start(&self.initramfs, "", None)?;
        Ok(self.hear(&mut session)?.output)
    }

    /// As [`Self::run_to_end`]; besides the status that the machine ended with by itself.
    pub fn run_to_status(&self) -> Result<(Vec<u8>, Option<i32>)> {
        let mut session = self.start(&self.initramfs, "", None)?;
        let heard = self.hear(&mut session)?;
        Ok((heard.output, heard.status.and_then(|ended| ended.code())))
    }

    /// As [`Self::run_to_end`], but QEMU is stopped for so long once the guest has written `signal`.
    pub fn run_stopped(&self, signal: &str, length: Duration) -> Result<Vec<u8>> {
        let mut session = self.start(&self.initramfs, "", None)?;
        let mut output = self.hear_until(&session, signal);
        session.stop_for(length)?;
        output.extend(self.hear(&mut session)?.output);
        Ok(output)
    }

    /// As [`Self::run_to_end`], with more `arguments` for QEMU; says besides why the machine ended, in QEMU's word for
    /// it.
    pub fn run_to_ending(&self, arguments: &[String]) -> Result<(Vec<u8>, String)> {
        let command_line = self.command_line("");
        let mut qemu = self.loaded(&self.initramfs, &command_line).command()?;
        qemu.args(arguments);
        self.run_qemu_to_ending(qemu)
    }

    /// The same of a machine that is given nothing to run but by its `arguments`.
    pub fn run_machine_to_ending(&self, arguments: &[String]) -> Result<(Vec<u8>, String)> {
        let mut qemu = self.loaded(&self.initramfs, "").empty_machine()?;
        qemu.args(arguments);
        self.run_qemu_to_ending(qemu)
    }

    fn run_qemu_to_ending(&self, mut qemu: Command) -> Result<(Vec<u8>, String)> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("control");
        qemu.arg("-S").arg("-qmp").arg(format!("unix:{},server=on,wait=off", socket.display()));
        let mut session = Session::start_quietly(&qemu)?;
        match Control::connect(&socket).and_then(|mut control| control.run_to_end(self.patience)) {
            Ok(reason) => Ok((self.hear(&mut session)?.output, reason)),
            Err(error) => Err(error.context(so_far(&session))),
        }
    }

    /// Boots a kernel that fails in a machine that stays as it is when it is switched off; what QEMU's monitor then
    /// answers to `command`.
    pub fn run_to_failure(&self, arguments: &[String], command: &str) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("control");
        let command_line = self.command_line("");
        let whole =
            Boot { control: Some(&socket), ..self.loaded(&self.initramfs, &command_line) }.command()?;
        let mut qemu = Command::new(whole.get_program());
        // Without the port that ends QEMU at once.
        let words: Vec<_> = whole.get_args().collect();
        let has_port = |word: &std::ffi::OsStr| word.to_string_lossy().starts_with("isa-debug-exit");
        let is_kept = |index: usize| {
            !has_port(words[index]) && !words.get(index + 1).is_some_and(|next| has_port(next))
        };
        qemu.args((0..words.len()).filter(|&index| is_kept(index)).map(|index| words[index]));
        qemu.arg("-S").args(arguments);
        let session = Session::start_quietly(&qemu)?;
        let answer = Control::connect(&socket).and_then(|mut control| {
            control.run_to_end(self.patience)?;
            control.monitor(command)
        });
        answer.map_err(|error| error.context(so_far(&session)))
    }

    /// As [`Self::run_to_end`], but QEMU's monitor is given `command` once the guest has written `signal`.
    pub fn run_disturbed(&self, signal: &str, command: &str) -> Result<Vec<u8>> {
        // The command may end the machine before QEMU has answered: what is heard of it decides.
        self.run_controlled(signal, |control| drop(control.monitor(command)))
    }

    /// As [`Self::run_to_end`], but `act` has QEMU's control socket once the guest has written `signal`.
    pub fn run_controlled(&self, signal: &str, act: impl FnOnce(&mut Control)) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("control");
        let mut session = self.start(&self.initramfs, "", Some(&socket))?;
        let mut output = self.hear_until(&session, signal);
        act(&mut Control::connect(&socket)?);
        output.extend(self.hear(&mut session)?.output);
        Ok(output)
    }

    /// As [`Self::run_to_end`], with more `arguments` for QEMU, of a machine that stands still until `prepare` has
    /// changed what it wants.
    pub fn run_prepared(
        &self,
        arguments: &[String],
        prepare: impl FnOnce(&mut Debugger) -> Result<()>,
    ) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("debugger");
        let command_line = self.command_line("");
        let mut qemu = self.loaded(&self.initramfs, &command_line).command()?;
        qemu.args(["-S", "-gdb", &Debugger::argument(&socket)]);
        let mut session = Session::start_quietly(qemu.args(arguments))?;
        let prepared = Debugger::connect(&socket).and_then(|mut debugger| {
            prepare(&mut debugger)?;
            debugger.leave()
        });
        match prepared {
            Ok(()) => Ok(self.hear(&mut session)?.output),
            Err(error) => Err(error.context(so_far(&session))),
        }
    }

    /// Lets a machine run to its end that starts the kernel without QEMU's help; what was written, and the status that
    /// the machine ended with by itself.
    pub fn run_command(&self, machine: &Command) -> Result<(Vec<u8>, Option<i32>)> {
        let mut session = Session::start_quietly(machine)?;
        let heard = self.hear(&mut session)?;
        Ok((heard.output, heard.status.and_then(|ended| ended.code())))
    }

    /// Boots without a job, with more `arguments` for QEMU and everything put where `placement` says; returns what was
    /// written, and whether QEMU ended by itself and with success.
    pub fn run_placed(&self, placement: &Placement, arguments: &[String]) -> Result<(Vec<u8>, Option<bool>)> {
        let folder = tempfile::tempdir()?;
        let command_line = self.command_line("");
        let mut qemu = placement.command(&self.loaded(&self.initramfs, &command_line), folder.path())?;
        qemu.args(arguments);
        let mut session = Session::start_quietly(&qemu)?;
        let heard = self.hear(&mut session)?;
        Ok((heard.output, heard.status.map(|ended| ended.success())))
    }

    /// What is written until `signal` is there.
    fn hear_until(&self, session: &Session, signal: &str) -> Vec<u8> {
        let deadline = Instant::now() + self.patience;
        let mut output = Vec::new();
        while !String::from_utf8_lossy(&output).contains(signal)
            && let Next::Bytes(bytes) = session.next(Some(deadline))
        {
            output.extend(bytes);
        }
        output
    }

    /// Everything that is written until the machine ends or the time is over, and behind it how it ended.
    fn hear(&self, session: &mut Session) -> Result<Heard> {
        let deadline = Instant::now() + self.patience;
        let mut output = Vec::new();
        let status = loop {
            match session.next(Some(deadline)) {
                Next::Bytes(bytes) => output.extend(bytes),
                Next::End => break session.wait(POWER_OFF_PATIENCE)?,
                Next::TimedOut => break None,
            }
        };
        output.extend(session.last_words(status).into_bytes());
        Ok(Heard { output, status })
    }

    /// Starts QEMU, with a socket for [`Control`] if one is wanted.
    fn start(&self, initramfs: &Path, word: &str, control: Option<&Path>) -> Result<Session> {
        let command_line = self.command_line(word);
        let boot = Boot { control, ..self.loaded(initramfs, &command_line) };
        Session::start_quietly(&boot.command()?)
    }

    /// The words for the kernel, `word` among them.
    pub fn command_line(&self, word: &str) -> String {
        let line = format!("{} panic=-1 {word} {}", self.machine.console_word(), self.append);
        line.trim_end().to_owned()
    }

    fn loaded<'a>(&'a self, initramfs: &'a Path, command_line: &'a str) -> Boot<'a> {
        Boot {
            machine: &self.machine,
            kernel: &self.kernel,
            initramfs,
            command_line,
            console: Console::Pipe,
            debugger: None,
            control: None,
            tells_why: true,
        }
    }

    fn with_job(&self, job: &Job, folder: &Path) -> Result<PathBuf> {
        let mut segments = Segments::new(self.initramfs.clone());
        job.insert(&mut segments.extra)?;
        segments.write(folder)
    }

    /// Runs one program and tells how it ended, and whether the machine then went off by itself.
    pub fn run_one(&self, program: &[&str]) -> Result<(Ended, bool)> {
        let words = program.iter().map(|word| (*word).to_owned()).collect();
        let mut boot = self.run_once(&[words], &mut |_| ())?;
        let ended = boot.ended.pop().unwrap_or(Ended { output: Vec::new(), ending: Ending::KernelEnded });
        Ok((ended, boot.powered_off))
    }
}

/// What was heard during one boot.
#[derive(Default)]
struct OneBoot {
    begun: bool,
    output: Vec<u8>,
    ended: Vec<Ended>,
    powered_off: bool,
}

impl OneBoot {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Output(bytes) => {
                let room = OUTPUT_LIMIT.saturating_sub(self.output.len());
                self.output.extend_from_slice(&bytes[..room.min(bytes.len())]);
            }
            Event::Begin(_) => {
                self.begun = true;
                self.output.clear();
            }
            Event::Status(_, status) => self.end(Ending::Status(status)),
        }
    }

    fn end(&mut self, ending: Ending) {
        self.ended.push(Ended { output: std::mem::take(&mut self.output), ending });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_belongs_to_the_program_that_runs() {
        let mut boot = OneBoot::default();
        for event in [
            Event::Output(b"kernel"),
            Event::Begin(0),
            Event::Output(b"one"),
            Event::Status(0, 3),
            Event::Begin(1),
            Event::Output(b"two"),
        ] {
            boot.take(event);
        }
        boot.end(Ending::TimedOut);
        assert_eq!(boot.ended[0], Ended { output: b"one".to_vec(), ending: Ending::Status(3) });
        assert_eq!(boot.ended[1], Ended { output: b"two".to_vec(), ending: Ending::TimedOut });
    }
}
