//! The rule that no field of a value is filled in under a lock: the guard would live until the whole value is built,
//! and so be held while other fields take locks of their own.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

use super::Source;

/// Fields of the kernel's values that are filled under a lock.
pub fn check(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("kernel/") && !source.is_test()) {
        let Ok(tokens) = source.text.parse() else {
            problems.push(format!("{}: cannot be read", source.path));
            continue;
        };
        let mut fields = Vec::new();
        collect(tokens, &mut fields);
        problems.extend(fields.into_iter().map(|field| {
            format!("{}: `{field}: ….lock()…` holds the lock until all fields are there", source.path)
        }));
    }
    problems
}

/// Collects the names of such fields in all braces.
fn collect(tokens: TokenStream, fields: &mut Vec<String>) {
    for token in tokens {
        let TokenTree::Group(group) = token else { continue };
        if group.delimiter() == Delimiter::Brace {
            let tokens: Vec<_> = group.stream().into_iter().collect();
            for element in tokens.split(|token| is_punct(token, ',')) {
                if let [TokenTree::Ident(name), TokenTree::Punct(colon), value @ ..] = element
                    && (colon.as_char(), colon.spacing()) == (':', Spacing::Alone)
                    && locks(value)
                {
                    fields.push(name.to_string());
                }
            }
        }
        collect(group.stream(), fields);
    }
}

/// Whether a value's tokens call `lock`, outside of blocks, whose guards end with them.
fn locks(value: &[TokenTree]) -> bool {
    let calls = value.windows(3).any(|three| match three {
        [dot, TokenTree::Ident(name), TokenTree::Group(arguments)] => {
            is_punct(dot, '.') && name == "lock" && arguments.stream().is_empty()
        }
        _ => false,
    });
    let inside = |token: &TokenTree| match token {
        TokenTree::Group(group) if group.delimiter() != Delimiter::Brace => {
            locks(&group.stream().into_iter().collect::<Vec<_>>())
        }
        _ => false,
    };
    calls || value.iter().any(inside)
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<String> {
        let mut fields = Vec::new();
        collect(text.parse().unwrap(), &mut fields);
        fields
    }

    #[test]
    fn fields_filled_under_locks_are_found() {
        assert_eq!(fields("fn f() { g(A { one: 1, two: x.lock().clone(), three: h() }) }"), ["two"]);
        assert_eq!(fields("fn f() -> A { A { one: g(x.lock().two) } }"), ["one"]);
    }

    #[test]
    fn statements_and_blocks_are_not() {
        assert!(fields("fn f() { let one = x.lock().clone(); A { one, two: { x.lock().two } } }").is_empty());
        assert!(fields("struct A { one: SpinLock<u8> } fn f() { x.lock(); }").is_empty());
        assert!(fields("match x { A::B => A::c(x.lock()), C { one: 1 } => 2 }").is_empty());
    }
}
