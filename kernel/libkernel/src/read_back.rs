//! Registers that were written, and whether they hold it: a hypervisor may let a write go by without a word.

use core::fmt;

/// What a register has to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected<R> {
    /// Which register.
    pub register: R,
    /// The manual's name of it.
    pub name: &'static str,
    /// What was written.
    pub value: u64,
    /// The bits that count.
    pub mask: u64,
}

impl<R> Expected<R> {
    /// All bits of `register` count.
    pub const fn whole(register: R, name: &'static str, value: u64) -> Self {
        Self { register, name, value, mask: u64::MAX }
    }
}

/// A register that does not hold what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    name: &'static str,
    wanted: u64,
    found: Option<u64>,
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { name, wanted, found } = self;
        match found {
            Some(found) => {
                write!(formatter, "{name} holds {found:#x} and not {wanted:#x}, which was written")
            }
            None => write!(formatter, "{name} cannot be read, in which {wanted:#x} was written"),
        }
    }
}

/// The first of `all` that does not hold what it should, as `read` finds it; `None` of `read`: there is no such
/// register.
pub fn find_lost<R: Copy>(
    all: impl IntoIterator<Item = Expected<R>>,
    mut read: impl FnMut(R) -> Option<u64>,
) -> Option<Lost> {
    all.into_iter().find_map(|Expected { register, name, value, mask }| {
        let found = read(register);
        let holds = found.is_some_and(|found| found & mask == value & mask);
        (!holds).then_some(Lost { name, wanted: value, found })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// A CPU with four registers, of which the last is not there.
    struct Cpu([u64; 3]);

    impl Cpu {
        fn look(&self) -> Option<Lost> {
            let all = [
                Expected::whole(0, "ZERO", 0),
                Expected { register: 1, name: "ONE", value: 0x11, mask: 0xff },
                Expected::whole(2, "TWO", 0xffff_ffff_8000_0000),
            ];
            find_lost(all, |register: usize| self.0.get(register).copied())
        }
    }

    #[test]
    fn what_was_kept_is_no_loss() {
        assert_eq!(Cpu([0, 0x11, 0xffff_ffff_8000_0000]).look(), None);
        // Bits that do not count.
        assert_eq!(Cpu([0, 0x2211, 0xffff_ffff_8000_0000]).look(), None);
    }

    #[test]
    fn the_first_loss_is_told() {
        let told = |cpu: Cpu| cpu.look().unwrap().to_string();
        assert_eq!(told(Cpu([1, 0, 0])), "ZERO holds 0x1 and not 0x0, which was written");
        assert_eq!(told(Cpu([0, 0x10, 0])), "ONE holds 0x10 and not 0x11, which was written");
        assert_eq!(told(Cpu([0, 0x11, 0])), "TWO holds 0x0 and not 0xffffffff80000000, which was written");
    }

    #[test]
    fn a_register_that_is_not_there_is_a_loss() {
        let lost = find_lost([Expected::whole(7, "SEVEN", 1)], |_| None).unwrap();
        assert_eq!(lost.to_string(), "SEVEN cannot be read, in which 0x1 was written");
    }
}
