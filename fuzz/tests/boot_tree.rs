//! The facts that EL2's machine check takes from a boot device tree, and those that it does not
//! trust: tests with a changed good seed.

use bulkhead_fuzz::tree::{self, Answer, IMAGE};
use dtoolkit::fdt::Fdt;
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property};
use plan::Range;

/// The seed that covers the plan of `duo`, after `change`.
fn changed(change: impl FnOnce(&mut DeviceTree)) -> Vec<u8> {
    let seed = include_bytes!("../seeds/tree/virt.dtb");
    let mut tree = DeviceTree::from_fdt(&Fdt::new(seed).expect("a tree"));
    change(&mut tree);
    tree.to_dtb()
}

fn covers(change: impl FnOnce(&mut DeviceTree)) {
    let answer = tree::answer(&changed(change));
    assert!(matches!(answer, Answer::Covers(_)), "{answer:?}");
}

/// Checks that it is refused, with a line that has each of `words`.
fn refused(words: &[&str], change: impl FnOnce(&mut DeviceTree)) {
    says(&tree::answer(&changed(change)), words);
}

fn says(answer: &Answer, words: &[&str]) {
    let Answer::Refused(line) = answer else {
        panic!("not refused, {words:?} expected");
    };
    for word in words {
        assert!(line.contains(word), "`{word}` is not in {line}");
    }
}

fn node(name: &str, properties: &[(&str, &[u8])]) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new(name).expect("a name");
    for (name, value) in properties {
        set(&mut node, name, value);
    }
    node
}

fn set(node: &mut DeviceTreeNode, name: &str, value: &[u8]) {
    node.remove_property(name);
    node.add_property(DeviceTreeProperty::new(name, value.to_vec()).expect("a name"));
}

/// Cells of two words each.
fn cells(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn at<'a>(tree: &'a mut DeviceTree, path: &str) -> &'a mut DeviceTreeNode {
    tree.find_node_mut(path).unwrap_or_else(|| panic!("no {path}"))
}

/// Returns the path of the only node below `parent` whose `property` holds `text`.
fn path_of(tree: &DeviceTree, parent: &str, property: &str, text: &str) -> String {
    let above = tree.find_node(parent).expect("the parent");
    let holds = |node: &DeviceTreeNode| {
        let value = (&node).property(property).map(|value| value.value().to_vec());
        value.is_some_and(|value| value.split(|&byte| byte == 0).any(|one| one == text.as_bytes()))
    };
    let found = above.children().find(|node| holds(node));
    let found = found.unwrap_or_else(|| panic!("no {property} = {text} in {parent}"));
    format!("{}/{}", parent.trim_end_matches('/'), found.name())
}

/// Gives a child of `parent` another name.
fn rename(tree: &mut DeviceTree, path: &str, name: &str) {
    let (parent, old) = path.rsplit_once('/').expect("a path");
    let parent = match parent {
        "" => &mut tree.root,
        path => at(tree, path),
    };
    let child = parent.remove_child(old).expect("the child");
    let mut new = DeviceTreeNode::new(name).expect("a name");
    for property in child.properties() {
        new.add_property(DeviceTreeProperty::from_property(&property));
    }
    for below in child.children() {
        new.add_child(DeviceTreeNode::from_node(&below));
    }
    parent.add_child(new);
}

fn reserve(tree: &mut DeviceTree, base: u64, size: u64) {
    tree.memory_reservations.push(MemoryReservation::new(base, size));
}

/// Adds `/reserved-memory` with one child.
fn reserved_memory(tree: &mut DeviceTree, properties: &[(&str, &[u8])]) {
    let mut above = node(
        "reserved-memory",
        &[("#address-cells", &words(&[2])), ("#size-cells", &words(&[2])), ("ranges", &[])],
    );
    above.add_child(node("bl31@78000000", properties));
    tree.root.add_child(above);
}

