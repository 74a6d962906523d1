//! Debian's unchanged kernel on two vCPUs next to the pair of the first system.

use super::{COMPLETE, Case, DEFAULT, DUO, Expect, Machine};

/// Messages of Linux when something is stuck, late or wrong, and of EL2 when it starts nothing.
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

/// Linux is off, and the pair still runs: a key for sensor ends it.
const OFF: (&str, &str) = ("reboot: Power down", "\x011x");

const LINUX: Case = Case {
    name: "linux/load",
    system: "tests/systems/linux.toml",
    expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("linux", "off")]),
    unwanted: COMPLAINTS,
    ..DUO
};

/// A person at the shell, with EL2's commands first and last: an arrow key recalls a line, colours
/// arrive, Ctrl-C ends the running command. The prompt has no line end, and comes while others
/// print. Both the terminal and the shell echo input that was typed before the prompt.
const SHELL: &[(&str, &str)] = &[
    ("/ # ", "n=$((n+1)); echo run-$n\r"),
    ("run-1", ""),
    ("/ # ", "\x1b[A\r"),
    ("run-2", ""),
    ("/ # ", "printf '\\033[31mred\\033[0m\\n'\r"),
    ("\x1b[31mred\x1b[0m", ""),
    ("/ # ", "sh -c 'echo a\"\"sleep; exec sleep 1000'\r"),
    ("asleep", "\x03"),
    ("^C", ""),
    ("/ # ", "echo status-$?\r"),
    ("status-130", ""),
    // Numbers from both vCPUs: live, with the terminal to itself, and to a log.
    ("/ # ", "stream 100000 1500; echo stream-$((1 + 0))\r"),
    ("stream-1", "\x013"),
    ("/ # ", "stream 101500 1500; echo stream-$((1 + 1))\r"),
    ("stream-2", "\x013"),
    ("/ # ", "sleep 1; stream 103000 1500 && interrupts && hotplug && load 30 && poweroff\r"),
    // Lines are whole when no partition is live.
    ("load 30 && poweroff", "\x010"),
    OFF,
];

/// One boot for several tests: the shell, /proc/interrupts, hotplug, load, power off. `system` is
/// tests/systems/linux.toml, or its counterpart on another board; `gic` a version other than the
/// first that the board has.
const fn load(name: &'static str, system: &'static str, gic: Option<u32>) -> Case {
    Case {
        name,
        system,
        machine: Machine { gic, ..DEFAULT },
        typed: &[("\x013", 1)],
        dialogue: SHELL,
        numbers: 4500,
        wanted: &[
            "interrupts: passed on 2 vCPUs",
            "hotplug: passed, 5 rounds on 2 vCPUs",
            "load: 30 s, ",
            "bulkhead: input goes to nobody",
            COMPLETE,
        ],
        order: &["reboot: Power down", "samples confirmed by control"],
        ..LINUX
    }
}

/// One vCPU without other partitions, on a busy host: a lost timer interrupt is not found again
/// there.
const ONE: Case = Case {
    name: "linux/one-vcpu-gicv2",
    system: "tests/systems/linux-one.toml",
    machine: Machine { gic: Some(2), is_busy: true, ..DEFAULT },
    expect: Expect::Ends(&[("linux", "off")]),
    wanted: &["ticks: 300 times slept", "commands: passed"],
    ..LINUX
};

/// The stock driver uio_pci_generic has a channel's end: messages and interrupts, by each vCPU.
const CHANNEL: Case = Case {
    name: "linux/channel",
    system: "tests/systems/linux-channel.toml",
    machine: DEFAULT,
    expect: Expect::Ends(&[("linux", "off"), ("echo", "off")]),
    wanted: &[
        "[echo] returns the messages of talk; its pages are Non-cacheable",
        "[linux] channel: 4099 returned, interrupt 6",
        "[echo] returned 6 messages, 48 bytes",
        "[linux] channel: passed",
        "commands: passed",
    ],
    // The kernel says `PCI: OF: PROBE_ONLY enabled`, which is not a complaint.
    unwanted: &["bulkhead: refused", "commands: failed", "nobody cared", "WARNING:", "BUG:"],
    ..LINUX
};

/// Ten minutes of CPU_OFF and CPU_ON of both vCPUs under load. The number in the system's command
/// line is the seed.
const fn churn(name: &'static str, gic: Option<u32>) -> Case {
    Case {
        name,
        system: "tests/systems/linux-churn.toml",
        machine: Machine { gic, devices: Some(""), ..DEFAULT },
        expect: Expect::Ends(&[("linux", "off")]),
        wanted: &["from seed 1, the longest took", "commands: passed"],
        is_long: true,
        ..LINUX
    }
}

/// Words of a transfer of 16 MiB both ways, with this checksum of it at both ends.
const TRANSFER: &str =
    "16777216 bytes both ways in 1024 messages of 16384, checksum bf1df0408a43be8b";

