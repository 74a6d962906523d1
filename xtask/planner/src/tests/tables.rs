// SPDX-License-Identifier: MIT OR Apache-2.0
//! Translation tables against the walker.

use proptest::prelude::*;

use super::walker::Tables;
use crate::tables::{Access, Mapping, Pool, Shape, Stage};
use crate::traps;

const POOL: u64 = 0x7fed_3000;

fn mapping(input: u64, output: u64, size: u64, access: Access) -> Mapping {
    Mapping { what: "it".into(), input, output, size, access }
}

/// The attributes that DDI 0487 D8.3 and D8.4 give each access, written out.
fn expected(stage: Stage, access: Access) -> u64 {
    match (stage, access) {
        (Stage::One, Access::Read) => 0x0040_0000_0000_07c4,
        (Stage::One, Access::ReadExecute) => 0x0000_0000_0000_07c4,
        (Stage::One, Access::ReadWrite) => 0x0040_0000_0000_0744,
        (Stage::One, Access::ReadWriteExecute) => 0x0000_0000_0000_0744,
        (Stage::One, Access::ReadNonCacheable) => 0x0040_0000_0000_06c8,
        (Stage::One, Access::ReadWriteNonCacheable) => 0x0040_0000_0000_0648,
        (Stage::One, Access::Device) => 0x0040_0000_0000_0440,
        (Stage::Two, Access::Read) => 0x0040_0000_0000_077c,
        (Stage::Two, Access::ReadExecute) => 0x0000_0000_0000_077c,
        (Stage::Two, Access::ReadWrite) => 0x0040_0000_0000_07fc,
        (Stage::Two, Access::ReadWriteExecute) => 0x0000_0000_0000_07fc,
        (Stage::Two, Access::ReadNonCacheable) => 0x0040_0000_0000_0654,
        (Stage::Two, Access::ReadWriteNonCacheable) => 0x0040_0000_0000_06d4,
        (Stage::Two, Access::Device) => 0x0040_0000_0000_04c4,
    }
}

fn check(stage: Stage, mappings: &[Mapping]) {
    let end = mappings.iter().map(|m| m.input + m.size).max().unwrap();
    let shape = Shape::covering(stage, end).unwrap();
    let mut pool = Pool::new(POOL);
    // Another table comes first, so that the root is not at the start by chance.
    let other = mapping(0x1000, 0x2000, 0x1000, Access::Read);
    pool.root(Shape::covering(stage, 0x2000).unwrap(), &[other]).unwrap();
    let root = pool.root(shape, mappings).unwrap();
    let bytes = pool.bytes();
    let tables = Tables { base: POOL, bytes: &bytes };
    let walk = |input| match stage {
        Stage::One => tables.stage1(traps::tcr(shape, 48).value(), root, input),
        Stage::Two => tables.stage2(traps::vtcr(shape, 48).value(), root, input),
    };
    for m in mappings {
        let end = m.input + m.size;
        // Edges, and both sides of every block boundary inside, as far as the size leaves time to
        // visit them.
        let mut inputs = vec![m.input.wrapping_sub(1), m.input, end - 1, end, m.input + m.size / 2];
        for step in [1u64 << 12, 1 << 21, 1 << 30] {
            let first = m.input.next_multiple_of(step);
            let lines = (first..end).step_by(step as usize).take(600);
            inputs.extend(lines.flat_map(|a| [a - 1, a, a + 8]));
        }
        for input in inputs {
            let wanted = mappings
                .iter()
                .find(|m| m.input <= input && input < m.input + m.size)
                .map(|m| (m.output + (input - m.input), expected(stage, m.access)));
            let got = walk(input).map(|leaf| (leaf.output, leaf.attributes));
            assert_eq!(got, wanted, "{input:#x} of {mappings:x?}");
        }
        // The largest block that both addresses permit at this place. A walk that starts at level 2
        // has no 1 GiB blocks, and its 2 MiB blocks take one step.
        for span in [30, 21].into_iter().skip((shape.start_level() == 2).into()) {
            let first = m.input.next_multiple_of(1 << span);
            let output = m.output + (first - m.input);
            if first + (1 << span) <= end && output.is_multiple_of(1 << span) {
                assert!(walk(first).unwrap().span >= span);
                break;
            }
        }
    }
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        Just(Access::Read),
        Just(Access::ReadExecute),
        Just(Access::ReadWrite),
        Just(Access::ReadWriteExecute),
        Just(Access::Device),
    ]
}

