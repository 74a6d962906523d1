//! Wrong images that the verifier once passed, and that an independent reader found.

mod support;

use std::mem::offset_of;

use bulkhead_verify::{Inputs, verify};
use plan::{Core, End, Header, Machine, Memory, PAGE, Partition, Range};
use support::{Parts, apart, compile, duo, manifest, put, seal, word};

/// Checks that the image, with a correct checksum, is refused with these words.
fn refused(mut image: Vec<u8>, inputs: &Inputs, words: &[&str]) {
    seal(&mut image);
    let proof = verify(&image, inputs);
    let text = proof.refusal();
    for words in words {
        assert!(text.contains(words), "`{words}` is not in\n{text}");
    }
    assert!(!proof.holds());
}

/// Rows, trees and interrupts promise a channel, but its pages are missing in every table and every
/// list of ranges.
#[test]
fn a_channel_has_no_pages() {
    let good = duo();
    // The address is apart from other ranges, so that its pages are a separate range in
    // `Machine::ram`.
    let base = 0x5000_0000;
    let whole = compile(&good.system, |places, _| {
        let [one, other] = &mut places.regions[0];
        one.base = base;
        other.base = base + one.size;
    });
    assert!(verify(&whole, &good.inputs).holds());
    let mut image = whole.clone();
    let parts = Parts::of(&whole);
    let partitions: Vec<_> = parts.span::<Partition>(parts.header.partitions).collect();
    for core in parts.cores() {
        for end in parts.array::<End>(core.ends) {
            for (ipa, size) in [(end.tx_ipa, end.tx_size), (end.rx_ipa, end.rx_size)] {
                for page in (ipa..ipa + size).step_by(PAGE as usize) {
                    put(&mut image, parts.guest_leaf(&core, page), 0);
                }
            }
        }
        let partition = parts.partitions()[core.partition as usize];
        for cleared in parts.array::<Range>(partition.clears) {
            for page in (cleared.base..cleared.base + cleared.size).step_by(PAGE as usize) {
                put(&mut image, parts.el2_leaf(core.ttbr_load, page), 0);
            }
        }
    }
    let take = |image: &mut Vec<u8>, rows: &[usize], count: usize| {
        // The first row is removed: the others move up, and the last is zero.
        for (n, &row) in rows.iter().enumerate() {
            for word_of in [0, 8] {
                let next = rows.get(n + 1).map_or(0, |&next| word(&whole, next + word_of));
                put(image, row + word_of, next);
            }
        }
        let less = rows.len() as u32 - 1;
        image[count..count + 4].copy_from_slice(&less.to_le_bytes());
    };
    for (n, partition) in parts.partitions().iter().enumerate() {
        let rows: Vec<_> = parts.span::<Range>(partition.clears).collect();
        take(&mut image, &rows, partitions[n] + offset_of!(Partition, clears) + 4);
    }
    let rows: Vec<_> = parts.span::<Range>(parts.header.machine.ram).collect();
    assert_eq!(word(&whole, rows[0]), base);
    let count = parts.plan + offset_of!(Header, machine) + offset_of!(Machine, ram) + 4;
    take(&mut image, &rows, count);
    let words = [
        "refused[channels]: neither sensor nor control has the pages through which sensor sends",
        "where: channel row 0 of core 0 (sensor/0) (channel samples, sensor/0 to control/0)",
        "neither control nor sensor has the pages through which control sends",
    ];
    refused(image, &good.inputs, &words);
}

/// The address after a piece of memory belongs to another piece, or to none.
#[test]
fn behind_a_piece_of_memory_is_not_in_it() {
    let good = apart();
    let elsewhere = compile(&good.system, |_, guests| {
        let loads = guests[0].loads.iter_mut();
        loads.for_each(|load| {
            if load.ipa == 0x4040_0000 {
                load.ipa = 0x6000_0000;
            }
        });
    });
    let words = ["partition alpha, IPA 0x40400000", "its image is not loaded there"];
    refused(elsewhere, &good.inputs, &words);

    let third = compile(&good.system, |_, guests| {
        guests[0].dtb = 0x6000_0000;
        guests[0].loads.last_mut().expect("the tree's").ipa = 0x6000_0000;
    });
    let words = ["its device tree at 0x60000000 is not in its first piece of memory"];
    refused(third.clone(), &good.inputs, &words);
    let parts = Parts::of(&third);
    let row = parts.span::<Partition>(parts.header.partitions).next();
    let mut image = third.clone();
    // At the end of the first piece in RAM, the third piece follows, which has the tree. In guest
    // addresses, the second follows, and then nothing.
    for (dtb, words) in [
        (0x4040_0000, "its header has magic number"),
        (0x4080_0000, "its device tree is not loaded there"),
    ] {
        let at = row.expect("a row") + offset_of!(Partition, dtb);
        put(&mut image, at, dtb);
        let first = format!("its device tree at {dtb:#x} is not in its first piece of memory");
        refused(image.clone(), &good.inputs, &[&first, words]);
    }

    let disk = compile(&good.system, |_, guests| {
        let loads = guests[0].loads.iter_mut();
        loads.for_each(|load| {
            if load.what == "initial RAM disk" {
                load.ipa = 0x6000_0000;
            }
        });
    });
    let words = ["its initial RAM disk is not loaded there"];
    refused(disk, &good.inputs, &words);
}

