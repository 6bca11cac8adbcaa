//! Runs the tests of a program and reports them.

use abi::Errno;
use abi::process::{WNOHANG, WaitStatus};
use abi::signal::SIGKILL;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::panic::Location;
use core::time::Duration;
use libsyscall::process::{exit_group, fork, kill, setpgid, wait4};
use ulib::println;

/// A test's name and body.
pub type Test = (&'static str, fn() -> Outcome);
/// What a test ends with. Errors of calls become failures by `?`.
pub type Outcome = Result<(), Failure>;
/// A program that a test executes: this one, with `--helper NAME` and further arguments.
pub type Helper = (&'static str, fn(&[&'static [u8]]) -> i32);

/// How long a test may take, on a machine that is emulated.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// How often the end of a test is looked for.
const INTERVAL: Duration = Duration::from_millis(1);
const HELPER_OPTION: &[u8] = b"--helper";

/// Why a test failed, and where.
pub struct Failure {
    place: &'static Location<'static>,
    text: String,
}

impl Failure {
    /// A failure at the caller's place.
    #[track_caller]
    pub fn new(text: impl ToString) -> Failure {
        Failure { place: Location::caller(), text: text.to_string() }
    }
}

impl From<Errno> for Failure {
    #[track_caller]
    fn from(error: Errno) -> Failure {
        Failure::new(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.place.file(), self.place.line(), self.text)
    }
}

/// Fails the test unless the condition holds: `check!(size > 0)`, `check!(size > 0, "size is {size}")`.
#[macro_export]
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            return Err($crate::Failure::new(stringify!($condition)));
        }
    };
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::Failure::new(alloc::format!($($text)+)));
        }
    };
}

/// Fails the test unless both values are equal: `check_eq!(read(fd, buffer), Ok(3))`.
#[macro_export]
macro_rules! check_eq {
    ($found:expr, $expected:expr) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    return Err($crate::Failure::new(alloc::format!(
                        "{} is {:?} and not {:?}",
                        stringify!($found),
                        found,
                        expected
                    )));
                }
            }
        }
    };
}

/// Names a program's main function, which runs its tests: `conformance::tests!(TESTS)`, or with helpers
/// `conformance::tests!(TESTS, HELPERS)`.
#[macro_export]
macro_rules! tests {
    ($tests:expr) => {
        $crate::tests!($tests, &[]);
    };
    ($tests:expr, $helpers:expr) => {
        fn main() -> u8 {
            $crate::main($tests, $helpers)
        }

        ulib::entry!(main);
    };
}

/// What the program ends with if no test has the wanted name.
const NO_SUCH_TEST: u8 = 2;

/// Runs the tests whose names contain the program's argument, or all; the exit status is 1 if one failed.
pub fn main(tests: &[Test], helpers: &[Helper]) -> u8 {
    if ulib::args::program_name().is_empty() {
        // A test has executed this program without arguments: it has seen that it runs.
        return 0;
    }
    let arguments = ulib::args::rest();
    if let [HELPER_OPTION, name, rest @ ..] = &arguments[..] {
        let helper = helpers.iter().find(|helper| helper.0.as_bytes() == *name);
        return helper.map_or(127, |helper| helper.1(rest) as u8);
    }
    let filter = arguments.first().copied().unwrap_or_default();
    let (mut wanted, mut failed) = (0, 0);
    for test in tests.iter().filter(|test| contains(test.0.as_bytes(), filter)) {
        wanted += 1;
        failed += usize::from(!run(test));
    }
    if wanted == 0 {
        let names: Vec<_> = tests.iter().map(|test| test.0).collect();
        println!("no test's name contains {}. There are: {}", filter.escape_ascii(), names.join(", "));
        return NO_SUCH_TEST;
    }
    u8::from(failed > 0)
}

/// The arguments with which this program runs its helper `name`.
pub fn helper_arguments<'a>(name: &'a str, rest: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut arguments = Vec::from([HELPER_OPTION, name.as_bytes()]);
    arguments.extend(rest);
    arguments
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    part.is_empty() || name.windows(part.len()).any(|window| window == part)
}

/// Runs one test in a process and a group of its own; true if it passed.
fn run(&(name, body): &Test) -> bool {
    let _ = ulib::io::stdout().finish();
    // SAFETY: this program has one thread as long as it runs tests.
    let pid = match unsafe { fork() } {
        Ok(0) => run_in_child(name, body),
        Ok(pid) => pid,
        Err(error) => {
            println!("FAIL {name}: fork: {error}");
            return false;
        }
    };
    let status = wait_for(pid);
    // Whatever the test left behind in its group.
    let _ = kill(-pid, SIGKILL);
    match status {
        Some(WaitStatus(0)) => println!("ok {name}"),
        Some(status) if status.exit_code() == Some(1) => {}
        Some(status) => println!("FAIL {name}: ended with {status:?}"),
        None => println!("FAIL {name}: took longer than {TIME_LIMIT:?}"),
    }
    status == Some(WaitStatus(0))
}

fn run_in_child(name: &str, body: fn() -> Outcome) -> ! {
    let _ = setpgid(0, 0);
    let status = match body() {
        Ok(()) => 0,
        Err(failure) => {
            println!("FAIL {name}: {failure}");
            let _ = ulib::io::stdout().finish();
            1
        }
    };
    exit_group(status)
}

/// Waits for a test; kills it when its time is over.
fn wait_for(pid: i32) -> Option<WaitStatus> {
    let start = ulib::time::monotonic();
    loop {
        if let Ok(Some((_, status))) = wait4(pid, WNOHANG) {
            return Some(status);
        }
        if ulib::time::monotonic().saturating_sub(start) > TIME_LIMIT {
            let _ = kill(-pid, SIGKILL);
            let _ = kill(pid, SIGKILL);
            let _ = wait4(pid, 0);
            return None;
        }
        ulib::time::sleep(INTERVAL);
    }
}
