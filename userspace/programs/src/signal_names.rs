//! Names of signals.

/// Names without `SIG`, in the order of their numbers from 1.
const NAMES: &[&str] = &[
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The number of a signal given as `9`, `KILL` or `SIGKILL`.
pub fn number(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    if let Ok(number) = text.parse() {
        return (number <= abi::signal::NSIG).then_some(number);
    }
    let text = text.strip_prefix("SIG").unwrap_or(text);
    NAMES.iter().position(|known| *known == text).map(|index| index as u32 + 1)
}

/// All names, in the order of their numbers from 1.
pub const fn all() -> &'static [&'static str] {
    NAMES
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_and_names() {
        assert_eq!((number(b"9"), number(b"KILL"), number(b"SIGSYS")), (Some(9), Some(9), Some(31)));
        assert_eq!((number(b"65"), number(b"nothing"), number(b"-1")), (None, None, None));
    }
}
