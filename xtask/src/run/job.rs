//! The job: which programs `init` shall run, and how it tells their exit statuses.
//!
//! The job travels as the file `/.orlop/job` in a cpio segment of its own, so that arguments need no quoting. Its
//! fields are strings, each ended by a zero byte: format, nonce, terminal, input, number of programs, and for each
//! program the number of its arguments and the arguments. `init` answers on the console with markers, see
//! [`super::markers`].

use anyhow::{Result, bail};

use crate::initramfs::archive::Archive;

/// The guest's folder for what xtask puts in for its own use.
const FOLDER: &str = ".orlop";

/// Where `init` is found if the initramfs is not Orlop's own.
pub const INIT: &str = "/.orlop/init";

const FORMAT: &str = "orlop-job-1";

/// Programs to run, one after the other.
pub struct Job {
    /// 32 hexadecimal digits that no program in the guest can know.
    pub nonce: String,
    /// How the console behaves.
    pub terminal: Terminal,
    /// What the programs read.
    pub input: Input,
    /// Each program with its arguments; empty for an interactive shell.
    pub programs: Vec<Vec<String>>,
}

/// How the guest's console treats bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// As a terminal does, with echo.
    Interactive,
    /// No echo, and output byte for byte.
    Plain,
}

/// What the programs have as standard input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The console.
    Console,
    /// `/dev/null`.
    Null,
}

impl Job {
    /// A job with a fresh nonce.
    pub fn new(terminal: Terminal, input: Input, programs: Vec<Vec<String>>) -> Result<Self> {
        if programs.iter().flatten().any(|argument| argument.contains('\0')) {
            bail!("an argument contains a zero byte");
        }
        Ok(Self { nonce: nonce()?, terminal, input, programs })
    }

    /// Puts the job into `archive`.
    pub fn insert(&self, archive: &mut Archive) -> Result<()> {
        archive.insert_directory(FOLDER, 0o700)?;
        archive.insert_file(&format!("{FOLDER}/job"), 0o600, self.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let terminal = match self.terminal {
            Terminal::Interactive => "interactive",
            Terminal::Plain => "plain",
        };
        let input = match self.input {
            Input::Console => "console",
            Input::Null => "null",
        };
        let mut fields: Vec<String> =
            [FORMAT, &self.nonce, terminal, input].into_iter().map(str::to_owned).collect();
        fields.push(self.programs.len().to_string());
        for program in &self.programs {
            fields.push(program.len().to_string());
            fields.extend(program.iter().cloned());
        }
        fields.into_iter().flat_map(|field| (field + "\0").into_bytes()).collect()
    }
}

fn nonce() -> Result<String> {
    let mut bytes = [0_u8; 16];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_in_the_order_that_init_reads() {
        let programs = vec![vec!["/bin/echo".to_owned(), String::new()], vec!["/bin/true".to_owned()]];
        let job = Job { nonce: "00ff".to_owned(), terminal: Terminal::Plain, input: Input::Null, programs };
        assert_eq!(
            String::from_utf8(job.to_bytes()).unwrap(),
            "orlop-job-1\x0000ff\0plain\0null\x002\x002\0/bin/echo\0\x001\0/bin/true\0"
        );
    }

    #[test]
    fn nonces_differ_and_zero_bytes_are_refused() {
        assert_ne!(nonce().unwrap(), nonce().unwrap());
        let programs = vec![vec!["a\0b".to_owned()]];
        assert!(Job::new(Terminal::Plain, Input::Null, programs).is_err());
    }
}