prop_compose! {
    /// Consecutive mappings, with sizes and gaps of all magnitudes.
    fn mappings()(
        start in 0u64..1 << 20,
        rows in prop::collection::vec(
            (0u32..19, 0u64..520, 0u32..19, 0u64..520, 0u64..1 << 34, any::<bool>(), access()),
            1..8,
        ),
    ) -> Vec<Mapping> {
        let mut next = start << 12;
        let mut result = Vec::new();
        for (shift, gap, size_shift, size, output, aligned, access) in rows {
            let input = next + ((gap << 12 << shift) & ((1 << 34) - 1));
            // Only mappings that can use blocks are large: a GiB of pages takes half a thousand
            // tables.
            let most = if aligned { 1 << 32 } else { 1 << 26 };
            let size = ((size + 1) << 12 << size_shift).min(most);
            let low = (1 << 30) - 1;
            let output = if aligned { (output << 12 & !low) | input & low } else { output << 12 };
            result.push(mapping(input, output & ((1 << 47) - 4096), size, access));
            next = input + size;
        }
        result
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_address_translates_as_asked(mappings in mappings(), two in any::<bool>()) {
        check(if two { Stage::Two } else { Stage::One }, &mappings);
    }

    #[test]
    fn a_shape_is_the_smallest(end in 1u64..1 << 48) {
        for stage in [Stage::One, Stage::Two] {
            let shape = Shape::covering(stage, end).unwrap();
            prop_assert!(end <= 1 << shape.bits);
            prop_assert!(shape.bits == 25 || end > 1 << (shape.bits - 1));
            // A start one level later would need more concatenated tables than are allowed.
            let most = if stage == Stage::Two { 16 } else { 1 };
            let level = shape.start_level();
            let per_table = 1u64 << (12 + 9 * (4 - (level + 1)));
            prop_assert!(level == 2 || (1u64 << shape.bits) / per_table > most);
            prop_assert!(shape.root_tables() as u64 <= most);
        }
    }
}

#[test]
fn concatenation_only_saves_levels() {
    let shape = |bits| Shape { stage: Stage::Two, bits };
    let all = |bits| (shape(bits).start_level(), shape(bits).root_tables());
    // DDI 0487, D8.2: 4 KiB granule, input sizes and initial lookup levels of stage 2.
    assert_eq!(all(30), (2, 1));
    assert_eq!(all(31), (2, 2));
    assert_eq!(all(34), (2, 16));
    assert_eq!(all(35), (1, 1));
    assert_eq!(all(39), (1, 1));
    assert_eq!(all(40), (1, 2));
    assert_eq!(all(43), (1, 16));
    assert_eq!(all(44), (0, 1));
    assert_eq!(all(48), (0, 1));
}

#[test]
fn equal_tables_are_stored_once() {
    let mut pool = Pool::new(POOL);
    let shape = Shape::covering(Stage::One, 1 << 31).unwrap();
    let page = mapping(0x4000_1000, 0x4000_1000, 0x1000, Access::ReadWrite);
    let one = pool.root(shape, std::slice::from_ref(&page)).unwrap();
    let size = pool.bytes().len();
    assert_eq!(pool.root(shape, &[page]).unwrap(), one);
    assert_eq!(pool.bytes().len(), size);
    assert_eq!(size, 3 * 4096);
}

#[test]
fn neighbours_share_a_block() {
    let half = 1 << 20;
    check(
        Stage::Two,
        &[
            mapping(0x4000_0000, 0x5000_0000, half, Access::ReadWrite),
            mapping(0x4000_0000 + half, 0x5000_0000 + half, half, Access::ReadWrite),
        ],
    );
    let mut pool = Pool::new(0);
    let shape = Shape::covering(Stage::Two, 1 << 31).unwrap();
    let rows = [
        mapping(0x4000_0000 + half, 0x5000_0000 + half, half, Access::ReadWrite),
        mapping(0x4000_0000, 0x5000_0000, half, Access::ReadWrite),
    ];
    pool.root(shape, &rows).unwrap();
    assert_eq!(pool.bytes().len(), 2 * 4096, "no level-3 table");
}

#[test]
fn neighbours_that_lead_elsewhere_stay_apart() {
    let page = |input, output, access| mapping(input, output, 0x1000, access);
    check(
        Stage::Two,
        &[
            page(0x4000_0000, 0x5000_0000, Access::ReadWrite),
            page(0x4000_1000, 0x6000_0000, Access::ReadWrite),
            page(0x4000_2000, 0x6000_1000, Access::Read),
        ],
    );
}

#[test]
fn refused() {
    let shape = Shape::covering(Stage::One, 1 << 31).unwrap();
    let text = |rows: &[Mapping]| Pool::new(0).root(shape, rows).unwrap_err().to_string();
    let a = mapping(0x1000, 0x1000, 0x2000, Access::Read);
    let b = mapping(0x2000, 0x1000, 0x1000, Access::Read);
    assert_eq!(text(&[a, b]), "it (0x2000, 0x1000 bytes) overlaps it (0x1000, 0x2000 bytes)");
    assert_eq!(
        text(&[mapping(0x1000, 0x800, 0x1000, Access::Read)]),
        "it: 0x800 and 0x1000 must be whole pages"
    );
    assert_eq!(
        text(&[mapping(1 << 31, 0, 0x1000, Access::Read)]),
        "it: 0x80000000 is outside 31 address bits"
    );
    assert_eq!(
        text(&[mapping(1 << 48, 0, 0x1000, Access::Read)]),
        "it: 0x1000000000000 and 0x1000 bytes reach beyond 48 address bits"
    );
}
