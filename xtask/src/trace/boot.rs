//! The parts of boot: the instructions of all cores until their guests start, by the function that
//! ran them.

use super::entries::first_return;
use super::listing::Symbols;
use super::log::Trace;
use std::collections::BTreeMap;

/// A part of boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The pass over the boot device tree.
    DeviceTree,
    /// The plan's CRC32C.
    Checksum,
    /// All other work.
    Rest,
    /// Waiting for other cores, in a loop.
    Spin,
    /// Moving the image and copying the partitions' pristine contents.
    Copy,
    /// Clearing memory, and cleaning caches by address.
    Clear,
}

/// Functions (a part of the name, of any that the instruction was inlined from) that make up a
/// part.
const PARTS: &[(Part, &[&str])] = &[
    (Part::Spin, &["run::boot_barrier", "load::meet", "boot::await_core", "spin::"]),
    (Part::Copy, &["memcpy", "copy_nonoverlapping", "move_image"]),
    (
        Part::Clear,
        &["clear_range", "clean_invalidate", "Shared>::clear", "Shared::clear", "memset"],
    ),
    (Part::Checksum, &["crc32c"]),
    (Part::DeviceTree, &["boot::tree::", "boot::machine::", "memcmp"]),
];
/// The symbol of the straight-line code that starts EL2: instructions there that run more often
/// than [`OFTEN`] are the loop that moves the image.
const ENTRY: &str = "_image_start";
const OFTEN: usize = 64;
/// In the symbols of what the compiler has moved out of several functions; it counts for the
/// function that ran before it.
const OUTLINED: &str = "OUTLINED_FUNCTION";

/// Boot's instructions by part and outermost-to-innermost function names.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// Instructions by part.
    pub parts: BTreeMap<Part, usize>,
    /// Instructions by part and function, the most first.
    pub functions: Vec<(Part, String, usize)>,
}

impl Boot {
    /// Sums up all cores until their first return to a guest.
    #[must_use]
    pub fn of(trace: &Trace, symbols: &Symbols) -> Self {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        let mut known: BTreeMap<u32, bool> = BTreeMap::new();
        let mut is_outlined = |offset: u32| {
            let outlined = || symbols.functions(offset).iter().any(|name| name.contains(OUTLINED));
            *known.entry(offset).or_insert_with(outlined)
        };
        for (core, offsets) in trace.cores.iter().enumerate() {
            let end = first_return(trace, core).unwrap_or(offsets.len());
            let mut caller = 0;
            for &offset in &offsets[..end] {
                if !is_outlined(offset) {
                    caller = offset;
                }
                *counts.entry(caller).or_default() += 1;
            }
        }
        let mut boot = Self::default();
        let mut functions: BTreeMap<(Part, String), usize> = BTreeMap::new();
        for (offset, count) in counts {
            let names = symbols.functions(offset);
            let part = part(&names, count);
            *boot.parts.entry(part).or_default() += count;
            *functions.entry((part, names.join(" > "))).or_default() += count;
        }
        boot.functions =
            functions.into_iter().map(|((part, name), count)| (part, name, count)).collect();
        boot.functions.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        boot
    }

    /// Returns the instructions of `part`.
    #[must_use]
    pub fn part(&self, part: Part) -> usize {
        self.parts.get(&part).copied().unwrap_or(0)
    }
}

fn part(names: &[String], count: usize) -> Part {
    if count > OFTEN && names.iter().any(|name| name == ENTRY) {
        return Part::Copy;
    }
    let is = |words: &[&str]| names.iter().any(|name| words.iter().any(|word| name.contains(word)));
    PARTS.iter().find(|(_, words)| is(words)).map_or(Part::Rest, |(part, _)| *part)
}
