//! Names of the kernel's functions, for addresses in them.

use std::path::Path;

use object::{Object, ObjectSymbol, SymbolKind};

use crate::build::readable;

/// Functions by address, in order.
#[derive(Default)]
pub struct Names(Vec<(u64, String)>);

impl Names {
    /// Those of a linked file; none if it cannot be read, as with another's kernel.
    pub fn read(path: &Path) -> Names {
        let bytes = std::fs::read(path).unwrap_or_default();
        let Ok(file) = object::File::parse(&*bytes) else { return Names::default() };
        let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
        let named = |symbol: object::Symbol<'_, '_>| Some((symbol.address(), readable(symbol.name().ok()?)));
        let mut names: Vec<_> = functions.filter_map(named).collect();
        names.sort();
        Names(names)
    }

    /// `function+0x12`, or the address.
    pub fn place(&self, pc: u64) -> String {
        match self.0[..self.0.partition_point(|&(address, _)| address <= pc)].last() {
            Some((address, name)) => format!("{name}+{:#x}", pc - address),
            None => format!("{pc:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_function_before_it() {
        let names = Names(vec![(0x100, "first".to_owned()), (0x200, "second".to_owned())]);
        assert_eq!(names.place(0x1ff), "first+0xff");
        assert_eq!(names.place(0x200), "second+0x0");
        assert_eq!(names.place(0x80), "0x80");
    }
}
