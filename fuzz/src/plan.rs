//! Target `plan`: a header and rows as EL2 finds them in an image, with any bytes in them. For
//! every content, what EL2 reads of the plan is within the plan.

use std::mem::{offset_of, size_of};
use std::sync::{Mutex, PoisonError};

use plan::{
    Array, Core, EmulatedDevice, End, Header, Interrupt, Ipa, Load, Memory, Midr, PAGE, Partition,
    Range, Write, device,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::state::plan_view::PlanView;
use crate::support::{self, Good, Parts};

/// The plan's place according to the packer; the harness has it at another address.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the linker script's name")]
static _plan_offset: u64 = 0;
/// The image's first byte, which is not used here.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the linker script's name")]
static _image_start: u8 = 0;

/// Bytes of the largest plan that EL2 takes for valid (`hyp/el2/src/state/plan_view.rs`).
const IMAGE_MAX: usize = 1 << 30;
/// Most bytes that one input may sum up; more would take too long.
const SUMMED: u64 = 1 << 20;
/// Most rows of an array that are read.
const ROWS: usize = 64;

/// Memory for one image: as much as a header may claim, which takes no RAM until it is accessed.
static ROOM: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Runs one input: the plan's first bytes; zeros follow.
pub fn run(data: &[u8]) {
    let mut room = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
    if room.is_empty() {
        *room = vec![0; IMAGE_MAX + 2 * PAGE as usize];
    }
    let start = room.as_ptr().align_offset(PAGE as usize);
    room[start..start + data.len()].copy_from_slice(data);
    check(&room[start..], data);
    room[start..start + data.len()].fill(0);
}

/// Returns the first page of good plans, each with the name of its seed.
pub fn good() -> Vec<(&'static str, Vec<u8>)> {
    let page = |good: &Good| {
        let parts = Parts::of(&good.image);
        good.image[parts.plan..parts.plan + PAGE as usize].to_vec()
    };
    vec![("duo", page(&support::duo())), ("full", page(&support::full()))]
}

fn check(image: &[u8], data: &[u8]) {
    let plan = PlanView::at(image.as_ptr() as u64);
    let word = |at: usize| u64::read_from_prefix(&image[at..]).map_or(0, |(word, _)| word);
    let (size, whole) = (word(offset_of!(Header, size)), word(offset_of!(Header, image_size)));
    let sound = data.starts_with(&plan::MAGIC.to_le_bytes())
        && word(offset_of!(Header, version)) as u32 == plan::VERSION
        && size <= whole
        && whole <= IMAGE_MAX as u64
        && size != 0;
    assert_eq!(plan.is_valid(), sound);
    let size = if sound { size } else { 0 };
    if size <= SUMMED {
        plan.crc();
    }
    let base = image.as_ptr() as u64;
    let header = plan.header;
    rows::<Range>(&plan, header.machine.ram, base, size);
    rows::<Midr>(&plan, header.machine.midrs, base, size);
    for writes in header.machine.writes {
        rows::<Write>(&plan, writes, base, size);
    }
    rows::<Core>(&plan, header.cores, base, size);
    rows::<Partition>(&plan, header.partitions, base, size);
    for core in plan.cores().iter().take(ROWS) {
        rows::<End>(&plan, core.ends, base, size);
    }
    for partition in plan.partitions().iter().take(ROWS) {
        rows::<u32>(&plan, partition.vcpus, base, size);
        rows::<Memory>(&plan, partition.memory, base, size);
        rows::<Load>(&plan, partition.loads, base, size);
        rows::<Interrupt>(&plan, partition.interrupts, base, size);
        rows::<Range>(&plan, partition.clears, base, size);
        rows::<EmulatedDevice>(&plan, partition.devices, base, size);
        devices(plan.slice(partition.devices));
        rows::<Write>(&plan, partition.policy.quiesce, base, size);
    }
}

/// Checks that a lookup at the ends of every row gives a device that is there, and a known one.
fn devices(rows: &[EmulatedDevice]) {
    for row in rows.iter().take(ROWS) {
        for ipa in [row.ipa.0.wrapping_sub(1), row.ipa.0, row.ipa.0.wrapping_add(row.size.into())] {
            if let Some((found, kind, offset)) = device::find(rows, Ipa(ipa)) {
                assert_eq!(found.kind, kind as u16);
                assert_eq!(found.ipa.0.wrapping_add(offset), ipa);
                assert!(offset < found.size.into());
            }
        }
    }
}

/// Checks that all elements of an array are there, or none is, and that they are within the plan's
/// `size` bytes from `base`.
fn rows<T: FromBytes + Immutable + KnownLayout + 'static>(
    plan: &PlanView,
    array: Array,
    base: u64,
    size: u64,
) {
    let found = plan.slice::<T>(array);
    if found.is_empty() {
        return;
    }
    let offset = u64::from(array.offset);
    assert_eq!(found.len(), array.count as usize);
    assert_eq!(found.as_ptr() as u64, base + offset);
    assert!(offset + u64::from(array.count) * size_of::<T>() as u64 <= size);
}
