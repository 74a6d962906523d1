//! The first attempts of a hostile reviewer: each is refused with a message that says what, where
//! and who.

mod support;

use std::mem::offset_of;

use bulkhead_verify::board::RegisterWrite;
use plan::{
    Core, DeviceKind, EmulatedDevice, End, Header, Interrupt, Ipa, Load, Memory, Partition, writes,
};
use support::{Good, Parts, put, seal, word};

/// Spoils the system `duo` and returns the findings.
fn spoilt(change: impl FnOnce(&Good, &mut [u8])) -> String {
    let good = support::duo();
    let mut image = good.image.clone();
    change(&good, &mut image);
    seal(&mut image);
    let proof = bulkhead_verify::verify(&image, &good.inputs);
    assert!(!proof.holds());
    // Every finding says all three.
    for finding in &proof.findings {
        assert!(!finding.what.is_empty() && !finding.place.is_empty() && !finding.who.is_empty());
    }
    proof.refusal()
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
}

/// Returns the offset of a field of a core's row.
fn core_field(parts: &Parts<'_>, core: usize, field: usize) -> usize {
    let rows: Vec<_> = parts.span::<Core>(parts.header.cores).collect();
    rows[core] + field
}

#[test]
fn two_partitions_table_roots_are_swapped() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let cores = parts.cores();
        let swapped = |vmid: u64, root: u64| vmid & !0xffff_ffff_ffff | root & 0xffff_ffff_ffff;
        for (core, other) in [(0, 2), (1, 2), (2, 0)] {
            let at = core_field(&parts, core, offset_of!(Core, vttbr));
            put(image, at, swapped(cores[core].vttbr, cores[other].vttbr));
        }
    });
    says(
        &text,
        &[
            "refused[stage2]: stage 2 of sensor reaches memory of control where memory of sensor \
             must be",
            "where: physical 0x78000000-0x79ffffff, stage 2 of sensor, IPA 0x40000000-0x41ffffff",
            "who:   sensor, control",
            "refused[stage2]: stage 2 of control reaches memory of sensor where memory of control \
             must be",
        ],
    );
}

#[test]
fn a_channel_page_is_writable_to_its_reader() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let core = parts.cores()[2];
        let end: End = parts.array::<End>(core.ends)[0];
        let at = parts.guest_leaf(&core, end.rx_ipa);
        put(image, at, word(image, at) | 1 << 7);
    });
    says(
        &text,
        &[
            "stage 2 of control may rw- pages of channel samples, sensor/0 to control/0, must be \
             r--",
            ", stage 2 of control, IPA 0x10005000-0x10005fff",
            "who:   control, sensor",
            "refused[ownership]: pages of channel samples, sensor/0 to control/0 can be accessed \
             by sensor (rw-) and by control (rw-)",
        ],
    );
}

#[test]
fn a_rom_is_writable() {
    let good = support::full();
    let mut image = good.image.clone();
    let parts = Parts::of(&good.image);
    let rom = 0x6000_0000;
    let maps_rom = |core: &Core| parts.partitions()[core.partition as usize].memory.count == 2;
    let core = parts.cores().into_iter().find(maps_rom).expect("alpha");
    let at = parts.guest_leaf(&core, rom);
    let writable = word(&image, at) | 1 << 7;
    put(&mut image, at, writable);
    seal(&mut image);
    let proof = bulkhead_verify::verify(&image, &good.inputs);
    says(&proof.refusal(), &["stage 2 of alpha may rwx memory of alpha, must be r-x"]);
}

#[test]
fn crash_records_are_a_partitions_memory() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let memory = parts.array::<Memory>(parts.partitions()[1].memory)[0];
        put(image, parts.plan + offset_of!(Header, records), memory.base.0);
    });
    says(
        &text,
        &[
            "refused[ownership]: one range is both EL2's crash records and memory of control",
            "who:   EL2, control",
            "refused[el2-map]: EL2 on core 0 (sensor/0) while it runs",
        ],
    );
}

#[test]
fn crash_records_are_in_the_region_that_boot_clears() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let shared = parts.header.shared.base;
        put(image, parts.plan + offset_of!(Header, records), shared);
    });
    says(&text, &["one range is both EL2's crash records and EL2's shared region"]);
}

