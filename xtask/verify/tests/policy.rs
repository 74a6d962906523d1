// SPDX-License-Identifier: MIT OR Apache-2.0
//! What follows a partition's fault, reset or off: plans that say something else than the manifest,
//! and writes to registers of another owner, are refused.

mod support;

use std::mem::offset_of;

use bulkhead_verify::board::RegisterWrite;
use bulkhead_verify::verify;
use manifest::system::Policy;
use plan::options::{CRASH_RECORDS, SUPERVISION};
use plan::{ACTION_HALT, ACTION_RESTART, ACTION_STOP_SYSTEM, Write};
use support::{Good, Parts, put, seal};

/// Returns the refusal of the image that the planner makes of the full system after `change`.
fn planned(change: impl FnOnce(&mut Good)) -> String {
    let mut good = support::full();
    change(&mut good);
    verify(&support::compile(&good.system, |_, _| ()), &good.inputs).refusal()
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
}

#[test]
fn another_policy_than_the_manifests() {
    type Change = fn(&mut Policy);
    let cases: [(Change, &str); 8] = [
        (|policy| policy.on_fault = ACTION_HALT, "the action after a fault is 0, must be 1"),
        (|policy| policy.on_reset = ACTION_RESTART, "the action after a reset is 1, must be 2"),
        (|policy| policy.on_off = ACTION_STOP_SYSTEM, "the action after an off is 2"),
        (|policy| policy.limit = 8, "the limit of restarts is 8, must be 7"),
        (|policy| policy.within -= 1, "the window of restarts, us is 0x11e1a2ff"),
        (|policy| policy.delay = 251, "the delay of a restart, us is 0xfb"),
        (|policy| policy.back_off = 4, "the factor of the delay is 4, must be 3"),
        (|policy| policy.first = 0, "the watchdog's first time, us is 0x0"),
    ];
    for (change, words) in cases {
        let text = planned(|good| change(&mut good.system.partitions[0].policy));
        says(&text, &["refused[cores]: ", words, "where: policy of partition alpha"]);
        assert_eq!(text.matches("refused[").count(), 1, "{text}");
    }
}

/// A partition that the manifest does not make a supervisor, one that it does, and a supervisor
/// whose interrupt is a channel's or nobody's.
#[test]
fn another_supervisor_than_the_manifests() {
    let text = planned(|good| good.system.partitions[0].supervisor = true);
    says(&text, &["refused[cores]: whether it is a supervisor (1) is 1, must be 0", "alpha"]);
    let text = planned(|good| good.system.partitions[2].supervisor = false);
    says(&text, &["refused[cores]: whether it is a supervisor (1) is 0, must be 1", "gamma"]);
    let good = support::full();
    let parts = Parts::of(&good.image);
    let at = parts.span::<plan::Partition>(parts.header.partitions).nth(2).expect("gamma");
    let row = parts.partitions()[2];
    let cores = parts.cores();
    let core = cores.iter().find(|core| core.partition == 2 && core.vcpu == 0);
    let end = parts.span::<plan::End>(core.expect("gamma/0").ends).next().expect("an end");
    let channel = support::word(&good.image, end + offset_of!(plan::End, intid) - 4) >> 32;
    for (intid, words) in
        [(channel as u32, "the supervisor's"), (287, "the supervisor's is missing")]
    {
        let mut image = good.image.clone();
        let at = at + offset_of!(plan::Partition, supervisor);
        assert_eq!(at % 8, 4);
        put(&mut image, at - 4, u64::from(row.flags) | u64::from(intid) << 32);
        seal(&mut image);
        says(&verify(&image, &good.inputs).refusal(), &["refused[interrupts]: ", words, "gamma"]);
    }
}

