//! QEMU's control socket (`-qmp`): what can be asked of a machine under which nothing goes on.
//!
//! The protocol is a line of JSON for each command and each answer (QEMU's `docs/interop/qmp-spec.txt`).

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that takes commands.
pub struct Control {
    stream: UnixStream,
    answers: Lines<BufReader<UnixStream>>,
}

impl Control {
    /// Connects to the socket at `path` of a QEMU that may just be starting.
    pub fn connect(path: &Path) -> Result<Self> {
        let stream = connect(path).context("QEMU has no control socket")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let answers = BufReader::new(stream.try_clone()?).lines();
        let mut control = Self { stream, answers };
        control.execute(r#"{"execute":"qmp_capabilities"}"#)?;
        Ok(control)
    }

    /// Sends a BREAK to the console, whose port is called `console`.
    pub fn send_break(&mut self) -> Result<()> {
        self.execute(r#"{"execute":"chardev-send-break","arguments":{"id":"console"}}"#).map(drop)
    }

    /// Lets a machine that was started with `-S` run, waits until it ends, and says why it ended, in QEMU's word for
    /// it.
    pub fn run_to_end(&mut self, patience: Duration) -> Result<String> {
        self.stream.set_read_timeout(Some(patience))?;
        self.execute(r#"{"execute":"cont"}"#)?;
        loop {
            let line = self.answers.next().context("QEMU has ended without a word")??;
            let event: Value = serde_json::from_str(&line)?;
            if event["event"] == "SHUTDOWN" {
                return Ok(event["data"]["reason"].as_str().unwrap_or_default().to_owned());
            }
        }
    }

    /// Stops the machine for at least so long; how long it took from before the stop until after the start.
    pub fn pause(&mut self, length: Duration) -> Result<Duration> {
        let before = Instant::now();
        self.execute(r#"{"execute":"stop"}"#)?;
        std::thread::sleep(length);
        self.execute(r#"{"execute":"cont"}"#)?;
        Ok(before.elapsed())
    }

    /// Stores the machine in a file of the system on which QEMU runs, and ends QEMU after at least so long.
    pub fn store_for(&mut self, path: &str, length: Duration) -> Result<()> {
        self.execute(&format!(r#"{{"execute":"migrate","arguments":{{"uri":"exec:cat > {path}"}}}}"#))?;
        let deadline = Instant::now() + PATIENCE * 6;
        loop {
            let state = self.execute(r#"{"execute":"query-migrate"}"#)?;
            match state["status"].as_str() {
                Some("completed") => break,
                Some("failed") => bail!("the machine could not be stored: {state}"),
                _ if Instant::now() > deadline => bail!("the machine is not stored yet: {state}"),
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        std::thread::sleep(length);
        self.execute(r#"{"execute":"quit"}"#).map(drop)
    }

    /// The registers of all CPUs, as QEMU shows them.
    pub fn registers(&mut self) -> Result<String> {
        self.monitor("info registers -a")
    }

    /// What QEMU's monitor for people answers to `command`.
    pub fn monitor(&mut self, command: &str) -> Result<String> {
        let command =
            format!(r#"{{"execute":"human-monitor-command","arguments":{{"command-line":"{command}"}}}}"#);
        Ok(self.execute(&command)?.as_str().unwrap_or_default().replace('\r', ""))
    }

    /// What the command returns.
    fn execute(&mut self, command: &str) -> Result<Value> {
        writeln!(self.stream, "{command}")?;
        loop {
            // The greeting and events come in between.
            let line = self.answers.next().context("QEMU has closed its control socket")??;
            let answer: Value = serde_json::from_str(&line)?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses: {error}");
            }
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
        }
    }
}

/// Connects to a socket that QEMU makes when it starts.
pub fn connect(path: &Path) -> std::io::Result<UnixStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(path) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            result => return result,
        }
    }
}
