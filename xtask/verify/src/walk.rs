//! A table walker that reads descriptors as the MMU does, and refuses more than the MMU would. A
//! bit that the architecture ignores, reserves or leaves to software must be zero, so that later
//! cores cannot give it a meaning (DDI 0487, D8.2 table walks, D8.3 descriptors, D8.4 permissions,
//! D8.5 memory types; 4 KiB granule).

use std::collections::HashSet;

use plan::{MAIR_EL2, PAGE};

use crate::finding::{Claim, Findings};
use crate::image::Image;

/// Rights to a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rights {
    /// Read.
    pub read: bool,
    /// Write.
    pub write: bool,
    /// Execute.
    pub execute: bool,
}

impl Rights {
    /// Parses letters such as `"rw-"`.
    #[must_use]
    pub fn of(letters: &str) -> Self {
        Self {
            read: letters.contains('r'),
            write: letters.contains('w'),
            execute: letters.contains('x'),
        }
    }

    /// Returns the rights in letters.
    #[must_use]
    pub fn letters(self) -> String {
        let letter = |has, letter| if has { letter } else { '-' };
        let all = [letter(self.read, 'r'), letter(self.write, 'w'), letter(self.execute, 'x')];
        all.iter().collect()
    }
}

/// The memory type with which a range is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Normal, Inner Shareable, Write-Back.
    Normal,
    /// Normal Non-cacheable.
    NonCacheable,
    /// Device-nGnRE.
    Device,
    /// Another: memory type as encoded, shareability.
    Other(u8, u8),
}

impl Kind {
    /// Returns the name in findings.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Normal => "Normal Write-Back Inner Shareable".into(),
            Self::NonCacheable => "Normal Non-cacheable".into(),
            Self::Device => "Device-nGnRE".into(),
            Self::Other(kind, share) => format!("memory type {kind:#x}, shareability {share}"),
        }
    }
}

/// A range of input addresses that translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// First input address.
    pub input: u64,
    /// First output address.
    pub output: u64,
    /// Bytes.
    pub size: u64,
    /// Rights.
    pub rights: Rights,
    /// Memory type.
    pub kind: Kind,
}

/// The two kinds of translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// EL2's own, without VHE.
    One,
    /// A guest's.
    Two,
}

/// A translation as its registers define it.
#[derive(Clone, Debug)]
pub struct Regime {
    /// Its stage.
    pub stage: Stage,
    /// Input address bits.
    pub bits: u32,
    /// Level where the walk starts.
    pub start: u32,
    /// The first table.
    pub root: u64,
    /// Output address bits.
    pub output_bits: u32,
    /// Its name in findings.
    pub name: String,
    /// Its owners.
    pub who: Vec<String>,
}

/// Address bits that one entry of a table at `level` spans.
#[must_use]
pub const fn span_bits(level: u32) -> u32 {
    39 - 9 * level
}

const ADDRESS: u64 = 0xffff_ffff_f000;
const AF: u64 = 1 << 10;
const CONTIGUOUS: u64 = 1 << 52;

impl Regime {
    /// Number of concatenated root tables.
    #[must_use]
    pub fn root_tables(&self) -> u64 {
        1 << self.bits.saturating_sub(span_bits(self.start) + 9)
    }

    /// Returns everything that the tables translate, in order; neighbours that continue each other
    /// are joined.
    pub fn walk(&self, image: &Image<'_>, findings: &mut Findings) -> Vec<Leaf> {
        let mut walk =
            Walk { regime: self, image, findings, leaves: Vec::new(), seen: HashSet::new() };
        let most = if self.stage == Stage::Two { 16 } else { 1 };
        if self.root_tables() > most || !self.root.is_multiple_of(self.root_tables() * PAGE) {
            let what = format!(
                "the root {:#x} is {} concatenated tables; at most {most} are allowed, aligned to \
                 their total size",
                self.root,
                self.root_tables()
            );
            walk.refuse(&self.name, what);
            return Vec::new();
        }
        for n in 0..self.root_tables() {
            let first = n << (span_bits(self.start) + 9);
            walk.table(self.start, self.root + n * PAGE, first);
        }
        walk.leaves
    }

