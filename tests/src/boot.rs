//! Boot by loaders other than QEMU: Debian's U-Boot at EL2, which leaves traces in RAM, caches and
//! devices, and the tests' own loader, which leaves what the case says and passes another device
//! tree.

use crate::Leaves::*;
use crate::{COMPLETE, Case, DEFAULT, DUO, Edit, Entry, Expect, GICV2, Loader, Machine, REFUSAL};

const U_BOOT: Machine = Machine { firmware: Some("debian:u-boot-qemu"), ..DEFAULT };

/// All cases.
pub const CASES: &[Case] = &[
    Case {
        name: "boot/u-boot",
        machine: U_BOOT,
        dialogue: &[
            ("Hit any key to stop autoboot", " "),
            ("=> ", "qfw load 50000000 60000000; booti 50000000 - ${fdtcontroladdr}\r"),
        ],
        ..DUO
    },
    // The image is loaded over the place that EL2 moves to, the end of the first GiB. U-Boot is
    // after that here.
    Case {
        name: "boot/over-the-target",
        machine: Machine { memory: Some("2G"), ..U_BOOT },
        dialogue: &[
            ("Hit any key to stop autoboot", " "),
            ("=> ", "qfw load 7fe00000 60000000; booti 7fe00000 - ${fdtcontroladdr}\r"),
        ],
        ..DUO
    },
    // The image is loaded above the place that EL2 moves to: the copy goes down, its first page
    // first.
    Case {
        name: "boot/above-the-target",
        machine: Machine { memory: Some("2G"), ..U_BOOT },
        dialogue: &[
            ("Hit any key to stop autoboot", " "),
            ("=> ", "qfw load 90000000 60000000; booti 90000000 - ${fdtcontroladdr}\r"),
        ],
        ..DUO
    },
    // The loader has used chaos's memory, except a MiB at each end.
    Case {
        name: "boot/remains",
        system: "tests/systems/chaos.toml",
        command_line: Some(("chaos", "attack=remains")),
        machine: U_BOOT,
        dialogue: &[
            ("Hit any key to stop autoboot", " "),
            (
                "=> ",
                "mw.l 60100000 5ec2e7ed 780000; qfw load 50000000 58000000; booti 50000000 - \
                 ${fdtcontroladdr}\r",
            ),
        ],
        expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", "off")]),
        wanted: &[COMPLETE, "[chaos] survived remains: 0 of 4194304 words are the loader's"],
        ..DUO
    },
    Case {
        name: "boot/active-group-0",
        machine: behind(&Loader { leaves: &[ActiveGroup0], tree: &[] }),
        ..DUO
    },
    Case {
        name: "boot/left-registers",
        machine: behind(&Loader { leaves: &[Registers, Gicv3], tree: &[] }),
        ..LEFT
    },
    Case {
        name: "boot/left-registers-gicv2",
        machine: Machine {
            gic: Some(2),
            ..behind(&Loader { leaves: &[Registers, Gicv2], tree: &[] })
        },
        ..LEFT
    },
    // A core with RAS, and with one more counter of the PMU.
    Case {
        name: "boot/left-registers-a76",
        machine: Machine {
            cpu: Some("cortex-a76"),
            ..behind(&Loader { leaves: &[Registers, Gicv3], tree: &[] })
        },
        ..LEFT
    },
    // The Non-secure view of the GIC, with a loader's traces in it.
    Case { name: "boot/secure", machine: SECURE, ..DUO },
    Case {
        name: "boot/secure-gicv2",
        machine: Machine {
            gic: Some(2),
            loader: Some(&Loader { leaves: &[Registers, Gicv2], tree: &[] }),
            ..SECURE
        },
        ..DUO
    },
    // Firmware keeps SGIs 8 to 15, as it usually does, and other machines' interrupts.
    Case { name: "boot/secure-kept", machine: Machine { kept: Some(0xff00), ..SECURE }, ..DUO },
    Case {
        name: "boot/secure-kept-gicv2",
        machine: Machine { gic: Some(2), kept: Some(0xff00), ..SECURE },
        ..DUO
    },
    Case {
        name: "refusal/secure-sgi",
        machine: Machine { kept: Some(1 << 1), ..SECURE },
        expect: Expect::Refused(&[
            "GIC: the plan needs INTID 1, firmware keeps it for the Secure world",
        ]),
        ..REFUSAL
    },
    Case {
        name: "refusal/secure-timer-gicv2",
        machine: Machine { gic: Some(2), kept: Some(1 << 27), ..SECURE },
        expect: Expect::Refused(&[
            "GIC: the plan needs INTID 27, firmware keeps it for the Secure world",
        ]),
        ..REFUSAL
    },
    Case {
        name: "boot/other-names",
        machine: behind(&Loader {
            leaves: &[],
            tree: &[
                Edit::Rename("/", "memory@40000000", "memory"),
                Edit::Rename("/", "intc@8000000", "gic@8000000"),
                Edit::Rename("/", "pl011@9000000", "uart"),
                Edit::Rename("/", "psci", "firmware"),
                Edit::Rename("/cpus", "cpu@0", "core-0"),
            ],
        }),
        ..DUO
    },
    // U-Boot reserves its own tree like this. This tree is directly after the image, and the image
    // is not needed where it was loaded.
    Case {
        name: "boot/reserved-elsewhere",
        machine: behind(&Loader {
            leaves: &[],
            tree: &[
                Edit::Reserve(0x4000_0000, 0x20_0000),
                Edit::Add("/", "reserved-memory", RESERVED),
                Edit::Add(
                    "/reserved-memory",
                    "secure@40000000",
                    &[("reg", &cells([0x4000_0000, 0x20_0000])), ("no-map", &[])],
                ),
            ],
        }),
        ..DUO
    },
    Case {
        name: "refusal/no-frequency",
        machine: behind(&Loader { leaves: &[NoFrequency], tree: &[] }),
        expect: Expect::Refused(&[
            "timer: core 0x0 has CNTFRQ_EL0 = 0 Hz",
            "needs 1000000 to 1000000000",
        ]),
        ..REFUSAL
    },
    Case {
        name: "refusal/other-frequency",
        machine: behind(&Loader { leaves: &[OtherFrequency], tree: &[] }),
        expect: Expect::Refused(&[
            "timer: core 0x1 has CNTFRQ_EL0 = 62500000 Hz",
            "the boot core or the device tree says 50000000",
        ]),
        ..REFUSAL
    },
    Case {
        name: "refusal/frequency-of-the-tree",
        machine: behind(&Loader {
            leaves: &[],
            tree: &[Edit::Set("/timer", "clock-frequency", &19_200_000u32.to_be_bytes())],
        }),
        expect: Expect::Refused(&["timer: core 0x0 has CNTFRQ_EL0 = 62500000 Hz", "says 19200000"]),
        ..REFUSAL
    },
    Case {
        name: "refusal/reserved-memory",
        machine: behind(&Loader {
            leaves: &[],
            tree: &[
                Edit::Add("/", "reserved-memory", RESERVED),
                Edit::Add(
                    "/reserved-memory",
                    "bl31@78000000",
                    &[("reg", &cells([0x7800_0000, 0x200_0000])), ("no-map", &[])],
                ),
            ],
        }),
        expect: Expect::Refused(&[
            "RAM: the plan needs 0x78000000-",
            "the device tree reserves 0x78000000-0x79ffffff",
        ]),
        ..REFUSAL
    },
    Case {
        name: "refusal/memreserve",
        machine: behind(&Loader { leaves: &[], tree: &[Edit::Reserve(0x7900_0000, 0x1000)] }),
        expect: Expect::Refused(&[
            "RAM: the plan needs 0x78000000-",
            "the device tree reserves 0x79000000-0x79000fff",
        ]),
        ..REFUSAL
    },
    Case {
        name: "refusal/disabled-memory",
        machine: behind(&Loader {
            leaves: &[],
            tree: &[
                Edit::Set("/memory@40000000", "reg", &cells([0x4000_0000, 0x2000_0000])),
                Edit::Add(
                    "/",
                    "memory@60000000",
                    &[
                        ("device_type", b"memory\0"),
                        ("reg", &cells([0x6000_0000, 0x2000_0000])),
                        ("status", b"disabled\0"),
                    ],
                ),
            ],
        }),
        expect: Expect::Refused(&["RAM: the plan needs", "has 0x40000000-0x5fffffff"]),
        ..REFUSAL
    },
    Case {
        name: "refusal/tree-outside-memory",
        system: "rpi4/duo",
        machine: behind(&Loader { leaves: &[Registers, TreeNowhere], tree: &[] }),
        expect: Expect::Refused(&["EL2 faults at boot: ESR 0x96", "FAR 0x600000000"]),
        ..REFUSAL
    },
    Case {
        name: "refusal/failed-core",
        machine: behind(&Loader {
            leaves: &[],
            tree: &[Edit::Set("/cpus/cpu@2", "status", b"fail\0")],
        }),
        expect: Expect::Refused(&["cores: the plan needs 3 cores", "0x2, the machine has 3"]),
        ..REFUSAL
    },
    Case {
        name: "refusal/entered-at-el1",
        machine: Machine { entry: Some(Entry::El1), ..DEFAULT },
        expect: AT_EL1,
        ..REFUSAL
    },
    Case {
        name: "refusal/entered-at-el1-gicv2",
        machine: Machine { entry: Some(Entry::El1), ..GICV2 },
        expect: AT_EL1,
        ..REFUSAL
    },
    // The loader passes no tree: the line goes to the plan's UART, and the board's registers switch
    // the machine off.
    Case {
        name: "refusal/entered-at-el3",
        system: "rpi4/duo",
        machine: Machine { entry: Some(Entry::El3), ..DEFAULT },
        expect: Expect::Refused(&[
            "exception level: the plan needs EL2, the loader entered at EL3",
        ]),
        ..REFUSAL
    },
];

