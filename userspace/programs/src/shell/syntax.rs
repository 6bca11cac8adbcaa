//! The shell's syntax tree.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Commands in sequence.
pub type List = Vec<Item>;

/// One command of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What to run.
    pub and_or: AndOr,
    /// Whether it is waited for.
    pub mode: Mode,
}

/// Whether the shell waits for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Foreground,
    /// It does not: `&`.
    Background,
}

/// Pipelines joined by `&&` and `||`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AndOr {
    /// The first.
    pub first: Pipeline,
    /// The others.
    pub rest: Vec<(Connector, Pipeline)>,
}

/// What joins two pipelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connector {
    /// `&&`: if the one before succeeded.
    And,
    /// `||`: if it failed.
    Or,
}

/// Commands joined by `|`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Whether `!` turns the status around.
    pub status: Status,
    /// At least one command.
    pub commands: Vec<Command>,
}

/// How a pipeline's status counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it is.
    Kept,
    /// `!`: 0 becomes 1, all else 0.
    Inverted,
}

/// One command with its redirections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it does.
    pub kind: Kind,
    /// What is redirected around it, in order.
    pub redirections: Vec<Redirection>,
}

/// The kinds of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `NAME=value… program arguments…`
    Simple {
        /// Variables set for the program, or for the shell if there is no program.
        assignments: Vec<(Vec<u8>, Word)>,
        /// Program and arguments, before expansion.
        words: Vec<Word>,
    },
    /// `{ list; }`
    Group(List),
    /// `( list )`
    Subshell(List),
    /// `if list; then list; elif … else … fi`
    If {
        /// Conditions with what each of them guards.
        branches: Vec<(List, List)>,
        /// What runs when no condition held.
        otherwise: List,
    },
    /// `while list; do list; done`
    Loop {
        /// `while` or `until`.
        kind: LoopKind,
        /// The condition.
        condition: List,
        /// What is repeated.
        body: List,
    },
    /// `for name in words; do list; done`
    For {
        /// The variable.
        name: Vec<u8>,
        /// Its values; the shell's arguments if `None`.
        words: Option<Vec<Word>>,
        /// What is repeated.
        body: List,
    },
    /// `case word in pattern) list;; esac`
    Case {
        /// What is compared.
        word: Word,
        /// Patterns with what each set of them guards.
        arms: Vec<(Vec<Word>, List)>,
    },
    /// `name() command`
    Function {
        /// Its name.
        name: Vec<u8>,
        /// Its body.
        body: Rc<Command>,
    },
}

/// Which loop it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    /// As long as the condition succeeds.
    While,
    /// As long as it fails.
    Until,
}

/// A redirection of one descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// Which descriptor.
    pub fd: i32,
    /// Where to.
    pub target: Target,
}

/// Where a redirection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `< file`
    Read(Word),
    /// `> file`
    Write(Word),
    /// `>| file`
    Overwrite(Word),
    /// `>> file`
    Append(Word),
    /// `<> file`
    ReadWrite(Word),
    /// `>& fd`, `<& fd`; `-` closes.
    Duplicate(Word),
    /// `<< word`: the text itself.
    Text(Word),
}

/// A word before expansion.
pub type Word = Vec<Part>;

/// Whether quotes protect a part from splitting and patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// Bare.
    Bare,
    /// In quotes.
    Quoted,
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(Vec<u8>, Quoting),
    /// `$name`, `${name…}`
    Parameter {
        /// Name, number or special character.
        name: Vec<u8>,
        /// What is done to its value.
        operation: Operation,
        /// Whether in quotes.
        quoting: Quoting,
    },
    /// `$(list)`
    Command(List, Quoting),
    /// `$((expression))`, the expression before its own expansion.
    Arithmetic(Word, Quoting),
}

/// What `${name…}` does to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The value.
    Value,
    /// `${#name}`: its length.
    Length,
    /// `-`, `=`, `?`, `+`, with or without a colon.
    Alternative {
        /// Which of them.
        kind: Alternative,
        /// Whether an empty value counts as unset.
        empty: Empty,
        /// The word behind it.
        word: Box<Word>,
    },
    /// `#`, `##`, `%`, `%%`: cuts a pattern off.
    Cut {
        /// From which end.
        side: Side,
        /// How much of it.
        extent: Extent,
        /// The pattern.
        pattern: Box<Word>,
    },
}

/// What happens when a variable is unset, or is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alternative {
    /// `-`: the word instead.
    Default,
    /// `=`: the word instead, and assigned.
    Assign,
    /// `?`: an error.
    Error,
    /// `+`: the word only if set.
    Other,
}

/// Whether an empty value counts as unset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// It does: with a colon.
    CountsAsUnset,
    /// It does not.
    CountsAsSet,
}

/// An end of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `#`
    Start,
    /// `%`
    End,
}

/// How much a pattern takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As little as it can.
    Shortest,
    /// As much as it can.
    Longest,
}