#[test]
fn a_guest_reaches_the_crash_records() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let core = parts.cores()[2];
        let end: End = parts.array::<End>(core.ends)[0];
        let at = parts.guest_leaf(&core, end.rx_ipa);
        let attributes = word(image, at) & !0xffff_ffff_f000;
        put(image, at, attributes | parts.header.records.base);
    });
    says(&text, &["refused[stage2]: stage 2 of control reaches EL2's crash records"]);
}

/// The planner exchanges the sides everywhere: both guests agree, the manifest does not.
#[test]
fn rights_are_swapped_at_both_ends() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        for core in [0, 2].map(|core| parts.cores()[core]) {
            let end: End = parts.array::<End>(core.ends)[0];
            for (ipa, size) in [(end.tx_ipa, end.tx_size), (end.rx_ipa, end.rx_size)] {
                for page in (ipa..ipa + size).step_by(plan::PAGE as usize) {
                    let at = parts.guest_leaf(&core, page);
                    put(image, at, word(image, at) ^ 1 << 7);
                }
            }
        }
    });
    says(
        &text,
        &[
            "stage 2 of sensor may r-- pages of channel samples, sensor/0 to control/0, must be \
             rw-",
            "stage 2 of control may rw- pages of channel samples, sensor/0 to control/0, must be \
             r--",
            "stage 2 of control may r-- pages of channel samples, control/0 to sensor/0, must be \
             rw-",
            "IPA 0x10000000-0x10010fff",
        ],
    );
}

#[test]
fn a_row_points_at_a_compute_core() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let row = parts.span::<End>(parts.cores()[2].ends).next().expect("an end");
        image[row + offset_of!(End, peer_core)] = 1;
    });
    says(
        &text,
        &[
            "refused[channels]: a doorbell rings core 1 (sensor/1), a compute core, must ring core \
             0 (sensor/0)",
            "where: channel row 0 of core 2 (control/0) (channel samples, control/0 to sensor/0)",
            "who:   control, sensor",
        ],
    );
}

/// Spoils the rows of control's emulated devices: distributor, redistributor, PL011.
fn devices_spoilt(change: impl FnOnce(&mut [EmulatedDevice])) -> String {
    spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let array = parts.partitions()[1].devices;
        let mut rows: Vec<EmulatedDevice> = parts.array(array);
        assert_eq!(rows.len(), 3);
        change(&mut rows);
        for (row, at) in rows.iter().zip(parts.span::<EmulatedDevice>(array)) {
            image[at..at + size_of_val(row)].copy_from_slice(zerocopy::IntoBytes::as_bytes(row));
        }
    })
}

#[test]
fn a_guest_is_emulated_other_devices_than_it_is_told() {
    let row = |n: usize| format!("where: emulated device row {n} of partition control");
    for (change, words) in [
        (
            (|rows| rows[2].kind = 0) as fn(&mut [EmulatedDevice]),
            &[
                "refused[devices]: 0 is not the number of a kind of device",
                "refused[devices]: the emulated PL011 (index 0) is not in the plan",
                "where: IPA 0x9000000-0x9000fff",
                "who:   control",
            ][..],
        ),
        (
            |rows| rows[2].kind = DeviceKind::GiccDir as u16,
            &[
                "the emulated PL011 (index 0) is not in the plan",
                "EL2 emulates kind 3 index 0 at IPA 0x9000000-0x9000fff, which the guest must not \
                 have",
            ],
        ),
        (
            |rows| rows[1].index = 1,
            &[
                "its index is 1, must be below 1",
                "an emulated redistributor (index 0) is not in the plan",
            ],
        ),
        (
            |rows| rows[0].size = 0x2_0000,
            &["the emulated distributor is 0x8000000-0x801ffff, must be 0x8000000-0x800ffff"],
        ),
        (|rows| rows[2].size = 0x1004, &["IPA 0x9000000-0x9001003 is not whole pages"]),
        (
            |rows| rows.swap(0, 1),
            &["it is at IPA 0x8000000, which is not after the row before it: \
                 0x80a0000-0x80bffff"],
        ),
        (|rows| rows[0].size = 0x10_0000, &["which is not after the row before it"]),
        (
            |rows| rows[2] = EmulatedDevice { ipa: rows[2].ipa, ..rows[0] },
            &[
                "EL2 emulates kind 1 index 0 at IPA 0x9000000-0x900ffff, a second time",
                "the emulated PL011 (index 0) is not in the plan",
            ],
        ),
        (
            |rows| rows[2].ipa = Ipa(0x4000_1000),
            &[
                "the emulated PL011 is 0x40001000-0x40001fff, must be 0x9000000-0x9000fff",
                "stage 2 maps IPA 0x40000000-0x41ffffff, where EL2 must emulate \
                 0x40001000-0x40001fff",
            ],
        ),
    ] {
        says(&devices_spoilt(change), words);
    }
    assert!(devices_spoilt(|rows| rows[1].kind = 0x104).contains(&row(1)));
}

