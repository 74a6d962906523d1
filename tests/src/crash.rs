// SPDX-License-Identifier: MIT OR Apache-2.0
//! Crash records: what `cargo xtask crash` reads from the console after a partition has crashed.

use crate::{COMPLETE, Case, DEFAULT, DUO, Expect, GICV2, Machine};

/// A partition faults in a known function, in each of three lives.
pub const FAULT: Case = Case {
    name: "crash/fault",
    restarts: true,
    system: "tests/systems/crash.toml",
    expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", "halted")]),
    wanted: &[COMPLETE, "bulkhead: chaos: vCPU 0 on core 3 halted: write outside its memory (ESR "],
    unwanted: &["escaped", "crash records of an earlier run"],
    // The numbers are those of the store and of the call in guests/chaos/src/crash.rs.
    crash: &[
        "record 0 of chaos: write outside its memory",
        "record 2 of chaos: write outside its memory",
        "vCPU 0 on core 3, life 1, ",
        "vCPU 0 on core 3, life 3, ",
        "chaos::crash::inner (guests/chaos/src/crash.rs:37)",
        "chaos::crash::outer (guests/chaos/src/crash.rs:31)",
        "FAR 0x70000000",
    ],
    ..DUO
};

/// The frame pointer is hostile: the trace ends, and nothing outside the memory is read.
macro_rules! frames {
    ($chain:literal, $words:expr) => {
        Case {
            name: concat!("crash/frames-", $chain),
            command_line: Some(("chaos", concat!("attack=frames chain=", $chain))),
            crash: &["record 2 of chaos: write outside its memory", $words],
            ..FAULT
        }
    };
}

/// The return address of hostile frames.
const RETURN: &str = "from 0x0000000011112222";
const NO_TRACE: &str = "no stack trace: x29 (";

/// The machine starts again, and its RAM is as it was.
const KEPT: Case = Case {
    name: "crash/kept",
    machine: Machine { keeps_memory: true, ..DEFAULT },
    unwanted: &["escaped"],
    wanted: &[COMPLETE, "bulkhead: 3 crash records of an earlier run"],
    crash: &["record 0 of chaos: ", "record 3 of chaos: ", "record 5 of chaos: "],
    ..FAULT
};

/// All cases.
pub const CASES: &[Case] = &[
    FAULT,
    Case { name: "crash/fault-gicv2", machine: GICV2, ..FAULT },
    Case {
        name: "crash/fault-rpi4",
        system: "tests/systems/crash-rpi4.toml",
        wanted: &[COMPLETE, "bulkhead: chaos: vCPU 0 on core 2 halted: write outside its memory ("],
        crash: &[
            "record 2 of chaos: write outside its memory",
            "vCPU 0 on core 2, life 3, ",
            "chaos::crash::inner (guests/chaos/src/crash.rs:37)",
            "chaos::crash::outer (guests/chaos/src/crash.rs:31)",
        ],
        ..FAULT
    },
    frames!("loop", RETURN),
    frames!("outside", RETURN),
    frames!("end", NO_TRACE),
    frames!("odd", NO_TRACE),
    frames!("none", NO_TRACE),
    frames!("high", NO_TRACE),
    frames!("device", NO_TRACE),
    Case {
        name: "crash/tables-outside",
        command_line: Some(("chaos", "attack=tables tables=outside")),
        wanted: &[COMPLETE, "vCPU 0 on core 3 halted: translation tables outside its memory"],
        crash: &["record 2 of chaos: translation tables outside its memory", NO_TRACE],
        ..FAULT
    },
    // Its own vector is not mapped either, so it faults for ever.
    Case {
        name: "crash/tables-loop",
        command_line: Some(("chaos", "attack=tables tables=loop")),
        wanted: &[COMPLETE, "bulkhead: chaos: missed its watchdog: "],
        crash: &["record 2 of chaos: missed its watchdog"],
        ..FAULT
    },
    Case {
        name: "crash/spin",
        command_line: Some(("chaos", "attack=spin")),
        wanted: &[COMPLETE, "bulkhead: chaos: missed its watchdog: "],
        crash: &["record 2 of chaos: missed its watchdog", "at   ", "chaos::crash::endless ("],
        ..FAULT
    },
    // The console is full when the partition faults, so the records' lines wait: for room beside
    // the pair, and for the end of the system.
    Case {
        name: "crash/full-console",
        command_line: Some(("chaos", "attack=deep-fault print=60")),
        ..FAULT
    },
    Case {
        name: "crash/full-console-at-the-end",
        system: "tests/systems/crash-alone.toml",
        expect: Expect::Ends(&[("chaos", "halted")]),
        restarts: false,
        wanted: &["bulkhead: chaos: vCPU 0 on core 0 halted: write outside its memory (ESR "],
        crash: &["record 0 of chaos: write outside its memory", "chaos::crash::inner ("],
        ..FAULT
    },
    KEPT,
    Case { name: "crash/kept-rpi4", system: "tests/systems/crash-rpi4.toml", ..KEPT },
];
