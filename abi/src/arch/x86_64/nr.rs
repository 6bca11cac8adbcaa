//! System-call numbers of x86_64, generated from the table.
#![allow(non_upper_case_globals, reason = "the constants carry Linux's own names")]

use crate::table::{NUMBER_LIMIT, Row};

/// `constant!(read, 0)` is `pub const read: u64 = 0;`, `constant!(open, none)` is nothing.
macro_rules! constant {
    ($name:ident, none) => {};
    ($name:ident, $number:literal) => {
        #[doc = concat!("The number of `", stringify!($name), "`.")]
        pub const $name: u64 = $number;
    };
}

/// `enter!(names, read, 0)` is `names[0] = Some("read");`, `enter!(names, open, none)` is nothing.
macro_rules! enter {
    ($names:ident, $name:ident, none) => {};
    ($names:ident, $name:ident, $number:literal) => {
        $names[$number] = Some(stringify!($name));
    };
}

/// Makes a constant of every row that has a number here, and the array from number to name.
macro_rules! numbers {
    ($(($name:ident, $number:tt, $other:tt, $($handler:ident)::+, $completeness:literal),)*) => {
        $(constant!($name, $number);)*

        static NAMES: [Option<&str>; NUMBER_LIMIT] = {
            let mut names = [None; NUMBER_LIMIT];
            $(enter!(names, $name, $number);)*
            names
        };
    };
}
crate::for_each_syscall!(numbers);

/// The name of call `number`, if there is one.
pub fn name(number: u64) -> Option<&'static str> {
    usize::try_from(number).ok().and_then(|index| NAMES.get(index).copied().flatten())
}

/// The number that the call of `row` has here.
pub const fn of(row: &Row) -> Option<u16> {
    row.x86_64
}