#[test]
fn one_spi_is_given_twice() {
    // beta's channel interrupt becomes alpha's SPI 96.
    let good = support::full();
    let mut image = good.image.clone();
    let parts = Parts::of(&good.image);
    let beta = parts.partitions()[1];
    let at = parts.span::<Interrupt>(beta.interrupts).last().expect("a row");
    let row =
        Interrupt { intid: 128, flags: plan::INTERRUPT_PHYSICAL | plan::INTERRUPT_EDGE, vcpu: 0 };
    image[at..at + 8].copy_from_slice(zerocopy::IntoBytes::as_bytes(&row));
    seal(&mut image);
    let text = bulkhead_verify::verify(&image, &good.inputs).refusal();
    says(
        &text,
        &[
            "refused[interrupts]: a physical interrupt has two owners",
            "where: SPI 96 (INTID 128)",
            "who:   alpha, beta",
        ],
    );
}

/// A partition gets the page of the registers that switch the board off; in a second image, the
/// plan's writes are not the board's.
#[test]
fn what_switches_the_board_off_is_given_away() {
    let mut good = support::full();
    let device = good.inputs.board.device[0].clone();
    assert_eq!(device.name, "uart1");
    good.system.board.writes[writes::POWER_OFF] = vec![(device.regs.base + 0x20, 1)];
    good.inputs.board.power_off =
        vec![RegisterWrite { address: device.regs.base + 0x20, value: 2 }];
    let image = support::compile(&good.system, |_, _| ());
    let text = bulkhead_verify::verify(&image, &good.inputs).refusal();
    says(
        &text,
        &[
            "refused[ownership]: one range is both a register that ends the machine and device \
             uart1",
            "where: 0x9040000-0x9040fff",
            "refused[machine]: EL2 writes [Write {",
            "where: Machine::writes: power-off",
        ],
    );
}

/// The plan lets the boot tree reserve more than the board does.
#[test]
fn more_is_reclaimed_than_the_board_says() {
    let mut good = support::full();
    let base = good.system.board.ram[0].base;
    good.system.board.reclaimed = vec![manifest::system::Range { base, size: 0x1000 }];
    let image = support::compile(&good.system, |_, _| ());
    let text = bulkhead_verify::verify(&image, &good.inputs).refusal();
    says(&text, &["refused[machine]: the boot tree may reserve [Range { base: 40000000"]);
    good.inputs.board.reclaimed = vec![plan::Range { base, size: 0x1000 }];
    assert!(bulkhead_verify::verify(&image, &good.inputs).holds());
}

#[test]
fn a_tree_names_an_interrupt_off_by_32() {
    let text = spoilt(|good, image| {
        let tree = Parts::of(&good.image).trees()[1].clone();
        let cells = [0u32, 96, 1].map(u32::to_be_bytes).concat();
        let mut windows = image[tree.clone()].windows(12);
        let at = windows.position(|bytes| bytes == cells).expect("the channel's interrupt");
        image[tree.start + at + 7] = 128;
    });
    says(
        &text,
        &[
            "refused[device-tree]: interrupts is <0x0 0x80 0x1> (INTID 160), must be <0x0 0x60 \
             0x1> (INTID 128)",
            "where: device tree of control at IPA 0x41fff000, /channel@10000000",
            "who:   control",
        ],
    );
}

