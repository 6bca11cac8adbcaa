//! Rounds: how often a program is repeated, by how many threads, and with which random numbers.

use abi::process::WaitStatus;
use conformance::{Failure, Outcome, check, child};
use core::time::Duration;

/// One round of a program.
pub type Program = fn(Round) -> Outcome;

/// What one round is given.
#[derive(Clone, Copy)]
pub struct Round {
    /// Threads or processes that work at the same time, at least 2.
    pub threads: usize,
    /// Its number: what decides its random numbers.
    pub number: u64,
}

impl Round {
    /// Random numbers for `worker`: the same ones in every run.
    pub fn random(self, worker: usize) -> Random {
        Random(self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((worker as u64 + 1) << 32) | 1)
    }
}

/// A xorshift generator.
pub struct Random(u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }
}

/// When to stop.
enum Until {
    /// After so many rounds.
    Rounds(u64),
    /// With the first round that ends after so long.
    Time(Duration),
}

/// How a program is repeated.
pub struct Plan {
    threads: usize,
    until: Until,
}

impl Plan {
    /// So many rounds, with as many threads as there are CPUs.
    pub fn short(rounds: u64) -> Plan {
        Plan { threads: cpus().max(2), until: Until::Rounds(rounds) }
    }

    /// Reads `--threads N`, `--rounds N` and `--seconds S`; `None` if anything else is there or nothing says when to
    /// stop.
    pub fn parse(options: &[&[u8]]) -> Option<Plan> {
        let (mut threads, mut until) = (cpus().max(2), None);
        for option in options.chunks(2) {
            let [name, value] = option else { return None };
            let value: u64 = str::from_utf8(value).ok()?.parse().ok()?;
            match *name {
                b"--threads" => threads = usize::try_from(value).ok()?.max(2),
                b"--rounds" => until = Some(Until::Rounds(value)),
                b"--seconds" => until = Some(Until::Time(Duration::from_secs(value))),
                _ => return None,
            }
        }
        Some(Plan { threads, until: until? })
    }

    /// As [`Plan::repeat`], for a test.
    pub fn run(&self, program: Program) -> Outcome {
        self.repeat(program).map(drop)
    }

    /// Runs the rounds until one fails; returns how many there were.
    pub fn repeat(&self, program: Program) -> Result<u64, Failure> {
        let start = ulib::time::monotonic();
        let mut number = 0;
        loop {
            let over = match self.until {
                Until::Rounds(rounds) => number == rounds,
                Until::Time(length) => number > 0 && ulib::time::monotonic() - start >= length,
            };
            if over {
                return Ok(number);
            }
            let round = Round { threads: self.threads, number };
            let status = child::run(|| end_of(program(round)))?;
            check!(status == WaitStatus(0), "round {number} ended with {status:?}");
            number += 1;
        }
    }
}

/// The exit status for an outcome; says what was wrong.
pub fn end_of(outcome: Outcome) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            ulib::eprintln!("{failure}");
            1
        }
    }
}

fn cpus() -> usize {
    libsyscall::thread::allowed_cpus().unwrap_or(1).count_ones() as usize
}
