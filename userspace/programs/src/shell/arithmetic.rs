//! Integer expressions: `$((…))`.
//!
//! 64-bit and wrapping, with C's operators and precedence, variables by name, and assignments to them.

use alloc::string::String;
use alloc::vec::Vec;

/// Where an expression finds and keeps its variables.
pub trait Variables {
    /// A variable's value as text.
    fn get(&self, name: &[u8]) -> Option<Vec<u8>>;
    /// Sets a variable.
    fn set(&mut self, name: &[u8], value: i64) -> Result<(), String>;
}

/// Deepest nesting of parentheses and unary operators.
const MAX_DEPTH: usize = 100;

/// Binary operators, longest first, with their precedence; a higher one binds closer.
const OPERATORS: &[(&[u8], u8)] = &[
    (b"||", 1),
    (b"&&", 2),
    (b"==", 6),
    (b"!=", 6),
    (b"<=", 7),
    (b">=", 7),
    (b"<<", 8),
    (b">>", 8),
    (b"|", 3),
    (b"^", 4),
    (b"&", 5),
    (b"<", 7),
    (b">", 7),
    (b"+", 9),
    (b"-", 9),
    (b"*", 10),
    (b"/", 10),
    (b"%", 10),
];

/// The value of an expression, or what is wrong with it.
pub fn evaluate(expression: &[u8], variables: &mut dyn Variables) -> Result<i64, String> {
    let mut evaluator = Evaluator { input: expression, position: 0, depth: 0, skipped: 0, variables };
    evaluator.skip_blanks();
    if evaluator.position == expression.len() {
        return Ok(0);
    }
    let value = evaluator.conditional()?;
    if evaluator.position == expression.len() { Ok(value) } else { Err(evaluator.syntax_error()) }
}

struct Evaluator<'a> {
    input: &'a [u8],
    position: usize,
    depth: usize,
    /// Above 0 in an operand that does not count, as the right one of `0 && x`: no assignment, no division error.
    skipped: usize,
    variables: &'a mut dyn Variables,
}

impl Evaluator<'_> {
    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.position += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.position).copied()
    }

    fn take(&mut self, text: &[u8]) -> bool {
        let found = self.input[self.position..].starts_with(text);
        if found {
            self.position += text.len();
            self.skip_blanks();
        }
        found
    }

    fn syntax_error(&self) -> String {
        alloc::format!("arithmetic: syntax error in \"{}\"", self.input.escape_ascii())
    }

    /// `a ? b : c` or less.
    fn conditional(&mut self) -> Result<i64, String> {
        let condition = self.binary(1)?;
        if !self.take(b"?") {
            return Ok(condition);
        }
        let (first, second) = (usize::from(condition == 0), usize::from(condition != 0));
        let chosen = self.operand(first, Self::conditional)?;
        if !self.take(b":") {
            return Err(self.syntax_error());
        }
        let other = self.operand(second, Self::conditional)?;
        Ok(if condition != 0 { chosen } else { other })
    }

    /// Evaluates an operand that counts only if `skipped` is 0, one level deeper.
    fn operand(
        &mut self,
        skipped: usize,
        evaluate: impl FnOnce(&mut Self) -> Result<i64, String>,
    ) -> Result<i64, String> {
        if self.depth == MAX_DEPTH {
            return Err(String::from("arithmetic: nested too deeply"));
        }
        self.depth += 1;
        self.skipped += skipped;
        let value = evaluate(self);
        self.skipped -= skipped;
        self.depth -= 1;
        value
    }

    /// Operators of at least the given precedence.
    fn binary(&mut self, lowest: u8) -> Result<i64, String> {
        let mut left = self.unary()?;
        while let Some((operator, precedence)) = self.operator(lowest) {
            self.take(operator);
            let skipped = usize::from((operator == b"&&" && left == 0) || (operator == b"||" && left != 0));
            let right = self.operand(skipped, |evaluator| evaluator.binary(precedence + 1))?;
            left = self.apply(operator, left, right)?;
        }
        Ok(left)
    }

    /// The operator that stands here, if it binds closely enough and is not an assignment.
    fn operator(&self, lowest: u8) -> Option<(&'static [u8], u8)> {
        let rest = &self.input[self.position..];
        let &(operator, precedence) = OPERATORS.iter().find(|(operator, _)| rest.starts_with(operator))?;
        (precedence >= lowest).then_some((operator, precedence))
    }

    fn apply(&self, operator: &[u8], left: i64, right: i64) -> Result<i64, String> {
        Ok(match operator {
            b"||" => i64::from(left != 0 || right != 0),
            b"&&" => i64::from(left != 0 && right != 0),
            b"==" => i64::from(left == right),
            b"!=" => i64::from(left != right),
            b"<=" => i64::from(left <= right),
            b">=" => i64::from(left >= right),
            b"<" => i64::from(left < right),
            b">" => i64::from(left > right),
            b"<<" => left.wrapping_shl(right as u32),
            b">>" => left.wrapping_shr(right as u32),
            b"|" => left | right,
            b"^" => left ^ right,
            b"&" => left & right,
            b"+" => left.wrapping_add(right),
            b"-" => left.wrapping_sub(right),
            b"*" => left.wrapping_mul(right),
            _ if right == 0 && self.skipped > 0 => 0,
            _ if right == 0 => return Err(String::from("arithmetic: division by zero")),
            b"/" => left.wrapping_div(right),
            _ => left.wrapping_rem(right),
        })
    }

    fn unary(&mut self) -> Result<i64, String> {
        self.skip_blanks();
        if self.take(b"(") {
            let value = self.operand(0, Self::conditional)?;
            return if self.take(b")") { Ok(value) } else { Err(self.syntax_error()) };
        }
        if self.take(b"-") {
            return self.operand(0, Self::unary).map(i64::wrapping_neg);
        }
        if self.take(b"+") {
            return self.operand(0, Self::unary);
        }
        if self.take(b"!") {
            return self.operand(0, Self::unary).map(|value| i64::from(value == 0));
        }
        if self.take(b"~") {
            return self.operand(0, Self::unary).map(|value| !value);
        }
        let length = self.input[self.position..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .count();
        let token = &self.input[self.position..self.position + length];
        self.position += length;
        self.skip_blanks();
        match token.first() {
            Some(byte) if byte.is_ascii_digit() => parse_number(token).ok_or_else(|| self.syntax_error()),
            Some(_) => self.variable(token.to_vec()),
            None => Err(self.syntax_error()),
        }
    }

    /// A variable, or an assignment to it.
    fn variable(&mut self, name: Vec<u8>) -> Result<i64, String> {
        let text = self.variables.get(&name).unwrap_or_default();
        let value = if text.is_empty() { Some(0) } else { parse_number(text.trim_ascii()) };
        let rest = &self.input[self.position..];
        if rest.starts_with(b"=") && !rest.starts_with(b"==") {
            self.take(b"=");
            let new = self.operand(0, Self::conditional)?;
            return self.assign(&name, new);
        }
        let value =
            value.ok_or_else(|| alloc::format!("arithmetic: bad number \"{}\"", text.escape_ascii()))?;
        for operator in [&b"<<"[..], b">>", b"+", b"-", b"*", b"/", b"%", b"&", b"|", b"^"] {
            let rest = &self.input[self.position..];
            if rest.strip_prefix(operator).is_some_and(|rest| rest.starts_with(b"=")) {
                self.take(operator);
                self.take(b"=");
                let right = self.operand(0, Self::conditional)?;
                let new = self.apply(operator, value, right)?;
                return self.assign(&name, new);
            }
        }
        Ok(value)
    }

    fn assign(&mut self, name: &[u8], value: i64) -> Result<i64, String> {
        if self.skipped == 0 {
            self.variables.set(name, value)?;
        }
        Ok(value)
    }
}

