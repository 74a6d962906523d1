//! Rare uses of a GIC that must work, each case on every GIC that has the feature.

use crate::{Case, DUO, Expect, GICV2};

/// A case: its name, the attack of guests/chaos, and the machine.
macro_rules! gic {
    ($name:literal, $attack:literal, $system:literal) => {
        Case {
            name: concat!("gic/", $name),
            system: concat!("tests/systems/", $system, ".toml"),
            command_line: Some(("chaos", concat!("attack=", $attack))),
            expect: Expect::Ends(&[("chaos", "off")]),
            wanted: &[concat!("[chaos] survived ", $attack, ": ")],
            ..DUO
        }
    };
}

/// [`gic!`] on QEMU's machine with a GICv2.
macro_rules! gicv2 {
    ($name:literal, $attack:literal) => {
        Case { machine: GICV2, ..gic!($name, $attack, "gic") }
    };
}

/// All cases.
pub const CASES: &[Case] = &[
    gic!("dir-elsewhere", "dir-elsewhere", "gic"),
    gic!("dir-order", "dir-order", "gic"),
    gic!("level-withdrawn", "level-withdrawn", "gic"),
    gic!("group-off", "group-off", "gic"),
    gicv2!("dir-elsewhere-gicv2", "dir-elsewhere"),
    gicv2!("dir-order-gicv2", "dir-order"),
    gicv2!("level-withdrawn-gicv2", "level-withdrawn"),
    gicv2!("targets-gicv2", "targets"),
    gic!("dir-elsewhere-rpi4", "dir-elsewhere", "gic-rpi4"),
    gic!("dir-order-rpi4", "dir-order", "gic-rpi4"),
    gic!("level-withdrawn-rpi4", "level-withdrawn", "gic-rpi4"),
    gic!("targets-rpi4", "targets", "gic-rpi4"),
];
