//! What the benchmark program prints, read.

/// The figures of one kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Instructions from reset to the first of `init`.
    pub boot: u64,
    /// Free memory when `init` starts.
    pub free_kib: u64,
    /// Instructions of each operation, in the program's order; `None` if it failed.
    pub operations: Vec<(String, Option<u64>)>,
}

impl Figures {
    /// Reads the lines between `bench begin` and `bench end`; `None` if they are not complete.
    pub fn parse(output: &str) -> Option<Self> {
        let (_, from_begin) = output.split_once("bench begin")?;
        let (lines, _) = from_begin.split_once("bench end")?;
        let mut figures = Self::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some((name, figure)) = line.split_once(" = ") {
                figures.operations.push((name.to_owned(), figure.parse().ok()));
            } else if let Some(figure) = line.strip_prefix("boot ") {
                figures.boot = figure.parse().ok()?;
            } else if let Some(figure) = line.strip_prefix("free_kib ") {
                figures.free_kib = figure.parse().ok()?;
            }
        }
        Some(figures)
    }

    /// Instructions of the operation `name`.
    pub fn operation(&self, name: &str) -> Option<u64> {
        self.operations.iter().find(|(other, _)| other == name)?.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let output = "noise 1\r\nbench begin\r\nboot 9000000\r\nfree_kib 500\r\nopen + close = 12\r\n\
                      fork = failed ENOSYS\r\nbench end\r\n";
        let figures = Figures::parse(output).unwrap();
        assert_eq!((figures.boot, figures.free_kib), (9_000_000, 500));
        assert_eq!(figures.operation("open + close"), Some(12));
        assert_eq!(figures.operations[1], ("fork".to_owned(), None));
        assert_eq!(Figures::parse("bench begin\nboot 1\n"), None);
    }
}
