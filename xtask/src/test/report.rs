//! The count of what passed and what failed, and one line for each.

use std::process::ExitCode;
use std::sync::Mutex;

/// A test's name, and why it failed.
type Failure = (String, String);

/// Collects results; stages running at the same time share it.
#[derive(Default)]
pub struct Report {
    totals: Mutex<Totals>,
}

#[derive(Default)]
struct Totals {
    passed: usize,
    failed: Vec<Failure>,
}

impl Report {
    /// A test has passed.
    pub fn pass(&self, name: &str) {
        self.with(|totals| {
            totals.passed += 1;
            println!("ok      {name}");
        });
    }

    /// A test has failed, and why.
    pub fn fail(&self, name: &str, reason: &str) {
        self.with(|totals| {
            println!("FAILED  {name}");
            show(reason);
            totals.failed.push((name.to_owned(), reason.to_owned()));
        });
    }

    /// Either of the two.
    pub fn record(&self, name: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.pass(name),
            Err(reason) => self.fail(name, &reason),
        }
    }

    /// So many tests have passed that nobody wants to see one by one.
    pub fn pass_many(&self, name: &str, count: usize) {
        if count > 0 {
            self.with(|totals| {
                totals.passed += count;
                println!("ok      {name} ({count})");
            });
        }
    }

    /// Whether nothing has been tested.
    pub fn is_empty(&self) -> bool {
        let totals = self.totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        totals.passed == 0 && totals.failed.is_empty()
    }

    /// Repeats what failed and why, says the total, and tells the status to end with.
    pub fn finish(self) -> ExitCode {
        let totals = self.totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !totals.failed.is_empty() {
            println!("\nfailed:");
            for (name, reason) in &totals.failed {
                println!("    {name}");
                show(reason);
            }
        }
        println!("\n{} passed, {} failed", totals.passed, totals.failed.len());
        if totals.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn with(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

fn show(reason: &str) {
    for line in reason.lines() {
        println!("        {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted() {
        let report = Report::default();
        assert!(report.is_empty());
        report.pass("a");
        assert!(!report.is_empty());
        report.pass_many("b", 3);
        report.record("c", Err("because".to_owned()));
        report.with(|totals| {
            assert_eq!(totals.passed, 4);
            assert_eq!(totals.failed, [("c".to_owned(), "because".to_owned())]);
        });
    }
}
