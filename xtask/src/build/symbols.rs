//! The kernel's own symbol table, for its backtraces: function names of the linked file in `libkernel`'s compact form.

use anyhow::{Context, Result};
use object::{Object, ObjectSymbol, SymbolKind};

/// Marks the place of the table; the linker script puts it at the start of the image's last segment.
const PLACE: &str = "__symbols_start";

/// The table and the address at which the kernel looks for it; `None` if the kernel has no place for one.
pub fn table(file: &[u8]) -> Result<Option<(u64, Vec<u8>)>> {
    let file = object::File::parse(file).context("not an object file")?;
    let Some(place) = file.symbol_by_name(PLACE) else {
        return Ok(None);
    };
    let mut names: Vec<(u64, String)> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.address() != 0)
        .filter_map(|symbol| Some((symbol.address(), readable(symbol.name().ok()?))))
        .collect();
    names.sort();
    names.dedup_by_key(|(address, _)| *address);
    let borrowed: Vec<_> = names.iter().map(|(address, name)| (*address, name.as_str())).collect();
    Ok(Some((place.address(), libkernel::symbols::encode(&borrowed))))
}

/// The address of the symbol `name` in a linked file.
pub fn address(file: &[u8], name: &str) -> Result<u64> {
    let file = object::File::parse(file).context("not an object file")?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    Ok(symbol.with_context(|| format!("there is no symbol {name}"))?.address())
}

/// Start and end of the function `name`, as it is written in the source.
pub fn function(file: &[u8], name: &str) -> Result<(u64, u64)> {
    let file = object::File::parse(file).context("not an object file")?;
    let is_it = |symbol: &object::Symbol<'_, '_>| {
        symbol.kind() == SymbolKind::Text && symbol.name().is_ok_and(|it| readable(it) == name)
    };
    let symbol = file.symbols().find(is_it).with_context(|| format!("there is no function {name}"))?;
    Ok((symbol.address(), symbol.address() + symbol.size()))
}

/// All functions of which the file says how long they are: name as in the source, start and end.
pub fn functions(file: &[u8]) -> Result<Vec<(String, u64, u64)>> {
    let file = object::File::parse(file).context("not an object file")?;
    let known = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0 && symbol.is_definition());
    known
        .map(|symbol| Ok((readable(symbol.name()?), symbol.address(), symbol.address() + symbol.size())))
        .collect()
}

/// Where a loader enters an ELF file.
pub fn entry(file: &[u8]) -> Result<u64> {
    Ok(object::File::parse(file).context("not an object file")?.entry())
}

/// The name as written in the source, without the hash.
pub fn readable(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_mangling() {
        assert_eq!(readable("_ZN5orlop4main17h0123456789abcdefE"), "orlop::main");
        assert_eq!(readable("syscall_entry"), "syscall_entry");
    }
}
