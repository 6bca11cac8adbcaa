//! Tests of the command line's rules.

use super::*;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

fn text(word: Word<'_>) -> String {
    String::from_utf8(word.bytes().collect()).unwrap()
}

fn words(line: &str) -> Vec<String> {
    Words { rest: line.as_bytes() }.map(text).collect()
}

#[test]
fn quotes_hold_words_together() {
    assert_eq!(words(r#" a  b="c d" "e f=g h" i"j k"l"#), ["a", "b=c d", "e f=g h", r#"i"j k"l"#]);
    assert_eq!(words("\"open until the end"), ["open until the end"]);
    assert_eq!(words("a=\"b c"), ["a=b c"]);
    assert_eq!(words("\"\" =x"), ["", "=x"]);
}

#[test]
fn the_shell_gets_its_script() {
    let line = CommandLine::new(b"console=ttyS0 rdinit=/bin/sh -- -c \"echo hi\" x=1\0junk");
    let arguments: Vec<_> = line.init_arguments(|_| false).map(text).collect();
    assert_eq!(arguments, ["-c", "echo hi", "x=1"]);
    assert_eq!(line.initramfs_init(), (&b"/bin/sh"[..], true));
    assert_eq!(line.requested_init(), None);
    assert_eq!(line.option("x"), None, "what is behind -- is not the kernel's");
}

#[test]
fn unknown_words_go_to_init() {
    let line = CommandLine::new(b"auto init=/sbin/my quiet single HOME=/x snd.debug=1 ro panic=5");
    let known = |name: &[u8]| matches!(name, b"quiet" | b"panic");
    assert_eq!(line.init_arguments(known).map(text).collect::<Vec<_>>(), ["single", "ro"]);
    assert_eq!(line.init_environment(known).map(text).collect::<Vec<_>>(), ["HOME=/x"]);
    assert_eq!(line.initramfs_init(), (&b"/init"[..], false));
    assert_eq!(line.requested_init(), Some(&b"/sbin/my"[..]));
}

#[test]
fn the_last_option_counts() {
    let line = CommandLine::new(b"panic=1 console=a my-word console=b panic=2");
    assert_eq!(line.option("panic"), Some(&b"2"[..]));
    assert_eq!(line.option("my_word"), Some(&b""[..]));
    assert!(line.options("console").eq([&b"a"[..], b"b"]));
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in
        [("64M", 64 << 20), ("1g", 1 << 30), ("0x10k", 16384), ("4096", 4096), ("2T", 2 << 40), ("5x", 5)]
    {
        assert_eq!(size(text.as_bytes()), Some(bytes), "{text}");
    }
    for text in ["", "M", "99999999999999999999", "9999999999T"] {
        assert_eq!(size(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_line_ends(line in "[a= \"\\-\t]{0,40}") {
        let parsed = CommandLine::new(line.as_bytes());
        prop_assert!(parsed.words().count() <= line.len());
        prop_assert!(parsed.init_arguments(|_| false).count() <= line.len());
    }

    #[test]
    fn words_without_quotes_are_what_white_space_separates(line in "[ab=\\- ]{0,40}") {
        prop_assert_eq!(words(&line), line.split_whitespace().map(String::from).collect::<Vec<_>>());
    }
}
