// SPDX-License-Identifier: MIT OR Apache-2.0
//! Channels of every kind: rows, pages and interrupts at both ends.

use plan::{CLASS_COMM, MAX_ENDS, NO_CORE, PAGE};

use super::plan_reader::Plan;
use super::support::{MIB, channel, duo, el2_elf, partition};
use crate::compile;
use manifest::system::System;

fn image(system: &System) -> Vec<u8> {
    compile(system, &el2_elf()).unwrap().bytes
}

#[test]
fn channel_ends_mirror_each_other() {
    let mut system = duo();
    system.channels.push(channel("more", [4 * MIB, 4096]));
    system.channels[1].ends.swap(0, 1);
    // A third partition's channel comes first at one end of the others, so that handles differ.
    let third = partition("third", &[(3, CLASS_COMM)], 8 * MIB, 3);
    system.partitions.push(third);
    let mut first = channel("first", [8192, 4096]);
    first.ends[1].partition = 2;
    system.channels.insert(0, first);
    let image = image(&system);
    let plan = Plan::read(&image);
    let cores = plan.cores();
    assert_eq!(plan.ends(&cores[1]).len(), 0, "the compute core has no ends");
    for (index, core) in cores.iter().enumerate() {
        for (handle, end) in plan.ends(core).iter().enumerate() {
            let peer_core = &cores[end.peer_core as usize];
            let peer = plan.ends(peer_core)[end.peer_handle as usize];
            assert_eq!((peer.peer_core, peer.peer_handle), (index as u32, handle as u32));
            assert_eq!(end.peer_partition, peer_core.partition);
            assert_eq!((end.tx_size, end.rx_size), (peer.rx_size, peer.tx_size));
            let at = |core: &plan::Core, ipa| plan.tables().stage2(core.vtcr, core.vttbr, ipa);
            for offset in (0..end.tx_size).step_by(PAGE as usize) {
                let mine = at(core, end.tx_ipa + offset).unwrap();
                let theirs = at(peer_core, peer.rx_ipa + offset).unwrap();
                assert_eq!(mine.output, theirs.output);
                assert_eq!(mine.attributes, 0x0040_0000_0000_07fc, "read, write");
                assert_eq!(theirs.attributes, 0x0040_0000_0000_077c, "read");
            }
            assert!(at(core, end.tx_ipa + end.tx_size).is_none_or(|l| l.attributes & 0x80 == 0));
        }
    }
    let wide = plan.ends(&cores[0])[2];
    assert_eq!(wide.tx_size, 4 * MIB + PAGE);
    let block = plan.tables().stage2(cores[0].vtcr, cores[0].vttbr, wide.tx_ipa).unwrap();
    assert_eq!(block.span, 21, "a large region is mapped by blocks");
}

#[test]
fn a_channel_interrupt_evades_an_owned_one() {
    let mut system = duo();
    system.partitions[0].interrupts.push(manifest::system::Interrupt { intid: 128, edge: true });
    let image = image(&system);
    let plan = Plan::read(&image);
    let intids: Vec<_> = plan.interrupts(&plan.partitions()[0]).iter().map(|i| i.intid).collect();
    assert_eq!(intids, [27, 30, 33, 128, 129]);
    assert_eq!(plan.ends(&plan.cores()[0])[0].intid, 129);
}

/// The sender's row does not name a core for its SGIs; the end itself has no interrupt, neither in
/// its row nor in its partition.
#[test]
fn an_end_without_doorbells_has_neither_ringer_nor_interrupt() {
    for wait in [channel::wait::WFE, channel::wait::POLL] {
        let mut system = duo();
        system.channels.push(channel("more", [4096, 4096]));
        system.channels[0].ends[1].wait = wait;
        let image = image(&system);
        let plan = Plan::read(&image);
        let cores = plan.cores();
        let (sensor, control) = (plan.ends(&cores[0]), plan.ends(&cores[2]));
        assert_eq!((sensor[0].peer_core, control[0].intid), (NO_CORE, 0));
        assert_eq!((sensor[0].peer_handle, sensor[0].peer_partition), (0, 1));
        // The other direction and the other channel are unchanged.
        assert_eq!((control[0].peer_core, sensor[0].intid), (0, 128));
        assert_eq!((sensor[1].peer_core, control[1].intid), (2, 128));
        let intids = |p: usize| {
            let rows = plan.interrupts(&plan.partitions()[p]);
            rows.iter().filter(|row| row.intid >= 128).count()
        };
        assert_eq!((intids(0), intids(1)), (2, 1));
    }
}

#[test]
fn a_direction_that_sends_nothing_is_one_page() {
    let mut system = duo();
    system.channels = vec![channel("one-way", [64 << 10, 0]), channel("bells", [0, 0])];
    let image = image(&system);
    let plan = Plan::read(&image);
    let sizes = |core: usize| {
        let ends = plan.ends(&plan.cores()[core]);
        ends.iter().map(|end| (end.tx_size, end.rx_size)).collect::<Vec<_>>()
    };
    assert_eq!(sizes(0), [(PAGE + (64 << 10), PAGE), (PAGE, PAGE)]);
    assert_eq!(sizes(2), [(PAGE, PAGE + (64 << 10)), (PAGE, PAGE)]);
}

/// The board has 1 GiB. In each layout, both ends see the data through 2 MiB blocks, except the
/// last page.
#[test]
fn a_quarter_gibibyte_is_mapped_by_blocks() {
    let mut system = duo();
    system.channels = vec![channel("small", [4096, 4096]), channel("wide", [256 * MIB, 128 * MIB])];
    let image = image(&system);
    let plan = Plan::read(&image);
    let cores = plan.cores();
    for core in [&cores[0], &cores[2]] {
        let end = plan.ends(core)[1];
        for (ipa, size) in [(end.tx_ipa, end.tx_size), (end.rx_ipa, end.rx_size)] {
            assert!(size == 256 * MIB + PAGE || size == 128 * MIB + PAGE);
            for offset in (0..size).step_by(2 * MIB as usize) {
                let leaf = plan.tables().stage2(core.vtcr, core.vttbr, ipa + offset).unwrap();
                let last = offset + PAGE == size;
                assert_eq!(leaf.span, if last { 12 } else { 21 }, "at {offset:#x}");
            }
        }
    }
    assert!(plan.header.size < 256 << 10, "{} bytes of plan", plan.header.size);
}

#[test]
fn a_vcpu_is_an_end_of_64_channels() {
    let mut system = duo();
    let third = partition("third", &[(3, CLASS_COMM)], 8 * MIB, 3);
    system.partitions.push(third);
    system.channels = (0..MAX_ENDS)
        .map(|n| {
            let mut one = channel(&format!("c{n}"), [4096 << (n % 4), 4096]);
            // Every other channel goes to the third partition: handles are counted per vCPU.
            one.ends[1].partition = 1 + n % 2;
            one
        })
        .collect();
    let image = image(&system);
    let plan = Plan::read(&image);
    let cores = plan.cores();
    let ends = plan.ends(&cores[0]);
    let seen: Vec<_> = ends.iter().map(|end| (end.intid, end.peer_core, end.peer_handle)).collect();
    let wanted: Vec<_> = (0..64).map(|n| (128 + n, 2 + n % 2, n / 2)).collect();
    assert_eq!(seen, wanted);

    system.channels.push(channel("one-more", [4096, 4096]));
    let error = compile(&system, &el2_elf()).unwrap_err().to_string();
    assert!(error.contains("more than 64 channel ends on vCPU 0"), "{error}");
}
