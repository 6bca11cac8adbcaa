//! ACPI's tables as cloud-hypervisor makes them: a hardware-reduced machine, CPUs by their x2APIC identifiers, AML that
//! names no more than the type of "soft off" (ACPI 6.4, 5.2).

use anyhow::Result;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::devices::{PM_TIMER, SLEEP};
use crate::mp_table::settle;

/// Where the root pointer lies, and the tables behind it: above what is told to be memory.
const ROOT: u64 = 0xa_0000;
const ROOT_BYTES: u64 = 36;
const LOCAL_APIC: u32 = 0xfee0_0000;
const IO_APIC: u32 = 0xfec0_0000;
/// Kinds of entries of the table of CPUs, and a CPU's flags: it can be started; it could be, once it is plugged in.
const X2APIC: u8 = 9;
const ENABLED: u32 = 1;
const CAPABLE: u32 = 2;
/// Name (_S5_, Package () { 5 })
const SOFT_OFF: &[u8] = b"\x08_S5_\x12\x04\x01\x0a\x05";

/// Puts the tables of a machine with CPUs of these identifiers into its memory, and returns where their root is.
pub fn put(memory: &GuestMemoryMmap, cpus: &[u32]) -> Result<u64> {
    let mut at = ROOT + ROOT_BYTES;
    let mut place = |table: Vec<u8>| -> Result<u64> {
        let address = at;
        memory.write_slice(&table, GuestAddress(address))?;
        at += table.len() as u64;
        Ok(address)
    };
    let code = place(table(b"DSDT", 6, SOFT_OFF))?;
    let fixed = place(table(b"FACP", 6, &fixed(code)))?;
    let cpus = place(table(b"APIC", 5, &processors(cpus)))?;
    let listed: Vec<u8> = [fixed, cpus].iter().flat_map(|address| address.to_le_bytes()).collect();
    let directory = place(table(b"XSDT", 1, &listed))?;
    let mut root = b"RSD PTR \0CLOUDH\x02".to_vec();
    root.extend([0; 4]);
    root.extend(u32::try_from(ROOT_BYTES)?.to_le_bytes());
    root.extend(directory.to_le_bytes());
    root.extend([0; 4]);
    settle(&mut root[..20], 8);
    settle(&mut root, 32);
    memory.write_slice(&root, GuestAddress(ROOT))?;
    Ok(ROOT)
}

fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend((36 + body.len() as u32).to_le_bytes());
    bytes.extend([revision, 0]);
    bytes.extend(b"CLOUDHCHTABLE \x01\0\0\0CLDH\0\0\0\0");
    bytes.extend(body);
    settle(&mut bytes, 9);
    bytes
}

/// The fixed table's body: everything but what a hardware-reduced machine has is zero.
fn fixed(code: u64) -> Vec<u8> {
    /// Hardware-reduced, a reset register, a timer of 32 bits.
    const FLAGS: u32 = 1 << 20 | 1 << 10 | 1 << 8;
    let mut whole = vec![0; 276];
    let mut set = |offset: usize, bytes: &[u8]| whole[offset..offset + bytes.len()].copy_from_slice(bytes);
    set(76, &u32::from(PM_TIMER).to_le_bytes());
    set(112, &FLAGS.to_le_bytes());
    set(116, &port(SLEEP, 8));
    set(128, &[1]);
    set(131, &[3]);
    set(140, &code.to_le_bytes());
    set(208, &port(PM_TIMER, 32));
    set(244, &port(SLEEP, 8));
    set(256, &port(SLEEP, 8));
    set(268, b"CLOUDHYP");
    whole.split_off(36)
}

/// A port, as a generic address structure (5.2.3.2).
fn port(port: u16, bits: u8) -> [u8; 12] {
    let [low, high] = port.to_le_bytes();
    [1, bits, 0, bits.trailing_zeros() as u8 - 2, low, high, 0, 0, 0, 0, 0, 0]
}

fn processors(cpus: &[u32]) -> Vec<u8> {
    let mut body = LOCAL_APIC.to_le_bytes().to_vec();
    body.extend([0; 4]);
    let present = cpus.iter().map(|cpu| (*cpu, ENABLED | CAPABLE));
    // One more than there are: it may be plugged in.
    let absent = cpus.last().map(|cpu| (cpu + 1, CAPABLE));
    for (number, (identity, flags)) in (0u32..).zip(present.chain(absent)) {
        body.extend([X2APIC, 16, 0, 0]);
        body.extend([identity, flags, number].iter().flat_map(|word| word.to_le_bytes()));
    }
    body.extend([1, 12, 0, 0]);
    body.extend([IO_APIC, 0].iter().flat_map(|word| word.to_le_bytes()));
    // The serial port's line.
    body.extend([2, 10, 0, 4, 4, 0, 0, 0, 0, 0]);
    body
}
