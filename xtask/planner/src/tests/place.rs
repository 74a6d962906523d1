// SPDX-License-Identifier: MIT OR Apache-2.0
//! Placement: ranges do not overlap, all are in RAM, and blocks are used where they fit.

use plan::CLASS_COMM;
use proptest::prelude::*;

use super::support::{MIB, channel, duo, partition};
use crate::guests;
use crate::place::{Places, place};
use manifest::system::{Memory, Range, System, merged};

const EL2: u64 = 0xa000;

fn placed(system: &System) -> anyhow::Result<Places> {
    let mut pristine = Vec::new();
    let guests = guests::design(system, &mut pristine)?;
    place(system, &guests, &pristine, EL2, 0x2_0000)
}

fn everything(places: &Places) -> Vec<Range> {
    let single = [places.shared, places.records, places.image];
    let lists = [&places.private, &places.state];
    let mut all: Vec<Range> = lists.into_iter().flatten().copied().collect();
    all.extend(single);
    all.extend(places.memory.iter().flatten());
    all.extend(places.regions.iter().flatten());
    all.sort_by_key(|range| range.base);
    all
}

fn check(system: &System, places: &Places) {
    let all = everything(places);
    for pair in all.windows(2) {
        assert!(pair[0].base + pair[0].size <= pair[1].base, "{pair:x?}");
    }
    let inside = |range: &Range, outer: &Range| {
        range.base >= outer.base && range.base + range.size <= outer.base + outer.size
    };
    let ram = merged(system.board.ram.iter());
    for range in &all {
        assert!(range.base % 4096 == 0 && range.size % 4096 == 0);
        assert!(ram.iter().any(|outer| inside(range, outer)), "{range:x?}");
        for reserved in &system.board.reserved {
            assert!(
                range.base + range.size <= reserved.base
                    || reserved.base + reserved.size <= range.base
            );
        }
    }
    let total = |ranges: &[Range]| ranges.iter().map(|r| r.size).sum::<u64>();
    assert_eq!(total(&places.ram()), total(&all));
}

proptest! {
    #[test]
    fn nothing_overlaps(
        sizes in prop::collection::vec((1u64..40_000, 0u64..3), 2..6),
        bytes in prop::collection::vec((12u32..22, 12u32..22), 0..6),
        ram in prop::collection::vec((0u64..1 << 18, 1u64..1 << 16), 1..4),
        reserved in prop::collection::vec((0u64..1 << 18, 1u64..1 << 12), 0..4),
    ) {
        let mut system = duo();
        let range = |&(base, pages): &(u64, u64)| Range {
            base: 0x4000_0000 + (base << 12),
            size: pages << 12,
        };
        system.board.ram.extend(ram.iter().map(range));
        system.board.reserved = reserved.iter().map(range).collect();
        system.partitions = sizes
            .iter()
            .enumerate()
            .map(|(n, &(pages, shift))| {
                let vcpus = [(n as u32, CLASS_COMM)];
                let mut one = partition(&format!("p{n}"), &vcpus, (pages + 200) << 12, 0);
                one.memory[0].ipa = 0x4000_0000 + (shift << 20);
                one.image.segments[0].ipa = one.memory[0].ipa;
                one
            })
            .collect();
        system.channels = bytes.iter().map(|&(a, b)| channel("c", [1 << a, 1 << b])).collect();
        match placed(&system) {
            Ok(places) => check(&system, &places),
            // Less than half of the RAM always fits; a refusal must be due to sizes or holes.
            Err(error) => {
                prop_assert!(error.to_string().contains("does not fit the RAM"), "{error}");
            }
        }
    }
}

#[test]
fn memory_is_aligned_like_its_ipa() {
    let mut system = duo();
    system.partitions[0].memory =
        vec![Memory { ipa: 0x4010_0000, size: 48 * MIB, physical: None, rom: false }];
    system.partitions[0].image.segments[0].ipa = 0x4010_0000;
    system.partitions[1].memory[0].size = 48 * MIB;
    let places = placed(&system).unwrap();
    check(&system, &places);
    assert_eq!(places.memory[0][0].base % (2 * MIB), MIB);
    assert_eq!(places.memory[1][0].base % (64 * MIB), 0);
}

#[test]
fn nearly_all_of_ram_can_be_used() {
    let mut system = duo();
    system.partitions[0].memory[0].size = 700 * MIB;
    system.partitions[1].memory[0].size = 320 * MIB;
    let places = placed(&system).unwrap();
    check(&system, &places);
}

#[test]
fn what_a_block_leaves_over_is_used() {
    let mut system = duo();
    system.partitions[0].memory[0].size = 48 * MIB;
    system.partitions[1].memory[0].size = 16 * MIB;
    let places = placed(&system).unwrap();
    assert_eq!(places.memory[1][0].base, places.memory[0][0].base + 48 * MIB);
}

#[test]
fn odd_sizes_are_packed_when_blocks_do_not_suffice() {
    let mut system = duo();
    let piece = |n| Memory {
        ipa: 0x4000_0000 + n * (65 * MIB),
        size: 65 * MIB,
        physical: None,
        rom: false,
    };
    system.partitions[0].memory = (0..14).map(piece).collect();
    let places = placed(&system).unwrap();
    check(&system, &places);
}

#[test]
fn el2_lies_at_the_top() {
    let system = duo();
    let places = placed(&system).unwrap();
    check(&system, &places);
    let end = places.image.base + places.image.size;
    assert!((0x7fe0_0000..=0x8000_0000).contains(&end), "{end:#x}");
    // One level-3 table has everything that a core maps while it runs.
    assert_eq!(places.private[0].base % (2 * MIB), 0);
    assert!(end - places.private[0].base <= 2 * MIB);
}

#[test]
fn fixed_memory_lies_where_it_is_said() {
    let mut system = duo();
    system.partitions[1].memory[0].physical = Some(0x7e00_0000);
    let places = placed(&system).unwrap();
    check(&system, &places);
    assert_eq!(places.memory[1][0].base, 0x7e00_0000);
    assert!(places.image.base < 0x7e00_0000, "EL2 makes room");
    system.partitions[0].memory[0].physical = Some(0x7d00_0000);
    assert_eq!(
        placed(&system).unwrap_err().to_string(),
        "the `physical` address of control's memory is not free RAM: 0x7e000000 to 0x7fffffff is \
         not free RAM of test-board"
    );
}
