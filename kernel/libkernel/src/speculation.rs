//! What CPUs let programs find out by speculation: the weaknesses by Linux's names, and which defences the command line
//! wants.
//!
//! What a CPU has of them, and what is done about it, is each architecture's plan (`arch/*/speculation`);
//! docs/security.md states the model. Source of names and words: Linux 6.1,
//! Documentation/ABI/testing/sysfs-devices-system-cpu and admin-guide/hw-vuln.
use crate::command_line::CommandLine;

/// The weaknesses, in the order of their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "Linux's names")]
pub enum Weakness {
    GatherDataSampling,
    IndirectTargetSelection,
    ItlbMultihit,
    L1tf,
    Mds,
    Meltdown,
    MmioStaleData,
    RegFileDataSampling,
    Retbleed,
    SpecRstackOverflow,
    SpecStoreBypass,
    SpectreV1,
    SpectreV2,
    Srbds,
    Tsa,
    TsxAsyncAbort,
    Vmscape,
}

/// What is said of a CPU that does not have a weakness.
pub const NOT_AFFECTED: &str = "Not affected";

/// What can be done about a weakness for one thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    /// The CPU does not have it.
    NotAffected,
    /// Nothing.
    None,
    /// Nothing, because the command line says so.
    Refused,
    /// The thread is kept from speculating so.
    Limits,
}

/// From what a thread is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Loads that pass older stores.
    pub store_bypass: bool,
    /// Targets of branches that others trained.
    pub indirect_branches: bool,
}

/// How much is defended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// `mitigations=off`: nothing that costs something.
    Off,
    /// What the CPU needs. Without a word, and with `mitigations=auto`.
    Auto,
    /// `mitigations=test`: everything that the kernel knows, needed or not, so that it is executed where no CPU needs
    /// it. On CPUs without the registers that it writes the kernel dies; QEMU's translator ignores them.
    Test,
}

/// What the command line asks for. Linux's words: admin-guide/kernel-parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wishes {
    /// In general.
    pub level: Level,
    /// `nospectre_v1` is not there: fences at `swapgs`, masks.
    pub bounds: bool,
    /// `nospectre_v2` or `spectre_v2=off` are not there.
    pub branches: bool,
    /// `spec_store_bypass_disable=off` and `nospec_store_bypass_disable`, or AArch64's `ssbd=force-off`, are not there.
    pub store_bypass: bool,
}

impl Wishes {
    /// Reads the command line. What Linux does not know is not looked at, and `mitigations=auto,nosmt` leaves all
    /// threads on.
    pub fn read(command_line: CommandLine<'_>) -> Self {
        let level = match command_line.option("mitigations") {
            Some(b"off") => Level::Off,
            Some(b"test") => Level::Test,
            _ => Level::Auto,
        };
        let is = |name, value: &[u8]| command_line.option(name) == Some(value);
        let given = |name| command_line.option(name).is_some();
        let on = level != Level::Off;
        let bypass_off = given("nospec_store_bypass_disable")
            || is("spec_store_bypass_disable", b"off")
            || is("ssbd", b"force-off");
        Self {
            level,
            bounds: on && !given("nospectre_v1"),
            branches: on && !given("nospectre_v2") && !is("spectre_v2", b"off"),
            store_bypass: on && !bypass_off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(line: &str) -> Wishes {
        Wishes::read(CommandLine::new(line.as_bytes()))
    }

    #[test]
    fn all_is_wanted_unless_a_word_says_otherwise() {
        let all = Wishes { level: Level::Auto, bounds: true, branches: true, store_bypass: true };
        for line in [
            "",
            "mitigations=auto",
            "mitigations=auto,nosmt",
            "quiet -- mitigations=off",
            "mitigations=off mitigations=auto",
        ] {
            assert_eq!(wishes(line), all, "{line}");
        }
        let nothing = Wishes { level: Level::Off, bounds: false, branches: false, store_bypass: false };
        assert_eq!(wishes("mitigations=off"), nothing);
        assert_eq!(wishes("mitigations=test").level, Level::Test);
    }

    #[test]
    fn single_defences_can_be_left_out() {
        assert!(!wishes("nospectre_v1").bounds);
        assert!(!wishes("nospectre_v2").branches);
        assert!(!wishes("spectre_v2=off").branches);
        assert!(wishes("spectre_v2=auto").branches);
        assert!(!wishes("spec_store_bypass_disable=off").store_bypass);
        assert!(!wishes("ssbd=force-off").store_bypass);
    }
}
