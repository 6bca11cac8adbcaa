//! Runs cargo for a bare-metal target and learns from its messages what it has built.
//!
//! What cargo says of its progress, or of another build that it waits for, is passed on; that it has finished is not,
//! as most of the time it has nothing to do.

use std::io::{BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command;
use crate::toolchain::Toolchain;
use crate::workspace;

/// One run of `cargo build`.
pub struct Request<'a> {
    /// A Rust target.
    pub target: &'a str,
    /// Names the folder for intermediate files, see [`workspace::target`].
    pub kind: &'a str,
    /// Cargo's profile.
    pub profile: &'a str,
    /// The package whose binaries are wanted.
    pub package: &'a str,
    /// The only one that is wanted.
    pub binary: Option<&'a str>,
    /// Flags for the compiler.
    pub flags: &'a [&'a str],
}

/// Builds and returns the path of every executable, sorted by name.
pub fn build(toolchain: &Toolchain, request: &Request<'_>) -> Result<Vec<PathBuf>> {
    let mut command = toolchain.cargo("build", request.target);
    command
        .args(["--package", request.package, "--profile", request.profile])
        .args(request.binary.map_or(vec!["--bins"], |name| vec!["--bin", name]))
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_TARGET_DIR", workspace::target(request.kind))
        .env("CARGO_ENCODED_RUSTFLAGS", request.flags.join("\x1f"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    show_progress(&mut command);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", command::show(&command)))?;
    let messages = BufReader::new(child.stdout.take().context("cargo has no standard output")?);
    let said = child.stderr.take().context("cargo has no standard error")?;
    let speaker = std::thread::spawn(move || pass_on(said, &mut std::io::stderr()));
    let executables = executables(serde_json::Deserializer::from_reader(messages).into_iter());
    let status = child.wait()?;
    // Nobody is left to be told if it cannot be passed on.
    let _ = speaker.join();
    let mut executables = executables?;
    if !status.success() {
        bail!("{} failed", command::show(&command));
    }
    executables.sort();
    Ok(executables)
}

/// Lets cargo show its progress where this process's own would be seen, although it writes to a pipe.
fn show_progress(command: &mut Command) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col.max(40));
    command
        .env("CARGO_TERM_COLOR", "always")
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", columns.to_string());
}

/// Passes on what cargo says, line by line, or piece by piece of a line that is drawn over itself.
fn pass_on(said: impl Read, target: &mut dyn Write) -> std::io::Result<()> {
    let mut line = Vec::new();
    for byte in BufReader::new(said).bytes() {
        let byte = byte?;
        line.push(byte);
        if matches!(byte, b'\n' | b'\r') {
            if !line.windows(8).any(|word| word == b"Finished") {
                target.write_all(&line)?;
                target.flush()?;
            }
            line.clear();
        }
    }
    target.write_all(&line)
}

/// Picks the executables out of cargo's messages.
fn executables(messages: impl Iterator<Item = serde_json::Result<Value>>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for message in messages {
        let message = message.context("cargo's messages are not JSON")?;
        if let Some(path) = message["executable"].as_str() {
            found.push(PathBuf::from(path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_end_is_passed_on() {
        let said = "   Compiling a v1\n    Building [=> ] 1/2\r    Blocking waiting for file lock\n    Finished `x` in 1s\nwarning";
        let mut passed_on = Vec::new();
        pass_on(said.as_bytes(), &mut passed_on).unwrap();
        let expected = said.replace("    Finished `x` in 1s\n", "");
        assert_eq!(String::from_utf8(passed_on).unwrap(), expected);
    }

    #[test]
    fn executables_are_found_among_other_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
            {"reason":"compiler-artifact","executable":"/t/ls"}
            {"reason":"build-finished","success":true}"#;
        let stream = serde_json::Deserializer::from_str(messages).into_iter();
        assert_eq!(executables(stream).unwrap(), [PathBuf::from("/t/ls")]);
    }
}