/// A guest could read strings that are not a property's name, and no other claim checks them.
#[test]
fn a_tree_holds_more_than_it_says() {
    let text = spoilt(|good, image| {
        let tree = Parts::of(&good.image).trees()[1].clone();
        let bytes = &mut image[tree];
        let field = |bytes: &[u8], at: usize| {
            let word = bytes[at..at + 4].try_into().expect("a word");
            u32::from_be_bytes(word)
        };
        let (structure, strings) = (field(bytes, 8) as usize, field(bytes, 12) as usize);
        let place = |bytes: &[u8], name: &str| {
            let mut names = bytes[strings..].windows(name.len());
            names.position(|place| place == name.as_bytes()).expect("a name") as u32
        };
        // An empty property, with its name's place.
        let [from, to] = ["always-on\0", "interrupt-controller\0"].map(|name| place(bytes, name));
        let property = [3, 0, from].map(u32::to_be_bytes).concat();
        let mut tokens = bytes[structure..strings].windows(12);
        let at = tokens.position(|token| token == property);
        let at = structure + at.expect("the timer's property") + 8;
        bytes[at..at + 4].copy_from_slice(&to.to_be_bytes());
    });
    says(
        &text,
        &[
            "refused[device-tree]: a string that does not name a property",
            "where: device tree of control at IPA 0x41fff000",
            "who:   control",
        ],
    );
}

#[test]
fn el2_text_is_writable() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let at = parts.el2_leaf(parts.cores()[1].ttbr_run, parts.header.el2_base);
        put(image, at, word(image, at) & !(1 << 7));
    });
    says(
        &text,
        &[
            "refused[el2-map]: EL2 on core 1 (sensor/1) while it runs may rwx EL2's text, must be \
             r-x",
            "where: physical 0x7fe",
            "who:   EL2, sensor",
        ],
    );
}

#[test]
fn smc_is_not_trapped() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let at = core_field(&parts, 0, offset_of!(Core, hcr));
        put(image, at, word(image, at) & !(1 << 19));
    });
    says(
        &text,
        &[
            "refused[registers]: HCR_EL2.TSC is 0x0, must be 0x1: an SMC of a guest would reach \
             firmware",
            "where: core 0 (sensor/0)",
            "who:   sensor",
        ],
    );
}

/// The bits that confine a guest, each changed by itself: the message names it.
#[test]
fn each_trap_is_mandatory() {
    for (name, bit) in [
        ("VM", 0),
        ("SWIO", 1),
        ("FMO", 3),
        ("IMO", 4),
        ("AMO", 5),
        ("TID3", 18),
        ("TSC", 19),
        ("TIDCP", 20),
        ("TACR", 21),
        ("RW", 31),
    ] {
        let text = spoilt(|good, image| {
            let parts = Parts::of(&good.image);
            let at = core_field(&parts, 2, offset_of!(Core, hcr));
            put(image, at, word(image, at) & !(1 << bit));
        });
        says(&text, &[&format!("HCR_EL2.{name} is 0x0, must be 0x1: "), "core 2 (control/0)"]);
    }
}

#[test]
fn a_guest_is_loaded_with_other_bytes_or_elsewhere() {
    let load = |good: &Good| {
        let parts = Parts::of(&good.image);
        let rows = parts.span::<Load>(parts.partitions()[0].loads);
        (rows.collect::<Vec<_>>()[0], parts.array::<Load>(parts.partitions()[0].loads)[0])
    };
    let text = spoilt(|good, image| {
        let at = Parts::of(&good.image).offset(load(good).1.source);
        image[at + 0x123] ^= 0x10;
    });
    says(
        &text,
        &["refused[start]: byte 0x123 of its image is 0x71, its file has 0x61", "who:   sensor"],
    );
    let text = spoilt(|good, image| {
        let at = load(good).0 + offset_of!(Load, target);
        put(image, at, word(image, at) - 0x400_0000);
    });
    says(
        &text,
        &[
            "it is not within one piece of the partition's memory",
            "its image is not loaded there",
            "load row of partition sensor: physical 0x7808",
        ],
    );
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let rows: Vec<_> = parts.span::<Partition>(parts.header.partitions).collect();
        let at = rows[0] + offset_of!(Partition, entry);
        put(image, at, word(image, at) + 4);
    });
    says(&text, &["the entry of vCPU 0 is 0x40080008, must be 0x40080004"]);
}

