//! Firmware's random numbers, as calls and answers. Sources: DEN 0098 (True Random Number Generator Firmware
//! Interface), 2; DEN 0028 (SMC Calling Convention), 7; DEN 0022 (PSCI), 5.

/// What firmware leaves in X0 to X3.
pub type Answer = [u64; 4];

/// PSCI_VERSION.
pub const PSCI_VERSION: u64 = 0x8400_0000;
/// PSCI_FEATURES of a function.
pub const PSCI_FEATURES: u64 = 0x8400_000a;
/// SMCCC_VERSION.
pub const SMCCC_VERSION: u64 = 0x8000_0000;
/// TRNG_VERSION.
pub const TRNG_VERSION: u64 = 0x8400_0050;
/// TRNG_RND64 of so many bits.
pub const TRNG_RND64: u64 = 0xc400_0053;

/// Whether what was asked for a version or a feature has it, and at least this: errors are negative numbers of 32 bits.
fn is_at_least(answer: Answer, least: i32) -> bool {
    answer[0] as i32 >= least
}

/// Whether firmware can be asked for what it may not know: the answer says so only from version 1.1 of the convention
/// on, which is found by way of PSCI 1.0.
pub fn answers_other_calls(mut ask: impl FnMut(u64, [u64; 3]) -> Answer) -> bool {
    is_at_least(ask(PSCI_VERSION, [0; 3]), 0x1_0000)
        && is_at_least(ask(PSCI_FEATURES, [SMCCC_VERSION, 0, 0]), 0)
        && is_at_least(ask(SMCCC_VERSION, [0; 3]), 0x1_0001)
}

/// Whether an answer to TRNG_VERSION is of firmware that has the calls.
pub fn has_trng(answer: Answer) -> bool {
    is_at_least(answer, 0x1_0000)
}

/// The word in an answer to TRNG_RND64 of 64 bits; `None`: it had nothing to give (NO_ENTROPY), or refuses.
pub fn trng_word(answer: Answer) -> Option<u64> {
    (answer[0] == 0).then_some(answer[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Firmware with these versions of PSCI and the convention.
    fn firmware(psci: u64, convention: Option<u64>) -> impl FnMut(u64, [u64; 3]) -> Answer {
        const NOT_SUPPORTED: u64 = 0xffff_ffff;
        move |function, arguments| match function {
            PSCI_VERSION => [psci, 0, 0, 0],
            PSCI_FEATURES if arguments[0] == SMCCC_VERSION && convention.is_some() => [0; 4],
            SMCCC_VERSION => [convention.unwrap_or(NOT_SUPPORTED), 0, 0, 0],
            _ => [NOT_SUPPORTED, 0, 0, 0],
        }
    }

    #[test]
    fn only_firmware_that_knows_the_convention_is_asked() {
        assert!(answers_other_calls(firmware(0x1_0001, Some(0x1_0002))));
        assert!(!answers_other_calls(firmware(0x1_0001, Some(0x1_0000))));
        assert!(!answers_other_calls(firmware(0x1_0001, None)));
        assert!(!answers_other_calls(firmware(2, Some(0x1_0002))));
        // No conduit: the function's own number comes back.
        assert!(!answers_other_calls(|function, _| [function, 0, 0, 0]));
    }

    #[test]
    fn answers_are_told_from_errors() {
        assert!(has_trng([0x1_0000, 0, 0, 0]) && has_trng([0x2_0001, 0, 0, 0]));
        assert!(!has_trng([0xffff_ffff, 0, 0, 0]) && !has_trng([u64::MAX, 0, 0, 0]) && !has_trng([0; 4]));
        assert_eq!(trng_word([0, 1, 2, 3]), Some(3));
        // NO_ENTROPY, INVALID_PARAMETERS.
        assert_eq!(trng_word([-3_i64 as u64, 1, 2, 3]), None);
        assert_eq!(trng_word([0xffff_fffe, 1, 2, 3]), None);
    }
}
