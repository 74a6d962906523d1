// SPDX-License-Identifier: MIT OR Apache-2.0
//! Partitions that stop and start again, beside others that run on.

use crate::{COMPLETE, Case, DEFAULT, DUO, Expect, GICV2, Machine};

/// One partition lives many times. Its lives end by a fault, a reset, a missed watchdog and its
/// peer's order, in turn. Peer and pair count no error, and the pair's compute core no entry; a key
/// ends the pair after the last life.
const LIVES: Case = Case {
    name: "restart/lives",
    restarts: true,
    system: "tests/systems/restart.toml",
    expect: Expect::Ends(&[
        ("sensor", "off"),
        ("mortal", "off"),
        ("witness", "off"),
        ("control", "off"),
    ]),
    dialogue: &[(" messages in 51 lives, ", "q")],
    wanted: &[
        " lost at most, 12 orders",
        "[mortal] life 50 ends: spin",
        "bulkhead: mortal: vCPU 0 on core 0 halted: read outside its memory (ESR ",
        "bulkhead: mortal: asked for a reset: restart 2 of 1000 in 1 ms",
        "bulkhead: mortal: missed its watchdog: restart 3 of 1000 in 1 ms",
        "bulkhead: mortal: ordered to restart: at once",
        ": no foreign entry",
        COMPLETE,
    ],
    ..DUO
};

/// The mortal partition has two vCPUs, and no doorbells.
const SIBLINGS: Case = Case {
    name: "restart/siblings-wfe",
    restarts: true,
    system: "tests/systems/restart-wfe.toml",
    expect: Expect::Ends(&[("mortal", "off"), ("witness", "off")]),
    wanted: &[" messages in 13 lives, ", "[mortal] life 12 ends: fault"],
    unwanted: &["FAIL"],
    ..DUO
};

/// Each life ends before its second core has begun it.
const LOOP: Case = Case {
    name: "restart/loop",
    restarts: true,
    system: "tests/systems/restart-loop.toml",
    expect: Expect::Ends(&[("chaos", "reset")]),
    wanted: &[
        "restart 60 of 60 in 0 ms",
        "bulkhead: chaos: asked for a reset: halted after 60 restarts in 60 s",
    ],
    ..DUO
};

/// A thousand restarts, on demand.
const THOUSAND: Case = Case {
    name: "restart/thousand",
    system: "tests/systems/restart-thousand.toml",
    dialogue: &[(" messages in 1001 lives, ", "q")],
    wanted: &[" lost at most, 250 orders", ": no foreign entry", COMPLETE],
    is_long: true,
    ..LIVES
};

/// All cases.
pub const CASES: &[Case] = &[
    LIVES,
    Case { name: "restart/lives-gicv2", machine: GICV2, ..LIVES },
    Case {
        name: "restart/lives-rpi4",
        system: "tests/systems/restart-rpi4.toml",
        dialogue: &[(" messages in 25 lives, ", "q")],
        wanted: &[" lost at most, 6 orders", COMPLETE],
        ..LIVES
    },
    THOUSAND,
    Case { name: "restart/thousand-gicv2", machine: GICV2, ..THOUSAND },
    Case {
        name: "restart/thousand-rpi4",
        system: "tests/systems/restart-thousand-rpi4.toml",
        wanted: &[" lost at most, 250 orders", COMPLETE],
        ..THOUSAND
    },
    SIBLINGS,
    Case {
        name: "restart/siblings-poll-gicv2",
        system: "tests/systems/restart-poll.toml",
        machine: GICV2,
        ..SIBLINGS
    },
    Case { name: "restart/busy-host", machine: Machine { is_busy: true, ..DEFAULT }, ..SIBLINGS },
    Case {
        name: "restart/limit",
        restarts: true,
        system: "tests/systems/restart-limit.toml",
        expect: Expect::Ends(&[("chaos", "reset"), ("off", "off")]),
        wanted: &[
            "bulkhead: chaos: asked for a reset: restart 1 of 3 in 10 ms",
            "bulkhead: chaos: asked for a reset: restart 2 of 3 in 30 ms",
            "bulkhead: chaos: asked for a reset: restart 3 of 3 in 90 ms",
            "bulkhead: chaos: asked for a reset: halted after 3 restarts in 30 s",
            "bulkhead: off: switched itself off: restart 2 of 2 in 100 ms",
            "bulkhead: off: switched itself off: halted after 2 restarts in 60 s",
        ],
        ..DUO
    },
    LOOP,
    Case { name: "restart/loop-gicv2", machine: GICV2, ..LOOP },
    Case {
        name: "restart/stop-system",
        restarts: true,
        system: "tests/systems/restart-silent.toml",
        expect: Expect::Ends(&[
            ("silent", "halted"),
            ("fatal", "failed"),
            ("endless", "stopped"),
            ("late", "stopped"),
        ]),
        wanted: &[
            "bulkhead: silent: missed its watchdog: restart 1 of 1 in 10 ms",
            "bulkhead: silent: missed its watchdog: halted after 1 restarts in 30500 ms",
            "bulkhead: fatal: vCPU 0 reported failure: code 0x",
            "bulkhead: late: asked for a reset: restart 1 of 5 in 8000 ms",
        ],
        unwanted: &["bulkhead: late: starts again", "bulkhead: endless: missed"],
        ..DUO
    },
];
