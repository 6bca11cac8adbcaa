//! Which tests are wanted: the words of the command line, and the names of all tests of guests that there are.
//!
//! All stages are asked twice. The first time they only say which tests they have: nothing is built, and nothing
//! wanted. So a word that no test's name contains is refused at once, and a stage is only prepared if one of its tests
//! is wanted.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::near;

/// What the names of the tests of this machine start with; they are cargo's to know.
pub const HOST: &str = "host/";
/// The rules of the house, which are one test for whoever chooses.
pub const TIDY: &str = "tidy";

/// Words, one of which a wanted test's name contains; none wants all.
pub struct Selection {
    words: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: BTreeSet<String>,
    is_complete: bool,
}

impl Selection {
    /// Nothing is known of the tests yet.
    pub fn new(words: Vec<String>) -> Self {
        Self { words, state: Mutex::default() }
    }

    /// Whether stages only say what they have.
    pub fn is_listing(&self) -> bool {
        !self.state().is_complete
    }

    /// All stages have said what they have.
    pub fn complete(&self) {
        self.state().is_complete = true;
    }

    /// Whether a test of guests is to be run; its name is noted.
    pub fn wants(&self, name: &str) -> bool {
        let mut state = self.state();
        state.names.insert(name.to_owned());
        state.is_complete && self.matches(name)
    }

    /// Whether a test whose name starts with `prefix` is wanted, or could be while that is not known.
    pub fn concerns(&self, prefix: &str) -> bool {
        let state = self.state();
        !state.is_complete || state.names.iter().any(|name| name.starts_with(prefix) && self.matches(name))
    }

    /// Whether a word asks for a stage by its name: some are run in no other way.
    pub fn names_stage(&self, prefix: &str) -> bool {
        self.words.iter().any(|word| word.starts_with(prefix))
    }

    /// What `cargo test` shall look for; `None` if no host test is wanted. A word with a slash names another stage.
    pub fn host_words(&self) -> Option<Vec<&str>> {
        let words: Vec<_> = self.words.iter().filter_map(|word| host_word(word)).collect();
        (self.words.is_empty() || !words.is_empty()).then_some(words)
    }

    /// Whether the rules of the house are wanted.
    pub fn wants_tidy(&self) -> bool {
        self.words.is_empty() || self.names_stage(TIDY)
    }

    /// The wanted names, once all are known.
    pub fn names(&self) -> Vec<String> {
        let state = self.state();
        state.names.iter().filter(|name| self.matches(name)).cloned().collect()
    }

    /// The first word that no guest's test contains, and that cannot be a host test's or the rules'.
    pub fn unknown_word(&self) -> Option<&str> {
        let state = self.state();
        let is_known = |word: &String| {
            host_word(word).is_some()
                || word.starts_with(TIDY)
                || state.names.iter().any(|name| name.contains(word.as_str()))
        };
        self.words.iter().find(|word| !is_known(word)).map(String::as_str)
    }

    /// The first word of a host test of which there is none, and no guest's either; `host` are the names of those that
    /// were found.
    pub fn unmet_word(&self, host: &[String]) -> Option<&str> {
        let state = self.state();
        let is_met = |word: &String| match host_word(word) {
            None => true,
            Some(part) => {
                host.iter().any(|name| name.contains(part))
                    || state.names.iter().any(|name| name.contains(word.as_str()))
            }
        };
        self.words.iter().find(|word| !is_met(word)).map(String::as_str)
    }

    /// What to say of a word that no test's name contains, among `more` besides those of guests.
    pub fn complain(&self, word: &str, more: &[String]) -> String {
        let state = self.state();
        let part = host_word(word).unwrap_or(word);
        let advice = near::advice(part, state.names.iter().chain(more));
        format!(
            "no test's name contains {part:?}{advice}; `cargo xtask test --list` names all, with host/ those of this machine"
        )
    }

    fn matches(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a host test's name that a word asks for.
fn host_word(word: &str) -> Option<&str> {
    word.strip_prefix(HOST).or_else(|| (!word.contains('/') && !word.starts_with(TIDY)).then_some(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(words: &[&str]) -> Selection {
        let selection = Selection::new(words.iter().map(|word| (*word).to_owned()).collect());
        for name in ["boot/x86_64/q35", "conformance/x86_64/orlop/pipes", "conformance/x86_64/linux/pipes"] {
            assert!(!selection.wants(name) && selection.concerns("any/"));
        }
        selection.complete();
        selection
    }

    #[test]
    fn no_word_wants_all() {
        let all = selection(&[]);
        assert!(all.wants("boot/x86_64/q35") && all.concerns("boot/") && !all.concerns("nested/"));
        assert!(all.wants_tidy());
        assert_eq!((all.host_words(), all.names().len(), all.unknown_word()), (Some(vec![]), 3, None));
    }

    #[test]
    fn each_word_adds_what_contains_it() {
        let two = selection(&["x86_64/orlop/", "q35"]);
        assert_eq!(two.names(), ["boot/x86_64/q35", "conformance/x86_64/orlop/pipes"]);
        assert!(!two.wants("conformance/x86_64/linux/pipes") && !two.wants_tidy());
        assert_eq!(two.host_words(), Some(vec!["q35"]));
        let one = selection(&["linux/pipes"]);
        assert!(!one.concerns("boot/") && one.concerns("conformance/"));
        assert_eq!(one.host_words(), None);
    }

    #[test]
    fn words_of_no_test_are_told() {
        assert_eq!(
            selection(&["pipes", "conformance/x86_64/pipes"]).unknown_word(),
            Some("conformance/x86_64/pipes")
        );
        assert_eq!(selection(&["host/", "tidy/clippy", "vma"]).unknown_word(), None);
    }
    #[test]
    fn words_of_no_host_test_are_told_once_those_are_known() {
        let host = ["vma::tests::splits".to_owned()];
        assert_eq!(selection(&["vma", "host/splits", "q35", "boot/", "tidy"]).unmet_word(&host), None);
        let odd = selection(&["vma", "spilts"]);
        assert_eq!(odd.unmet_word(&host), Some("spilts"));
        assert!(odd.complain("spilts", &host).contains("\"spilts\"; near it: vma::tests::splits;"));
        let guests = selection(&["conformance/x86_64/orlop/piqes"]);
        assert!(
            guests
                .complain("conformance/x86_64/orlop/piqes", &[])
                .contains("near it: conformance/x86_64/orlop/pipes")
        );
    }
}
