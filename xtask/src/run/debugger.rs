//! A debugger's side of GDB's remote protocol, spoken to QEMU over a socket: for tests that start a kernel with other
//! registers and memory than QEMU gives it.
//!
//! A packet is `$`, text, `#` and two digits of a checksum, acknowledged by `+` (GDB's manual, appendix E).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::control;

/// How long the machine may take to come to a place, or QEMU to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of memory in one packet: QEMU's buffer holds 4,096 characters.
const PIECE: usize = 1024;

/// The numbers that QEMU's machines give to registers, x86_64's but for the first.
#[derive(Clone, Copy)]
pub enum Register {
    /// X0 of AArch64.
    X0 = 0,
    /// RBX.
    Rbx = 1,
    /// RDX.
    Rdx = 3,
    /// RBP.
    Rbp = 6,
    /// RSP.
    Rsp = 7,
    /// RIP.
    Rip = 16,
}

/// A machine that stands still.
pub struct Debugger(UnixStream);

impl Debugger {
    /// The word for QEMU's `-gdb` that makes it listen at `path`.
    pub fn argument(path: &Path) -> String {
        format!("unix:{},server=on,wait=off", path.display())
    }

    /// Connects to a QEMU that is just being started.
    pub fn connect(path: &Path) -> Result<Self> {
        let stream = control::connect(path).context("QEMU does not listen to a debugger")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut debugger = Self(stream);
        // QEMU lets nobody set registers who has not asked what there are.
        debugger.ask("qXfer:features:read:target.xml:0,ff")?;
        Ok(debugger)
    }

    /// Lets the machine run until it is about to execute what lies at `address`.
    pub fn run_to(&mut self, address: u64) -> Result<()> {
        self.expect_ok(&format!("Z1,{address:x},1"))?;
        let stopped = self.ask("c")?;
        if !stopped.starts_with("T05") {
            bail!("the machine did not come to {address:#x}: {stopped}");
        }
        self.expect_ok(&format!("z1,{address:x},1"))
    }

    /// Sets a register.
    pub fn set(&mut self, register: Register, value: u64) -> Result<()> {
        self.expect_ok(&format!("P{:x}={}", register as u32, hexadecimal(&value.to_le_bytes())))
    }

    /// Reads a register.
    pub fn get(&mut self, register: Register) -> Result<u64> {
        let bytes = bytes(&self.ask(&format!("p{:x}", register as u32))?)?;
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// Writes memory, at addresses as the machine's code sees them.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        for (piece, at) in bytes.chunks(PIECE).zip((address..).step_by(PIECE)) {
            self.expect_ok(&format!("M{at:x},{:x}:{}", piece.len(), hexadecimal(piece)))?;
        }
        Ok(())
    }

    /// Reads the number of eight bytes at `address`.
    pub fn read(&mut self, address: u64) -> Result<u64> {
        let bytes = bytes(&self.ask(&format!("m{address:x},8"))?)?;
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// Lets the machine run on, and says no more: it may have come to its end before an acknowledgement could reach it.
    pub fn leave(mut self) -> Result<()> {
        self.send("D")?;
        match self.receive()?.as_str() {
            "OK" => Ok(()),
            answer => bail!("QEMU answers {answer} to a debugger that leaves"),
        }
    }

    fn expect_ok(&mut self, packet: &str) -> Result<()> {
        match self.ask(packet)?.as_str() {
            "OK" => Ok(()),
            answer => bail!("QEMU answers {answer} to {packet}"),
        }
    }

    fn ask(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        let answer = self.receive()?;
        self.0.write_all(b"+")?;
        Ok(answer)
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        Ok(write!(self.0, "${packet}#{:02x}", checksum(packet.as_bytes()))?)
    }

    fn receive(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        let mut answer = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => answer.push(byte),
            }
        }
        let _checksum = (self.byte()?, self.byte()?);
        Ok(String::from_utf8(answer)?)
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).context("QEMU does not answer its debugger")?;
        Ok(byte[0])
    }
}

fn checksum(packet: &[u8]) -> u8 {
    packet.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn bytes(digits: &str) -> Result<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || digits.starts_with('E') {
        bail!("QEMU answers {digits}");
    }
    digits.as_bytes().chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_may_find_the_machine_at_its_end() {
        let (ours, mut its) = UnixStream::pair().unwrap();
        its.write_all(b"+$OK#9a").unwrap();
        let machine = std::thread::spawn(move || {
            let mut packet = [0; b"$D#44".len()];
            its.read_exact(&mut packet).unwrap();
            packet
        });
        let mut debugger = Debugger(ours);
        debugger.send("D").unwrap();
        assert_eq!(machine.join().unwrap(), *b"$D#44");
        // Nobody is there any more who could take an acknowledgement.
        assert_eq!(debugger.receive().unwrap(), "OK");
    }

    #[test]
    fn packets_carry_the_checksum_of_the_manual() {
        assert_eq!(checksum(b"OK"), 0x9a);
        assert_eq!(hexadecimal(&0x12_u64.to_le_bytes()), "1200000000000000");
        assert_eq!(bytes("0aff").unwrap(), [0x0a, 0xff]);
        assert!(bytes("E14").is_err() && bytes("0g").is_err());
    }
}
