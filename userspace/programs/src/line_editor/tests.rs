//! Tests of the line editor: keys as terminals send them, and what the screen shows.

use super::{Editor, Step};
use alloc::string::String;
use alloc::vec::Vec;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The lines that come of these bytes.
fn lines(editor: &mut Editor, bytes: &[u8]) -> Vec<String> {
    let steps = bytes.iter().map(|&byte| editor.key(byte));
    steps.filter_map(|step| if let Step::Line(line) = step { Some(line) } else { None }).collect()
}

/// The only line that comes of these bytes and Enter.
fn line(bytes: &str) -> String {
    let mut lines = lines(&mut Editor::new(), &[bytes.as_bytes(), b"\n"].concat());
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

/// A row of a screen that wraps nothing, and its cursor's column, after these bytes.
fn row(bytes: &str) -> (String, usize) {
    let mut cells: Vec<char> = Vec::new();
    let mut column = 0;
    let mut rest = bytes.chars();
    while let Some(character) = rest.next() {
        match character {
            '\r' => column = 0,
            '\x1b' => {
                let sequence: String = rest.by_ref().take_while(|last| !last.is_ascii_alphabetic()).collect();
                match sequence.strip_prefix('[').unwrap() {
                    "" => cells.truncate(column),
                    count => column -= count.parse::<usize>().unwrap(),
                }
            }
            character => {
                cells.resize(cells.len().max(column), ' ');
                cells.truncate(column);
                cells.push(character);
                column += character.width().unwrap();
                cells.resize(column, '\0');
            }
        }
    }
    (cells.into_iter().filter(|cell| *cell != '\0').collect(), column)
}

#[test]
fn plain_text_comes_through() {
    assert_eq!(line("echo hello"), "echo hello");
    assert_eq!(line("grüße 日本語 🙂"), "grüße 日本語 🙂");
    assert_eq!(line(&"x".repeat(5000)).len(), 5000);
}

#[test]
fn arrows_and_their_like_move_and_edit() {
    assert_eq!(line("ac\x1b[Db"), "abc");
    assert_eq!(line("bc\x1b[Ha\x1b[Fd"), "abcd");
    assert_eq!(line("abc\x1b[D\x1b[D\x1b[3~"), "ac");
    assert_eq!(line("日本\x7f\x02x"), "x日");
    assert_eq!(line("one two\x17three"), "one three");
    assert_eq!(line("one two\x1b[1;5D\x1b[1;5Dzero "), "zero one two");
    assert_eq!(line("secret\x15y\x19"), "ysecret");
    assert_eq!(line("abc\x01\x0bx\x04"), "x");
    assert_eq!(line("a\x1b[99;99;99Zb\x1bOC"), "ab");
}

#[test]
fn what_is_no_text_leaves_no_trace() {
    let mut editor = Editor::new();
    let odd = b"a\xff\xc3(\x80\xe6\x97b\x00\x07\x1b\x1b[200~c\n";
    assert_eq!(lines(&mut editor, odd), ["a(bc"]);
}

#[test]
fn earlier_lines_come_back() {
    let mut editor = Editor::new();
    assert_eq!(lines(&mut editor, b"one\ntwo\n\n\x1b[A\x1b[A\n"), ["one", "two", "", "one"]);
    assert_eq!(lines(&mut editor, b"new\x1b[A\x1b[B\n"), ["new"]);
    assert_eq!(editor.key(0x0e), Step::Refused);
}

#[test]
fn the_end_is_only_at_the_start() {
    let mut editor = Editor::new();
    assert_eq!(editor.key(4), Step::EndOfInput);
    assert_eq!(editor.key(b'x'), Step::Edited);
    assert_eq!(editor.key(4), Step::Refused);
    assert_eq!(editor.key(0x0c), Step::Clear);
    assert_eq!(editor.key(3), Step::Interrupt);
    assert_eq!(lines(&mut editor, b"y\n"), ["y"]);
}

#[test]
fn the_cursor_stands_where_the_next_character_goes() {
    let mut editor = Editor::new();
    lines(&mut editor, "日本語x".as_bytes());
    assert_eq!(row(&editor.draw("/ # ", 80)), ("/ # 日本語x".into(), 11));
    lines(&mut editor, b"\x1b[D\x1b[D");
    assert_eq!(
        row(&editor.draw("\x1b[1m/\x1b[0m # ", 80).replace("\x1b[1m", "").replace("\x1b[0m", "")).1,
        8
    );
}

#[test]
fn a_long_line_stays_in_its_row() {
    let mut editor = Editor::new();
    for count in 0..500 {
        lines(&mut editor, if count % 7 == 0 { "語".as_bytes() } else { b"x" });
        let (shown, column) = row(&editor.draw("/ # ", 40));
        assert!(shown.width() < 40 && column < 40, "{count}: {shown} {column}");
        assert!(column >= 4 + count.min(16), "{count}: {column}");
    }
    lines(&mut editor, b"\x01");
    assert_eq!(row(&editor.draw("/ # ", 40)).1, 4);
}
