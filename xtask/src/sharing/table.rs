//! The table of `cargo xtask sharing`.

use std::fmt::Write;

use super::names::Names;
use super::observation::Observation;

/// What the guest prints of one row.
#[derive(Debug, PartialEq, Eq)]
pub struct Figures {
    name: String,
    /// Operations of all workers together.
    operations: u64,
    acquisitions: u64,
    contentions: u64,
}

impl Figures {
    /// Reads the lines between `sharing begin` and `sharing end`; `None` if they are not complete or a row has failed.
    pub fn parse(output: &str) -> Option<Vec<Figures>> {
        let (_, from_begin) = output.split_once("sharing begin")?;
        let (lines, _) = from_begin.split_once("sharing end")?;
        lines
            .lines()
            .filter_map(|line| line.trim().strip_prefix("operation "))
            .map(Figures::parse_row)
            .collect()
    }

    fn parse_row(row: &str) -> Option<Figures> {
        let (name, figures) = row.split_once(" = ")?;
        let figures: Option<Vec<u64>> = figures.split(' ').map(|figure| figure.parse().ok()).collect();
        let [times, workers, acquisitions, contentions] = figures?[..] else { return None };
        Some(Figures { name: name.to_owned(), operations: times * workers, acquisitions, contentions })
    }
}

/// A line for each row, for each operation of which it says how much of everything comes.
pub fn format(
    rows: &[Figures],
    observations: &[Observation],
    locks: &[Figures],
    names: &Names,
    places: usize,
) -> String {
    let mut table = line("per operation", ["stores", "shared", "locks", "found taken"].map(str::to_owned));
    for (row, observation) in rows.iter().zip(observations) {
        let each = |count: u64| count as f64 / row.operations as f64;
        let lock = locks.iter().find(|lock| lock.name == row.name);
        table += &line(
            &row.name,
            [
                format!("{:.1}", each(observation.stores)),
                format!("{:.3}", each(observation.shared)),
                lock.map_or("–".to_owned(), |lock| format!("{:.1}", each(lock.acquisitions))),
                lock.map_or("–".to_owned(), |lock| percent(lock.contentions, lock.acquisitions)),
            ],
        );
        for &(pc, count) in observation.places.iter().take(places) {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{:>42.3}  {}", each(count), names.place(pc));
        }
    }
    table
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.2} %", 100.0 * part as f64 / whole.max(1) as f64)
}

fn line(name: &str, figures: [String; 4]) -> String {
    let [stores, shared, locks, taken] = figures;
    format!("{name:<30} {stores:>11} {shared:>11} {locks:>11} {taken:>12}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "x\r\nsharing begin\r\noperation pipe = 100 2 400 3\r\nsharing end\r\n";

    #[test]
    fn rows_are_read() {
        let rows = Figures::parse(OUTPUT).unwrap();
        let pipe = Figures { name: "pipe".to_owned(), operations: 200, acquisitions: 400, contentions: 3 };
        assert_eq!(rows, [pipe]);
        assert_eq!(Figures::parse("sharing begin\noperation pipe = 1 1 1 1\n"), None);
        assert_eq!(Figures::parse("sharing begin\noperation pipe = failed EIO\nsharing end"), None);
    }

    #[test]
    fn figures_are_for_one_operation() {
        let rows = Figures::parse(OUTPUT).unwrap();
        let observed = Observation { stores: 2000, shared: 50, places: vec![(0x10, 40), (0x20, 10)] };
        let table = format(&rows, &[observed], &rows, &Names::default(), 1);
        let words: Vec<_> = table.lines().skip(1).flat_map(str::split_whitespace).collect();
        assert_eq!(words, ["pipe", "10.0", "0.250", "2.0", "0.75", "%", "0.200", "0x10"]);
    }
}