/// A range in the middle of the RAM that `duo` uses.
const UNDER: (u64, u64) = (0x7900_0000, 0x0020_0000);
const UNDER_SAYS: &[&str] =
    &["RAM: the plan needs 0x78000000-", "the device tree reserves 0x79000000-0x791fffff"];

#[test]
fn nodes_are_found_by_what_they_are_and_not_by_their_names() {
    covers(|tree| {
        for (property, text, name) in [
            ("device_type", "memory", "dram"),
            ("compatible", "arm,gic-v3", "gic@f9000000"),
            ("compatible", "arm,pl011", "uart@9000000"),
            ("compatible", "arm,psci-1.0", "firmware"),
        ] {
            let path = path_of(tree, "/", property, text);
            rename(tree, &path, name);
        }
        let cpus: Vec<_> = at(tree, "/cpus").children().map(|cpu| cpu.name().to_owned()).collect();
        for (number, cpu) in cpus.iter().enumerate() {
            rename(tree, &format!("/cpus/{cpu}"), &format!("core-{number}"));
        }
    });
    refused(&["RAM: "], |tree| {
        let path = path_of(tree, "/", "device_type", "memory");
        at(tree, &path).remove_property("device_type");
    });
    refused(&["cores: ", "the machine has 0,"], |tree| {
        rename(tree, "/cpus", "processors");
    });
}

#[test]
fn what_is_disabled_does_not_count() {
    let disable = |property: &'static str, text: &'static str| {
        move |tree: &mut DeviceTree| {
            let path = path_of(tree, "/", property, text);
            set(at(tree, &path), "status", b"disabled\0");
        }
    };
    refused(&["RAM: ", "the machine has"], disable("device_type", "memory"));
    refused(&["GIC: ", "has none"], disable("compatible", "arm,gic-v3"));
    refused(&["console: "], disable("compatible", "arm,pl011"));
    refused(&["PSCI: "], disable("compatible", "arm,psci-1.0"));
    let okay = |text: &'static [u8]| {
        move |tree: &mut DeviceTree| {
            let path = path_of(tree, "/", "compatible", "arm,pl011");
            set(at(tree, &path), "status", text);
        }
    };
    covers(okay(b"okay\0"));
    covers(okay(b"ok\0"));
    refused(&["console: "], okay(b"reserved\0"));
}

/// "disabled" is a core that waits to be started; one that failed cannot be (Devicetree
/// Specification, 3.8).
#[test]
fn a_core_may_be_disabled_and_must_not_have_failed() {
    let say = |status: &'static [u8]| {
        move |tree: &mut DeviceTree| {
            let name = at(tree, "/cpus").children().nth(1).map(|cpu| cpu.name().to_owned());
            set(at(tree, &format!("/cpus/{}", name.expect("a second core"))), "status", status);
        }
    };
    covers(say(b"disabled\0"));
    refused(&["cores: ", "MPIDR 0x1"], say(b"fail\0"));
    refused(&["cores: ", "MPIDR 0x1"], say(b"fail-cache\0"));
}

#[test]
fn what_the_tree_reserves_is_not_the_plans() {
    let (base, size) = UNDER;
    refused(UNDER_SAYS, |tree| reserve(tree, base, size));
    // A tree may reserve any range that the plan does not use.
    covers(|tree| reserve(tree, 0x4000_0000, 0x10_0000));
    // All entries count, in any number.
    refused(&["the device tree reserves 0x4"], |tree| {
        (0..20).for_each(|_| reserve(tree, 0x4000_0000, base - 0x4000_0000 + 1));
    });
    let reg = cells(&[base, size]);
    refused(UNDER_SAYS, |tree| {
        reserved_memory(tree, &[("reg", &reg), ("no-map", &[])]);
    });
    refused(UNDER_SAYS, |tree| reserved_memory(tree, &[("reg", &reg)]));
    covers(|tree| {
        reserved_memory(tree, &[("reg", &reg), ("status", b"disabled\0")]);
    });
    // The second range of one node.
    let two = cells(&[0x4000_0000, 0x1000, base, size]);
    refused(UNDER_SAYS, |tree| reserved_memory(tree, &[("reg", &two)]));
    // A node whose range an operating system would choose itself, and a node of that name with
    // another meaning.
    covers(|tree| reserved_memory(tree, &[("size", &cells(&[size]))]));
    covers(|tree| {
        let mut soc = node("soc", &[("ranges", &[])]);
        let mut inner = node("reserved-memory", &[("ranges", &[])]);
        inner.add_child(node("bl31", &[("reg", &reg)]));
        soc.add_child(inner);
        tree.root.add_child(soc);
    });
}

