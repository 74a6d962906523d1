//! Many interrupts of every kind that hardware raises, on one vCPU without other partitions: an
//! interrupt that a GIC loses is not found again there, because nothing else makes EL2 check.

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

/// QEMU's machine with a second UART, whose interrupt is passed through.
const UART: Machine = Machine { devices: Some(""), ..DEFAULT };

/// Every GIC and board. QEMU's GICv2 is not a GIC-400, so EL2 does not use `GICH_LR.HW` on it;
/// interrupts that this would lose show first on a busy host.
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
