//! Tests of expansion.

use super::*;
use crate::shell::parse::Parser;
use crate::shell::syntax::Kind;
use alloc::collections::BTreeMap;

/// A shell that has variables and arguments, and whose commands all print the same.
#[derive(Default)]
struct Fake {
    variables: BTreeMap<Vec<u8>, Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Variables for Fake {
    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.variables.get(name).cloned()
    }

    fn set(&mut self, name: &[u8], value: i64) -> Result<()> {
        self.assign(name, alloc::format!("{value}").into_bytes())
    }
}

impl Surroundings for Fake {
    fn arguments(&self) -> Vec<Vec<u8>> {
        self.arguments.clone()
    }

    fn assign(&mut self, name: &[u8], value: Vec<u8>) -> Result<()> {
        self.variables.insert(name.to_vec(), value);
        Ok(())
    }

    fn output_of(&mut self, _list: &List) -> Result<Vec<u8>> {
        Ok(b"two words\n\n".to_vec())
    }
}

/// The arguments that a line becomes, joined by `|`.
fn expand(line: &str) -> Result<String> {
    let mut fake =
        Fake { arguments: Vec::from([b"first".to_vec(), b"the second".to_vec()]), ..Fake::default() };
    fake.assign(b"HOME", b"/root".to_vec()).unwrap();
    fake.assign(b"text", b"a  b".to_vec()).unwrap();
    fake.assign(b"path", b"/usr/lib/x.tar.gz".to_vec()).unwrap();
    fake.assign(b"empty", Vec::new()).unwrap();
    expand_with(line, &mut fake)
}

fn expand_with(line: &str, fake: &mut Fake) -> Result<String> {
    let list = Parser::new(line.as_bytes()).next_list().unwrap().unwrap();
    let Kind::Simple { words, .. } = &list[0].and_or.first.commands[0].kind else { panic!("not simple") };
    let arguments = to_arguments(words, fake)?;
    Ok(String::from_utf8(arguments.join(&b'|')).unwrap())
}

#[test]
fn quotes_protect() {
    assert_eq!(expand(r#"echo 'a $text' "b $text" c\ d "" e"f"g"#).unwrap(), "echo|a $text|b a  b|c d||efg");
}

#[test]
fn bare_values_are_split() {
    assert_eq!(expand("$text x$text$text $unset").unwrap(), "a|b|xa|ba|b");
    let mut fake = Fake::default();
    fake.assign(b"IFS", b":".to_vec()).unwrap();
    fake.assign(b"list", b"/bin::/usr bin".to_vec()).unwrap();
    assert_eq!(expand_with("$list", &mut fake).unwrap(), "/bin||/usr bin");
}

#[test]
fn arguments_keep_their_bounds_in_quotes() {
    assert_eq!(expand(r#"x"$@"y $@ "$*""#).unwrap(), "xfirst|the secondy|first|the|second|first the second");
    assert_eq!(expand_with(r#"a "$@" "$*" b"#, &mut Fake::default()).unwrap(), "a||b");
}

#[test]
fn operations_on_parameters() {
    assert_eq!(expand("${#text} ${#unset}").unwrap(), "4|0");
    assert_eq!(expand("${unset-x y} ${empty-x} ${empty:-z} \"${unset:-x y}\"").unwrap(), "x|y|z|x y");
    assert_eq!(expand("${text+set} ${empty:+set} ${new:=val} $new").unwrap(), "set|val|val");
    assert_eq!(
        expand("${path##*/} ${path#*/} ${path%.*} ${path%%.*}").unwrap(),
        "x.tar.gz|usr/lib/x.tar.gz|/usr/lib/x.tar|/usr/lib/x"
    );
    assert_eq!(expand("${unset?why}").unwrap_err(), "unset: why");
}

#[test]
fn commands_and_arithmetic() {
    assert_eq!(expand(r#"$(x) "$(x)" `x`"#).unwrap(), "two|words|two words|two|words");
    assert_eq!(expand("$((1+2*3)) $((n=4)) $n \"$(( (n+1) * 2 ))\"").unwrap(), "7|4|4|10");
    assert!(expand("$((1/0))").is_err());
}

#[test]
fn tildes_and_paths() {
    assert_eq!(expand("~ ~/x a~ '~'").unwrap(), "/root|/root/x|a~|~");
    assert_eq!(expand("/pro[c] /no-such-*").unwrap(), "/proc|/no-such-*");
    assert_eq!(expand("'/pro*' /\"pro\"*").unwrap(), "/pro*|/proc");
    assert!(expand("/*").unwrap().contains("/dev|"));
}
