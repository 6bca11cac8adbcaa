//! Runs cargo for a bare-metal target and learns from its messages what it has built.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::Stdio;

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
    /// Flags for the compiler.
    pub flags: &'a [&'a str],
}

/// Builds and returns the path of every executable, sorted by name.
pub fn build(toolchain: &Toolchain, request: &Request<'_>) -> Result<Vec<PathBuf>> {
    let mut command = toolchain.cargo("build", request.target);
    command
        .args(["--package", request.package, "--bins", "--profile", request.profile, "--quiet"])
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_TARGET_DIR", workspace::target(request.kind))
        .env("CARGO_ENCODED_RUSTFLAGS", request.flags.join("\x1f"))
        .stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", command::show(&command)))?;
    let messages = BufReader::new(child.stdout.take().context("cargo has no standard output")?);
    let mut executables = executables(serde_json::Deserializer::from_reader(messages).into_iter())?;
    if !child.wait()?.success() {
        bail!("{} failed", command::show(&command));
    }
    executables.sort();
    Ok(executables)
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
    fn executables_are_found_among_other_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
            {"reason":"compiler-artifact","executable":"/t/ls"}
            {"reason":"build-finished","success":true}"#;
        let stream = serde_json::Deserializer::from_str(messages).into_iter();
        assert_eq!(executables(stream).unwrap(), [PathBuf::from("/t/ls")]);
    }
}
