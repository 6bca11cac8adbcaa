//! The flattened form of a device tree: blocks, nodes and properties, read without trust.
//!
//! Source: Devicetree Specification 0.4, chapter 5. [`Tree::parse`] walks the whole structure once and refuses what is
//! not well formed; every read is checked all the same, so no content can do more than end an iteration early. Names
//! are bytes, of any length: trees in the field do not keep to the specification's 31 characters.
use core::fmt;

const MAGIC: u32 = 0xd00d_feed;
/// The version of the format that this file reads; later ones say whether they can be read as this one.
const VERSION: u32 = 17;
/// Ten words.
const HEADER_SIZE: usize = 40;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOTHING: u32 = 4;
const END: u32 = 9;

/// Why a blob is not a device tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// It does not begin with the magic number, or is shorter than a header.
    Magic,
    /// It is of a version that cannot be read as version 17.
    Version,
    /// A block lies outside of the blob.
    Blocks,
    /// The nodes are not properly nested, or a property lies outside of its block.
    Structure,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Magic => "no device tree's magic number",
            Self::Version => "a device tree of an unknown version",
            Self::Blocks => "a block of the device tree lies outside of it",
            Self::Structure => "the device tree's structure is damaged",
        })
    }
}

/// Bytes of the whole tree, as its header says; `None` if `header` is not the first eight bytes of one.
pub fn total_size(header: &[u8]) -> Option<usize> {
    (word(header, 0)? == MAGIC).then_some(word(header, 4)? as usize)
}

/// A device tree.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    reservations: &'a [u8],
}

impl<'a> Tree<'a> {
    /// Checks a whole tree.
    pub fn parse(blob: &'a [u8]) -> Result<Self, Damage> {
        let tree = Self::open(blob)?;
        tree.check()?;
        Ok(tree)
    }

    /// Finds the blocks of a tree, whose structure may be damaged.
    pub fn open(blob: &'a [u8]) -> Result<Self, Damage> {
        let size = total_size(blob).ok_or(Damage::Magic)?;
        let blob = blob.get(..size).filter(|blob| blob.len() >= HEADER_SIZE).ok_or(Damage::Blocks)?;
        let field = |index: usize| word(blob, index * 4).unwrap_or_default();
        let [structure, strings, reservations, version, compatible] = [2, 3, 4, 5, 6].map(field);
        if version < VERSION || compatible > VERSION {
            return Err(Damage::Version);
        }
        let block = |start: u32, size: Option<u32>| {
            let start = start as usize;
            let end = size.map_or(Some(blob.len()), |size| start.checked_add(size as usize));
            end.and_then(|end| blob.get(start..end)).ok_or(Damage::Blocks)
        };
        Ok(Self {
            structure: block(structure, Some(field(9)))?,
            strings: block(strings, Some(field(8)))?,
            reservations: block(reservations, None)?,
        })
    }

    /// Walks the structure: one root, everything closed, then the end.
    fn check(self) -> Result<(), Damage> {
        let mut tokens = Tokens { tree: self, at: 0 };
        let mut depth = 0_usize;
        let mut nodes = 0_usize;
        while let Some(token) = tokens.step()? {
            match token {
                Token::Begin(_) if depth == 0 && nodes > 0 => return Err(Damage::Structure),
                Token::Begin(_) => (depth, nodes) = (depth + 1, nodes + 1),
                Token::Property(_) if depth == 0 => return Err(Damage::Structure),
                Token::Property(_) => {}
                Token::End => depth = depth.checked_sub(1).ok_or(Damage::Structure)?,
            }
        }
        if depth == 0 && nodes > 0 { Ok(()) } else { Err(Damage::Structure) }
    }

    /// The root node.
    pub fn root(self) -> Node<'a> {
        let mut tokens = Tokens { tree: self, at: 0 };
        let _root = tokens.next();
        Node { tree: self, name: &[], body: tokens.at, cells: Cells::DEFAULT }
    }

    /// The reservation block: address and size of each entry.
    pub fn reservations(self) -> impl Iterator<Item = (u64, u64)> {
        let entries = self.reservations.chunks_exact(16);
        let numbers = entries.map(|entry| (number(&entry[..8]), number(&entry[8..])));
        numbers.map_while(|(address, size)| Some((address?, size?))).take_while(|entry| *entry != (0, 0))
    }
}

/// What the structure block consists of.
enum Token<'a> {
    /// A node begins; its name.
    Begin(&'a [u8]),
    Property(Property<'a>),
    /// The innermost node ends.
    End,
}

#[derive(Clone)]
struct Tokens<'a> {
    tree: Tree<'a>,
    /// Offset in the structure block.
    at: usize,
}

