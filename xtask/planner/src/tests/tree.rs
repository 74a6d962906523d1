// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guest device trees: their contents, and that dtc accepts them without a warning.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::support::{MIB, channel, duo};
use crate::{guests, tree};
use manifest::system::System;

fn source(system: &System, index: usize) -> String {
    let mut pristine = Vec::new();
    let guests = guests::design(system, &mut pristine).unwrap();
    let dtb = tree::build(system, index, &guests[index]).unwrap();
    let mut dtc = Command::new("dtc")
        .args(["-I", "dtb", "-O", "dts", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dtc (Debian: device-tree-compiler) checks the trees");
    dtc.stdin.take().unwrap().write_all(&dtb).unwrap();
    let output = dtc.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "dtc warns");
    String::from_utf8(output.stdout).unwrap()
}

fn full() -> System {
    let mut system = duo();
    system.channels.push(channel("more", [4096, 4 * MIB]));
    let control = &mut system.partitions[1];
    control.initrd = Some((PathBuf::from("initrd"), vec![7; 0x1234]));
    control.memory.push(manifest::system::Memory {
        ipa: 0x8000_0000,
        size: 4 * MIB,
        physical: None,
        rom: false,
    });
    system
}

#[test]
fn says_what_the_guest_has() {
    let text = source(&full(), 1);
    for line in [
        "model = \"Bulkhead partition control\";",
        "bootargs = \"quiet\";",
        "stdout-path = \"/serial@9000000\";",
        "linux,initrd-start = <0x00 0x41ffe000>;",
        "linux,initrd-end = <0x00 0x41fff234>;",
        "bulkhead,class = \"comm\";",
        "reg = <0x00 0x40000000 0x00 0x2000000 0x00 0x80000000 0x00 0x400000>;",
        "method = \"hvc\";",
        "interrupts = <0x01 0x0d 0x04 0x01 0x0e 0x04 0x01 0x0b 0x04 0x01 0x0a 0x04>;",
        "compatible = \"arm,gic-v3\";",
        "reg = <0x00 0x8000000 0x00 0x10000 0x00 0x80a0000 0x00 0x20000>;",
        "interrupts = <0x00 0x01 0x04>;",
        "compatible = \"bulkhead,hypervisor-v1\";",
        "compatible = \"bulkhead,channel-v2\";",
        "channel@10000000 {",
        "reg = <0x00 0x10000000 0x00 0x5000 0x00 0x10005000 0x00 0x11000>;",
        "interrupts = <0x00 0x60 0x01>;",
        "bulkhead,name = \"samples\";",
        "bulkhead,handle = <0x01>;",
        "serial@9040000 {",
        "interrupts = <0x00 0x08 0x04>;",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// Devices that share registers have a node each, and each node has the properties that the board
/// gives.
#[test]
fn devices_are_what_the_board_says() {
    let mut system = full();
    let range = |base, size| manifest::system::Range { base, size };
    let line = |intid| manifest::system::Interrupt { intid, edge: true };
    system.board.devices.push(manifest::system::Device {
        name: "disks".into(),
        regs: range(0x0a00_0000, 0x1000),
        interrupts: vec![line(48), line(49)],
        node: "virtio_mmio".into(),
        compatible: vec!["virtio,mmio".into()],
        clock_names: Vec::new(),
        flags: vec!["dma-coherent".into()],
        units: 2,
        dma: true,
        quiesce: Vec::new(),
    });
    system.partitions[1].devices.push(1);
    let text = source(&system, 1);
    let start = text.find("virtio_mmio@a000800 {").expect("the second node");
    let node = text[start..].split("};").next().expect("its end");
    for line in [
        "compatible = \"virtio,mmio\";",
        "reg = <0x00 0xa000800 0x00 0x800>;",
        "interrupts = <0x00 0x11 0x01>;",
        "dma-coherent;",
    ] {
        assert!(node.contains(line), "{line} is not in\n{node}");
    }
    assert!(!node.contains("clock") && text.contains("virtio_mmio@a000000 {"));
}

#[test]
fn other_partitions_are_not_in_it() {
    let text = source(&full(), 0);
    assert!(text.contains("cpu@1") && !text.contains("cpu@2"));
    assert!(text.contains("bulkhead,class = \"compute\";"));
    assert!(!text.contains("9040000") && !text.contains("partition control"));
    let mut quiet = full();
    quiet.partitions[0].console = false;
    let text = source(&quiet, 0);
    assert!(!text.contains("stdout-path") && !text.contains("pl011"));
}

#[test]
fn says_how_both_ends_wait() {
    let mut system = full();
    system.channels[0].ends[1].wait = channel::wait::WFE;
    system.channels[1].ends[1].wait = channel::wait::POLL;
    let text = source(&system, 1);
    assert!(
        text.contains("bulkhead,wait = \"wfe\";") && text.contains("bulkhead,wait = \"poll\";")
    );
    assert_eq!(text.matches("bulkhead,peer-wait = \"doorbell\";").count(), 2);
    assert!(!text.contains("<0x00 0x60 0x01>"), "an interrupt that never comes:\n{text}");
    let text = source(&system, 0);
    assert_eq!(text.matches("bulkhead,wait = \"doorbell\";").count(), 2);
    assert!(text.contains("<0x00 0x60 0x01>") && text.contains("<0x00 0x61 0x01>"));
}

#[test]
fn gicv2() {
    let mut system = full();
    system.board.gic.version = 2;
    system.board.gic.gicv.base = 0x0804_0000;
    system.board.gic.gicv.size = 0x1_0000;
    let text = source(&system, 0);
    assert!(text.contains("compatible = \"arm,cortex-a15-gic\";"));
    assert!(text.contains("0x00 0x8010000 0x00 0x2000>;"), "{text}");
    assert!(text.contains("interrupts = <0x01 0x0d 0x304 0x01 0x0e 0x304"));
}

/// The bus of channel ends that are PCI functions, which dtc accepts, and the other end's pages.
#[test]
fn shows_channel_ends_as_pci_functions() {
    let mut system = duo();
    system.channels = vec![channel("plain", [4096, 4096]), channel("seen", [65536, 65536])];
    system.channels[1].ends[1].view = manifest::system::View::Ivshmem;
    let text = source(&system, 1);
    for line in [
        "linux,pci-probe-only = <0x01>;",
        "pcie@20000000 {",
        "compatible = \"pci-host-ecam-generic\";",
        "ranges = <0x2000000 0x00 0x20100000 0x00 0x20100000 0x00 0x1000 0x43000000 0x00 \
         0x20200000 0x00 0x20200000 0x00 0x40000>;",
        "interrupt-map = <0x00 0x00 0x00 0x01 0x01 0x00 0x00 0x00 0x61 0x01>;",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    assert!(!text.contains("seen"), "the function's registers have its name");
    // Pages of another memory type begin in another block of 2 MiB.
    let text = source(&system, 0);
    assert!(text.contains("channel@10200000 {") && text.contains("bulkhead,non-cacheable;"));
}