    /// Translates one input address, without a check of the tables; none if it is not mapped.
    #[must_use]
    pub fn translate(&self, image: &Image<'_>, input: u64) -> Option<u64> {
        if input.checked_shr(self.bits)? != 0 {
            return None;
        }
        let mut table = self.root;
        for level in self.start..4 {
            let span = span_bits(level);
            // The start level's index has all remaining bits.
            let mask = if level == self.start { u64::MAX } else { 511 };
            let entry = table.checked_add((input >> span & mask) * 8)?;
            let entry = image.at(entry, 8)?.try_into().ok().map(u64::from_le_bytes)?;
            match (entry & 0b11, level) {
                (0b11, 0..=2) => table = entry & ADDRESS,
                (0b11, _) | (0b01, 1 | 2) => {
                    let inside = (1 << span) - 1;
                    return Some(entry & ADDRESS & !inside | input & inside);
                }
                _ => return None,
            }
        }
        None
    }
}

struct Walk<'w, 'a> {
    regime: &'w Regime,
    image: &'w Image<'a>,
    findings: &'w mut Findings,
    leaves: Vec<Leaf>,
    seen: HashSet<u64>,
}

impl Walk<'_, '_> {
    fn refuse(&mut self, place: impl std::fmt::Display, what: impl std::fmt::Display) {
        let who: Vec<_> = self.regime.who.iter().map(String::as_str).collect();
        self.findings.add(Claim::Tables, place, &who, what);
    }

    fn table(&mut self, level: u32, address: u64, first: u64) {
        let place = format!("{}, level {level} table {address:#x}", self.regime.name);
        if !self.seen.insert(address) {
            self.refuse(place, "the table is reached twice in one translation");
            return;
        }
        let Some(bytes) = self.image.table(address) else {
            self.refuse(place, "the table is not in the plan");
            return;
        };
        let entries = bytes.chunks_exact(8);
        let entries: Vec<u64> =
            entries.map(|b| b.try_into().map_or(0, u64::from_le_bytes)).collect();
        // A root may have fewer entries than a table.
        let used = 1usize << (self.regime.bits - span_bits(level)).min(9);
        for (n, &entry) in entries.iter().enumerate() {
            if entry == 0 {
                continue;
            }
            let input = first + ((n as u64) << span_bits(level));
            let place = || format!("{place}, entry {n} ({entry:#x}) for {}", self.at(input, level));
            match (entry & 0b11, level) {
                (0b00 | 0b10, _) => self.refuse(place(), "an invalid descriptor is not zero"),
                (0b01, 0 | 3) => self.refuse(place(), "a reserved descriptor"),
                _ if n >= used => self.refuse(place(), "a descriptor beyond the input size"),
                (0b11, 0..=2) => {
                    if entry & !(ADDRESS | 0b11) != 0 {
                        // Hierarchical permissions would override a leaf's.
                        self.refuse(place(), "a table descriptor has more than an address");
                    }
                    self.table(level + 1, entry & ADDRESS, input);
                }
                _ => {
                    let leaf = self.leaf(entry, level, input);
                    match leaf {
                        Ok(leaf) => {
                            let group = &entries[n & !15..][..16];
                            if entry & CONTIGUOUS != 0 && !contiguous(group, level) {
                                self.refuse(
                                    place(),
                                    "a contiguous hint whose 16 entries are not contiguous",
                                );
                            }
                            self.push(leaf);
                        }
                        Err(what) => self.refuse(place(), what),
                    }
                }
            }
        }
    }

    fn at(&self, input: u64, level: u32) -> String {
        let word = match self.regime.stage {
            Stage::One => "VA",
            Stage::Two => "IPA",
        };
        let last = input + (1 << span_bits(level)) - 1;
        format!("{word} {input:#x}-{last:#x}")
    }

