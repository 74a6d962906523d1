//! The boot device tree, read as it lies (Devicetree Specification v0.4, chapter 5). What is wrong with it ends the walk.
//!
//! By hand: `fdt`, which guests use, stops behind a node whose only child was taken out (FDT_NOP; QEMU leaves such trees for
//! the Raspberry Pi), and the library that does not is 3 KiB of the 40 that EL2 may have.

/// First word of a tree.
pub const MAGIC: u32 = 0xd00d_feed;
/// Tokens of the structure block (5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;

/// A node.
#[derive(Clone, Copy, Default)]
pub struct Node<'a> {
    /// How many nodes it lies in: 0 is the root.
    pub depth: usize,
    /// Its name with its unit address.
    pub name: &'a [u8],
    /// The structure block from its first property on.
    body: &'a [u8],
    strings: &'a [u8],
}

/// All nodes of a tree, each before those in it.
pub struct Nodes<'a> {
    depth: usize,
    rest: &'a [u8],
    strings: &'a [u8],
}

/// Takes `cells` (at most 4) big-endian words off `bytes`, of which the last two count; none if nothing is left.
pub fn number(bytes: &mut &[u8], cells: usize) -> Option<u64> {
    let (value, rest) = bytes.split_at_checked(cells * 4)?;
    *bytes = rest;
    Some((value.iter()).fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// Takes `size` bytes off `bytes`, and what fills their last word.
fn take<'a>(bytes: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let (value, _) = bytes.split_at_checked(size)?;
    *bytes = bytes.get(size.next_multiple_of(4)..)?;
    Some(value)
}

/// A property's place in the names, and its value.
fn property<'a>(bytes: &mut &'a [u8]) -> Option<(usize, &'a [u8])> {
    let size = number(bytes, 1)? as usize;
    let name = number(bytes, 1)? as usize;
    Some((name, take(bytes, size)?))
}

impl<'a> Nodes<'a> {
    /// The nodes of the tree in `bytes`, which its header says to be its own.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let block = |at: usize| {
            let offset = number(&mut bytes.get(at..)?, 1)?;
            bytes.get(offset as usize..)
        };
        Some(Self {
            depth: 0,
            rest: block(8)?,
            strings: block(12)?,
        })
    }
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            match number(&mut self.rest, 1)? as u32 {
                BEGIN_NODE => {
                    let end = self.rest.iter().position(|&byte| byte == 0)?;
                    let name = self.rest.get(..end)?;
                    take(&mut self.rest, end + 1)?;
                    let depth = self.depth;
                    self.depth += 1;
                    return Some(Node {
                        depth,
                        name,
                        body: self.rest,
                        strings: self.strings,
                    });
                }
                END_NODE => self.depth = self.depth.checked_sub(1)?,
                PROP => drop(property(&mut self.rest)?),
                NOP => {}
                _ => return None,
            }
        }
    }
}

impl<'a> Node<'a> {
    /// The value of its property `name`.
    pub fn property(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut rest = self.body;
        loop {
            match number(&mut rest, 1)? as u32 {
                PROP => {
                    let (at, value) = property(&mut rest)?;
                    let behind = self.strings.get(at..)?.strip_prefix(name);
                    if behind.is_some_and(|rest| rest.first() == Some(&0)) {
                        return Some(value);
                    }
                }
                NOP => {}
                _ => return None,
            }
        }
    }

    /// The number in its property `name`, or `default`.
    pub fn number(&self, name: &[u8], default: usize) -> usize {
        let value = self
            .property(name)
            .and_then(|mut value| number(&mut value, 1));
        value.map_or(default, |value| value as usize)
    }

    /// Whether the strings of its property `name`, each ended by a zero, hold `text`.
    pub fn says(&self, name: &[u8], text: &[u8]) -> bool {
        let mut list = self.property(name).unwrap_or(&[]).split(|&byte| byte == 0);
        list.any(|one| one == text)
    }
}
