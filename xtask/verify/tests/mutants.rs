//! The verifier can fail: the tests change one bit or field of a good image, and correct the
//! checksum. Every mutant that changes the meaning of the image is refused; every other mutant is
//! in a class that is explained here.

mod support;

use std::collections::BTreeMap;
use std::mem::offset_of;
use std::sync::Mutex;

use plan::{
    Array, Core, EmulatedDevice, End, Header, Interrupt, Load, Machine, Memory, Midr, PAGE,
    Partition, Range, View, Write,
};
use support::{Good, Numbers, Parts, put, seal, word};

/// A change of one word of an image: `at` is a multiple of 8.
#[derive(Clone, Copy)]
struct Mutant {
    class: &'static str,
    at: usize,
    xor: u64,
}

/// The results of a class of mutants.
#[derive(Default)]
struct Tally {
    refused: usize,
    explained: BTreeMap<&'static str, usize>,
    survived: Vec<String>,
}

/// Spoils the image by every mutant, and compares each with the good image's inputs.
fn run(
    good: &Good,
    mutants: &[Mutant],
    explain: &(dyn Fn(&Mutant) -> Option<&'static str> + Sync),
) {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let tallies: Mutex<BTreeMap<&str, Tally>> = Mutex::default();
    std::thread::scope(|scope| {
        for chunk in mutants.chunks(mutants.len().div_ceil(threads).max(1)) {
            let tallies = &tallies;
            scope.spawn(move || {
                let mut image = good.image.clone();
                for mutant in chunk {
                    let before = word(&image, mutant.at);
                    put(&mut image, mutant.at, before ^ mutant.xor);
                    seal(&mut image);
                    let refused = !bulkhead_verify::verify(&image, &good.inputs).holds();
                    image.copy_from_slice(&good.image);
                    let mut tallies = tallies.lock().expect("no thread panics with it");
                    let tally = tallies.entry(mutant.class).or_default();
                    match (refused, explain(mutant)) {
                        (true, _) => tally.refused += 1,
                        (false, Some(why)) => *tally.explained.entry(why).or_default() += 1,
                        (false, None) => tally.survived.push(format!(
                            "byte {:#x}: {before:#x} became {:#x}",
                            mutant.at,
                            before ^ mutant.xor
                        )),
                    }
                }
            });
        }
    });
    let tallies = tallies.into_inner().expect("no thread panicked");
    let mut survived = Vec::new();
    for (class, tally) in tallies {
        let explained: usize = tally.explained.values().sum();
        let meant = tally.refused + tally.survived.len();
        let (name, refused) = (&good.name, tally.refused);
        let percent = 100.0 * refused as f64 / meant.max(1) as f64;
        println!(
            "{name}: {class}: {refused} of {meant} refused ({percent:.2} %), {explained} mean \
             nothing {:?}",
            tally.explained
        );
        survived.extend(tally.survived.into_iter().map(|what| format!("{name}: {class}: {what}")));
    }
    assert!(survived.is_empty(), "{} survived:\n{}", survived.len(), survived.join("\n"));
}

fn meaningful(_: &Mutant) -> Option<&'static str> {
    None
}