    /// Decodes a block or page descriptor.
    fn leaf(&self, entry: u64, level: u32, input: u64) -> Result<Leaf, String> {
        let size = 1 << span_bits(level);
        let output = entry & ADDRESS & !(size - 1);
        if entry & ADDRESS & (size - 1) != 0 {
            return Err("a block's address is not a multiple of its size".into());
        }
        if (output + size - 1) >> self.regime.output_bits != 0 {
            return Err(format!(
                "the address {output:#x} has more than {} bits",
                self.regime.output_bits
            ));
        }
        if entry & AF == 0 {
            return Err("the access flag is clear: every access faults".into());
        }
        let known = 0b11 | ADDRESS | AF | CONTIGUOUS;
        let (attributes, rights, kind) = match self.regime.stage {
            Stage::One => stage1(entry)?,
            Stage::Two => stage2(entry)?,
        };
        let unknown = entry & !(known | attributes);
        if unknown != 0 {
            return Err(format!("bits {unknown:#x} are reserved or have no use here"));
        }
        Ok(Leaf { input, output, size, rights, kind })
    }

    fn push(&mut self, leaf: Leaf) {
        if let Some(last) = self.leaves.last_mut()
            && last.input + last.size == leaf.input
            && last.output + last.size == leaf.output
            && (last.rights, last.kind) == (leaf.rights, leaf.kind)
        {
            last.size += leaf.size;
        } else {
            self.leaves.push(leaf);
        }
    }
}

/// Whether 16 aligned entries are one range with one set of attributes (DDI 0487, D8.7.1 "The
/// Contiguous bit").
fn contiguous(group: &[u64], level: u32) -> bool {
    let first = group[0];
    let size = 1u64 << span_bits(level);
    let follows = |(n, entry): (u64, &u64)| *entry == first.wrapping_add(n * size);
    (first & ADDRESS).is_multiple_of(16 * size) && (0..).zip(group).all(follows)
}

type Decoded = Result<(u64, Rights, Kind), String>;

/// Decodes EL2's stage 1 (DDI 0487, D8.3.1, one privilege level): attribute bits, rights, kind. WXN
/// is on, but a leaf must not rely on it: a writable leaf must be execute-never itself.
fn stage1(entry: u64) -> Decoded {
    const AP_1: u64 = 1 << 6;
    const READ_ONLY: u64 = 1 << 7;
    const SHARE: u64 = 0b11 << 8;
    const XN: u64 = 1 << 54;
    if entry & AP_1 == 0 {
        return Err("AP[1] is clear, but it is RES1 in a regime with one privilege level".into());
    }
    let rights = Rights { read: true, write: entry & READ_ONLY == 0, execute: entry & XN == 0 };
    let attribute = (MAIR_EL2 >> (8 * (entry >> 2 & 7))) as u8;
    let kind = match (attribute, (entry & SHARE) >> 8) {
        (0xff, 0b11) => Kind::Normal,
        (0x44, 0b10) => Kind::NonCacheable,
        (0x04, 0) => Kind::Device,
        (other, share) => Kind::Other(other, share as u8),
    };
    Ok((0b111 << 2 | AP_1 | READ_ONLY | SHARE | XN, rights, kind))
}

/// Decodes stage 2 (DDI 0487, D8.3.1): attribute bits, rights, kind.
fn stage2(entry: u64) -> Decoded {
    const MEM_ATTR: u64 = 0b1111 << 2;
    const S2AP: u64 = 0b11 << 6;
    const SHARE: u64 = 0b11 << 8;
    const XN: u64 = 0b11 << 53;
    let execute = match (entry & XN) >> 53 {
        0b00 => true,
        0b10 => false,
        _ => return Err("XN[0] is set: its meaning depends on FEAT_XNX".into()),
    };
    let rights = Rights { read: entry & 1 << 6 != 0, write: entry & 1 << 7 != 0, execute };
    let kind = match ((entry & MEM_ATTR) >> 2, (entry & SHARE) >> 8) {
        (0b1111, 0b11) => Kind::Normal,
        (0b0101, 0b10) => Kind::NonCacheable,
        (0b0001, 0) => Kind::Device,
        (other, share) => Kind::Other(other as u8, share as u8),
    };
    Ok((MEM_ATTR | S2AP | SHARE | XN, rights, kind))
}