/// Other options of EL2 than the manifest's, and rows that need one which the plan does not name.
#[test]
fn other_options_than_the_manifests() {
    let text = planned(|good| good.system.options = SUPERVISION);
    says(&text, &["refused[machine]: the options of EL2 is 0x2, must be 0x3"]);
    says(&text, &["refused[ownership]: the size of EL2's region is 0x0, must be 0x2000"]);
    let text = planned(|good| good.system.options = CRASH_RECORDS);
    says(&text, &["refused[machine]: the options of EL2 is 0x1, must be 0x3"]);
    says(&text, &["refused[machine]: gamma is a supervisor, and EL2 has no calls for it"]);
    let text = planned(|good| good.system.options |= 1 << 63);
    says(&text, &["refused[machine]: the options of EL2 is 0x8000000000000003, must be 0x3"]);

    // Of a system without records: a ring that is there nevertheless.
    let good = support::minimal();
    let mut system = good.system.clone();
    system.options = CRASH_RECORDS;
    let text = verify(&support::compile(&system, |_, _| ()), &good.inputs).refusal();
    says(&text, &["refused[machine]: the options of EL2 is 0x1, must be 0x0"]);
    says(&text, &["the size of EL2's region is 0x2000, must be 0x0", "Header::records"]);
    says(&text, &["refused[el2-map]: "]);
    let parts = Parts::of(&good.image);
    let mut image = good.image.clone();
    put(&mut image, parts.plan + offset_of!(plan::Header, records), 0x4800_0000);
    seal(&mut image);
    let text = verify(&image, &good.inputs).refusal();
    says(&text, &["refused[ownership]: the place of a ring that is not kept is 0x48000000"]);

    // A manifest that contradicts itself.
    let path = support::root().join("tests/manifests/supervisor-option.toml");
    let text = std::fs::read_to_string(path).expect("a manifest");
    let error = support::manifest(&text).expect_err("a supervisor without supervision");
    let words = "partition keeper is a supervisor of a system without supervision";
    assert_eq!(error.to_string(), words);
}

/// The planner and the board's file agree on a write to the console's UART, and on one to a device
/// that no partition has.
#[test]
fn registers_of_another_owner_are_written() {
    let console = support::full().system.board.uart.0.base + 0x30;
    let nobodys = 0x0a00_0070;
    for (address, words) in
        [(console, "EL2 writes 0x9000030, "), (nobodys, "EL2 writes 0xa000070, ")]
    {
        let text = planned(|good| {
            let devices = &mut good.system.board.devices;
            let uart1 = devices.iter_mut().find(|device| device.name == "uart1").expect("uart1");
            uart1.quiesce[0].0 = address;
            let devices = &mut good.inputs.board.device;
            let uart1 = devices.iter_mut().find(|device| device.name == "uart1").expect("uart1");
            uart1.quiesce[0] = RegisterWrite { address, value: 0 };
        });
        says(&text, &["refused[cores]: ", words, "not a register of its devices", "who:   alpha"]);
    }
}

/// Other writes than the board's file lists, one fewer, and one with its reserved word set.
#[test]
fn a_device_is_silenced_in_another_way() {
    let uart1 = |change: fn(&mut Vec<(u64, u32)>)| {
        planned(|good| {
            let mut devices = good.system.board.devices.iter_mut();
            change(&mut devices.find(|device| device.name == "uart1").expect("uart1").quiesce);
        })
    };
    for text in [
        uart1(|writes| writes[1].1 = 1),
        uart1(|writes| writes[0].0 += 4),
        uart1(|writes| writes.swap(0, 1)),
        uart1(|writes| _ = writes.pop()),
        uart1(|writes| writes.push((0x0904_0030, 0))),
    ] {
        says(&text, &["refused[cores]: its devices are silenced by ", "who:   alpha"]);
    }
    let good = support::full();
    let parts = Parts::of(&good.image);
    let quiesce = parts.partitions()[0].policy.quiesce;
    let mut image = good.image.clone();
    let at = parts.span::<Write>(quiesce).next().expect("a write") + offset_of!(Write, value);
    put(&mut image, at, 1 << 32);
    seal(&mut image);
    says(&verify(&image, &good.inputs).refusal(), &["refused[cores]: its devices are silenced by"]);
}

/// EL2 maps the registers that it writes where it loads the partition, and nowhere else.
#[test]
fn el2_maps_what_it_writes_at_load() {
    let good = support::full();
    let proof = verify(&good.image, &good.inputs);
    let uart1 = proof.ranges.iter().find(|range| range.what == "device uart1").expect("uart1");
    let letters: Vec<_> =
        uart1.loading.iter().map(|access| (&*access.who, &*access.rights)).collect();
    assert_eq!(letters, [("cores 1 3 4", "rw-")]);
    assert!(uart1.el2.is_empty(), "{:?}", uart1.el2);
    // Tables with the page of a device that EL2 does not write.
    let text = planned(|good| {
        for device in &mut good.inputs.board.device {
            device.quiesce.clear();
        }
    });
    says(&text, &["refused[el2-map]: EL2 on core 3 (alpha/0) while it loads", "device uart1"]);
}
