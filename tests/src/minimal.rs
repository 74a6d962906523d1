// SPDX-License-Identifier: MIT OR Apache-2.0
//! EL2 without its options, or with one of them: guests see no difference, and what an absent
//! option does is not there.

use super::supervise::MONITOR;
use super::{COMPLETE, Case, DUO, Damage, Expect, GICV2, REFUSAL, crash};

/// The first system on the smallest EL2, by a manifest of its own.
const PAIR: Case = Case {
    name: "minimal/duo",
    system: "minimal",
    wanted: &[COMPLETE, ": no foreign entry"],
    ..DUO
};

/// A partition faults in each of three lives: each fault has its line, and no record.
const FAULT: Case = Case {
    name: "minimal/fault",
    restarts: true,
    system: "tests/systems/crash.toml",
    options: Some(&[]),
    expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", "halted")]),
    wanted: &[
        COMPLETE,
        "bulkhead: chaos: vCPU 0 on core 3 halted: write outside its memory (ESR ",
        "): restart 1 of 2 in ",
        "): halted after 2 restarts in ",
    ],
    unwanted: &["escaped", "record", "bulkhead: refused"],
    ..DUO
};

/// A partition that asks for a reset again and again.
const LOOP: Case = Case {
    name: "minimal/restart-loop",
    restarts: true,
    system: "tests/systems/restart-loop.toml",
    options: Some(&[]),
    expect: Expect::Ends(&[("chaos", "reset")]),
    wanted: &["bulkhead: chaos: asked for a reset: halted after 60 restarts in 60 s"],
    unwanted: &["record", "bulkhead: refused"],
    ..DUO
};

/// All cases.
pub const CASES: &[Case] = &[
    PAIR,
    Case { name: "minimal/duo-gicv2", machine: GICV2, ..PAIR },
    // Ctrl-A m is a key without a meaning: the answer is that of Ctrl-A ?, which names no monitor.
    Case {
        name: "minimal/no-monitor",
        dialogue: &[("samples so far", "\x01m"), ("; 0 nobody, 1 sensor, 2 control", "stop 1\r")],
        unwanted: &["monitor", "ordered to stop", "bulkhead: refused"],
        ..PAIR
    },
    FAULT,
    Case { name: "minimal/fault-gicv2", machine: GICV2, ..FAULT },
    LOOP,
    // Partitions find no call of supervisors.
    Case {
        name: "minimal/no-calls",
        options: Some(&[]),
        until: Some(COMPLETE),
        expect: Expect::Verdict("verdict: PASS: a line contains \"none lost, none wrong\""),
        wanted: &[
            "[target] no call of a supervisor was answered",
            "[last] no call of a supervisor was answered",
        ],
        dialogue: &[],
        ..MONITOR
    },
    // One option without the other.
    Case { name: "minimal/only-records", options: Some(&["crash-records"]), ..crash::FAULT },
    Case {
        name: "minimal/only-supervision-gicv2",
        options: Some(&["supervision"]),
        machine: GICV2,
        ..MONITOR
    },
    // Every number of a call, those of supervisors and an unknown one included.
    Case {
        name: "minimal/hvc-all",
        system: "tests/systems/chaos.toml",
        command_line: Some(("chaos", "attack=hvc-all")),
        options: Some(&[]),
        expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", "off")]),
        wanted: &[COMPLETE, "[chaos] survived hvc-all:"],
        ..DUO
    },
    Case {
        name: "refusal/option-missing",
        system: "minimal",
        damage: Some(Damage::Option(0)),
        expect: Expect::Refused(&[
            "refused: plan: for an EL2 with crash-records, which this EL2 lacks",
        ]),
        ..REFUSAL
    },
    Case {
        name: "refusal/option-missing-gicv2",
        system: "minimal",
        damage: Some(Damage::Option(1)),
        machine: GICV2,
        expect: Expect::Refused(&[
            "refused: plan: for an EL2 with supervision, which this EL2 lacks",
        ]),
        ..REFUSAL
    },
    Case {
        name: "refusal/option-unwanted",
        damage: Some(Damage::Option(1)),
        expect: Expect::Refused(&[
            "refused: plan: for an EL2 without supervision, which this EL2 has",
        ]),
        ..REFUSAL
    },
    Case {
        name: "refusal/option-unknown",
        damage: Some(Damage::Option(63)),
        expect: Expect::Refused(&[
            "refused: plan: for an EL2 with another option, which this EL2 lacks",
        ]),
        ..REFUSAL
    },
];