/// Debian's kernel and a bare-metal guest exchange 16 MiB both ways over a channel.
const fn bhchan(name: &'static str, gic: Option<u32>) -> Case {
    Case {
        name,
        system: "tests/systems/linux-bhchan.toml",
        machine: Machine { gic, ..DEFAULT },
        expect: Expect::Ends(&[("echo", "off"), ("linux", "off")]),
        wanted: &[
            "[echo] returns the messages of talk; its pages are Non-cacheable",
            "256K     256K     1  running, open, life 1",
            "[linux] 100 round trips of 64 bytes, in microseconds: least ",
            TRANSFER,
            "[linux] commands: passed",
            // Three requests for an account are among them.
            "[echo] returned 1128 messages, 16783680 bytes",
        ],
        unwanted: &["interrupts 0 here", "here, 0 there", "bulkhead: refused", "commands: failed"],
        ..LINUX
    }
}

/// Two kernels ping each other, and exchange 16 MiB both ways by TCP.
const fn pair(name: &'static str, gic: Option<u32>) -> Case {
    Case {
        name,
        system: "linux-pair",
        machine: Machine { gic, ..DEFAULT },
        expect: Expect::Ends(&[("west", "off"), ("east", "off")]),
        wanted: &[
            "[west] bhchan: link: the peer is there, and takes whole segments without checksums",
            "[west] 3 packets transmitted, 3 packets received, 0% packet loss",
            "[west] 16777216 bytes both ways over TCP, checksum bf1df0408a43be8b",
            "[east] 16777216 bytes from 192.0.2.1:",
            "[west] commands: passed",
            "[east] commands: passed",
        ],
        ..LINUX
    }
}

/// In each case Linux ends by itself; after that the pair must continue and lose nothing.
pub const CASES: &[Case] = &[
    load("linux/load", "tests/systems/linux.toml", None),
    load("linux/load-gicv2", "tests/systems/linux.toml", Some(2)),
    load("linux/load-rpi4", "tests/systems/linux-rpi4.toml", None),
    ONE,
    CHANNEL,
    Case { name: "linux/channel-gicv2", machine: Machine { gic: Some(2), ..DEFAULT }, ..CHANNEL },
    Case { name: "linux/channel-rpi4", system: "tests/systems/linux-channel-rpi4.toml", ..CHANNEL },
    bhchan("linux/bhchan", None),
    bhchan("linux/bhchan-gicv2", Some(2)),
    Case { system: "tests/systems/linux-bhchan-rpi4.toml", ..bhchan("linux/bhchan-rpi4", None) },
    pair("linux/pair", None),
    pair("linux/pair-gicv2", Some(2)),
    // Each kernel restarts in the middle of a transfer, and the other one learns of it.
    Case {
        name: "linux/lives",
        restarts: true,
        system: "tests/systems/linux-lives.toml",
        expect: Expect::Ends(&[("west", "off"), ("east", "off")]),
        wanted: &["[west] lives: restarts", "[east] lives: restarts", TRANSFER],
        order: &[
            "[west] lives: restarts",
            "[east] bhchan: the peer has restarted: at most ",
            "[east] lives: restarts",
            "[west] bhchan: the peer has restarted: at most ",
            "[west] 16777216 bytes both ways",
        ],
        ..LINUX
    },
    churn("linux/churn", None),
    churn("linux/churn-gicv2", Some(2)),
    Case {
        name: "linux/devices",
        restarts: true,
        system: "tests/systems/linux-small.toml",
        machine: Machine { devices: Some("the second PL011 has spoken"), ..DEFAULT },
        dialogue: &[OFF],
        wanted: &[
            "earlycon: pl11 at MMIO 0x0000000009000000",
            "[linux] devices: passed, a disk of 16384 sectors",
            "Kernel panic - not syncing: sysrq triggered crash",
            "bulkhead: linux: asked for a reset: restart 1 of 5 in 100 ms",
            "[linux] 100000 /disk/file",
            "reboot: Restarting system",
            "bulkhead: linux: asked for a reset: restart 2 of 5 in 200 ms",
            "[linux] third life",
            COMPLETE,
        ],
        unwanted: &["bulkhead: refused", "commands: failed"],
        crash: &[
            "record 0 of linux: asked for a reset",
            "record 1 of linux: asked for a reset",
            // By the names that the kernel has in itself.
            " __arm_smccc_hvc+0x",
            " panic+0x",
            " sysrq_handle_crash+0x",
            " write_sysrq_trigger+0x",
        ],
        order: &["bulkhead: linux: starts again", "samples confirmed by control"],
        ..LINUX
    },
    Case {
        name: "linux/u-boot",
        system: "tests/systems/u-boot.toml",
        typed: &[("\x013", 1)],
        dialogue: &[
            ("Hit any key to stop autoboot", " "),
            ("=> ", "printenv fdtcontroladdr\r"),
            // The kernel ignores bytes after the RAM disk.
            ("fdtcontroladdr=", "booti 42000000 46000000:200000 40000000\r\x010"),
            OFF,
        ],
        expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("u-boot", "off")]),
        wanted: &[
            "[u-boot] U-Boot 20",
            "[u-boot] Starting kernel ...",
            "[u-boot] interrupts: passed on 2 vCPUs",
            "[u-boot] commands: passed",
            COMPLETE,
        ],
        order: &["reboot: Power down", "samples confirmed by control"],
        ..LINUX
    },
];