/// All errors are reported together, not only the first.
#[test]
fn all_findings_are_told() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        for core in 0..3 {
            let at = core_field(&parts, core, offset_of!(Core, hcr));
            put(image, at, word(image, at) & !(1 << 19 | 1));
            let at = core_field(&parts, core, offset_of!(Core, cntvoff));
            put(image, at, 1);
        }
        let tree = parts.trees()[0].clone();
        image[tree.start] = 0;
    });
    assert_eq!(text.matches("HCR_EL2.VM is 0x0").count(), 3);
    assert_eq!(text.matches("HCR_EL2.TSC is 0x0").count(), 3);
    assert_eq!(text.matches("CNTVOFF_EL2").count(), 3);
    says(&text, &["its header has magic number"]);
}

/// Files that are not images give a finding and do not cause a panic.
#[test]
fn no_image_at_all() {
    let good = support::duo();
    let cut = |size: usize| good.image[..size].to_vec();
    let parts = Parts::of(&good.image);
    for image in [
        Vec::new(),
        vec![0; 64],
        vec![0xff; 4096],
        cut(80),
        cut(parts.plan),
        cut(parts.plan + 100),
        cut(parts.plan + 300),
        cut(good.image.len() - 4096),
        cut(good.image.len() - 1),
    ] {
        let proof = bulkhead_verify::verify(&image, &good.inputs);
        assert!(!proof.holds(), "{} bytes", image.len());
    }
    let other = support::full();
    let text = bulkhead_verify::verify(&good.image, &other.inputs).refusal();
    says(&text, &["the plan has 3 cores and 2 partitions, the manifest 6 and 3"]);
}

/// On a GICv2 a guest can access only the first page of its own virtual CPU interface, and no other
/// frame of the GIC. The second page has GICV_DIR, which ends another interrupt than it names where
/// list registers are too few; EL2 emulates it.
#[test]
fn another_frame_of_the_gic_is_mapped_where_a_guest_expects_its_cpu_interface() {
    const GICC: u64 = 0x0801_0000;
    let good = support::rpi4();
    let gic = &good.inputs.board.gic[0];
    let parts = Parts::of(&good.image);
    let at = parts.guest_leaf(&parts.cores()[0], GICC);
    let entry = word(&good.image, at);
    let address = 0xffff_ffff_f000;
    assert_eq!(entry & address, gic.gicv.base);
    let other_page = gic.gicv.base + 0x1000;
    for base in [gic.gicd.base, gic.gicc.base, gic.gich.base, other_page] {
        let mut image = good.image.clone();
        put(&mut image, at, entry & !address | base);
        seal(&mut image);
        let proof = bulkhead_verify::verify(&image, &good.inputs);
        assert!(!proof.holds(), "{base:#x}");
        says(&proof.refusal(), &["refused[stage2]", "IPA 0x8010000"]);
    }
    // Pages of one table: the next descriptor.
    let second = at + 8;
    assert_eq!(word(&good.image, second), 0);
    let mut image = good.image.clone();
    put(&mut image, second, entry & !address | other_page);
    seal(&mut image);
    let proof = bulkhead_verify::verify(&image, &good.inputs);
    assert!(!proof.holds());
    says(&proof.refusal(), &["refused[stage2]", "IPA 0x8011000"]);
}

#[test]
fn a_stray_access_would_halt() {
    let text = spoilt(|good, image| {
        let parts = Parts::of(&good.image);
        let rows: Vec<_> = parts.span::<Partition>(parts.header.partitions).collect();
        let at = rows[1] + offset_of!(Partition, flags);
        put(image, at, plan::PARTITION_HALT_OUTSIDE.into());
    });
    says(&text, &["refused[cores]", "its flags (1: an access outside halts it)", "control"]);
}
