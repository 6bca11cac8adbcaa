//! `test EXPRESSION`, `[ EXPRESSION ]`

use abi::fs::{
    AT_FDCWD, R_OK, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID,
    W_OK, X_OK,
};
use alloc::string::String;
use ulib::fs;
use ulib::libsyscall::file;

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 100;

/// Exit status of `test`: 0 for true, 1 for false, or what is wrong with the expression.
pub fn test(arguments: &[&[u8]]) -> Result<u8, String> {
    if arguments.is_empty() {
        return Ok(1);
    }
    let mut evaluator = Evaluator { words: arguments, depth: 0 };
    let value = evaluator.disjunction()?;
    match evaluator.words.first() {
        None => Ok(u8::from(!value)),
        Some(word) => Err(alloc::format!("test: unexpected {}", word.escape_ascii())),
    }
}

struct Evaluator<'a> {
    words: &'a [&'a [u8]],
    depth: usize,
}

impl<'a> Evaluator<'a> {
    fn next(&mut self) -> Result<&'a [u8], String> {
        let (first, rest) =
            self.words.split_first().ok_or_else(|| String::from("test: argument expected"))?;
        self.words = rest;
        Ok(first)
    }

    fn take(&mut self, word: &[u8]) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn disjunction(&mut self) -> Result<bool, String> {
        let mut value = self.conjunction()?;
        while self.take(b"-o") {
            value |= self.conjunction()?;
        }
        Ok(value)
    }

    fn conjunction(&mut self) -> Result<bool, String> {
        let mut value = self.primary()?;
        while self.take(b"-a") {
            value &= self.primary()?;
        }
        Ok(value)
    }

    /// A binary comparison has precedence, so that operators can be compared as text: `test "$x" = "$y"`.
    fn primary(&mut self) -> Result<bool, String> {
        if let [left, operator, right, ..] = *self.words
            && let Some(value) = compare(left, operator, right)?
        {
            self.words = &self.words[3..];
            return Ok(value);
        }
        if self.words.len() > 1 && self.take(b"!") {
            return self.deeper(Self::primary).map(|value| !value);
        }
        if self.words.len() > 2 && self.take(b"(") {
            let value = self.deeper(Self::disjunction)?;
            return if self.take(b")") { Ok(value) } else { Err(String::from("test: ) expected")) };
        }
        let word = self.next()?;
        if let [b'-', letter] = word
            && !self.words.is_empty()
            && let Some(check) = file_check(*letter)
        {
            return self.next().map(check);
        }
        Ok(!word.is_empty())
    }

    fn deeper(&mut self, evaluate: impl FnOnce(&mut Self) -> Result<bool, String>) -> Result<bool, String> {
        if self.depth == MAX_DEPTH {
            return Err(String::from("test: nested too deeply"));
        }
        self.depth += 1;
        let value = evaluate(self);
        self.depth -= 1;
        value
    }
}

/// The value of a comparison; `None` if `operator` is not one.
fn compare(left: &[u8], operator: &[u8], right: &[u8]) -> Result<Option<bool>, String> {
    let numeric: fn(&i64, &i64) -> bool = match operator {
        b"=" | b"==" => return Ok(Some(left == right)),
        b"!=" => return Ok(Some(left != right)),
        b"<" => return Ok(Some(left < right)),
        b">" => return Ok(Some(left > right)),
        b"-nt" | b"-ot" | b"-ef" => return Ok(Some(compare_files(left, operator, right))),
        b"-eq" => i64::eq,
        b"-ne" => i64::ne,
        b"-lt" => i64::lt,
        b"-le" => i64::le,
        b"-gt" => i64::gt,
        b"-ge" => i64::ge,
        _ => return Ok(None),
    };
    Ok(Some(numeric(&number(left)?, &number(right)?)))
}

