//! Damages images, for tests of EL2's reaction.

use plan::{Core, Header, Partition};
use planner::rows;
use std::mem::offset_of;
use std::ops::Range;
use system_tests::Damage;
use zerocopy::FromBytes;

/// Damages `image`. None if it has no such place.
pub fn inflict(damage: Damage, image: &mut [u8]) -> Option<()> {
    let place = plan(image)?;
    match damage {
        Damage::Bit(byte, bit) => {
            let plan = &mut image[place];
            let start = if byte < 0 { plan.len() } else { 0 };
            *plan.get_mut(start.checked_add_signed(byte)?)? ^= 1 << bit;
        }
        Damage::Option(bit) => {
            let plan = &mut image[place];
            plan[offset_of!(Header, options) + bit as usize / 8] ^= 1 << (bit % 8);
            rows::seal(plan);
        }
        Damage::Unmapped => {
            let at = state_page(image, &image[place.clone()])?;
            image.get_mut(at..at + 8)?.fill(0);
            rows::seal(&mut image[place]);
        }
    }
    Some(())
}

/// Returns the plan's range in an image: its offset is the image's word at byte 64
/// (`docs/plan.md`).
fn plan(image: &[u8]) -> Option<Range<usize>> {
    let start = usize::try_from(word(image, 64)?).ok()?;
    let size = word(image, start + offset_of!(Header, size))?;
    let end = start.checked_add(size.try_into().ok()?)?;
    (end <= image.len()).then_some(start..end)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Returns the offset in the image of the descriptor by which the last core's running translation
/// maps the first page of its partition's state (DDI 0487, D8.2 and D8.3, 4 KiB granule; input and
/// output address are equal).
fn state_page(image: &[u8], plan: &[u8]) -> Option<usize> {
    let (header, _) = Header::read_from_prefix(plan).ok()?;
    let row = |array: plan::Array, index: u32, size: usize| {
        plan.get(array.offset as usize + index as usize * size..)
    };
    let core = row(header.cores, header.cores.count - 1, size_of::<Core>())?;
    let (core, _) = Core::read_from_prefix(core).ok()?;
    let partition = row(header.partitions, core.partition, size_of::<Partition>())?;
    let (partition, _) = Partition::read_from_prefix(partition).ok()?;
    let bits = 64 - (header.tcr & 0x3f);
    let mut level = (0..3).rev().find(|level| bits <= 48 - 9 * level)?;
    let mut table = core.ttbr_run;
    loop {
        let index = partition.state.base >> (39 - 9 * level) & 511;
        let at = usize::try_from(table.checked_sub(header.el2_base)? + 8 * index).ok()?;
        let entry = word(image, at)?;
        match (entry & 0b11, level) {
            (0b11, 0..3) => (table, level) = (entry & 0xffff_ffff_f000, level + 1),
            (0b11, 3) => return Some(at),
            _ => return None,
        }
    }
}
