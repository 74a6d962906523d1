//! A reader of the boot device tree in place (Devicetree Specification v0.4, chapter 5). An error
//! in the tree ends the walk.
//!
//! It is written by hand: `fdt`, which guests use, stops after a node whose only child was taken
//! out (FDT_NOP; QEMU leaves such trees for the Raspberry Pi), and the library that does not stop
//! there takes 3 KiB of the 48 that EL2 may have.

use plan::Range;

/// First word of a tree.
pub const MAGIC: u32 = 0xd00d_feed;
/// Tokens of the structure block (5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
/// The format's version (5.2): a reader of this version can read every tree whose
/// `last_comp_version` is not later.
const VERSION: u64 = 17;

/// A text and at least one zero after it: an array of these has no pointers, which boot would have
/// to relocate.
pub type Text = [u8; 20];

/// Makes a [`Text`].
pub const fn text(from: &str) -> Text {
    let (mut text, from) = ([0; 20], from.as_bytes());
    let mut index = 0;
    while index < from.len() {
        text[index] = from[index];
        index += 1;
    }
    assert!(index < text.len(), "room for a zero");
    text
}

/// Returns whether `bytes` starts with `text` and its first zero.
#[inline(always)]
fn starts(bytes: &[u8], text: &Text) -> bool {
    for (byte, &wanted) in bytes.iter().zip(text) {
        if *byte != wanted {
            return false;
        }
        if wanted == 0 {
            return true;
        }
    }
    false
}

macro_rules! properties {
    ($($property:ident = $name:literal,)*) => {
        /// The properties that the machine check reads, each an index of [`NAMES`].
        #[derive(Clone, Copy)]
        pub enum Property {
            $($property,)*
        }

        /// Names of the properties.
        const NAMES: [Text; [$($name),*].len()] = [$(text($name)),*];
    };
}

properties! {
    AddressCells = "#address-cells",
    SizeCells = "#size-cells",
    Bootargs = "bootargs",
    ClockFrequency = "clock-frequency",
    Compatible = "compatible",
    DeviceType = "device_type",
    InitrdEnd = "linux,initrd-end",
    InitrdStart = "linux,initrd-start",
    Method = "method",
    Ranges = "ranges",
    Reg = "reg",
    ReleaseAddress = "cpu-release-addr",
    ResetStatus = "rsts",
    Status = "status",
}

/// A node.
#[derive(Clone, Copy, Default)]
pub struct Node<'a> {
    /// The number of its ancestors; the root has 0.
    pub depth: usize,
    /// Its name with its unit address.
    pub name: &'a [u8],
    /// Whether it and its ancestors are available; the reader of the nodes sets this.
    pub usable: bool,
    values: [Option<&'a [u8]>; NAMES.len()],
}

/// All nodes of a tree, each before its children.
pub struct Nodes<'a> {
    bytes: &'a [u8],
    depth: usize,
    rest: &'a [u8],
    strings: &'a [u8],
}

/// Takes `cells` (at most 4) big-endian words off `bytes` and returns the number in the last two,
/// or `None` if `bytes` is too short.
pub fn number(bytes: &mut &[u8], cells: usize) -> Option<u64> {
    let (value, rest) = bytes.split_at_checked(cells * 4)?;
    *bytes = rest;
    Some(value.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// Takes `size` bytes and the padding of their last word off `bytes`.
fn take<'a>(bytes: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let (value, _) = bytes.split_at_checked(size)?;
    *bytes = bytes.get(size.next_multiple_of(4)..)?;
    Some(value)
}

impl<'a> Nodes<'a> {
    /// Returns the nodes of the tree in `bytes`, whose length is the header's `totalsize`.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let word = |at: usize| number(&mut bytes.get(at..)?, 1);
        // `last_comp_version`.
        if word(24)? > VERSION {
            return None;
        }
        Some(Self {
            bytes,
            depth: 0,
            rest: bytes.get(word(8)? as usize..)?,
            strings: bytes.get(word(12)? as usize..)?,
        })
    }

    /// Returns the tree's `/memreserve/` entries (5.3).
    pub fn reservations(&self) -> impl Iterator<Item = Range> + use<'a> {
        let header = self.bytes;
        let offset = header.get(16..).and_then(|mut at| number(&mut at, 1));
        let mut rest = header.get(offset.unwrap_or(0) as usize..).unwrap_or(&[]);
        core::iter::from_fn(move || {
            let (base, size) = (number(&mut rest, 2)?, number(&mut rest, 2)?);
            ((base, size) != (0, 0)).then_some(Range { base, size })
        })
    }

    /// Takes a node's properties, which precede its children, and keeps those of [`NAMES`].
    fn properties(&mut self, node: &mut Node<'a>) -> Option<()> {
        loop {
            let mut rest = self.rest;
            match number(&mut rest, 1)? as u32 {
                PROP => {
                    let (size, name) = (number(&mut rest, 1)?, number(&mut rest, 1)?);
                    let value = take(&mut rest, size as usize)?;
                    let name = self.strings.get(name as usize..)?;
                    let slot = NAMES.iter().position(|known| starts(name, known));
                    if let Some(slot) = slot.and_then(|index| node.values.get_mut(index)) {
                        *slot = Some(value);
                    }
                }
                NOP => {}
                _ => return Some(()),
            }
            self.rest = rest;
        }
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
                    let mut node = Node {
                        depth: self.depth,
                        name,
                        usable: false,
                        values: [None; NAMES.len()],
                    };
                    self.depth += 1;
                    self.properties(&mut node)?;
                    return Some(node);
                }
                END_NODE => self.depth = self.depth.checked_sub(1)?,
                NOP => {}
                _ => return None,
            }
        }
    }
}