/// A decimal, octal (`0…`) or hexadecimal (`0x…`) number, perhaps negative.
fn parse_number(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let value = if let Some(digits) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        i64::from_str_radix(digits, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    value.ok().map(|value| if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    impl Variables for BTreeMap<Vec<u8>, Vec<u8>> {
        fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
            BTreeMap::get(self, name).cloned()
        }

        fn set(&mut self, name: &[u8], value: i64) -> Result<(), String> {
            self.insert(name.to_vec(), alloc::format!("{value}").into_bytes());
            Ok(())
        }
    }

    fn value(expression: &str) -> Result<i64, String> {
        let mut variables =
            BTreeMap::from([(b"seven".to_vec(), b"7".to_vec()), (b"word".to_vec(), b"x".to_vec())]);
        evaluate(expression.as_bytes(), &mut variables)
    }

    #[test]
    fn precedence_is_that_of_c() {
        assert_eq!(value("1 + 2 * 3"), Ok(7));
        assert_eq!(value("(1 + 2) * 3"), Ok(9));
        assert_eq!(value("10 - 4 - 3"), Ok(3));
        assert_eq!(value("1 << 2 + 1"), Ok(8));
        assert_eq!(value("1 | 2 ^ 3 & 1"), Ok(3));
        assert_eq!(value("-2 * -3 + !0 + ~0"), Ok(6));
        assert_eq!(value("1 < 2 == 1 && 3 >= 3"), Ok(1));
        assert_eq!(value("0 ? 1 : 2 ? 3 : 4"), Ok(3));
    }

    #[test]
    fn variables_and_assignments() {
        assert_eq!(value("seven * seven + unset"), Ok(49));
        assert!(value("x = 5, 1").is_err());
        assert_eq!(value("x = seven + 1"), Ok(8));
        assert_eq!(value("seven += 3"), Ok(10));
        assert_eq!(value("(x = 3) + x"), Ok(6));
        assert!(value("word + 1").is_err());
    }

    #[test]
    fn what_is_not_evaluated_does_not_fail() {
        assert_eq!(value("0 && 1 / 0"), Ok(0));
        assert_eq!(value("1 || 1 / 0"), Ok(1));
        assert_eq!(value("1 ? 2 : 1 / 0"), Ok(2));
        assert!(value("1 / 0").is_err() && value("1 % 0").is_err());
    }

    #[test]
    fn numbers_in_three_bases_and_at_the_limits() {
        assert_eq!(value("0x1f + 010 + 9"), Ok(48));
        assert_eq!(value("9223372036854775807 + 1"), Ok(i64::MIN));
        assert_eq!(value("(-9223372036854775807 - 1) / -1"), Ok(i64::MIN));
        assert_eq!(value(""), Ok(0));
        assert!(value("08").is_err() && value("1 +").is_err() && value("(1").is_err());
        assert!(value(&"(".repeat(100_000)).is_err());
        assert!(value(&"-".repeat(100_000)).is_err());
    }
}
