//! Rounds and failures of each stress program.

use std::fmt::Write;

/// The table at the end of a run.
pub struct Tally {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    turns: u64,
    rounds: u64,
    failures: u64,
}

impl Tally {
    /// A table with nothing done yet.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let row = |name: &str| Row { name: name.to_owned(), turns: 0, rounds: 0, failures: 0 };
        Self { rows: names.map(row).collect() }
    }

    /// A turn of the program has ended well.
    pub fn passed(&mut self, name: &str, rounds: u64) {
        if let Some(row) = self.row(name) {
            row.turns += 1;
            row.rounds += rounds;
        }
    }

    /// A turn of the program has not.
    pub fn failed(&mut self, name: &str) {
        if let Some(row) = self.row(name) {
            row.turns += 1;
            row.failures += 1;
        }
    }

    /// Turns that failed.
    pub fn failures(&self) -> u64 {
        self.rows.iter().map(|row| row.failures).sum()
    }

    /// One line for each program, and the total.
    pub fn table(&self) -> String {
        let mut table = line("program", "turns", "rounds", "failures");
        for row in &self.rows {
            table += &line(&row.name, row.turns, row.rounds, row.failures);
        }
        let total = |count: fn(&Row) -> u64| self.rows.iter().map(count).sum::<u64>();
        table + &line("total", total(|row| row.turns), total(|row| row.rounds), self.failures())
    }

    fn row(&mut self, name: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.name == name)
    }
}

fn line<N: std::fmt::Display>(name: &str, turns: N, rounds: N, failures: N) -> String {
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(line, "{name:<26} {turns:>8} {rounds:>10} {failures:>9}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_total() {
        let mut tally = Tally::new(["a", "b"].into_iter());
        tally.passed("a", 5);
        tally.passed("a", 6);
        tally.failed("b");
        assert_eq!(tally.failures(), 1);
        let table = tally.table();
        let words =
            |line: usize| table.lines().nth(line).map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(words(1).unwrap(), ["a", "2", "11", "0"]);
        assert_eq!(words(2).unwrap(), ["b", "1", "0", "1"]);
        assert_eq!(words(3).unwrap(), ["total", "3", "11", "1"]);
    }
}
