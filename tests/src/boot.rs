//! Other loaders than QEMU: Debian's U-Boot at EL2, which leaves its own traces in RAM, caches and devices.

use crate::{COMPLETE, Case, DEFAULT, DUO, Expect, Machine};

const U_BOOT: Machine = Machine {
    firmware: Some("debian:u-boot-qemu"),
    ..DEFAULT
};

/// All of them.
pub const CASES: &[Case] = &[
    Case {
        name: "boot/u-boot",
        machine: U_BOOT,
        dialogue: &[
            ("Hit any key to stop autoboot", " "),
            (
                "=> ",
                "qfw load 50000000 60000000; booti 50000000 - ${fdtcontroladdr}\r",
            ),
        ],
        ..DUO
    },
    // Over the place that EL2 moves to, the end of the first GiB. U-Boot is behind that here.
    Case {
        name: "boot/over-the-target",
        machine: Machine {
            memory: Some("2G"),
            ..U_BOOT
        },
        dialogue: &[
            ("Hit any key to stop autoboot", " "),
            (
                "=> ",
                "qfw load 7fe00000 60000000; booti 7fe00000 - ${fdtcontroladdr}\r",
            ),
        ],
        ..DUO
    },
    // The loader has used chaos's memory, all but a MiB at each end.
    Case {
        name: "boot/remains",
        system: "tests/systems/chaos.toml",
        command_line: Some(("chaos", "attack=remains")),
        machine: U_BOOT,
        dialogue: &[
            ("Hit any key to stop autoboot", " "),
            (
                "=> ",
                "mw.l 60100000 5ec2e7ed 780000; qfw load 50000000 58000000; booti 50000000 - ${fdtcontroladdr}\r",
            ),
        ],
        expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", "off")]),
        wanted: &[
            COMPLETE,
            "[chaos] survived remains: 0 of 4194304 words are the loader's",
        ],
        ..DUO
    },
];