fn compare_files(left: &[u8], operator: &[u8], right: &[u8]) -> bool {
    let (Ok(left), Ok(right)) = (fs::stat(left), fs::stat(right)) else { return false };
    let time = |stat: &abi::fs::Stat| (stat.st_mtime, stat.st_mtime_nsec);
    match operator {
        b"-nt" => time(&left) > time(&right),
        b"-ot" => time(&left) < time(&right),
        _ => (left.st_dev, left.st_ino) == (right.st_dev, right.st_ino),
    }
}

fn number(text: &[u8]) -> Result<i64, String> {
    let parsed = core::str::from_utf8(text.trim_ascii()).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| alloc::format!("test: {}: not a number", text.escape_ascii()))
}

/// The check that a letter asks for.
fn file_check(letter: u8) -> Option<fn(&[u8]) -> bool> {
    Some(match letter {
        b'e' => |path| fs::stat(path).is_ok(),
        b'f' => |path| is_kind(path, S_IFREG),
        b'd' => |path| is_kind(path, S_IFDIR),
        b'b' => |path| is_kind(path, S_IFBLK),
        b'c' => |path| is_kind(path, S_IFCHR),
        b'p' => |path| is_kind(path, S_IFIFO),
        b'S' => |path| is_kind(path, S_IFSOCK),
        b'h' | b'L' => |path| fs::lstat(path).is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFLNK),
        b's' => |path| fs::stat(path).is_ok_and(|stat| stat.st_size > 0),
        b'u' => |path| fs::stat(path).is_ok_and(|stat| stat.st_mode & S_ISUID != 0),
        b'g' => |path| fs::stat(path).is_ok_and(|stat| stat.st_mode & S_ISGID != 0),
        b'r' => |path| may(path, R_OK),
        b'w' => |path| may(path, W_OK),
        b'x' => |path| may(path, X_OK),
        b't' => |fd| number(fd).is_ok_and(|fd| file::terminal_modes(fd as i32).is_ok()),
        b'n' => |text| !text.is_empty(),
        b'z' => |text| text.is_empty(),
        _ => return None,
    })
}

fn is_kind(path: &[u8], kind: u32) -> bool {
    fs::stat(path).is_ok_and(|stat| stat.st_mode & S_IFMT == kind)
}

fn may(path: &[u8], access: u32) -> bool {
    ulib::c_string(path).is_ok_and(|path| file::faccessat(AT_FDCWD, &path, access).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn check(expression: &str) -> Result<u8, String> {
        test(&expression.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    #[test]
    fn text_and_numbers() {
        assert_eq!(
            (check("a = a"), check("a != a"), check("3 -lt 10"), check("3 -gt 10")),
            (Ok(0), Ok(1), Ok(0), Ok(1))
        );
        assert_eq!(
            (check("-n x"), check("-z x"), check("x"), test(&[]), test(&[b""])),
            (Ok(0), Ok(1), Ok(0), Ok(1), Ok(1))
        );
        assert!(check("a -eq 1").is_err() && check("a b").is_err() && check("( a").is_err());
    }

    #[test]
    fn connectors() {
        assert_eq!(
            (check("! a = b"), check("a = a -a b = c"), check("a = b -o b = b")),
            (Ok(0), Ok(1), Ok(0))
        );
        assert_eq!((check("( a = b ) -o x"), check("! x")), (Ok(0), Ok(1)));
        assert_eq!((check("= = ="), check("-n = -n"), check("-f")), (Ok(0), Ok(0), Ok(0)));
        assert!(test(&[&b"!"[..]; 1000]).is_err());
    }

    #[test]
    fn files() {
        assert_eq!(
            (check("-d /"), check("-f /"), check("-e /nowhere"), check("-c /dev/null")),
            (Ok(0), Ok(1), Ok(1), Ok(0))
        );
        assert_eq!((check("-r /dev/null"), check("/ -ef /."), check("-t 99")), (Ok(0), Ok(0), Ok(1)));
    }
}
