//! Machine checks: errors that the hardware finds in itself, and says in banks of model-specific registers (SDM volume
//! 3, chapter 15).
//!
//! An error that could not be corrected ends the kernel, and the banks are what it says last. Those that were corrected
//! raise no exception and are not looked for.
use super::super::cpu::{feature, has};
use super::{cpuid, msr};
use crate::arch::Arch;
use crate::contract::Cpu as _;
use crate::panic::say;
use libkernel::command_line::CommandLine;

const CAPABILITIES: u32 = 0x179;
const STATUS: u32 = 0x17a;
const CONTROL: u32 = 0x17b;
/// Control, status, address and miscellany of bank 0; the next bank's follow.
const BANK: u32 = 0x400;
const BANK_REGISTERS: u32 = 4;

/// The low byte of the capabilities is the number of banks.
const CAPABILITY_CONTROL: u64 = 1 << 8;
/// Of a bank's status.
const VALID: u64 = 1 << 63;
const HAS_MISCELLANY: u64 = 1 << 59;
const HAS_ADDRESS: u64 = 1 << 58;

/// The registers of one bank.
struct Bank(u32);

impl Bank {
    /// # Safety
    /// As [`msr::try_read`].
    unsafe fn read(&self, register: u32) -> Option<u64> {
        // SAFETY: the caller's promise.
        unsafe { msr::try_read(BANK + self.0 * BANK_REGISTERS + register) }
    }

    /// # Safety
    /// As [`msr::try_write`].
    unsafe fn write(&self, register: u32, value: u64) {
        // SAFETY: the caller's promise.
        unsafe { msr::try_write(BANK + self.0 * BANK_REGISTERS + register, value) };
    }
}

fn bank_count(capabilities: u64) -> u32 {
    (capabilities & 0xff) as u32
}

/// Intel's family 6 before model 26, whose bank 0 belongs to firmware (SDM volume 3, 15.3.2.1).
fn firmware_has_bank_0() -> bool {
    let [version, ..] = cpuid::read(1, 0);
    let model = version >> 4 & 0xf | version >> 12 & 0xf0;
    version >> 8 & 0xf == 6 && model < 26 && cpuid::read(0, 0)[1] == u32::from_le_bytes(*b"Genu")
}

/// Lets every bank of the executing CPU report, and forgets what was found before this kernel came. Before CR4.MCE is
/// set.
pub fn initialise() {
    if !has(feature::MACHINE_CHECK) {
        return;
    }
    // SAFETY: these registers rule reports of errors alone. CPUID announces them, and Bochs has none of them.
    unsafe {
        let Some(capabilities) = msr::try_read(CAPABILITIES) else { return };
        if capabilities & CAPABILITY_CONTROL != 0 {
            msr::try_write(CONTROL, u64::MAX);
        }
        for number in 0..bank_count(capabilities) {
            if number > 0 || !firmware_has_bank_0() {
                Bank(number).write(0, u64::MAX);
            }
            Bank(number).write(1, 0);
        }
        msr::try_write(STATUS, 0);
    }
}

/// Looks whether the executing CPU's banks let reports through, and forgot what was in them: a hypervisor may have let
/// it go by.
pub fn check() {
    if !has(feature::MACHINE_CHECK) {
        return;
    }
    // SAFETY: as above; reading changes nothing.
    unsafe {
        let Some(capabilities) = msr::try_read(CAPABILITIES) else { return };
        let is_deaf = |number| {
            let is_ours = number > 0 || !firmware_has_bank_0();
            let bank = Bank(number);
            is_ours && bank.read(0) == Some(0) || bank.read(1).is_some_and(|found| found & VALID != 0)
        };
        // A bank in which nothing can go wrong keeps no bit of what it is told.
        if bank_count(capabilities) > 0 && (0..bank_count(capabilities)).all(is_deaf) {
            crate::boot::lacks("banks of machine checks that keep what they are told: errors may go unseen");
        }
    }
}

/// Makes the executing CPU's banks deaf, where `provoke=banks` asks for it: a test of [`check`], which follows.
pub fn provoke(words: CommandLine<'_>) {
    if words.option("provoke") == Some(b"banks") && has(feature::MACHINE_CHECK) {
        // SAFETY: as above.
        unsafe {
            let capabilities = msr::try_read(CAPABILITIES).unwrap_or(0);
            (0..bank_count(capabilities)).for_each(|number| Bank(number).write(0, 0));
        }
    }
}

/// Says what the executing CPU's banks hold, as Linux writes it.
pub fn describe() {
    if !has(feature::MACHINE_CHECK) {
        return;
    }
    // SAFETY: as above; reading changes nothing. Address and miscellany are there if the status says so.
    unsafe {
        let (Some(status), Some(capabilities)) = (msr::try_read(STATUS), msr::try_read(CAPABILITIES)) else {
            return;
        };
        for number in 0..bank_count(capabilities) {
            let bank = Bank(number);
            let Some(found) = bank.read(1).filter(|found| found & VALID != 0) else { continue };
            let optional =
                |bit, register| if found & bit != 0 { bank.read(register).unwrap_or(0) } else { 0 };
            say(format_args!(
                "mce: [Hardware Error]: CPU {}: Machine Check Exception: {status:x} Bank {number}: {found:016x}",
                Arch::id()
            ));
            let (address, miscellany) = (optional(HAS_ADDRESS, 2), optional(HAS_MISCELLANY, 3));
            say(format_args!("mce: [Hardware Error]: ADDR {address:x} MISC {miscellany:x}"));
        }
    }
}
