//! Two kernels' figures side by side.

use std::fmt::Write;

use super::figures::Figures;

/// One line for each operation, then the geometric mean of the ratios, boot and memory.
pub fn format(orlop: &Figures, linux: &Figures) -> String {
    let mut rows = vec![row("operation", "Orlop", "Linux", "ratio")];
    let mut ratios = Vec::new();
    for (name, cost) in &orlop.operations {
        let (cost, reference) = (*cost, linux.operation(name));
        let ratio = cost.zip(reference).map(|(cost, reference)| cost as f64 / reference as f64);
        ratios.extend(ratio);
        let shown = ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        rows.push(row(name, &number(cost), &number(reference), &shown));
    }
    if let Some(mean) = geometric_mean(&ratios) {
        rows.push(row("geometric mean", "", "", &format!("{mean:.2}")));
    }
    let boot = |figures: &Figures| number(Some(figures.boot));
    rows.push(row("kernel's first instruction to init's", &boot(orlop), &boot(linux), ""));
    let free = |figures: &Figures| number(Some(figures.free_kib));
    rows.push(row("free memory after boot, KiB", &free(orlop), &free(linux), ""));
    rows.concat()
}

fn row(name: &str, orlop: &str, linux: &str, ratio: &str) -> String {
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(line, "{name:<40} {orlop:>15} {linux:>15} {ratio:>7}");
    line
}

/// With a comma after each three digits.
fn number(number: Option<u64>) -> String {
    let Some(number) = number else {
        return "–".to_owned();
    };
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (logarithms / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(Some(1_520_000)), "1,520,000");
        assert_eq!(number(Some(79)), "79");
        assert_eq!(number(None), "–");
    }

    #[test]
    fn the_mean_is_geometric() {
        assert_eq!(geometric_mean(&[]), None);
        assert!((geometric_mean(&[0.5, 2.0]).unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn rows_stand_side_by_side() {
        let figures = |cost| Figures { boot: 1, free_kib: 2, operations: vec![("getppid".to_owned(), cost)] };
        let table = format(&figures(Some(180)), &figures(Some(360)));
        assert!(table.lines().nth(1).unwrap().ends_with("0.50"), "{table}");
        assert!(format(&figures(None), &figures(Some(360))).contains('–'));
    }
}
