//! Where words of the shell's text stand for others, and where they do not, since they come from such a word
//! themselves.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// What a parser knows of them.
#[derive(Debug, Default)]
pub struct Aliases {
    /// The words.
    pub names: BTreeSet<Vec<u8>>,
    /// Up to these places of the text words are not replaced again: they come from there.
    replaced: Vec<(Vec<u8>, usize)>,
    /// Where the text of one ended in a blank: the next word may be another.
    goes_on_at: Option<usize>,
}

impl Aliases {
    /// Whether the bare word at these places of the text is to be replaced: the first of a command, or the one after
    /// such a text.
    pub(super) fn replaces(&self, text: &[u8], start: usize, end: usize, is_first: bool) -> bool {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let goes_on = self.goes_on_at.is_some_and(|at| {
            at <= start && text.get(at..start).is_some_and(|between| between.iter().all(is_blank))
        });
        let word = &text[start..end];
        (is_first || goes_on)
            && self.names.contains(word)
            && !self.replaced.iter().any(|(name, end)| name == word && start < *end)
    }

    /// The word `name` at these places is replaced by `value`.
    pub fn replaced(&mut self, name: Vec<u8>, start: usize, end: usize, value: &[u8]) {
        let new_end = start + value.len();
        self.replaced.retain(|(_, place)| *place > start);
        for (_, place) in &mut self.replaced {
            *place = (*place + new_end).saturating_sub(end).max(new_end);
        }
        self.replaced.push((name, new_end));
        let ends_in_blank = matches!(value.last(), Some(b' ' | b'\t'));
        // A word at the end of such a text goes on with what comes after the text.
        let inherited = self.goes_on_at.filter(|at| *at >= end).map(|at| at + new_end - end);
        self.goes_on_at = if ends_in_blank { Some(new_end) } else { inherited };
    }

    /// So much of the text has been read and is not there any more.
    pub fn move_to(&mut self, position: usize) {
        self.replaced.retain_mut(|(_, place)| {
            *place = place.saturating_sub(position);
            *place > 0
        });
        self.goes_on_at = self.goes_on_at.and_then(|at| at.checked_sub(position));
    }
}