/// A walk from level 0 wants 44 bits of physical addresses (DDI 0487, VTCR_EL2.SL0); the board's
/// cores have 40.
#[test]
fn a_walk_starts_where_the_core_cannot() {
    let good = duo();
    let parts = Parts::of(&good.image);
    let mut image = good.image.clone();
    for row in parts.span::<Core>(parts.header.cores) {
        let at = row + offset_of!(Core, vtcr);
        put(&mut image, at, word(&good.image, at) & !0xff | 2 << 6 | 24);
    }
    refused(image, &good.inputs, &["VTCR_EL2.SL0 is 0x2, must be 0x0: the shortest walk"]);
}

#[test]
fn the_console_is_nobodys() {
    let mut good = duo();
    good.inputs.manifest.console_core = 3;
    let words = ["core 3 drains the console, but no partition owns it"];
    refused(good.image, &good.inputs, &words);
}

/// Manifests that the planner's reader refuses: the verifier does not rely on that.
#[test]
fn a_manifest_is_wrong() {
    let text =
        std::fs::read_to_string(support::root().join("xtask/verify/tests/systems/full.toml"));
    let text = text.expect("the system");
    assert!(manifest(&text).is_ok());
    for (good, wrong, why) in [
        ("\"gamma\"", "\"beta\"", "two partitions are named beta"),
        ("\"2MiB\"]", "\"3MiB\"]", "3145728 bytes are not a power of two"),
        ("\"2MiB\"]", "2048]", "2048 bytes are not a power of two"),
        ("burst = 2", "burst = 0", "a burst of 0 lets no doorbell through"),
    ] {
        assert!(text.contains(good), "{good}");
        let error = manifest(&text.replace(good, wrong)).expect_err("an error");
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// A device tree in the image, for changes property by property.
struct Tree(Vec<u8>);

impl Tree {
    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.0[at..at + 4].try_into().expect("a word"))
    }

    /// Returns each property's offset, the name of its node and its own name.
    fn properties(&self) -> Vec<(usize, String, String)> {
        let text = |at: usize| {
            let bytes = self.0[at..].split(|byte| *byte == 0).next();
            String::from_utf8(bytes.expect("a name").to_vec()).expect("letters")
        };
        let padded = |length: usize| length.next_multiple_of(4);
        let mut at = self.word(8) as usize;
        let mut node = String::new();
        let mut list = Vec::new();
        loop {
            at += match self.word(at) {
                1 => {
                    node = text(at + 4);
                    4 + padded(node.len() + 1)
                }
                2 => 4,
                3 => {
                    let name = text((self.word(12) + self.word(at + 8)) as usize);
                    list.push((at, node.clone(), name));
                    12 + padded(self.word(at + 4) as usize)
                }
                _ => return list,
            }
        }
    }

    fn find(&self, node: &str, name: &str) -> usize {
        let mut all = self.properties().into_iter();
        let found = all.find(|(_, of, its)| of.starts_with(node) && its == name);
        found.expect("the property").0
    }

    /// Puts `new` in place of `cut` bytes at `at` of the structure block; both are whole words.
    fn splice(&mut self, at: usize, cut: usize, new: &[u8]) {
        assert!(self.word(12) > self.word(8), "strings come last");
        let sizes = [4, 12, 36].map(|field| self.word(field) + new.len() as u32 - cut as u32);
        self.0.splice(at..at + cut, new.iter().copied());
        for (field, size) in [4, 12, 36].into_iter().zip(sizes) {
            self.0[field..field + 4].copy_from_slice(&size.to_be_bytes());
        }
    }

    /// Changes every phandle and every reference.
    fn renumber(&mut self, from: u32, to: u32) {
        for (at, _, name) in self.properties() {
            let is_one = ["phandle", "interrupt-parent", "clocks", "bulkhead,cpu"];
            if is_one.contains(&name.as_str()) && self.word(at + 12) == from {
                self.0[at + 12..at + 16].copy_from_slice(&to.to_be_bytes());
            }
        }
    }
}

