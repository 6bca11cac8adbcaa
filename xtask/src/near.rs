//! Names that somebody may have meant who wrote another.

/// How like each other two names are that are told to somebody, of 1.
const LIKENESS: f64 = 0.8;
/// No more are told.
const MOST: usize = 6;

/// Those of `names` that are most like `word`, as the end of a sentence; empty if none is. A word may be the last parts
/// of a path.
pub fn advice(word: &str, names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut near: Vec<_> = names.into_iter().map(|name| (likeness(word, name.as_ref()), name)).collect();
    near.retain(|(likeness, _)| *likeness >= LIKENESS);
    near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let names: Vec<_> = near.iter().take(MOST).map(|(_, name)| name.as_ref()).collect();
    if names.is_empty() { String::new() } else { format!("; near it: {}", names.join(", ")) }
}

/// Of the name, or of as many of its last parts as `word` has.
fn likeness(word: &str, name: &str) -> f64 {
    let separator = if word.contains("::") || name.contains("::") { "::" } else { "/" };
    let parts = word.matches(separator).count() + 1;
    let start = name.rmatch_indices(separator).nth(parts - 1).map_or(0, |(at, _)| at + separator.len());
    strsim::jaro_winkler(word, name).max(strsim::jaro_winkler(word, &name[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_a_word_comes_first() {
        let names = ["conformance/x86_64/orlop/pipes", "conformance/x86_64/linux/pipes", "boot/x86_64/q35"];
        assert_eq!(advice("pipse", names), format!("; near it: {}, {}", names[0], names[1]));
        assert!(
            advice("conformance/x86_64/orlop/pips", names)
                .starts_with("; near it: conformance/x86_64/orlop/")
        );
        assert_eq!(advice("x86_64/q53", names), "; near it: boot/x86_64/q35");
        assert_eq!(advice("vma_spilt", ["vma::tests::vma_split"]), "; near it: vma::tests::vma_split");
        assert_eq!(advice("zzz", names), "");
    }
}