impl<'a> Node<'a> {
    /// Returns the value of `property`.
    pub fn value(&self, property: Property) -> Option<&'a [u8]> {
        *self.values.get(property as usize)?
    }

    /// Returns the number in `property`, of one word or two.
    pub fn number(&self, property: Property) -> Option<u64> {
        let mut value = self.value(property)?;
        let cells = value.len() / 4;
        number(&mut value, cells.min(2))
    }

    /// Returns the index in `texts` of the first string of `property` that is one of them. A zero
    /// ends each string.
    pub fn find(&self, property: Property, texts: &[Text]) -> Option<usize> {
        let mut rest = self.value(property)?;
        loop {
            let found = texts.iter().position(|text| starts(rest, text));
            if found.is_some() {
                return found;
            }
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }

    /// Returns whether one of the strings of `property` is `text`.
    pub fn says(&self, property: Property, text: &Text) -> bool {
        self.find(property, core::slice::from_ref(text)).is_some()
    }

    /// Returns whether its `status` is that of a device that can be used (2.3.4).
    pub fn is_available(&self) -> bool {
        self.value(Property::Status).is_none_or(|value| value == b"okay\0" || value == b"ok\0")
    }

    /// Returns `#address-cells` and `#size-cells` for its children (2.3.5), or `None` if they are
    /// out of range.
    pub fn cells(&self) -> Option<[usize; 2]> {
        let cells = |property, default| self.number(property).map_or(default, |n| n as usize);
        let (address, size) = (cells(Property::AddressCells, 2), cells(Property::SizeCells, 1));
        ((1..=4).contains(&address) && size <= 4).then_some([address, size])
    }

    /// Translates `address` on its own bus to its parent's bus, which has addresses of `cells`
    /// words (2.3.8).
    fn translate(&self, address: u64, cells: usize) -> Option<u64> {
        let [own, size] = self.cells()?;
        let mut ranges = self.value(Property::Ranges)?;
        if ranges.is_empty() {
            return Some(address);
        }
        loop {
            let inside = address.wrapping_sub(number(&mut ranges, own)?);
            let base = number(&mut ranges, cells)?;
            if inside < number(&mut ranges, size)? {
                return Some(base.wrapping_add(inside));
            }
        }
    }
}

/// A node's `reg` as the cores see it, translated by each bus above. An address outside the ranges
/// of a bus ends the iteration.
pub struct Regions<'a> {
    reg: &'a [u8],
    /// The node's ancestors, from the root to its parent.
    above: &'a [Node<'a>],
}

impl<'a> Regions<'a> {
    /// Returns the regions of `node`, whose ancestors from the root on are `above`.
    pub fn of(node: &Node<'a>, above: &'a [Node<'a>]) -> Self {
        let reg = node.value(Property::Reg).unwrap_or(&[]);
        Self { reg, above }
    }
}

impl Iterator for Regions<'_> {
    type Item = Range;

    fn next(&mut self) -> Option<Range> {
        let (parent, _) = self.above.split_last()?;
        let [address, size] = parent.cells()?;
        let mut base = number(&mut self.reg, address)?;
        let size = number(&mut self.reg, size)?;
        for pair in self.above.windows(2).rev() {
            let [above, bus] = pair else { return None };
            base = bus.translate(base, above.cells()?[0])?;
        }
        Some(Range { base, size })
    }
}
