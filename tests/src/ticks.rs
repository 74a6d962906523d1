//! Many interrupts of every kind that hardware raises, on one vCPU with nothing beside it: what a
//! GIC forgets stays forgotten there, because nothing else makes it look again.

use super::{Case, DEFAULT, DUO, Expect, Machine};

const TICKS: Case = Case {
    name: "ticks/gicv3",
    system: "tests/systems/ticks.toml",
    machine: UART,
    expect: Expect::Ends(&[("ticks", "off")]),
    wanted: &["every interrupt came once"],
    unwanted: &["FAIL"],
    ..DUO
};

/// With a second UART, whose interrupt is passed through.
const UART: Machine = Machine { devices: Some(""), ..DEFAULT };

/// Every GIC and board. QEMU's GICv2 is no GIC-400, so EL2 does not trust it with `GICH_LR.HW`;
/// what that loses shows on a busy host first.
pub const CASES: &[Case] = &[
    TICKS,
    Case { name: "ticks/gicv2", machine: Machine { gic: Some(2), is_busy: true, ..UART }, ..TICKS },
    Case {
        name: "ticks/rpi4",
        system: "tests/systems/ticks-rpi4.toml",
        machine: Machine { is_busy: true, ..DEFAULT },
        ..TICKS
    },
];
