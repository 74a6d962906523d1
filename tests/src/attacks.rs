//! Hostile partitions: one row per attack of guests/chaos, with EL2's required reaction.
//!
//! In every case the pair next to the attacker must end as it does without the attacker, with a
//! complete message stream.

use crate::{COMPLETE, Case, DEFAULT, DUO, Damage, Expect, GICV2, Machine};

/// Words of attacks that EL2 must halt: the first word that chaos would print if it got further
/// must not appear.
const ESCAPED: &[&str] = &["escaped", "bulkhead: refused"];

/// An attack on the interrupt controller, with a GICv2: `name` is the case's.
const fn gicv2(name: &'static str, case: Case) -> Case {
    Case { name, machine: GICV2, ..case }
}

/// The same next to the pair, with external aborts instead of a halt: `name` is the case's.
const fn strayed(name: &'static str, case: Case) -> Case {
    Case { name, system: "tests/systems/stray.toml", ..case }
}

/// A case: the attack's name, the state its partition must end in, and words that a console line
/// must have.
macro_rules! attack {
    ($name:literal, $state:literal, $words:expr) => {
        Case {
            name: concat!("attack/", $name),
            system: "tests/systems/chaos.toml",
            command_line: Some(("chaos", concat!("attack=", $name))),
            expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", $state)]),
            wanted: &[COMPLETE, concat!("attack ", $name, ":"), $words],
            unwanted: ESCAPED,
            ..DUO
        }
    };
}

/// Each try of the attack is answered as specified; the guest checks each answer and prints the
/// result.
macro_rules! answered {
    ($name:literal) => {
        attack!($name, "off", concat!("[chaos] survived ", $name, ":"))
    };
}

/// The partition is halted with one line that gives the partition, the place and the reason.
macro_rules! halted {
    ($name:literal, $cause:literal) => {
        attack!(
            $name,
            "halted",
            concat!("bulkhead: chaos: vCPU 0 on core 3 halted: ", $cause, " (ESR 0x")
        )
    };
}

/// The number of interrupts, which is the board's.
const INTIDS: Case =
    Case { command_line: Some(("chaos", "attack=typer intids=288")), ..answered!("typer") };

/// Garbage to a PCI function, and doorbells by it.
const FUNCTION: Case =
    Case { system: "tests/systems/pci-function.toml", ..answered!("pci-function") };

/// All cases.
pub const CASES: &[Case] = &[
    halted!("read-outside", "read outside its memory"),
    halted!("write-outside", "write outside its memory"),
    halted!("jump-outside", "execution outside its memory"),
    halted!("read-el2", "read outside its memory"),
    halted!("write-rx", "write to memory it may not write"),
    halted!("exec-channel", "execution of memory it may not execute"),
    halted!("gicr-outside", "read outside its memory"),
    strayed("attack/stray", answered!("stray")),
    strayed("attack/stray-gicv2", gicv2("", answered!("stray"))),
    Case {
        system: "tests/systems/stray-rpi4.toml",
        ..strayed("attack/stray-rpi4", answered!("stray"))
    },
    // Only this core type looks the address of DC CVAP up in QEMU.
    strayed(
        "attack/stray-neoverse-n1",
        Case { machine: Machine { cpu: Some("neoverse-n1"), ..DEFAULT }, ..answered!("stray") },
    ),
    FUNCTION,
    gicv2("attack/pci-function-gicv2", FUNCTION),
    Case {
        name: "attack/pci-function-rpi4",
        system: "tests/systems/pci-function-rpi4.toml",
        ..FUNCTION
    },
    strayed("attack/abort-storm", answered!("abort-storm")),
    strayed("attack/sizing", answered!("sizing")),
    // The line has the first cause: where the guest strayed, or the exception that EL1 took without
    // EL2.
    strayed(
        "attack/no-vector",
        halted!("no-vector", "read outside its memory, and its vector faults"),
    ),
    strayed(
        "attack/vector-faults",
        halted!("vector-faults", "write outside its memory, and its vector faults"),
    ),
    strayed(
        "attack/undefined-no-vector",
        halted!("undefined-no-vector", "exception, and its vector faults"),
    ),
    answered!("reset-code"),
    gicv2("attack/reset-code-gicv2", answered!("reset-code")),
    INTIDS,
    gicv2("attack/typer-gicv2", INTIDS),
    answered!("gic-foreign"),
    answered!("gicr-foreign"),
    answered!("sgi-everywhere"),
    answered!("irq-flood"),
    answered!("ring-foreign"),
    answered!("ring-storm"),
    answered!("channel-storm"),
    answered!("cpu-on-foreign"),
    answered!("hvc-all"),
    answered!("smc-all"),
    answered!("hvc-imm"),
    answered!("smc-imm"),
    answered!("cpu-suspend"),
    answered!("sysreg-storm"),
    answered!("sys-storm"),
    answered!("set-way"),
    answered!("cache-off"),
    answered!("debug"),
    answered!("eret-el2"),
    answered!("eret-el0"),
    answered!("mmio-odd"),
    answered!("uart-garbage"),
    Case {
        wanted: &[
            COMPLETE,
            "[chaos] survived uart-flood:",
            "bytes lost: written while its UART was full (TXFF)",
        ],
        ..answered!("uart-flood")
    },
    gicv2("attack/gicr-outside-gicv2", halted!("gicr-outside", "read outside its memory")),
    gicv2("attack/gic-foreign-gicv2", answered!("gic-foreign")),
    gicv2("attack/gicr-foreign-gicv2", answered!("gicr-foreign")),
    gicv2("attack/sgi-everywhere-gicv2", answered!("sgi-everywhere")),
    gicv2("attack/irq-flood-gicv2", answered!("irq-flood")),
    gicv2("attack/mmio-odd-gicv2", answered!("mmio-odd")),
    gicv2("attack/cpu-suspend-gicv2", answered!("cpu-suspend")),
    answered!("watchdog"),
    // These calls stop only their caller.
    attack!("cpu-off", "off", "[chaos] attack cpu-off:"),
    attack!("smc-off", "off", "[chaos] attack smc-off:"),
    attack!("reset", "reset", "bulkhead: chaos: "),
    attack!("fail", "failed", "bulkhead: chaos: "),
    // A fault of EL2's own ends the partition on that core, and does not affect other partitions or
    // the console.
    Case {
        name: "attack/el2-fault",
        system: "tests/systems/fault.toml",
        damage: Some(Damage::Unmapped),
        expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", "halted")]),
        wanted: &[COMPLETE, "bulkhead: chaos: vCPU 0 on core 3 halted: fault in EL2 (ESR 0x96"],
        crash: &[
            "record 0 of chaos: fault in EL2",
            "Vcpu<H>::reset (hyp/vgic/src/vcpu.rs:",
            "SP_EL2",
        ],
        ..DUO
    },
    Case {
        name: "attack/channel-storm-peer",
        system: "tests/systems/storm.toml",
        machine: Machine { cores: Some(5), ..DEFAULT },
        expect: Expect::Ends(&[
            ("sensor", "off"),
            ("control", "off"),
            ("chaos", "off"),
            ("listener", "off"),
        ]),
        wanted: &[
            COMPLETE,
            "[chaos] survived channel-storm: ",
            "[listener] survived listen: 3 channels, ",
            "every index right",
        ],
        ..DUO
    },
];
