//! Debian's kernel, as it is, on two vCPUs beside the pair of the first system.

use super::{COMPLETE, Case, DUO, Expect};

/// What EL2 prints when a partition asked for a reset, and Linux when something is stuck, late or wrong.
const COMPLAINTS: &[&str] = &[
    "bulkhead: refused",
    "commands: failed",
    "detected stall",
    "detected expedited stall",
    "soft lockup",
    "blocked for more than",
    "nobody cared",
    "WARNING:",
    "BUG:",
    "Oops",
    "OF: ",
];

const LINUX: Case = Case {
    name: "linux/load",
    system: "tests/systems/linux.toml",
    expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("linux", "off")]),
    unwanted: COMPLAINTS,
    ..DUO
};

/// Each lets Linux end by itself; the pair must go on after that and lose nothing.
pub const CASES: &[Case] = &[
    Case {
        wanted: &[
            "[linux] interrupts: well on 2 vCPUs",
            "[linux] hotplug: well, 5 rounds on 2 vCPUs",
            "[linux] load: 30 s, ",
            "[linux] commands: all well",
            COMPLETE,
            ": no foreign entry",
        ],
        order: &["reboot: Power down", "samples confirmed by control"],
        ..LINUX
    },
    Case {
        name: "linux/panic",
        system: "tests/systems/linux-small.toml",
        command_line: Some((
            "linux",
            "earlycon console=ttyAMA0 panic=-1 cma=0 bulkhead.run=\"echo c >/proc/sysrq-trigger\"",
        )),
        expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("linux", "reset")]),
        wanted: &[
            "Kernel panic - not syncing: sysrq triggered crash",
            COMPLETE,
        ],
        unwanted: &["bulkhead: refused", "commands: failed"],
        order: &[
            "bulkhead: linux: asked for a reset",
            "samples confirmed by control",
        ],
        ..LINUX
    },
];
