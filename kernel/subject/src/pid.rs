//! Process and thread identifiers.

use core::fmt;

/// The number of a thread, a process, a process group or a session; all four share one space of numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(u32);

impl Pid {
    /// The first process.
    pub const INIT: Pid = Pid(1);

    /// The identifier with this number; 0 stands for nobody (the parent of init, a terminal without a group).
    pub const fn new(number: u32) -> Pid {
        Pid(number)
    }

    /// The identifier that a program's positive `pid_t` names.
    pub fn from_program(number: i32) -> Option<Pid> {
        u32::try_from(number).ok().filter(|&number| number > 0).map(Pid)
    }

    /// The number, as programs see it.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