impl<'a> Tokens<'a> {
    /// The next token; `None` at the structure's end.
    fn step(&mut self) -> Result<Option<Token<'a>>, Damage> {
        let structure = self.tree.structure;
        loop {
            let token = word(structure, self.at).ok_or(Damage::Structure)?;
            self.at += 4;
            return Ok(Some(match token {
                NOTHING => continue,
                END => return Ok(None),
                END_NODE => Token::End,
                BEGIN_NODE => {
                    let name = terminated(structure.get(self.at..).unwrap_or_default());
                    let name = name.ok_or(Damage::Structure)?;
                    self.advance(name.len() + 1);
                    Token::Begin(name)
                }
                PROPERTY => Token::Property(self.property().ok_or(Damage::Structure)?),
                _ => return Err(Damage::Structure),
            }));
        }
    }

    /// Reads a property behind its token.
    fn property(&mut self) -> Option<Property<'a>> {
        let length = word(self.tree.structure, self.at)? as usize;
        let name = word(self.tree.structure, self.at + 4)? as usize;
        let start = self.at + 8;
        let value = self.tree.structure.get(start..start.checked_add(length)?)?;
        let name = self.tree.strings.get(name..)?;
        self.advance(8 + length);
        Some(Property { name, value })
    }

    /// Steps over `bytes` and to the next word.
    fn advance(&mut self, bytes: usize) {
        self.at = (self.at + bytes).next_multiple_of(4);
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.step().ok().flatten()
    }
}

/// A property of a node.
#[derive(Clone, Copy, Debug)]
pub struct Property<'a> {
    /// The strings block from the name on.
    name: &'a [u8],
    /// The content.
    pub value: &'a [u8],
}

impl Property<'_> {
    /// Whether this is its name.
    pub fn is(&self, name: &str) -> bool {
        self.name.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// How many words an address and a size take in the `reg` of a node's children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cells {
    address: usize,
    size: usize,
}

impl Cells {
    /// Where a node does not say (2.3.5).
    const DEFAULT: Self = Self { address: 2, size: 1 };
    /// More than any binding uses.
    const MOST: usize = 4;
}

/// A node.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    tree: Tree<'a>,
    /// With its unit address; empty for the root.
    pub name: &'a [u8],
    /// Offset of the first token inside.
    body: usize,
    /// Of its parent: how its own `reg` is read.
    cells: Cells,
}

impl<'a> Node<'a> {
    /// Its properties, in their order.
    pub fn properties(self) -> impl Iterator<Item = Property<'a>> {
        Tokens { tree: self.tree, at: self.body }.map_while(|token| match token {
            Token::Property(property) => Some(property),
            // Properties come before children (5.4.2).
            Token::Begin(_) | Token::End => None,
        })
    }

    /// The content of a property.
    pub fn property(self, name: &str) -> Option<&'a [u8]> {
        self.properties().find(|property| property.is(name)).map(|property| property.value)
    }

    /// Its children, in their order.
    pub fn children(self) -> impl Iterator<Item = Node<'a>> {
        let cells = self.child_cells();
        let mut tokens = Tokens { tree: self.tree, at: self.body };
        let mut depth = 0_usize;
        core::iter::from_fn(move || {
            loop {
                match tokens.next()? {
                    Token::Property(_) => {}
                    Token::End => depth = depth.checked_sub(1)?,
                    Token::Begin(name) => {
                        depth += 1;
                        if depth == 1 {
                            return Some(Node { tree: self.tree, name, body: tokens.at, cells });
                        }
                    }
                }
            }
        })
    }

    /// The child of this name. A name without unit address finds the first one with any.
    pub fn child(self, name: &[u8]) -> Option<Node<'a>> {
        self.children().find(|node| match node.name.strip_prefix(name) {
            Some(rest) => rest.is_empty() || rest[0] == b'@',
            None => false,
        })
    }

    /// The node at a path below this one, names divided by slashes.
    pub fn descendant(self, path: &[u8]) -> Option<Node<'a>> {
        let mut names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        names.try_fold(self, |node, name| node.child(name))
    }

    fn child_cells(self) -> Cells {
        let mut cells = Cells::DEFAULT;
        for property in self.properties() {
            let value =
                || number(property.value).map_or(Cells::MOST, |value| value as usize).min(Cells::MOST);
            if property.is("#address-cells") {
                cells.address = value();
            } else if property.is("#size-cells") {
                cells.size = value();
            }
        }
        cells
    }

    /// Address and size of every entry of `reg` or a property of its form. Numbers beyond 64 bits lose their top.
    pub fn ranges(self, name: &str) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let (address, size) = (self.cells.address * 4, self.cells.size * 4);
        let value = self.property(name).unwrap_or_default();
        value.chunks_exact((address + size).max(4)).map(move |entry| {
            let (address, size) = entry.split_at(address.min(entry.len()));
            (fold(address), fold(size))
        })
    }

    /// Whether the device may be used (2.3.4).
    pub fn is_enabled(self) -> bool {
        self.property("status").is_none_or(|status| matches!(status, b"okay\0" | b"ok\0"))
    }
}

/// Whether a list of strings holds `wanted`.
pub fn has_string(list: &[u8], wanted: &str) -> bool {
    list.split(|&byte| byte == 0).any(|word| word == wanted.as_bytes())
}

/// A number of one or two words.
pub fn number(value: &[u8]) -> Option<u64> {
    matches!(value.len(), 4 | 8).then(|| fold(value))
}

/// The 32-bit word at `offset`.
pub fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn fold(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The bytes before the first zero.
fn terminated(bytes: &[u8]) -> Option<&[u8]> {
    bytes.iter().position(|&byte| byte == 0).map(|length| &bytes[..length])
}
