//! A guest that writes to its console without a pause, like Linux's driver: every byte arrives, in
//! order.

use super::{COMPLETE, Case, DEFAULT, DUO, Expect, GICV2, Machine};

/// Numbers in the cases of CI.
const FEW: usize = 1500;
/// Numbers that make a million bytes with their line ends.
const MILLION: usize = 142_858;

/// Half a FIFO at each transmit interrupt, alternately from two vCPUs, one of them on the console's
/// core.
const OWN: Case = Case {
    name: "stream/own",
    system: "tests/systems/stream.toml",
    expect: Expect::Ends(&[("chaos", "off")]),
    wanted: &["[chaos] survived uart-stream: 1500 lines on 2 vCPUs"],
    unwanted: &["bytes lost"],
    numbers: FEW,
    ..DUO
};

/// The same from one vCPU, next to the pair of the first system, whose second core drains the
/// console.
const OTHER: Case = Case {
    name: "stream/other",
    system: "tests/systems/chaos.toml",
    command_line: Some(("chaos", "attack=uart-stream lines=1500")),
    expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", "off")]),
    wanted: &[COMPLETE, "[chaos] survived uart-stream: 1500 lines on 1 vCPUs"],
    ..OWN
};

/// A million bytes from Debian's kernel.
const fn linux(name: &'static str, system: &'static str, gic: Option<u32>) -> Case {
    Case {
        name,
        system,
        machine: Machine { gic, ..DEFAULT },
        expect: Expect::Ends(&[("linux", "off")]),
        wanted: &["[linux] commands: passed"],
        numbers: MILLION,
        is_long: true,
        ..OWN
    }
}

/// The same next to the partition that has the console's core.
const fn beside(name: &'static str, system: &'static str, gic: Option<u32>) -> Case {
    Case { expect: Expect::Ends(&[("linux", "off"), ("other", "off")]), ..linux(name, system, gic) }
}

/// All cases.
pub const CASES: &[Case] = &[
    OWN,
    Case { name: "stream/own-gicv2", machine: GICV2, ..OWN },
    Case { name: "stream/own-rpi4", system: "tests/systems/stream-rpi4.toml", ..OWN },
    OTHER,
    Case { name: "stream/other-gicv2", machine: GICV2, ..OTHER },
    linux("stream/linux-own-1", "tests/systems/stream-own-1.toml", None),
    linux("stream/linux-own-2", "tests/systems/stream-own-2.toml", None),
    beside("stream/linux-other-1", "tests/systems/stream-other-1.toml", None),
    beside("stream/linux-other-2", "tests/systems/stream-other-2.toml", None),
    linux("stream/linux-own-1-gicv2", "tests/systems/stream-own-1.toml", Some(2)),
    linux("stream/linux-own-2-gicv2", "tests/systems/stream-own-2.toml", Some(2)),
    beside("stream/linux-other-1-gicv2", "tests/systems/stream-other-1.toml", Some(2)),
    beside("stream/linux-other-2-gicv2", "tests/systems/stream-other-2.toml", Some(2)),
    linux("stream/linux-own-1-rpi4", "tests/systems/stream-own-1-rpi4.toml", None),
    linux("stream/linux-own-2-rpi4", "tests/systems/stream-own-2-rpi4.toml", None),
    beside("stream/linux-other-1-rpi4", "tests/systems/stream-other-1-rpi4.toml", None),
    beside("stream/linux-other-2-rpi4", "tests/systems/stream-other-2-rpi4.toml", None),
];
