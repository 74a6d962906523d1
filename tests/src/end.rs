//! The end of the machine by its manifest: a reset, after a run and after a refusal, and the
//! board's watchdog.

use crate::Leaves::TreeNowhere;
use crate::{COMPLETE, Case, DEFAULT, DUO, Edit, Expect, GICV2, Loader, Machine, REFUSAL};

const RESET: Case = Case {
    name: "end/reset",
    system: "tests/systems/end-reset.toml",
    expect: Expect::Ends(&[("chaos", "off")]),
    wanted: &[],
    ..DUO
};

/// Pets of a watchdog during the pair's 3 s. A gap of three periods would lose some.
const PETS: &str = "wwwwwwwwwwwwwwwwwwwwwwwwwwwww";

/// All cases.
pub const CASES: &[Case] = &[
    RESET,
    Case { name: "end/reset-rpi4", system: "tests/systems/end-reset-rpi4.toml", ..RESET },
    Case {
        name: "refusal/reset",
        system: RESET.system,
        machine: Machine { memory: Some("48M"), ..DEFAULT },
        expect: Expect::Refused(&["RAM: the plan needs"]),
        ..REFUSAL
    },
    // Boot faults before it knows the machine. EL2 brings up the console for the line, and the
    // light shows the first stage.
    Case {
        name: "refusal/tree-nowhere-rpi4",
        system: "tests/systems/end-reset-rpi4.toml",
        machine: Machine { loader: Some(&Loader { leaves: &[TreeNowhere], tree: &[] }), ..DEFAULT },
        expect: Expect::Refused(&["EL2 faults at boot: ESR ", " FAR 0x"]),
        ..REFUSAL
    },
    // Before EL2 uses the memory, it stops the network controller, which this machine does not
    // have.
    Case {
        name: "refusal/quiesce-rpi4",
        system: "tests/systems/end-reset-rpi4.toml",
        machine: Machine {
            loader: Some(&Loader {
                leaves: &[],
                tree: &[Edit::Add(
                    "/soc",
                    "ethernet@7d580000",
                    &[("compatible", b"brcm,bcm2711-genet-v5\0"), ("status", b"okay\0")],
                )],
            }),
            ..DEFAULT
        },
        expect: Expect::Refused(&["EL2 faults at boot: ESR ", " FAR 0xfd580808"]),
        ..REFUSAL
    },
    // Firmware says why it was started.
    Case {
        name: "end/reset-cause",
        system: "tests/systems/end-reset-rpi4.toml",
        machine: Machine {
            loader: Some(&Loader {
                leaves: &[],
                tree: &[Edit::Add("/chosen", "bootloader", &[("rsts", &0x1020_u32.to_be_bytes())])],
            }),
            ..DEFAULT
        },
        wanted: &["bulkhead: cause of the last reset: 0x1020"],
        ..RESET
    },
    Case {
        name: "end/watchdog",
        command_line: Some(("sensor", "")),
        machine: Machine {
            icount: true,
            append: Some("bulkhead.watchdog=1"),
            devices: Some(PETS),
            ..DEFAULT
        },
        wanted: &[COMPLETE],
        ..DUO
    },
    Case {
        name: "end/watchdog-gicv2",
        command_line: Some(("sensor", "")),
        machine: Machine {
            icount: true,
            append: Some("bulkhead.watchdog=1"),
            devices: Some(PETS),
            ..GICV2
        },
        wanted: &[COMPLETE],
        ..DUO
    },
    // One image serves boards with and without a watchdog.
    Case {
        name: "end/no-watchdog",
        machine: Machine { append: Some("bulkhead.watchdog=1"), ..DEFAULT },
        ..DUO
    },
    // QEMU's watchdog does not count: the first pet resets the machine, before the console is up.
    Case {
        name: "end/watchdog-rpi4",
        system: "rpi4/duo",
        machine: Machine { append: Some("bulkhead.watchdog=1"), ..DEFAULT },
        expect: Expect::Verdict(
            "verdict: FAIL: the machine stopped without Bulkhead's end line; nothing was printed",
        ),
        wanted: &[],
        ..DUO
    },
];