/// U-Boot reserves its own tree and the RAM disk. The image is not needed where the loader put it.
#[test]
fn what_boot_alone_needs_may_be_reserved() {
    let Range { base, size } = IMAGE;
    covers(|tree| reserve(tree, base, size));
    refused(&["reserves 0x78000000-0x78100fff"], |tree| {
        reserve(tree, base, size + 0x1000);
    });
    let (base, size) = UNDER;
    let disk = |from: u64, to: u64| {
        move |tree: &mut DeviceTree| {
            reserve(tree, base, size);
            let chosen = at(tree, "/chosen");
            set(chosen, "linux,initrd-start", &cells(&[from]));
            set(chosen, "linux,initrd-end", &words(&[to as u32]));
        }
    };
    covers(disk(base, base + size));
    covers(disk(base + 5, base + size - 9));
    refused(UNDER_SAYS, disk(base + 0x1000, base + size));
    refused(UNDER_SAYS, disk(base + size, base));
    let data = changed(|tree| reserve(tree, base, size));
    let answer = tree::answer_reclaiming(base, size, &data);
    assert!(matches!(answer, Answer::Covers(_)), "{answer:?}");
    says(&tree::answer_reclaiming(base, size - 0x1000, &data), UNDER_SAYS);
}

#[test]
fn banks_of_ram_are_joined_or_refused_in_a_whole_line() {
    let banks = |step: u64, size: u64| {
        move |tree: &mut DeviceTree| {
            let path = path_of(tree, "/", "device_type", "memory");
            // Banks from the top down, alternately one bank per node and four per node.
            let list: Vec<_> = (0..64).rev().map(|n| [0x4000_0000 + n * step, size]).collect();
            set(at(tree, &path), "reg", &cells(list[..4].as_flattened()));
            for (number, some) in list[4..].chunks(3).enumerate() {
                let reg = cells(some.as_flattened());
                let properties: [(&str, &[u8]); 2] = [("device_type", b"memory\0"), ("reg", &reg)];
                tree.root.add_child(node(&format!("memory@{number}"), &properties));
            }
        }
    };
    covers(banks(0x0100_0000, 0x0100_0000));
    let Answer::Refused(line) = tree::answer(&changed(banks(0x0100_0000, 0x00ff_0000))) else {
        panic!("gaps are not RAM");
    };
    assert!(line.ends_with(" more; EL2 reads only 32"), "{line}");
    assert!(line.contains("the machine has 0x7f000000-0x7ffeffff "), "{line}");
}

#[test]
fn devices_are_found_behind_buses_in_buses() {
    let inside = |ranges: Option<Vec<u8>>| {
        move |tree: &mut DeviceTree| {
            let path = path_of(tree, "/", "compatible", "arm,pl011");
            tree.root.remove_child(path.trim_start_matches('/')).expect("the UART");
            let one = words(&[1]);
            let cells: [(&str, &[u8]); 2] = [("#address-cells", &one), ("#size-cells", &one)];
            let mut outer = node("soc", &cells);
            set(&mut outer, "ranges", &words(&[0, 0, 0x0800_0000, 0x0200_0000]));
            let mut inner = node("apb", &cells);
            if let Some(ranges) = ranges {
                set(&mut inner, "ranges", &ranges);
            }
            let reg = words(&[0x20, 0x1000]);
            inner.add_child(node("uart", &[("compatible", b"arm,pl011\0"), ("reg", &reg)]));
            outer.add_child(inner);
            tree.root.add_child(outer);
        }
    };
    covers(inside(Some(words(&[0, 0x0100_0000 - 0x20, 0x1000]))));
    refused(&["console: "], inside(Some(words(&[0, 0x0100_0000, 0x1000]))));
    // A bus without `ranges` has no translation to the cores' addresses (2.3.8).
    refused(&["console: "], inside(None));
}

