//! The job file, by which `cargo xtask run` tells init what to run.
//!
//! NUL-terminated strings: `orlop-job-1`, nonce, `interactive` or `plain`, `console` or `null`, number of programs, and
//! for each program the number of its arguments and the arguments, the first of which names it. The nonce makes init's
//! own lines in the console's output unmistakable: programs never see it.

use alloc::vec::Vec;

/// What the file starts with.
const MAGIC: &[u8] = b"orlop-job-1";

/// What to do with the console's modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// Leave them: a person is there.
    Interactive,
    /// No echo and no output processing: every byte arrives as it was written.
    Plain,
}

/// Where standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The console.
    Console,
    /// `/dev/null`.
    Null,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job<'a> {
    /// Goes into every marker line.
    pub nonce: &'a [u8],
    /// What to do with the console's modes.
    pub terminal: Terminal,
    /// Where standard input comes from.
    pub input: Input,
    /// The programs with their arguments; none means an interactive shell.
    pub programs: Vec<Vec<&'a [u8]>>,
}

/// Takes strings off the file's content.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == 0)?;
        let field = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Some(field)
    }

    fn number(&mut self) -> Option<usize> {
        core::str::from_utf8(self.next()?).ok()?.parse().ok()
    }
}

/// Reads a job; `None` if the content is not one.
pub fn parse(content: &[u8]) -> Option<Job<'_>> {
    let mut fields = Fields(content);
    if fields.next()? != MAGIC {
        return None;
    }
    let nonce = fields.next()?;
    let terminal = match fields.next()? {
        b"interactive" => Terminal::Interactive,
        b"plain" => Terminal::Plain,
        _ => return None,
    };
    let input = match fields.next()? {
        b"console" => Input::Console,
        b"null" => Input::Null,
        _ => return None,
    };
    let mut programs = Vec::new();
    for _ in 0..fields.number()? {
        let mut program = Vec::new();
        for _ in 0..fields.number()? {
            program.push(fields.next()?);
        }
        if program.is_empty() {
            return None;
        }
        programs.push(program);
    }
    Some(Job { nonce, terminal, input, programs })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these fields.
    fn file(fields: &str) -> Vec<u8> {
        fields.split(' ').flat_map(|field| field.bytes().chain([0])).collect()
    }

    #[test]
    fn a_job_with_two_programs() {
        let content = file("orlop-job-1 abc plain null 2 3 /bin/ls -l /a\nb 1 true");
        let job = parse(&content).unwrap();
        assert_eq!((job.nonce, job.terminal, job.input), (&b"abc"[..], Terminal::Plain, Input::Null));
        assert_eq!(job.programs, [[&b"/bin/ls"[..], b"-l", b"/a\nb"].to_vec(), [&b"true"[..]].to_vec()]);
    }

    #[test]
    fn no_programs_is_a_job() {
        assert!(parse(&file("orlop-job-1 n interactive console 0")).unwrap().programs.is_empty());
    }

    #[test]
    fn what_is_cut_off_is_none() {
        let content = file("orlop-job-1 abc plain null 1 2 /bin/ls -l");
        for length in 0..content.len() {
            assert_eq!(parse(&content[..length]), None, "{length}");
        }
    }

    #[test]
    fn what_is_wrong_is_none() {
        for fields in [
            "orlop-job-2 abc plain null 0",
            "orlop-job-1 abc plain null -1",
            "orlop-job-1 abc plain nil 0",
            "orlop-job-1 abc plain null 1 0",
            "orlop-job-1 abc plain null 99999999999",
        ] {
            assert_eq!(parse(&file(fields)), None, "{fields}");
        }
    }
}