/// Of the shipped system: every bit of some descriptors of each table, one bit of all others, and
/// bits of some invalid ones; of the other systems an eighth of that. Valid descriptors are also
/// made invalid, and replaced by others.
#[test]
fn tables() {
    let mut numbers = Numbers(1);
    for good in support::shipped() {
        let parts = Parts::of(&good.image);
        let mut mutants = Vec::new();
        let sampled = good.name != "duo";
        for table in parts.tables() {
            let mut valid = Vec::new();
            for at in (table..table + PAGE as usize).step_by(8) {
                let entry = word(&good.image, at);
                let bit = 1 << numbers.below(64);
                if entry != 0 {
                    valid.push(at);
                    if sampled && numbers.below(8) != 0 {
                        continue;
                    }
                    mutants.push(("one bit", at, bit));
                    mutants.push(("made invalid", at, entry));
                } else if numbers.below(if sampled { 128 } else { 16 }) == 0 {
                    mutants.push(("invalid, one bit", at, bit));
                }
            }
            // This is the first of a root's tables, of a guest that has nothing below its memory.
            if valid.is_empty() {
                continue;
            }
            // The start of a range, its end, and one entry inside: every bit, and the value of
            // another entry.
            let runs = |at: &usize| {
                [8, -8]
                    .iter()
                    .any(|&next: &isize| word(&good.image, at.wrapping_add_signed(next)) == 0)
            };
            let mut whole: Vec<usize> = valid.iter().copied().filter(runs).collect();
            whole.truncate(if sampled { 0 } else { 2 });
            whole.push(valid[numbers.below(valid.len())]);
            for at in whole {
                let bits = (0..64).filter(|_| !sampled || numbers.below(8) == 0);
                let bits: Vec<u64> = bits.map(|bit| 1 << bit).collect();
                mutants.extend(bits.into_iter().map(|xor| ("bits of a descriptor", at, xor)));
                let other = valid[numbers.below(valid.len())];
                let xor = word(&good.image, at) ^ word(&good.image, other);
                mutants.push(("another's descriptor", at, xor));
            }
        }
        let mutants = mutants.into_iter().filter(|(_, _, xor)| *xor != 0);
        let mutants: Vec<_> = mutants.map(|(class, at, xor)| Mutant { class, at, xor }).collect();
        run(&good, &mutants, &meaningful);
    }
}

/// Every word of the plan's rows, with the class of its row.
fn rows(parts: &Parts<'_>) -> BTreeMap<usize, &'static str> {
    let mut words = BTreeMap::new();
    let mut add = |class: &'static str, start: usize, size: usize| {
        words.extend((start & !7..start + size).step_by(8).map(|at| (at, class)));
    };
    add("header", parts.plan, size_of::<Header>());
    let machine = parts.header.machine;
    parts.span::<Range>(machine.ram).for_each(|at| add("machine", at, size_of::<Range>()));
    parts.span::<Midr>(machine.midrs).for_each(|at| add("machine", at, size_of::<Midr>()));
    for writes in machine.writes {
        parts.span::<Write>(writes).for_each(|at| add("machine", at, size_of::<Write>()));
    }
    parts.span::<Range>(machine.reclaimed).for_each(|at| add("machine", at, size_of::<Range>()));
    for (core, at) in parts.cores().iter().zip(parts.span::<Core>(parts.header.cores)) {
        add("core", at, size_of::<Core>());
        parts.span::<End>(core.ends).for_each(|at| add("channel row", at, size_of::<End>()));
    }
    let at = parts.span::<Partition>(parts.header.partitions);
    for (partition, at) in parts.partitions().iter().zip(at) {
        add("partition", at, size_of::<Partition>());
        parts.span::<u32>(partition.vcpus).for_each(|at| add("vCPU", at, 4));
        let memory = parts.span::<Memory>(partition.memory);
        memory.for_each(|at| add("memory row", at, size_of::<Memory>()));
        parts.span::<Load>(partition.loads).for_each(|at| add("load row", at, size_of::<Load>()));
        let interrupts = parts.span::<Interrupt>(partition.interrupts);
        interrupts.for_each(|at| add("interrupt row", at, size_of::<Interrupt>()));
        let devices = parts.span::<EmulatedDevice>(partition.devices);
        devices.for_each(|at| add("emulated device row", at, size_of::<EmulatedDevice>()));
        let views = parts.span::<View>(partition.views);
        views.for_each(|at| add("PCI function row", at, size_of::<View>()));
        let clears = parts.span::<Range>(partition.clears);
        clears.for_each(|at| add("cleared pages", at, size_of::<Range>()));
        let quiesce = parts.span::<Write>(partition.policy.quiesce);
        quiesce.for_each(|at| add("quiesce row", at, size_of::<Write>()));
    }
    words
}

