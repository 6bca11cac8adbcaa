//! The writer of symbol tables. Runs on the build machine only.

use super::{ADDRESSES, FIRST_TOKEN, HEADER_LENGTH, MAGIC, MAX_DEPTH, TOKENS, VERSION};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// Writes a table of `(address, name)` pairs in ascending order of address. Symbols more than 4 GiB above the first are
/// left out, and bytes of a name outside ASCII become `?`.
pub fn encode(symbols: &[(u64, &str)]) -> Vec<u8> {
    let base = symbols.first().map_or(0, |symbol| symbol.0);
    let kept: Vec<(u32, &str)> = symbols
        .iter()
        .filter_map(|&(address, name)| Some((u32::try_from(address.checked_sub(base)?).ok()?, name)))
        .collect();
    let mut names: Vec<Vec<u8>> = kept.iter().map(|(_, name)| plain(name)).collect();
    let pairs = compress(&mut names);

    let mut table = vec![0; HEADER_LENGTH];
    table.extend(base.to_le_bytes());
    debug_assert_eq!(table.len(), ADDRESSES);
    kept.iter().for_each(|(offset, _)| table.extend(offset.to_le_bytes()));
    let mut offset = 0u32;
    for name in &names {
        table.extend(offset.to_le_bytes());
        offset += name.len() as u32 + 1;
    }
    pairs.iter().for_each(|pair| table.extend(pair));
    for name in &names {
        table.extend(name);
        table.push(0);
    }
    let header = [MAGIC, VERSION, table.len() as u32, kept.len() as u32];
    for (field, value) in table.chunks_exact_mut(4).zip(header) {
        field.copy_from_slice(&value.to_le_bytes());
    }
    table
}

fn plain(name: &str) -> Vec<u8> {
    name.bytes().map(|byte| if byte == 0 || byte >= FIRST_TOKEN { b'?' } else { byte }).collect()
}

/// Byte-pair encoding: the commonest pair of neighbours becomes one byte, again and again.
fn compress(names: &mut [Vec<u8>]) -> Vec<[u8; 2]> {
    let mut pairs = vec![[0; 2]; TOKENS];
    let mut depth = [0u8; 256];
    for (byte, slot) in (FIRST_TOKEN..=u8::MAX).zip(&mut pairs) {
        let Some(pair) = commonest_pair(names, &depth) else { break };
        *slot = pair;
        depth[usize::from(byte)] = 1 + depth[usize::from(pair[0])].max(depth[usize::from(pair[1])]);
        names.iter_mut().for_each(|name| replace_pair(name, pair, byte));
    }
    pairs
}

fn commonest_pair(names: &[Vec<u8>], depth: &[u8; 256]) -> Option<[u8; 2]> {
    let mut counts = BTreeMap::<[u8; 2], u32>::new();
    for name in names {
        for pair in name.windows(2) {
            if depth[usize::from(pair[0])].max(depth[usize::from(pair[1])]) < MAX_DEPTH {
                *counts.entry([pair[0], pair[1]]).or_default() += 1;
            }
        }
    }
    let (pair, count) = counts.into_iter().max_by_key(|&(pair, count)| (count, pair))?;
    (count > 2).then_some(pair)
}

fn replace_pair(name: &mut Vec<u8>, pair: [u8; 2], byte: u8) {
    let mut written = 0;
    let mut read = 0;
    while read < name.len() {
        let matches = name[read..].starts_with(&pair);
        name[written] = if matches { byte } else { name[read] };
        read += if matches { 2 } else { 1 };
        written += 1;
    }
    name.truncate(written);
}
