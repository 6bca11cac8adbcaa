//! Lengths of files and functions.
//!
//! A file or function that is a pure table says so with a line `// tidy: table`, anywhere in the file's first 40 lines
//! or directly inside the function.

use super::Source;

const FILE_LIMIT: usize = 500;
const FUNCTION_LIMIT: usize = 60;
const EXEMPTION: &str = "// tidy: table";

/// Files and functions that are too long.
pub fn check(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let lines: Vec<_> = source.lines_without_tests().collect();
        if lines.iter().take(40).any(|(_, line)| line.trim() == EXEMPTION) {
            continue;
        }
        if lines.len() > FILE_LIMIT {
            problems.push(format!("{}: {} lines, at most {FILE_LIMIT}", source.path, lines.len()));
        }
        for function in functions(&lines) {
            if function.length > FUNCTION_LIMIT {
                let Function { start, length } = function;
                problems.push(format!(
                    "{}:{start}: a function of {length} lines, at most {FUNCTION_LIMIT}",
                    source.path
                ));
            }
        }
    }
    problems
}

struct Function {
    start: usize,
    length: usize,
}

/// Functions in code that rustfmt has laid out: each ends with the first closing brace at its own indentation.
fn functions(lines: &[(usize, &str)]) -> Vec<Function> {
    let mut found = Vec::new();
    for (index, (start, line)) in lines.iter().enumerate().filter(|(_, (_, line))| starts_function(line)) {
        let indentation = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indentation}}}");
        let body = &lines[index..];
        let length = body.iter().position(|(_, line)| *line == end).map_or(1, |last| last + 1);
        let has_body = line.ends_with('{') || !line.ends_with('}') && !line.ends_with(';');
        if has_body && !body[..length].iter().any(|(_, line)| line.trim() == EXEMPTION) {
            found.push(Function { start: *start, length });
        }
    }
    found
}

fn starts_function(line: &str) -> bool {
    const QUALIFIERS: [&str; 6] = ["pub", "const", "async", "unsafe", "extern", "default"];
    let line = line.trim_start();
    let before = line.split(' ').take_while(|word| *word != "fn");
    let all_qualify = before
        .clone()
        .all(|word| QUALIFIERS.contains(&word) || word.starts_with("pub(") || word.starts_with('"'));
    all_qualify && before.count() < line.split(' ').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_recognised() {
        for line in ["fn f() {", "    pub(crate) extern \"C\" fn f(", "pub const fn x() -> u8 {"] {
            assert!(starts_function(line), "{line}");
        }
        for line in ["// fn f() {", "let f = fn_of(x);", "pub struct S {", "type F = fn(u8);"] {
            assert!(!starts_function(line), "{line}");
        }
    }

    #[test]
    fn lengths_reach_to_the_closing_brace() {
        let text = "impl S {\n    fn a(\n        x: u8,\n    ) {\n        {\n        }\n    }\n    fn b() {}\n    fn c();\n}\n";
        let lines: Vec<_> = text.lines().enumerate().map(|(index, line)| (index + 1, line)).collect();
        let found = functions(&lines);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].start, found[0].length), (2, 6));
    }
}