/// Runs chaos on the boot core, where it looks for values that the loader left in registers.
const LEFT: Case = Case {
    system: "tests/systems/registers.toml",
    command_line: Some(("chaos", "attack=left-registers")),
    expect: Expect::Ends(&[("chaos", "off")]),
    wanted: &["[chaos] survived left-registers: none of 38 registers is the loader's"],
    ..DUO
};

const AT_EL1: Expect =
    Expect::Refused(&["exception level: the plan needs EL2, the loader entered at EL1"]);

/// QEMU's machine with Security Extensions, and the tests' firmware at EL3.
const SECURE: Machine =
    Machine { kept: Some(0), ..behind(&Loader { leaves: &[Registers], tree: &[] }) };

/// QEMU's machine with the tests' loader in front of the image.
const fn behind(loader: &'static Loader) -> Machine {
    Machine { loader: Some(loader), ..DEFAULT }
}

/// Properties of `/reserved-memory`.
const RESERVED: &[(&str, &[u8])] = &[
    ("#address-cells", &2u32.to_be_bytes()),
    ("#size-cells", &2u32.to_be_bytes()),
    ("ranges", &[]),
];

/// Two numbers of two cells each: base and size.
const fn cells([base, size]: [u64; 2]) -> [u8; 16] {
    let bytes = (base as u128) << 64 | size as u128;
    bytes.to_be_bytes()
}