#[test]
fn firmware_must_speak_psci_0_2_by_smc() {
    let psci = |compatible: &'static [u8], method: &'static [u8]| {
        move |tree: &mut DeviceTree| {
            let path = path_of(tree, "/", "compatible", "arm,psci-1.0");
            set(at(tree, &path), "compatible", compatible);
            set(at(tree, &path), "method", method);
        }
    };
    covers(psci(b"arm,psci-0.2\0arm,psci\0", b"smc\0"));
    // The tree may choose its function identifiers.
    refused(&["PSCI: "], psci(b"arm,psci\0", b"smc\0"));
    refused(&["PSCI: "], psci(b"arm,psci-1.0\0", b"hvc\0"));
}

#[test]
fn the_frequency_is_the_timers() {
    let timer = |status: &'static [u8]| {
        changed(|tree| {
            let hz = words(&[54_000_000]);
            let properties: [(&str, &[u8]); 3] = [
                ("compatible", b"arm,armv8-timer\0arm,armv7-timer\0"),
                ("clock-frequency", &hz),
                ("status", status),
            ];
            tree.root.add_child(node("timer", &properties));
        })
    };
    let frequency = |data: &[u8]| match tree::answer(data) {
        Answer::Covers(checked) => checked.frequency,
        Answer::Refused(line) => panic!("{line}"),
    };
    assert_eq!(frequency(&timer(b"okay\0")), 54_000_000);
    assert_eq!(frequency(&timer(b"disabled\0")), 0);
}

/// A spin table at another address than the plan writes to would never start a core.
#[test]
fn release_addresses_are_the_plans() {
    let board = |second: u64| {
        changed(|tree| {
            let path = path_of(tree, "/", "device_type", "memory");
            set(at(tree, &path), "reg", &cells(&[0, 0x3b40_0000]));
            let psci = path_of(tree, "/", "compatible", "arm,psci-1.0");
            tree.root.remove_child(psci.trim_start_matches('/'));
            let names: Vec<_> =
                at(tree, "/cpus").children().map(|cpu| cpu.name().to_owned()).collect();
            for (name, release) in names.iter().zip([0xd8, second, 0xe8, 0xf0]) {
                let cpu = at(tree, &format!("/cpus/{name}"));
                set(cpu, "cpu-release-addr", &cells(&[release]));
            }
        })
    };
    let answer = tree::answer_on_rpi4(&board(0xe8));
    says(&answer, &["cores: the plan releases MPIDR 0x1 at 0xe0, the machine at 0xe8"]);
    // The check continues to a part that is not a Raspberry Pi's here.
    says(&tree::answer_on_rpi4(&board(0xe0)), &["GIC: the plan needs GICv2"]);
}

/// Without EL2, other errors do not matter.
#[test]
fn another_exception_level_is_refused_first() {
    let good = changed(|_| ());
    for (level, word) in [(1, "EL1"), (3, "EL3")] {
        for data in [&good[..], &[], &good[..100]] {
            says(&tree::answer_at(level, data), &["exception level: the plan needs EL2", word]);
        }
    }
    assert!(matches!(tree::answer_at(2, &good), Answer::Covers(_)));
    says(&tree::answer_at(2, &good[..4]), &["device tree: "]);
}
