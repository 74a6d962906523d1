//! Target `verifier`: images of any bytes, and good images with some words changed. The verifier
//! answers. It must not prove an image whose translation tables or rows differ from the good
//! image's, unless the changed words have no meaning.

use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use plan::{Core, PAGE};

use crate::support::{self, Good, Parts};

/// A word of the good image that becomes another.
#[derive(Arbitrary, Debug)]
struct Change {
    /// The place: for a quarter of them in the whole image, for the others in plan and tables.
    at: u32,
    /// Bits to invert.
    flip: u64,
    /// Whether only one of the bits is inverted.
    single: bool,
}

/// Runs one input: whether the image is made of a good one; then changes, or the image.
pub fn run(data: &[u8]) {
    static GOOD: OnceLock<Good> = OnceLock::new();
    let good = GOOD.get_or_init(support::duo);
    let mut input = Unstructured::new(data);
    if !input.arbitrary().unwrap_or(false) {
        let proof = bulkhead_verify::verify(input.take_rest(), &good.inputs);
        assert!(!proof.holds(), "bytes are taken for an image");
        return;
    }
    let mut image = good.image.clone();
    let parts = Parts::of(&good.image);
    let plan = parts.header.size as usize;
    for change in input.arbitrary_iter::<Change>().into_iter().flatten() {
        let Ok(change) = change else { break };
        let at = match change.at % 4 {
            0 => (change.at / 4) as usize % (image.len() / 8),
            _ => parts.plan / 8 + (change.at / 4) as usize % (plan / 8),
        };
        let flip = match change.single {
            true => 1 << (change.flip % 64),
            false => change.flip,
        };
        support::put(&mut image, at * 8, support::word(&good.image, at * 8) ^ flip);
    }
    support::seal(&mut image);
    let proof = bulkhead_verify::verify(&image, &good.inputs);
    for finding in &proof.findings {
        assert!(!finding.what.is_empty() && !finding.place.is_empty() && !finding.who.is_empty());
    }
    if proof.holds() {
        reaches_the_same(&parts, &image);
    }
}

/// Checks that every vCPU's stage 2 translates as before, with another walk in the simplest way.
fn reaches_the_same(parts: &Parts<'_>, image: &[u8]) {
    let changed = Parts::of(image);
    assert_eq!(parts.cores().len(), changed.cores().len());
    for (core, other) in parts.cores().iter().zip(changed.cores()) {
        assert_eq!(leaves(parts, core), leaves(&changed, &other));
    }
}

/// Returns leaf descriptors of a core's stage 2 in the order of guest addresses: address, output
/// address, S2AP and XN.
fn leaves(parts: &Parts<'_>, core: &Core) -> Vec<(u64, u64, u64)> {
    let start = 2 - (core.vtcr >> 6 & 3) as u32;
    let bits = 64 - (core.vtcr & 0x3f) as u32;
    let mut found = Vec::new();
    for n in 0..1u64 << bits.saturating_sub(48 - 9 * start) {
        let table = (core.vttbr & 0xffff_ffff_f000) + n * PAGE;
        walk(parts, table, start, n << (48 - 9 * start), &mut found);
    }
    found
}

fn walk(parts: &Parts<'_>, table: u64, level: u32, input: u64, found: &mut Vec<(u64, u64, u64)>) {
    let span = 39 - 9 * level;
    for n in 0..512 {
        let entry = support::word(parts.image, parts.offset(table) + 8 * n as usize);
        let input = input + (n << span);
        match (entry & 3, level) {
            (3, 0..=2) => walk(parts, entry & 0xffff_ffff_f000, level + 1, input, found),
            (0 | 2, _) => {}
            _ => found.push((input, entry & 0xffff_ffff_f000, entry >> 6 & 3 | entry >> 51 & 12)),
        }
    }
}
