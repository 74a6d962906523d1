//! The Raspberry Pi 4's systems, on QEMU's `raspi4b`, and one of them on another machine.

use super::{COMPLETE, Case, DEFAULT, DUO, Expect, Machine, REFUSAL};

/// GICv2, spin table, no PSCI: QEMU ends because EL2 switched the board off as its file says.
pub const CASES: &[Case] = &[
    // EL2 brings up the console itself, and shows the stages of boot there.
    Case { name: "rpi4/duo", system: "rpi4/duo", wanted: &[COMPLETE, "1234"], ..DUO },
    // A machine with PSCI, which switches it off although the plan's board has registers for that.
    Case {
        name: "refusal/other-board",
        system: "rpi4/duo",
        machine: Machine { board: Some("qemu-virt"), ..DEFAULT },
        expect: Expect::Refused(&[
            "RAM",
            "the plan needs 0x2",
            "the machine has 0x40000000-0x7fffffff",
        ]),
        ..REFUSAL
    },
];
