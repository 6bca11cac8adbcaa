//! What of a plan is written to each CPU once, and whether the CPU took it: a hypervisor may refuse a register that
//! CPUID announces, or let the write go by without a word.

use super::{Branches, Plan};

/// A register that a plan writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    /// IA32_SPEC_CTRL.
    Control,
    /// EFER.
    Features,
    /// IA32_PRED_CMD, which cannot be read.
    Command,
}

/// IA32_SPEC_CTRL.IBRS.
const RESTRICTION: u64 = 1 << 0;
/// EFER.AIBRSE: automatic IBRS (APM volume 2, 3.2.9).
pub const AUTOMATIC_RESTRICTION: u64 = 1 << 21;
/// IA32_PRED_CMD.IBPB.
const BARRIER: u64 = 1 << 0;

impl Plan {
    /// Writes what the executing CPU is given once, and says whether it took and holds all of it; what the kernel
    /// writes at each entry is tried here, too. `read`: `None` where the register is not there; `write`: whether it was
    /// taken.
    pub fn enforce(
        &self,
        read: impl Fn(Register) -> Option<u64>,
        mut write: impl FnMut(Register, u64) -> bool,
    ) -> bool {
        let mut keeps = |register, bits: u64, value| {
            bits == 0 || write(register, value) && read(register).is_some_and(|found| found & bits == bits)
        };
        let at_entry = if self.branches == Branches::AtEntry { RESTRICTION } else { 0 };
        let control = self.control() | at_entry;
        let automatic = if self.branches == Branches::Automatic { AUTOMATIC_RESTRICTION } else { 0 };
        let features = read(Register::Features).unwrap_or(0) | automatic;
        // None of them may keep the next from being written.
        let holds_control = keeps(Register::Control, control, control);
        let holds_features = keeps(Register::Features, automatic, features);
        let takes_command = !self.has_barrier || write(Register::Command, BARRIER);
        holds_control && holds_features && takes_command
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Processor, Vendor};
    use super::*;
    use crate::command_line::CommandLine;
    use crate::speculation::Wishes;
    use std::cell::Cell;

    /// What a CPU does with a write.
    #[derive(Clone, Copy, PartialEq)]
    enum Way {
        Keeps,
        Forgets,
        Refuses,
    }

    const FEATURES: u64 = 0xd01;

    /// Whether a CPU is defended that does so with `register` and keeps the others, and what EFER holds then.
    fn enforce(plan: &Plan, register: Register, way: Way) -> (bool, u64) {
        let (control, features) = (Cell::new(0), Cell::new(FEATURES));
        let read = |from| match from {
            _ if from == register && way == Way::Refuses && from != Register::Features => None,
            Register::Control => Some(control.get()),
            Register::Features => Some(features.get()),
            Register::Command => panic!("it cannot be read"),
        };
        let write = |to, value| {
            let way = if to == register { way } else { Way::Keeps };
            match to {
                Register::Control if way == Way::Keeps => control.set(value),
                Register::Features if way == Way::Keeps => features.set(value),
                _ => {}
            }
            way != Way::Refuses
        };
        (plan.enforce(read, write), features.get())
    }

    fn plan(branches: Branches, has_barrier: bool) -> Plan {
        let vendor = Vendor::Other;
        let processor = Processor { vendor, ..Processor::read(|_, _| [0; 4], || 0) };
        Plan {
            branches,
            has_barrier,
            ..Plan::new(processor, Wishes::read(CommandLine::new(b"mitigations=off")))
        }
    }

    #[test]
    fn what_is_forgotten_or_refused_is_noticed() {
        use Register::{Command, Control, Features};
        let cases = [
            (plan(Branches::Enhanced, false), Control),
            (plan(Branches::AtEntry, false), Control),
            (plan(Branches::Automatic, false), Features),
            (plan(Branches::Open, true), Command),
        ];
        for (plan, register) in cases {
            for other in [Control, Features, Command] {
                assert!(enforce(&plan, other, Way::Keeps).0);
                let is_needed = other == register;
                assert_eq!(enforce(&plan, other, Way::Refuses).0, !is_needed, "{other:?} for {register:?}");
                // Of what cannot be read nobody knows.
                let is_seen = is_needed && other != Command;
                assert_eq!(enforce(&plan, other, Way::Forgets).0, !is_seen, "{other:?} for {register:?}");
            }
        }
    }

    #[test]
    fn the_other_features_stay() {
        let automatic = plan(Branches::Automatic, true);
        let features = FEATURES | AUTOMATIC_RESTRICTION;
        assert_eq!(enforce(&automatic, Register::Command, Way::Refuses), (false, features));
        assert_eq!(enforce(&plan(Branches::Open, true), Register::Control, Way::Keeps), (true, FEATURES));
    }
}
