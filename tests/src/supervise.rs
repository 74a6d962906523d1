// SPDX-License-Identifier: MIT OR Apache-2.0
//! Supervisors and the console's monitor, and what a storm of doorbells costs its victim.

use crate::{COMPLETE, Case, DUO, Damage, Expect, GICV2};

/// Every order in every state.
const ORDERS: Case = Case {
    name: "supervise/orders",
    restarts: true,
    system: "tests/systems/supervise.toml",
    expect: Expect::Ends(&[
        ("supervisor", "stopped"),
        ("deputy", "off"),
        ("target", "stopped"),
        ("looper", "reset"),
        ("late", "stopped"),
    ]),
    wanted: &[
        "[supervisor] every order was carried out, ",
        " orders taken, at most ",
        "[deputy] 300 orders given",
        "[target] no call of a supervisor was answered",
        "bulkhead: target: ordered to stop",
        "bulkhead: supervisor: ordered to restart: at once",
        "bulkhead: looper: ordered to start: at once",
        "bulkhead: looper: asked for a reset: halted after 2 restarts in 600 s",
    ],
    unwanted: &["FAIL"],
    ..DUO
};

/// A partition that is restarted by orders and by its own ends, under load.
const LIVES: Case = Case {
    name: "supervise/lives",
    restarts: true,
    system: "tests/systems/supervise-lives.toml",
    expect: Expect::Ends(&[
        ("mortal", "off"),
        ("witness", "off"),
        ("sensor", "off"),
        ("control", "off"),
        ("keeper", "off"),
    ]),
    wanted: &[
        " messages in 31 lives, ",
        "bulkhead: mortal: ordered to restart: at once",
        "[keeper] mortal was ordered to restart ",
        ": no foreign entry",
        COMPLETE,
    ],
    ..DUO
};

/// EL2 fails on a partition's core.
const DAMAGED: Case = Case {
    name: "supervise/damaged",
    system: "tests/systems/supervise-damaged.toml",
    damage: Some(Damage::Unmapped),
    expect: Expect::Ends(&[("medic", "off"), ("target", "halted")]),
    wanted: &["halted: fault in EL2 (ESR 0x96", "[medic] the target stays halted"],
    unwanted: &["FAIL", "starts again"],
    ..DUO
};

/// A storm of doorbells by calls, and one of stops and starts.
const STORM: Case = Case {
    name: "supervise/storm",
    restarts: true,
    system: "tests/systems/supervise-storm.toml",
    expect: Expect::Ends(&[("victim", "off"), ("storm", "off"), ("looper", "reset")]),
    wanted: &["[victim] ", " foreign entries in "],
    unwanted: &["FAIL"],
    ..DUO
};

/// Each command of the monitor, and some that are none, while a pair beside it talks.
pub const MONITOR: Case = Case {
    name: "supervise/monitor",
    restarts: true,
    system: "tests/systems/supervise-monitor.toml",
    dialogue: &[
        ("no call of a supervisor was answered", "\x01m"),
        ("q leaves", "stop 3\r"),
        ("target: ordered to stop", "\r"),
        ("3 target: stopped, restarts 0", ""),
        ("q leaves", "start 3\r"),
        ("target: starts again", "restarx\x7ft 3\r"),
        ("target: starts again", "stop 5\r"),
        ("no such partition", "stop 0\r"),
        ("no such command", "stop 2x\r"),
        ("no such command", "a line that is longer than any command of the monitor\r"),
        ("no such command", "\r"),
        ("3 target: running, restarts 2", ""),
        ("q leaves", "restart 3q"),
        ("restart 3q", "\x1b\x01?"),
        ("m monitor", "\x01mstop 3\r"),
        ("target: ordered to stop", ""),
        ("none lost, none wrong", "stop 4\r"),
    ],
    expect: Expect::Ends(&[
        ("sensor", "off"),
        ("control", "off"),
        ("target", "stopped"),
        ("last", "stopped"),
    ]),
    wanted: &[
        "bulkhead: 1 sensor: running, restarts 0",
        "bulkhead:   sensor/0 end 0 to control: sent ",
        "bulkhead:   sensor/1 entries: ",
        "bulkhead: > stop 3",
        "bulkhead: target: ordered to restart: at once",
        COMPLETE,
    ],
    ..DUO
};

/// The same with three partitions: the Raspberry Pi 4 has four cores.
const MONITOR_RPI4: &[(&str, &str)] = &[
    ("no call of a supervisor was answered", "\x01m"),
    ("q leaves", "stop 3\r"),
    ("target: ordered to stop", "\r"),
    ("3 target: stopped, restarts 0", ""),
    ("q leaves", "start 3\r"),
    ("target: starts again", "restart 3\r"),
    ("target: starts again", "stop 4\r"),
    ("no such partition", "q"),
    ("none lost, none wrong", "\x01mstop 3\r"),
];

/// All cases.
pub const CASES: &[Case] = &[
    ORDERS,
    Case { name: "supervise/orders-gicv2", machine: GICV2, ..ORDERS },
    Case {
        name: "supervise/orders-rpi4",
        system: "tests/systems/supervise-rpi4.toml",
        expect: Expect::Ends(&[
            ("supervisor", "stopped"),
            ("deputy", "off"),
            ("target", "stopped"),
            ("looper", "reset"),
        ]),
        ..ORDERS
    },
    LIVES,
    Case { name: "supervise/lives-gicv2", machine: GICV2, ..LIVES },
    Case {
        name: "supervise/lives-rpi4",
        system: "tests/systems/supervise-lives-rpi4.toml",
        dialogue: &[(" messages in 25 lives, ", "q")],
        expect: Expect::Ends(&[
            ("clock", "off"),
            ("mortal", "off"),
            ("witness", "off"),
            ("keeper", "off"),
        ]),
        wanted: &[
            "bulkhead: mortal: ordered to restart: at once",
            "[keeper] mortal was ordered to restart ",
            " periods at 1000 Hz: no foreign entry",
        ],
        ..LIVES
    },
    DAMAGED,
    Case { name: "supervise/damaged-gicv2", machine: GICV2, ..DAMAGED },
    MONITOR,
    Case {
        name: "supervise/monitor-rpi4",
        system: "tests/systems/supervise-monitor-rpi4.toml",
        dialogue: MONITOR_RPI4,
        expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("target", "stopped")]),
        wanted: &[
            "bulkhead: 1 sensor: running, restarts 0",
            "bulkhead:   sensor/0 end 0 to control: sent ",
            "bulkhead: > stop 3",
            "bulkhead: target: ordered to restart: at once",
            COMPLETE,
        ],
        ..MONITOR
    },
    Case { name: "supervise/monitor-gicv2", machine: GICV2, ..MONITOR },
    STORM,
    Case { name: "supervise/storm-gicv2", machine: GICV2, ..STORM },
];
