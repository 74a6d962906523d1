// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole images, read back as EL2 and the hardware read them.

use std::collections::BTreeMap;

use plan::{CLASS_COMM, CLASS_COMPUTE, EmulatedDevice, Ipa, MAGIC, PAGE};

use super::plan_reader::Plan;
use super::support::{EL2_SIZE, MIB, duo, el2_elf, partition};
use crate::compile;
use manifest::guest_machine;
use manifest::system::{Memory, System};

fn image(system: &System) -> Vec<u8> {
    compile(system, &el2_elf()).unwrap().bytes
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// CRC32C bit by bit: reflected polynomial 0x82f63b78.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

#[test]
fn header_and_checksum() {
    let image = image(&duo());
    assert_eq!(word(&image, 16), image.len() as u64);
    assert_eq!(word(&image, 24), 0b1010);
    assert_eq!(word(&image, 64), EL2_SIZE);
    assert_eq!(word(&image, 72), EL2_SIZE);
    assert_eq!(image[0x2000], 0xe1, "rodata is where it was linked");
    assert!(image[0x3040..0x6000].iter().all(|&byte| byte == 0), "bss");

    let plan = Plan::read(&image);
    assert_eq!(plan.header.magic, MAGIC);
    assert_eq!(plan.header.image_size, image.len() as u64);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(plan.header.crc, crc32c(&plan.bytes[16..]));
    assert!(plan.header.size < 160 << 10, "{} bytes", plan.header.size);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert!(image(&duo()) == image(&duo()));
}

#[test]
fn guests_start_with_their_contents() {
    let system = duo();
    let image = image(&system);
    let plan = Plan::read(&image);
    let partitions = plan.partitions();
    assert_eq!(partitions.len(), 2);
    for (partition, fill) in partitions.iter().zip([1, 2]) {
        let memory = plan.memory(partition)[0];
        assert_eq!(memory.base.0 % (32 * MIB), 0, "aligned for blocks");
        let loads = plan.loads(partition);
        assert_eq!(loads.len(), 2);
        assert_eq!(loads[0].target, memory.base.0 + 0x8_0000);
        assert_eq!((loads[0].size, loads[0].clear), (5000, 100));
        assert!(plan.at(loads[0].source, 5000).iter().all(|&b| b == fill));
        assert_eq!(loads[1].target, memory.base.0 + partition.dtb.offset_from(memory.ipa));
        let tree = plan.at(loads[1].source, loads[1].size);
        assert_eq!(tree[..4], [0xd0, 0x0d, 0xfe, 0xed]);
        assert_eq!(partition.entry, Ipa(0x4008_0000));
    }
}

#[test]
fn equal_contents_are_stored_once() {
    let mut system = duo();
    let apart = image(&system).len();
    system.partitions[1].image.segments = system.partitions[0].image.segments.clone();
    assert_eq!(image(&system).len(), apart - 2 * PAGE as usize);
}

/// Every page that stage 2 maps, by a walk over the whole IPA space: physical page to (partition,
/// writable).
fn reachable(plan: &Plan) -> BTreeMap<u64, Vec<(u32, bool)>> {
    let mut pages: BTreeMap<u64, Vec<(u32, bool)>> = BTreeMap::new();
    let cores = plan.cores();
    for core in cores.iter().filter(|core| core.vcpu == 0) {
        let mut ipa = 0;
        while ipa < 1 << (64 - (core.vtcr & 0x3f)) {
            if let Some(leaf) = plan.tables().stage2(core.vtcr, core.vttbr, ipa) {
                let writable = leaf.attributes & 0x80 != 0;
                pages.entry(leaf.output).or_default().push((core.partition, writable));
            }
            ipa += PAGE;
        }
    }
    pages
}

#[test]
fn partitions_meet_in_channels_alone() {
    let image = image(&duo());
    let plan = Plan::read(&image);
    let cores = plan.cores();
    let partitions = plan.partitions();
    let pages = reachable(&plan);
    let end = plan.ends(&cores[0])[0];
    let shared: Vec<_> = pages.iter().filter(|(_, who)| who.len() > 1).collect();
    assert_eq!(shared.len() as u64 * PAGE, end.tx_size + end.rx_size);
    for (_, who) in shared {
        let writers = who.iter().filter(|(_, writable)| *writable).count();
        assert_eq!((who.len(), writers), (2, 1), "one writer each");
    }
    // The pages of only one partition are its memory and the device, and nothing more.
    for (p, partition) in (0..).zip(&partitions) {
        let own = pages.values().filter(|who| who.len() == 1 && who[0].0 == p).count();
        let memory = plan.memory(partition)[0];
        assert_eq!(own as u64, memory.size / PAGE + u64::from(p == 1));
    }
    assert_eq!(pages[&0x0904_0000], [(1, true)]);
    // None of these pages is EL2's.
    for page in pages.keys() {
        let h = &plan.header;
        assert!(!(h.el2_base..h.el2_base + h.image_size).contains(page));
        assert!(!(h.shared.base..h.shared.base + h.shared.size).contains(page));
        assert!(!(h.records.base..h.records.base + h.records.size).contains(page));
        for core in &cores {
            let range = core.private;
            assert!(!(range.base..range.base + range.size).contains(page));
        }
        for partition in &partitions {
            let range = partition.state;
            assert!(!(range.base..range.base + range.size).contains(page));
        }
    }
}

#[test]
fn el2_sees_its_own_alone() {
    let system = duo();
    let image = image(&system);
    let plan = Plan::read(&image);
    let h = plan.header;
    let cores = plan.cores();
    let partitions = plan.partitions();
    const READ_EXECUTE: u64 = 0x0000_0000_0000_07c4;
    const READ: u64 = 0x0040_0000_0000_07c4;
    const WRITE: u64 = 0x0040_0000_0000_0744;
    const DEVICE: u64 = 0x0040_0000_0000_0440;
    for (index, core) in cores.iter().enumerate() {
        let look = |ttbr, va| {
            let leaf = plan.tables().stage1(h.tcr, ttbr, va);
            assert!(leaf.is_none_or(|leaf| leaf.output == va), "VA = PA");
            leaf.map(|leaf| leaf.attributes)
        };
        let own = &partitions[core.partition as usize];
        for ttbr in [core.ttbr_run, core.ttbr_load] {
            assert_eq!(look(ttbr, h.el2_base), Some(READ_EXECUTE));
            assert_eq!(look(ttbr, h.el2_base + 0x2000), Some(READ));
            assert_eq!(look(ttbr, h.el2_base + 0x5fff), Some(WRITE));
            assert_eq!(look(ttbr, h.el2_base + EL2_SIZE), Some(READ));
            assert_eq!(look(ttbr, h.el2_base + EL2_SIZE + h.size - 1), Some(READ));
            assert_eq!(look(ttbr, h.shared.base), Some(WRITE));
            assert_eq!(look(ttbr, h.shared.base + h.shared.size - 1), Some(WRITE));
            assert_eq!(look(ttbr, h.records.base), Some(WRITE));
            assert_eq!(look(ttbr, h.records.base + h.records.size - 1), Some(WRITE));
            assert_eq!(look(ttbr, core.private.base), None, "the guard page");
            assert_eq!(look(ttbr, core.private.base + PAGE), Some(WRITE));
            assert_eq!(look(ttbr, core.private.base + core.private.size - 1), Some(WRITE));
            assert_eq!(look(ttbr, own.state.base), Some(WRITE));
            assert_eq!(look(ttbr, h.machine.gicd.base), Some(DEVICE));
            assert_eq!(look(ttbr, core.gicr), Some(DEVICE));
            assert_eq!(look(ttbr, core.gicr + guest_machine::GICR_SIZE - 1), Some(DEVICE));
            let console = h.console_core == index as u32;
            assert_eq!(look(ttbr, h.machine.uart.base).is_some(), console);
            for (other_index, other) in cores.iter().enumerate() {
                if other_index != index {
                    assert_eq!(look(ttbr, other.gicr), None, "another's redistributor");
                    assert_eq!(look(ttbr, other.private.base + PAGE), None, "another's stack");
                }
                if other.partition != core.partition {
                    let other = &partitions[other.partition as usize];
                    assert_eq!(look(ttbr, other.state.base), None, "another's state");
                    assert_eq!(look(ttbr, plan.memory(other)[0].base.0), None);
                    assert_eq!(look(ttbr, plan.loads(other)[0].source), None);
                }
            }
        }
        let memory = plan.memory(own)[0];
        let load = plan.loads(own)[0];
        assert_eq!(look(core.ttbr_run, memory.base.0), None);
        assert_eq!(look(core.ttbr_run, load.source), None);
        assert_eq!(look(core.ttbr_load, memory.base.0), Some(WRITE));
        assert_eq!(look(core.ttbr_load, load.source), Some(READ));
        let clears: Vec<plan::Range> = plan.array(own.clears);
        assert_eq!(clears.len(), 1);
        assert_eq!(look(core.ttbr_run, clears[0].base), None);
        assert_eq!(look(core.ttbr_load, clears[0].base), Some(WRITE));
    }
}

#[test]
fn cores_and_interrupts() {
    let image = image(&duo());
    let plan = Plan::read(&image);
    let cores = plan.cores();
    let row = |core: &plan::Core| (core.mpidr, core.partition, core.vcpu, core.class, core.vmpidr);
    assert_eq!(row(&cores[0]), (0, 0, 0, CLASS_COMM, 0x8000_0000));
    assert_eq!(row(&cores[1]), (1, 0, 1, CLASS_COMPUTE, 0x8000_0001));
    assert_eq!(row(&cores[2]), (2, 1, 0, CLASS_COMM, 0x8000_0000));
    assert_eq!(cores[0].vttbr, cores[1].vttbr);
    assert_eq!(cores.iter().map(|c| c.vttbr >> 48).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(cores[2].gicr, 0x080a_0000 + 2 * 0x2_0000);
    assert_eq!(plan.header.console_core, 2);
    assert_eq!(plan.header.console_share, 25);
    let partitions = plan.partitions();
    let rows = |p: usize| {
        let rows = plan.interrupts(&partitions[p]).into_iter();
        rows.map(|i| (i.intid, i.flags, i.vcpu)).collect::<Vec<_>>()
    };
    assert_eq!(rows(0), [(27, 1, 0), (30, 1, 0), (33, 0, 0), (128, 6, 0)]);
    assert_eq!(rows(1), [(27, 1, 0), (30, 1, 0), (33, 0, 0), (40, 1, 0), (128, 6, 0)]);
    assert_eq!(partitions[0].gic.intids, 288, "the board's");
    let devices = |p: usize| {
        let rows = plan.array::<EmulatedDevice>(partitions[p].devices).into_iter();
        rows.map(|d| (d.ipa.0, d.size, d.kind, d.index)).collect::<Vec<_>>()
    };
    let gicd = (0x0800_0000, 0x1_0000, 1, 0);
    let [gicr, second] = [(0x080a_0000, 0x2_0000, 2, 0), (0x080c_0000, 0x2_0000, 2, 1)];
    let pl011 = (0x0900_0000, 0x1000, 4, 0);
    assert_eq!(devices(0), [gicd, gicr, second, pl011]);
    assert_eq!(devices(1), [gicd, gicr, pl011]);
    assert_eq!(partitions[0].name[..7], *b"sensor\0");
}

#[test]
fn eight_partitions_fit() {
    let mut system = duo();
    system.channels.clear();
    system.partitions = (0..8)
        .map(|n| partition(&format!("p{n}"), &[(n, CLASS_COMM)], 96 * MIB, n as u8))
        .collect();
    let image = image(&system);
    let plan = Plan::read(&image);
    assert_eq!(plan.cores().len(), 8);
    assert!(reachable(&plan).values().all(|who| who.len() == 1));
}

#[test]
fn does_not_fit() {
    let text = |change: fn(&mut System)| {
        let mut system = duo();
        change(&mut system);
        compile(&system, &el2_elf()).unwrap_err().to_string()
    };
    assert_eq!(
        text(|s| s.partitions[1].memory[0].size = 1 << 30),
        "memory of control does not fit the RAM of test-board: \
         RAM has 1 GiB; sensor takes 32 MiB, control takes 1 GiB, and no range of 1 GiB is free"
    );
    assert_eq!(
        text(|s| s.partitions[1].memory[0].physical = Some(0x3f00_0000)),
        "the `physical` address of control's memory is not free RAM: 0x3f000000 to 0x40ffffff is \
         not free RAM of test-board"
    );
    assert_eq!(
        text(|s| s.partitions[0].device_tree = Some(0x4008_1000)),
        "the device tree of sensor does not fit: the image at 0x40080000 has 5100 bytes, but the \
         device tree is at 0x40081000"
    );
    assert_eq!(
        text(|s| s.partitions[0].memory[0].size = 0x8_1000),
        "the image of sensor does not fit: at 0x40080000 it has 5100 bytes, which are outside its \
         memory"
    );
    assert_eq!(
        text(|s| s.partitions[1].memory.push(Memory {
            ipa: 0x0900_0000,
            size: 4096,
            physical: None,
            rom: false,
        })),
        "partition control: memory at 0x9000000 (0x1000 bytes) overlaps its emulated PL011 at \
         0x9000000"
    );
    assert_eq!(
        text(|s| s.partitions[1].interrupts[0].intid = 33),
        "partition control: interrupt 33 belongs to its emulated PL011: pass through another one, \
         or write `console = false`"
    );
}

#[test]
fn not_an_el2() {
    let text = |change: fn(&mut Vec<u8>)| {
        let mut elf = el2_elf();
        change(&mut elf);
        compile(&duo(), &elf).unwrap_err().to_string()
    };
    assert_eq!(text(|elf| elf.truncate(10)), "EL2's executable is not a 64-bit ELF file");
    assert_eq!(
        text(|elf| elf[16] = 2),
        "EL2's executable is not position-independent code for AArch64"
    );
    assert_eq!(
        text(|elf| elf[0x1000 + 56] = 0),
        "EL2's executable does not start with an arm64 Image header"
    );
    assert_eq!(
        text(|elf| elf[64 + 4] = 7),
        "EL2's segment at 0x0 has permissions 0x7, expected those of text, rodata or data"
    );
    assert_eq!(
        text(|elf| elf[64 + 56 + 17] = 0x30),
        "EL2's segment at 0x3000 (0x900 bytes) does not start on the page after the last one"
    );
}
