//! The paths in a Rust file: what it uses, and which names it gives to what.

use std::collections::BTreeMap;
use std::iter::Peekable;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path as it is written, from `crate`, `super`, a module or a name that the file has given.
pub type Path = Vec<String>;

/// What a file says of other files. Code under `#[cfg(test)]` is left out.
#[derive(Default, Debug)]
pub struct Mentions {
    /// Paths in code and in private `use` items.
    pub used: Vec<Path>,
    /// What the names of `use` items stand for, of public ones too: an item re-exported is used by whoever asks for it.
    pub names: BTreeMap<String, Path>,
}

/// Reads a file's text.
pub fn read(text: &str) -> Result<Mentions> {
    let tokens: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
    let mut mentions = Mentions::default();
    mentions.walk(tokens, 0);
    Ok(mentions)
}

type Tokens = Peekable<proc_macro2::token_stream::IntoIter>;

impl Mentions {
    /// Notes what the tokens mention; `depth` modules are open in the file around them.
    fn walk(&mut self, tokens: TokenStream, depth: usize) {
        let mut tokens = tokens.into_iter().peekable();
        let mut public = false;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let Some(TokenTree::Group(attribute)) = tokens.peek()
                        && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
                    {
                        skip_item(&mut tokens);
                    }
                }
                TokenTree::Ident(word) if word == "pub" => {
                    public = true;
                    if matches!(tokens.peek(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
                    {
                        tokens.next();
                    }
                    continue;
                }
                TokenTree::Ident(word) if word == "use" => self.use_item(&mut tokens, depth, public),
                TokenTree::Ident(word) if word == "mod" => {
                    tokens.next();
                    if let Some(TokenTree::Group(body)) = tokens.peek() {
                        let body = body.stream();
                        self.walk(body, depth + 1);
                        tokens.next();
                    }
                }
                TokenTree::Ident(word) => {
                    let path = path_from(word.to_string(), &mut tokens);
                    if path.len() > 1 {
                        self.used.extend(seen_from_file(path, depth));
                    }
                }
                TokenTree::Group(group) => self.walk(group.stream(), depth),
                _ => (),
            }
            public = false;
        }
    }

    fn use_item(&mut self, tokens: &mut Tokens, depth: usize, public: bool) {
        let item: TokenStream = tokens
            .by_ref()
            .take_while(|token| !matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';'))
            .collect();
        let mut leaves = Vec::new();
        use_tree(item, &Vec::new(), &mut leaves);
        for (name, path) in leaves {
            let Some(path) = seen_from_file(path, depth) else { continue };
            if !public {
                self.used.push(path.clone());
            }
            if depth == 0 {
                self.names.insert(name, path);
            }
        }
    }
}

/// The rest of an item that an attribute stands before: up to its block or semicolon.
fn skip_item(tokens: &mut Tokens) {
    for token in tokens.by_ref() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => return,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            _ => (),
        }
    }
}

/// `first::second::…`, as far as it goes.
fn path_from(first: String, tokens: &mut Tokens) -> Path {
    let mut path = vec![first];
    while is_colon(tokens.peek()) {
        tokens.next();
        if !is_colon(tokens.peek()) {
            break;
        }
        tokens.next();
        match tokens.peek() {
            Some(TokenTree::Ident(word)) => path.push(word.to_string()),
            _ => break,
        }
        tokens.next();
    }
    path
}

fn is_colon(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

/// The leaves of a `use` tree, each with the name that it gives.
fn use_tree(tokens: TokenStream, before: &Path, leaves: &mut Vec<(String, Path)>) {
    let mut path = before.clone();
    let mut alias = None;
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => alias = tokens.next().map(|token| token.to_string()),
            TokenTree::Ident(word) if word == "self" && !path.is_empty() => (),
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(group) => {
                use_tree(group.stream(), &path, leaves);
                path = Path::new();
            }
            TokenTree::Punct(punct) if punct.as_char() == ',' => {
                leaf(std::mem::replace(&mut path, before.clone()), alias.take(), leaves);
            }
            _ => (),
        }
    }
    if path.len() > before.len() || alias.is_some() {
        leaf(path, alias, leaves);
    }
}

fn leaf(path: Path, alias: Option<String>, leaves: &mut Vec<(String, Path)>) {
    if let Some(last) = path.last() {
        leaves.push((alias.unwrap_or_else(|| last.clone()), path));
    }
}

/// A path in an inner module, as the file itself would write it; none if it stays inside.
fn seen_from_file(mut path: Path, mut depth: usize) -> Option<Path> {
    while depth > 0 && path.first().is_some_and(|word| word == "super") {
        path.remove(0);
        depth -= 1;
    }
    (depth == 0 || path.first().is_some_and(|word| word == "crate") || path.len() > 1).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(text: &str) -> Vec<String> {
        read(text).unwrap().used.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn trees_have_leaves() {
        let text = "use crate::a::{self, b::{C, D as E}, f};\nuse super::g;";
        assert_eq!(used(text), ["crate::a", "crate::a::b::C", "crate::a::b::D", "crate::a::f", "super::g"]);
        let names = read(text).unwrap().names;
        assert_eq!(names["E"].join("::"), "crate::a::b::D");
        assert_eq!(names["a"].join("::"), "crate::a");
    }

    #[test]
    fn code_mentions_paths_wherever_they_stand() {
        let text =
            "fn f(x: crate::a::X) -> u8 { m!(b::c(1)); if x { super::d::e() } else { X::<u8>::new() } }";
        assert_eq!(used(text), ["crate::a::X", "b::c", "super::d::e"]);
    }

    #[test]
    fn what_is_for_tests_does_not_count() {
        let text = "#[cfg(test)]\nmod tests { use super::a::B; fn f() { crate::c::d() } }\n#[cfg(test)]\nuse crate::e::F;\nuse crate::g::H;";
        assert_eq!(used(text), ["crate::g::H"]);
    }

    #[test]
    fn a_name_given_on_is_not_used_here() {
        let mentions = read("pub use inner::Thing;\npub(crate) use crate::x::y;").unwrap();
        assert!(mentions.used.is_empty());
        assert_eq!(mentions.names["Thing"].join("::"), "inner::Thing");
        assert_eq!(mentions.names["y"].join("::"), "crate::x::y");
    }

    #[test]
    fn inner_modules_look_outwards() {
        assert_eq!(used("mod inner { use super::a::B; use super::super::c::D; }"), ["a::B", "super::c::D"]);
    }
}
