//! Tests of the parser.

use super::*;
use crate::shell::syntax::Target;
use crate::shell::word;

fn parse(text: &str) -> Result<Option<List>> {
    Parser::new(text.as_bytes()).next_list()
}

fn kind(text: &str) -> Kind {
    parse(text).unwrap().unwrap().remove(0).and_or.first.commands.remove(0).kind
}

#[test]
fn lists_pipelines_and_connectors() {
    let list = parse("a && b || ! c | d & e; f").unwrap().unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!((list[0].mode, list[1].mode), (Mode::Background, Mode::Foreground));
    let connectors: Vec<Connector> = list[0].and_or.rest.iter().map(|(connector, _)| *connector).collect();
    assert_eq!(connectors, [Connector::And, Connector::Or]);
    let last = &list[0].and_or.rest[1].1;
    assert_eq!((last.status, last.commands.len()), (Status::Inverted, 2));
}

#[test]
fn one_complete_command_at_a_time() {
    let mut parser = Parser::new(b"\n# comment\na\nb # more\n\nc");
    for _ in 0..3 {
        assert_eq!(parser.next_list().unwrap().unwrap().len(), 1);
    }
    assert_eq!(parser.next_list().unwrap(), None);
}

#[test]
fn compound_commands() {
    assert!(matches!(kind("if a; then b; elif c; then d; else e; fi"), Kind::If { branches, otherwise }
        if branches.len() == 2 && otherwise.len() == 1));
    assert!(matches!(kind("while a\ndo b\ndone"), Kind::Loop { kind: LoopKind::While, .. }));
    assert!(
        matches!(kind("for x in 1 2 3; do a; done"), Kind::For { words: Some(words), .. } if words.len() == 3)
    );
    assert!(matches!(kind("for x do a; done"), Kind::For { words: None, .. }));
    assert!(matches!(kind("case x in a|b) c;; (*) d; esac"), Kind::Case { arms, .. }
        if arms.len() == 2 && arms[0].0.len() == 2));
    assert!(matches!(kind("{ a; b; }"), Kind::Group(list) if list.len() == 2));
    assert!(matches!(kind("(a; b) > c"), Kind::Subshell(_)));
    assert!(matches!(kind("f() { a; }"), Kind::Function { .. }));
}

#[test]
fn redirections_and_assignments() {
    let list = parse("x=1 y= a <in >out 2>&1 >>log z=3").unwrap().unwrap();
    let command = &list[0].and_or.first.commands[0];
    assert!(
        matches!(&command.kind, Kind::Simple { assignments, words } if assignments.len() == 2 && words.len() == 2)
    );
    let fds: Vec<i32> = command.redirections.iter().map(|redirection| redirection.fd).collect();
    assert_eq!(fds, [0, 1, 2, 1]);
    assert!(matches!(command.redirections[2].target, Target::Duplicate(_)));
}

#[test]
fn here_documents() {
    let mut parser = Parser::new(b"cat <<A <<-'B'; x\none\nA\n\ttwo $y\n\tB\nnext");
    let list = parser.next_list().unwrap().unwrap();
    let redirections = &list[0].and_or.first.commands[0].redirections;
    let texts = redirections.iter().map(|redirection| match &redirection.target {
        Target::Text(word) => word::plain_text(word).0,
        other => panic!("{other:?}"),
    });
    assert_eq!(texts.collect::<Vec<_>>(), [&b"one\n"[..], b"two $y\n"]);
    assert_eq!(list.len(), 2);
    assert_eq!(parser.next_list().unwrap().unwrap().len(), 1);
}

#[test]
fn what_goes_on_is_incomplete() {
    for text in [
        "a &&",
        "a |",
        "if a; then",
        "while a",
        "'abc",
        "\"abc",
        "$(a",
        "${a",
        "$((1",
        "{ a;",
        "(a",
        "cat <<E\nx\n",
        "a \\",
    ] {
        assert_eq!(parse(text), Err(Error::Incomplete), "{text}");
    }
}

#[test]
fn what_cannot_be_a_command_is_an_error() {
    for text in ["fi", ";", "a ;; b", ")", "if a; fi", "&& a", "a | | b", "${a!b}", "for 1 in", "> "] {
        assert!(
            matches!(parse(text), Err(Error::Syntax(_)) | Err(Error::Incomplete)),
            "{text}: {:?}",
            parse(text)
        );
        assert!(parse(text) != Ok(None));
    }
    assert_eq!(parse("  # only a comment"), Ok(None));
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["(", "$(", "{ ", "if ", "${a-", "$((", "\"$("] {
        assert!(parse(&text.repeat(100_000)).is_err(), "{text}");
    }
}