/// Spoils the first partition's tree, and looks for the words in the findings.
fn spoilt(change: impl FnOnce(&mut Tree), words: &str) {
    let good = duo();
    let parts = Parts::of(&good.image);
    let place = parts.trees()[0].clone();
    let mut tree = Tree(good.image[place.clone()].to_vec());
    change(&mut tree);
    let mut image = good.image.clone();
    let end = place.start + tree.0.len();
    assert!(image[place.end.min(end)..end].iter().all(|byte| *byte == 0));
    image[place.start..end].copy_from_slice(&tree.0);
    let source = parts.header.el2_base + place.start as u64;
    for row in parts.span::<plan::Load>(parts.partitions()[0].loads) {
        if word(&good.image, row + offset_of!(plan::Load, source)) == source {
            let size = row + offset_of!(plan::Load, size);
            put(&mut image, size, tree.0.len() as u64);
        }
    }
    let words = ["refused[device-tree]", "device tree of sensor", words];
    refused(image, &good.inputs, &words);
}

#[test]
fn a_phandle_is_a_number_that_finds_nothing() {
    let gic = |tree: &Tree| tree.word(tree.find("interrupt-controller@", "phandle") + 12);
    for (number, shown) in [(0, "[00, 00, 00, 00]"), (u32::MAX, "[ff, ff, ff, ff]")] {
        let words = format!("/interrupt-controller@8000000/ has the invalid phandle {shown}");
        spoilt(|tree| tree.renumber(gic(tree), number), &words);
    }
}

#[test]
fn a_node_has_two_phandles() {
    let change = |tree: &mut Tree| {
        let at = tree.find("interrupt-controller@", "phandle");
        let mut first = tree.0[at..at + 16].to_vec();
        first[12..].copy_from_slice(&77u32.to_be_bytes());
        tree.splice(at, 0, &first);
    };
    spoilt(change, "/interrupt-controller@8000000/ has two phandles");
}

/// Text that reads like the verifier's form of a resolved reference.
#[test]
fn a_reference_is_text() {
    let change = |tree: &mut Tree| {
        let at = tree.find("", "interrupt-parent");
        let text = b"&/interrupt-controller@8000000/ ";
        let mut new = tree.0[at..at + 12].to_vec();
        new[4..8].copy_from_slice(&(text.len() as u32).to_be_bytes());
        new.extend(text);
        tree.splice(at, 16, &new);
    };
    spoilt(change, "refers to a node that does not exist");
}

#[test]
fn a_tree_is_larger_than_linux_takes() {
    let change = |tree: &mut Tree| tree.0[4..8].copy_from_slice(&(3u32 << 20).to_be_bytes());
    spoilt(change, "its header says 3145728 bytes");
}

/// Numbers near the end of the address space give findings and do not cause a panic.
#[test]
fn numbers_overflow() {
    let mut good = duo();
    // The real executable has symbols for the vectors; the executable of the tests does not.
    good.inputs.el2.vectors = Some(0x1000);
    let parts = Parts::of(&good.image);
    let mut image = good.image.clone();
    let el2_base = parts.plan + offset_of!(Header, el2_base);
    put(&mut image, el2_base, 0xffff_ffff_ffff_f000);
    refused(image, &good.inputs, &["refused["]);

    let core = parts.cores()[0];
    let mut image = good.image.clone();
    for block in (0x4000_0000..0x4200_0000).step_by(0x20_0000) {
        put(&mut image, parts.guest_leaf(&core, block), 0);
    }
    let memory = parts.span::<Memory>(parts.partitions()[0].memory).next();
    let base = memory.expect("a piece") + offset_of!(Memory, base);
    put(&mut image, base, 0xffff_ffff_ffff_f000);
    let end = parts.span::<End>(core.ends).next().expect("an end");
    put(&mut image, end + offset_of!(End, tx_ipa), 0x4000_1000);
    refused(image, &good.inputs, &["refused[stage2]"]);
}