/// Words whose change has no meaning: offset, bits, reason.
fn meaningless(parts: &Parts<'_>) -> Vec<(usize, u64, &'static str)> {
    let mut list = Vec::new();
    let writes = parts.plan + offset_of!(Header, machine) + offset_of!(Machine, writes);
    for (n, array) in parts.header.machine.writes.into_iter().enumerate() {
        empty(writes + n * size_of::<Array>(), array, &mut list);
    }
    let reclaimed = parts.plan + offset_of!(Header, machine) + offset_of!(Machine, reclaimed);
    empty(reclaimed, parts.header.machine.reclaimed, &mut list);
    let at = parts.span::<Partition>(parts.header.partitions);
    for (partition, at) in parts.partitions().iter().zip(at) {
        let colour = at + offset_of!(Partition, colour);
        let bits = 0xffff_ffff << (8 * (colour % 8));
        list.push((colour & !7, bits, "another colour of the console"));
        for (field, array) in [
            (offset_of!(Partition, vcpus), partition.vcpus),
            (offset_of!(Partition, memory), partition.memory),
            (offset_of!(Partition, loads), partition.loads),
            (offset_of!(Partition, interrupts), partition.interrupts),
            (offset_of!(Partition, clears), partition.clears),
            (offset_of!(Partition, devices), partition.devices),
            (offset_of!(Partition, views), partition.views),
            (offset_of!(Partition, policy.quiesce), partition.policy.quiesce),
        ] {
            empty(at + field, array, &mut list);
        }
    }
    for (core, at) in parts.cores().iter().zip(parts.span::<Core>(parts.header.cores)) {
        empty(at + offset_of!(Core, ends), core.ends, &mut list);
        let vmid = at + offset_of!(Core, vttbr);
        list.push((vmid, 0xff << 48, "another VMID that no other partition has"));
    }
    list
}

