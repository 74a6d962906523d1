//! EL2 with and without its fast paths: guests must see the same, and EL2 must count the same.

use super::{COMPLETE, Case, DEFAULT, DUO, Expect, GICV2, Machine, PAIR};

/// One sequence of every entry that has a fast path, with both builds. Under the instruction clock
/// every run of one build is the same.
const ALIKE: Case = Case {
    name: "fast-paths/alike",
    system: "tests/systems/paths.toml",
    machine: Machine { icount: true, ..DEFAULT },
    expect: Expect::EndsAlike(&[("chaos", "off"), ("peer", "off")]),
    wanted: &["[chaos] survived paths: ", "[peer] survived paths-peer: all orders"],
    ..DUO
};

/// The first system without fast paths.
const WITHOUT: Case = Case { without_fast_paths: true, ..DUO };

/// An attack of guests/chaos next to it, without fast paths.
macro_rules! attack {
    ($name:literal) => {
        Case {
            name: concat!("fast-paths/without-", $name),
            system: "tests/systems/chaos.toml",
            command_line: Some(("chaos", concat!("attack=", $name))),
            expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", "off")]),
            wanted: &[COMPLETE, concat!("[chaos] survived ", $name, ":")],
            ..WITHOUT
        }
    };
}

/// A use of the GIC by a guest, without fast paths.
macro_rules! gic {
    ($name:literal) => {
        Case {
            name: concat!("fast-paths/without-", $name),
            system: "tests/systems/gic.toml",
            command_line: Some(("chaos", concat!("attack=", $name))),
            expect: Expect::Ends(&[("chaos", "off")]),
            wanted: &[concat!("[chaos] survived ", $name, ": ")],
            ..WITHOUT
        }
    };
}

/// The comparison, and those of the other cases that CI has time for: `cargo xtask test
/// --without-fast-paths` runs all of them.
pub const CASES: &[Case] = &[
    ALIKE,
    Case {
        name: "fast-paths/alike-gicv2",
        machine: Machine { gic: Some(2), ..ALIKE.machine },
        ..ALIKE
    },
    Case {
        name: "fast-paths/without-repeatable",
        machine: Machine { icount: true, ..DEFAULT },
        expect: Expect::EndsTwice(PAIR),
        ..WITHOUT
    },
    Case { name: "fast-paths/without-gicv2", machine: GICV2, ..WITHOUT },
    Case {
        name: "fast-paths/without-ticks",
        system: "tests/systems/ticks.toml",
        machine: Machine { devices: Some(""), ..DEFAULT },
        expect: Expect::Ends(&[("ticks", "off")]),
        wanted: &["every interrupt came once"],
        unwanted: &["FAIL"],
        ..WITHOUT
    },
    attack!("ring-storm"),
    attack!("sgi-everywhere"),
    attack!("irq-flood"),
    gic!("dir-elsewhere"),
    gic!("dir-order"),
    gic!("level-withdrawn"),
    gic!("group-off"),
];
