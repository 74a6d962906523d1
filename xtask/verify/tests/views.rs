//! Channel ends that are PCI functions: what must not be said of one, in rows, tables, places and
//! device trees.

mod support;

use plan::{PAGE, Partition, View};
use planner::{guest::Guest, place::Places};
use support::{Good, Parts, compile, put, seal, views, word};

/// Returns the findings about the good image with a change.
fn findings(good: &Good, change: impl Fn(&Parts<'_>, &mut [u8])) -> String {
    let mut image = good.image.clone();
    change(&Parts::of(&good.image), &mut image);
    seal(&mut image);
    bulkhead_verify::verify(&image, &good.inputs).refusal()
}

/// Returns the partition of an index, and its functions.
fn partition(parts: &Parts<'_>, p: usize) -> (Partition, Vec<View>) {
    let row = parts.partitions()[p];
    (row, parts.array(row.views))
}

fn assert_says(text: &str, wanted: &[&str]) {
    for words in wanted {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}

#[test]
fn the_good_image_holds() {
    let good = views();
    assert!(bulkhead_verify::verify(&good.image, &good.inputs).holds());
    let (_, functions) = partition(&Parts::of(&good.image), 1);
    assert_eq!(functions.len(), 2);
}

/// Stage-2 attributes of Normal Write-Back, Inner Shareable, instead of Non-cacheable.
const CACHEABLE: u64 = (0b0101 ^ 0b1111) << 2 | (0b10 ^ 0b11) << 8;

/// Either end, and each of its directions: one with other attributes than the peer's is refused.
#[test]
fn both_ends_have_one_memory_type() {
    let good = views();
    let parts = Parts::of(&good.image);
    for (core, handle) in [(0, 1), (3, 1), (3, 2), (1, 0)] {
        let core = parts.cores()[core];
        let end = parts.array::<plan::End>(core.ends)[handle];
        for ipa in [end.tx_ipa, end.rx_ipa] {
            let text = findings(&good, |parts, image| {
                let at = parts.guest_leaf(&core, ipa);
                put(image, at, word(image, at) ^ CACHEABLE);
            });
            assert_says(
                &text,
                &["as Normal Write-Back Inner Shareable, must be Normal Non-cacheable"],
            );
        }
    }
    // Where no guest sees a function, pages are cacheable.
    let core = parts.cores()[0];
    let end = parts.array::<plan::End>(core.ends)[0];
    let text = findings(&good, |parts, image| {
        let at = parts.guest_leaf(&core, end.tx_ipa);
        put(image, at, word(image, at) ^ CACHEABLE);
    });
    assert_says(&text, &["as Normal Non-cacheable, must be Normal Write-Back Inner Shareable"]);
}

#[test]
fn no_guest_writes_a_state_table() {
    let good = views();
    for p in [0, 1] {
        let text = findings(&good, |parts, image| {
            let (row, functions) = partition(parts, p);
            let core = parts.cores()[parts.array::<u32>(row.vcpus)[0] as usize];
            let at = parts.guest_leaf(&core, functions[0].shared);
            put(image, at, word(image, at) | 1 << 7);
        });
        assert_says(&text, &["may rw- the state table of channel", "must be r--"]);
    }
}

/// EL2 and the guests must agree on the memory type too.
#[test]
fn el2_maps_state_tables_as_the_guests_do() {
    let good = views();
    let text = findings(&good, |parts, image| {
        let core = parts.cores()[0];
        let entry = parts.array::<plan::End>(core.ends)[1].state_entry;
        let at = parts.el2_leaf(core.ttbr_run, entry & !(PAGE - 1));
        // AttrIndx 1, Inner Shareable.
        put(image, at, word(image, at) ^ (3 << 2 | 1 << 8));
    });
    assert_says(&text, &["el2-map", "accesses the state table of channel mixed as Normal Write-"]);
}

/// Every bit of every word of the rows of functions, and of what ends and partitions say of them.
#[test]
fn every_bit_of_a_row_counts() {
    let good = views();
    let parts = Parts::of(&good.image);
    let mut words = Vec::new();
    for row in parts.partitions() {
        for at in parts.span::<View>(row.views) {
            words.extend((at..at + size_of::<View>()).step_by(8));
        }
    }
    for core in parts.cores() {
        for at in parts.span::<plan::End>(core.ends) {
            let from = at + std::mem::offset_of!(plan::End, state_entry);
            words.extend((from..at + size_of::<plan::End>()).step_by(8));
        }
    }
    assert!(words.len() >= 3 * 8 + 6 * 2);
    for at in words {
        for bit in 0..64 {
            let text = findings(&good, |_, image| put(image, at, word(image, at) ^ 1 << bit));
            assert!(text.contains("refused["), "bit {bit} of {at:#x} is not seen");
        }
    }
}

#[test]
fn mistakes_of_the_planner_are_seen() {
    type Mistake = fn(&mut Places, &mut Vec<Guest>);
    let mistakes: &[(&str, Mistake, &[&str])] = &[
        (
            "a state table is in a partition's memory",
            |places, _| {
                let base = places.memory[2][0].base;
                places.tables[1].as_mut().expect("a table").base = base;
            },
            &["one range is both", "the state table of channel mixed"],
        ),
        (
            "BAR2 is not where its pages are",
            |_, guests| {
                for end in &mut guests[1].ends {
                    if let Some(function) = &mut end.function {
                        function.shared.base += 0x100_0000;
                    }
                }
            },
            &["the guest address of the section it writes is", "device-tree"],
        ),
        (
            "two functions have one page of registers",
            |_, guests| {
                let mut ends = guests[1].ends.iter_mut().filter_map(|end| end.function.as_mut());
                let (first, second) = (ends.next(), ends.next());
                if let (Some(first), Some(second)) = (first, second) {
                    second.registers = first.registers;
                }
            },
            &["the registers of a PCI function"],
        ),
    ];
    let good = views();
    for (what, mistake, wanted) in mistakes {
        let image = compile(&good.system, mistake);
        let text = bulkhead_verify::verify(&image, &good.inputs).refusal();
        for words in *wanted {
            assert!(text.contains(words), "{what}: {words:?} is not in:\n{text}");
        }
    }
}

/// The tree says where the bus is, that BARs must not be moved, and which interrupt a function has.
#[test]
fn the_tree_must_describe_the_bus() {
    let good = views();
    let cells = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    };
    for (what, from, to, wanted) in [
        (
            "another interrupt",
            cells(&[0, 0, 0, 1, 1, 0, 0, 0, 97, 1]),
            cells(&[0, 0, 0, 1, 1, 0, 0, 0, 98, 1]),
            "interrupt-map",
        ),
        (
            "a phandle that does not exist",
            cells(&[0, 0, 0, 1, 1, 0, 0, 0, 97, 1]),
            cells(&[0, 0, 0, 1, 99, 0, 0, 0, 97, 1]),
            "interrupt-map",
        ),
        (
            "a level",
            cells(&[0, 0, 0, 1, 1, 0, 0, 0, 97, 1]),
            cells(&[0, 0, 0, 1, 1, 0, 0, 0, 97, 4]),
            "interrupt-map",
        ),
        (
            "a cacheable window",
            cells(&[0x4300_0000, 0, 0x2020_0000]),
            cells(&[0x4200_0000, 0, 0x2020_0000]),
            "ranges",
        ),
        (
            "another place of configuration space",
            cells(&[0, 0x2000_0000, 0, 0x10_0000]),
            cells(&[0, 0x2000_0000, 0, 0x20_0000]),
            "reg",
        ),
    ] {
        let text = findings(&good, |parts, image| {
            let tree = parts.trees()[1].clone();
            let bytes = &mut image[tree];
            let at = bytes.windows(from.len()).position(|window| window == from.as_slice());
            let at = at.unwrap_or_else(|| panic!("{what}: the tree does not have it"));
            bytes[at..at + to.len()].copy_from_slice(&to);
        });
        assert!(text.contains("device-tree"), "{what}:\n{text}");
        assert!(text.contains(wanted), "{what}:\n{text}");
    }
}