fn empty(at: usize, array: Array, list: &mut Vec<(usize, u64, &'static str)>) {
    if array.count == 0 {
        list.push((at, 0xffff_ffff, "where an array without elements is"));
    }
}

/// Whether the mutated word is the place of a partition's list of vCPUs, and the new place has the
/// same numbers.
fn same_vcpus(good: &Good, parts: &Parts<'_>, mutant: &Mutant) -> Option<&'static str> {
    let rows = parts.span::<Partition>(parts.header.partitions);
    let mut fields = rows.map(|at| at + offset_of!(Partition, vcpus));
    fields.find(|&at| at == mutant.at)?;
    let before = word(&good.image, mutant.at);
    let list = |field: u64| {
        let (start, count) = (parts.plan + field as u32 as usize, (field >> 32) as usize);
        good.image.get(start..start.checked_add(4 * count)?)
    };
    let same = list(before).is_some() && list(before) == list(before ^ mutant.xor);
    same.then_some("another place that lists the same vCPUs")
}

/// Mutants of every bit of every row, and of every word: zero, all ones, a page more, a page less,
/// another row's.
#[test]
fn header_and_rows() {
    let mut numbers = Numbers(2);
    for good in support::shipped() {
        let parts = Parts::of(&good.image);
        let words = rows(&parts);
        let all: Vec<_> = words.keys().copied().collect();
        let mut mutants = Vec::new();
        // The checksum is corrected, so it is not a mutant; the version next to it is.
        let crc = parts.plan + offset_of!(Header, version);
        for (&at, &class) in &words {
            let free = if at == crc { 0xffff_ffff } else { u64::MAX };
            let before = word(&good.image, at);
            let other = all[numbers.below(all.len())];
            let fields = [
                0,
                u64::MAX,
                before.wrapping_add(PAGE),
                before.wrapping_sub(PAGE),
                before.rotate_left(32),
                word(&good.image, other),
            ];
            // Every bit of the shipped system is changed, and two bits per word of the others.
            let every = good.name == "duo";
            let bits = (0..64).filter(|_| every || numbers.below(32) == 0).map(|bit| 1 << bit);
            let bits: Vec<u64> = bits.collect();
            let xors =
                bits.into_iter().chain(fields.map(|after| before ^ after)).map(|xor| xor & free);
            mutants.extend(xors.filter(|&xor| xor != 0).map(|xor| Mutant { class, at, xor }));
        }
        let known = meaningless(&parts);
        run(&good, &mutants, &|mutant| {
            let found =
                known.iter().find(|(at, bits, _)| *at == mutant.at && mutant.xor & !bits == 0);
            found.map(|(_, _, why)| *why).or_else(|| same_vcpus(&good, &parts, mutant))
        });
    }
}

/// Bytes without an owner: between rows, after contents, in the last page of the plan.
#[test]
fn padding() {
    for good in support::shipped() {
        let parts = Parts::of(&good.image);
        let known = rows(&parts);
        let tables = parts.tables();
        let end = tables.iter().copied().min().expect("tables");
        let gaps = (parts.plan..end).step_by(8).filter(|at| !known.contains_key(at));
        let gaps =
            gaps.filter(|at| !tables.iter().any(|table| (table..&(table + 4096)).contains(&at)));
        let mut mutants: Vec<_> =
            gaps.map(|at| Mutant { class: "padding", at, xor: 1 << 40 }).collect();
        assert!(!mutants.is_empty());
        for tree in parts.trees() {
            let behind = tree.end.next_multiple_of(8);
            if behind % PAGE as usize != 0 {
                mutants.push(Mutant { class: "after a tree", at: behind, xor: 1 });
            }
        }
        run(&good, &mutants, &meaningful);
    }
}

/// Device trees: one bit of every second byte of the system that has everything, and of every
/// eighth of the others'.
#[test]
fn device_trees() {
    let mut numbers = Numbers(3);
    for good in support::shipped() {
        let parts = Parts::of(&good.image);
        let mut mutants = Vec::new();
        let mut phandles = Vec::new();
        for span in parts.trees() {
            phandles.extend(phandle_words(&good.image[span.clone()], span.start));
            let step = if good.name == "full" { 2 } else { 8 };
            for at in span.step_by(step) {
                let xor = 1u64 << (8 * (at % 8) + numbers.below(8));
                mutants.push(Mutant { class: "device tree", at: at & !7, xor });
            }
        }
        run(&good, &mutants, &|mutant| free_phandle(&phandles, mutant));
    }
}

/// Whether a bit belongs to a node's own phandle. If such a mutant is accepted, no reference has
/// that number.
fn free_phandle(phandles: &[usize], mutant: &Mutant) -> Option<&'static str> {
    let byte = mutant.at + mutant.xor.trailing_zeros() as usize / 8;
    let number = phandles.iter().any(|at| (*at..at + 4).contains(&byte));
    number.then_some("a phandle that nothing refers to")
}

/// Returns the offsets of the values of phandle properties: token 3, four bytes, the name's offset.
fn phandle_words(tree: &[u8], start: usize) -> Vec<usize> {
    let word = |at: usize| {
        let bytes = tree[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(bytes) as usize
    };
    let (structure, strings, size) = (word(8), word(12), word(36));
    let tokens = (structure..structure + size - 16).step_by(4);
    let named = tokens.filter(|&at| {
        (word(at), word(at + 4)) == (3, 4)
            && tree.get(strings + word(at + 8)..).is_some_and(|name| name.starts_with(b"phandle\0"))
    });
    named.map(|at| start + at + 12).collect()
}

/// Mutants of code and contents: EL2's bytes, the image's header, guests' programs.
#[test]
fn contents() {
    let mut numbers = Numbers(4);
    for good in support::shipped() {
        let parts = Parts::of(&good.image);
        let pristine = parts.plan + parts.header.size as usize;
        let mut mutants = Vec::new();
        let end = if good.name == "duo" { 80 } else { 0 };
        let bits = (0..end).step_by(8).flat_map(|at| (0..64).map(move |bit| (at, 1 << bit)));
        mutants.extend(bits.map(|(at, xor)| ("image header", at, xor)));
        for _ in 0..60 {
            let bit = 1 << numbers.below(64);
            mutants.push(("EL2", numbers.below(parts.plan) & !7, bit));
            let at = pristine + numbers.below(good.image.len() - pristine);
            mutants.push(("pristine images", at & !7, bit));
        }
        let mutants = mutants.into_iter().map(|(class, at, xor)| Mutant { class, at, xor });
        let trees = parts.trees().into_iter();
        let phandles = trees.flat_map(|t| phandle_words(&good.image[t.clone()], t.start));
        let phandles: Vec<_> = phandles.collect();
        run(&good, &mutants.collect::<Vec<_>>(), &|mutant| free_phandle(&phandles, mutant));
    }
}
