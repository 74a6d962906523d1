//! Whole-system tests: the system, its machine, and its required end, as data; `cargo xtask test`
//! runs them.
//!
//! Every case boots a system on QEMU and judges EL2's last line, which guests cannot forge, and the
//! console. Its name starts with its subject: `duo/` the first system, `wait/` ways of waiting,
//! `attack/` a hostile partition next to it, `gic/` a guest's uses of its GIC, `ticks/` many
//! interrupts of every kind, `stream/` endless numbers on the console, `payload/` programs of third
//! parties, `linux/` Linux next to it, `typed/` console input, `verdict/` verdicts before the run
//! ends, `end/` the end of the machine, `restart/` partitions that start again, `crash/` crash
//! records, `supervise/` partitions that others stop and start, `rpi4/` the Raspberry Pi 4's
//! machine, `boot/` a loader other than QEMU, `fast-paths/` EL2 with and without its fast paths,
//! `minimal/` EL2 without its options, `refusal/` a machine or an image that EL2 must not start.

mod attacks;
mod boot;
mod crash;
mod end;
mod fast_paths;
mod gic;
mod linux;
mod minimal;
mod restart;
mod rpi4;
mod stream;
mod supervise;
#[cfg(test)]
mod tests;
mod ticks;
mod typed;
mod verdict;

/// The differences of a case's machine from the board's data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// Another board's machine, with the image for the system's own board.
    pub board: Option<&'static str>,
    /// Counts instructions instead of time.
    pub icount: bool,
    /// Number of cores.
    pub cores: Option<u32>,
    /// RAM, as QEMU's `-m` takes it.
    pub memory: Option<&'static str>,
    /// Core type, as QEMU's `-cpu` takes it.
    pub cpu: Option<&'static str>,
    /// GIC version of machine and image, if it is not the first that the board lists.
    pub gic: Option<u32>,
    /// GIC version of a machine whose GIC is not the image's.
    pub foreign_gic: Option<u32>,
    /// Adds a blank disk on the first virtio transport, and a second UART, whose output must have
    /// these words.
    pub devices: Option<&'static str>,
    /// Under the instruction clock, each instruction takes 16 ns, so that boot prints its messages
    /// about long waits.
    pub slow: bool,
    /// Firmware that starts first, at EL2; a file from Debian is named as in a manifest. It finds
    /// the image in QEMU's fw_cfg.
    pub firmware: Option<&'static str>,
    /// Words for EL2 on the boot command line. With `bulkhead.watchdog=1` and
    /// `devices` the board has a watchdog that prints `w` on the second UART, ten times per second.
    pub append: Option<&'static str>,
    /// Keeps every core of the host busy during the run.
    pub is_busy: bool,
    /// RAM is a file, and a second run finds it as the first run left it, as after a warm reset.
    /// The second run is judged.
    pub keeps_memory: bool,
    /// The tests' own boot loader, in front of the image.
    pub loader: Option<&'static Loader>,
    /// The exception level at which the image is entered, if it is not EL2.
    pub entry: Option<Entry>,
    /// The tests' own firmware at EL3 starts the loader, on a machine with Security Extensions. It
    /// keeps these private interrupts, one bit each, for the Secure world.
    pub kept: Option<u32>,
}

/// An exception level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// As on a machine without EL2, or under a hypervisor.
    El1,
    /// As without firmware.
    El3,
}

/// The tests' own boot loader: its actions before it continues at the image.
#[derive(Clone, Copy, Debug)]
pub struct Loader {
    /// The state that it leaves on the boot core.
    pub leaves: &'static [Leaves],
    /// The changes of the boot device tree that it passes, relative to QEMU's.
    pub tree: &'static [Edit],
}

/// State that a boot loader leaves: the number of a bit that `tests/loader` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// A Group 0 interrupt of the highest priority is active (GICv3).
    ActiveGroup0 = 0,
    /// `CNTFRQ_EL0` is 0.
    NoFrequency = 1,
    /// `CNTFRQ_EL0` differs from the other cores'.
    OtherFrequency = 2,
    /// Every register that is UNKNOWN when a core starts has a value; timers, breakpoints and
    /// counters run.
    Registers = 3,
    /// All interrupts of a GICv3 are enabled, pending and active.
    Gicv3 = 4,
    /// All interrupts of a GICv2 likewise.
    Gicv2 = 5,
    /// The tree is passed at an address without memory.
    TreeNowhere = 6,
}

impl Leaves {
    /// All of these.
    pub const ALL: [Self; 7] = [
        Self::ActiveGroup0,
        Self::NoFrequency,
        Self::OtherFrequency,
        Self::Registers,
        Self::Gicv3,
        Self::Gicv2,
        Self::TreeNowhere,
    ];
}

/// A change of a device tree.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// The node at a path has this property.
    Set(&'static str, &'static str, &'static [u8]),
    /// The node at a path has one more child, with this name and these properties.
    Add(&'static str, &'static str, &'static [(&'static str, &'static [u8])]),
    /// A child of the node at a path has another name.
    Rename(&'static str, &'static str, &'static str),
    /// A `/memreserve/` entry: base and size.
    Reserve(u64, u64),
}

/// Damage to an image after it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// A bit of the plan is inverted: byte, from the plan's start or (negative) from its end, and
    /// bit.
    Bit(isize, u32),
    /// The plan names one option (bit of `plan::options`) more or less, and the checksum is right.
    Option(u32),
    /// The last core's EL2 does not map its partition's state once guests run, and the checksum is
    /// right. EL2 relies on the verifier, which refuses such images, and faults.
    Unmapped,
}

/// The required end of a case.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// EL2's last line names these partitions with these states, and QEMU exits with 0.
    Ends(&'static [(&'static str, &'static str)]),
    /// The run ends so, and a second one prints the same bytes.
    EndsTwice(&'static [(&'static str, &'static str)]),
    /// The run ends so, and in one of EL2 without its fast paths each partition prints the same
    /// lines.
    EndsAlike(&'static [(&'static str, &'static str)]),
    /// `cargo xtask qemu` gives this verdict.
    Verdict(&'static str),
    /// EL2 prints one line that refuses and has these words; guests print nothing, and QEMU exits
    /// with 0.
    Refused(&'static [&'static str]),
}

impl Expect {
    /// Whether it needs both EL2 with its fast paths and EL2 without them.
    pub fn compares_builds(&self) -> bool {
        matches!(self, Self::EndsAlike(_))
    }
}

/// One whole-system test.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name, for people and for `cargo xtask test FILTER`.
    pub name: &'static str,
    /// The system: a name, or a manifest's path from the repository's root.
    pub system: &'static str,
    /// A partition whose command line is replaced, and the new one.
    pub command_line: Option<(&'static str, &'static str)>,
    /// The machine.
    pub machine: Machine,
    /// Console input, each text with its number of repetitions. All of it is sent together, as fast
    /// as it is taken.
    pub typed: &'static [(&'static str, usize)],
    /// After that: words that the console must show, each after those before it, and the input that
    /// follows.
    pub dialogue: &'static [(&'static str, &'static str)],
    /// The damage to the image before it is started.
    pub damage: Option<Damage>,
    /// The run ends with a console line that has this text.
    pub until: Option<&'static str>,
    /// The required end.
    pub expect: Expect,
    /// Words of which each must be in some console line.
    pub wanted: &'static [&'static str],
    /// Words that must not be in a console line.
    pub unwanted: &'static [&'static str],
    /// Words of which each must be in what `cargo xtask crash` makes of the console.
    pub crash: &'static [&'static str],
    /// How many numbers the console must show from 100000 on, each in a separate line, whole and in
    /// order; 0 means that numbers are not checked.
    pub numbers: usize,
    /// Words of which each occurs for the first time in a later line than the one before.
    pub order: &'static [&'static str],
    /// EL2 is built without its fast paths.
    pub without_fast_paths: bool,
    /// Names of EL2's options, if they are not the manifest's.
    pub options: Option<&'static [&'static str]>,
    /// Whether partitions restart. Otherwise a restart fails the case: a guest that has found an
    /// error must not pass in its next life.
    pub restarts: bool,
    /// Whether it takes too long for CI: only `cargo xtask test --long` runs it.
    pub is_long: bool,
}

/// The end of the first system.
const PAIR: &[(&str, &str)] = &[("sensor", "off"), ("control", "off")];
/// Words that control prints when it got every sample unchanged.
const COMPLETE: &str = "none lost, none wrong";

/// Words that the pair prints when neither end ever gets a doorbell.
const UNRUNG: &[&str] = &[
    COMPLETE,
    "[sensor]   doorbells     0 sent, 0 received, 0 coalesced, 0 deferred",
    "[control]   doorbells     0 sent, 0 received, 0 coalesced, 0 deferred",
    ": no foreign entry",
];

const DUO: Case = Case {
    name: "duo/default",
    system: "duo",
    command_line: None,
    machine: DEFAULT,
    typed: &[],
    dialogue: &[],
    damage: None,
    until: None,
    expect: Expect::Ends(PAIR),
    wanted: &[COMPLETE],
    unwanted: &["bulkhead: refused"],
    crash: &[],
    numbers: 0,
    order: &[],
    without_fast_paths: false,
    options: None,
    restarts: false,
    is_long: false,
};
const DEFAULT: Machine = Machine {
    board: None,
    icount: false,
    cores: None,
    memory: None,
    cpu: None,
    gic: None,
    foreign_gic: None,
    devices: None,
    slow: false,
    firmware: None,
    append: None,
    is_busy: false,
    keeps_memory: false,
    loader: None,
    entry: None,
    kept: None,
};

/// QEMU's machine with a GICv2, and an EL2 for it.
const GICV2: Machine = Machine { gic: Some(2), ..DEFAULT };

const REFUSAL: Case = Case { wanted: &[], unwanted: &["bulkhead: end"], ..DUO };

/// A third party's raw bytes at 0x4008_0000, on eight vCPUs.
const PAYLOAD: Case = Case {
    system: "tests/systems/payload.toml",
    expect: Expect::Ends(&[("payload", "off")]),
    wanted: &["[payload] tree at x0, 8 vCPUs ran"],
    ..DUO
};

/// A partition whose memory takes long to load.
const LOADING: Case = Case {
    system: "tests/systems/large.toml",
    machine: Machine { icount: true, slow: true, ..DEFAULT },
    wanted: &[COMPLETE, " of 512 MiB"],
    order: &["bulkhead: sensor: loading, ", "starting partitions", "[control]"],
    ..DUO
};

const DUOS: &[Case] = &[
    DUO,
    Case {
        name: "duo/repeatable",
        machine: Machine { icount: true, ..DEFAULT },
        expect: Expect::EndsTwice(PAIR),
        ..DUO
    },
    // The console's core waits for others that load, and also loads for itself.
    Case { name: "duo/loading", ..LOADING },
    Case { name: "duo/loading-itself", system: "tests/systems/large-itself.toml", ..LOADING },
    Case {
        name: "duo/loading-gicv2",
        machine: Machine { gic: Some(2), ..LOADING.machine },
        ..LOADING
    },
    Case { name: "duo/more-memory", machine: Machine { memory: Some("2G"), ..DEFAULT }, ..DUO },
    Case { name: "duo/more-cores", machine: Machine { cores: Some(8), ..DEFAULT }, ..DUO },
    Case { name: "duo/cortex-a72", machine: Machine { cpu: Some("cortex-a72"), ..DEFAULT }, ..DUO },
    Case {
        name: "duo/all-larger",
        machine: Machine { cpu: Some("cortex-a76"), cores: Some(6), memory: Some("3G"), ..DEFAULT },
        ..DUO
    },
    Case { name: "duo/gicv2", machine: GICV2, ..DUO },
    Case { name: "payload/raw", ..PAYLOAD },
    Case { name: "payload/raw-gicv2", machine: GICV2, ..PAYLOAD },
    Case { name: "wait/wfe", system: "tests/systems/wfe.toml", wanted: UNRUNG, ..DUO },
    Case { name: "wait/poll", system: "tests/systems/poll.toml", wanted: UNRUNG, ..DUO },
    Case {
        name: "wait/doorbell-and-wfe",
        system: "tests/systems/half.toml",
        wanted: &[COMPLETE, "[sensor]   doorbells     0 sent, ", ": no foreign entry"],
        unwanted: &["[control]   doorbells     0 sent, "],
        ..DUO
    },
    Case {
        name: "wait/peer-stops",
        system: "tests/systems/stops.toml",
        expect: Expect::Ends(&[("sensor", "failed"), ("control", "failed"), ("clock", "failed")]),
        wanted: &["[control] FAIL: after 0 samples: the peer does not run (sensor is failed)"],
        order: &["(sensor is failed)", "bulkhead: clock: "],
        ..DUO
    },
    Case {
        name: "refusal/too-little-memory",
        machine: Machine { memory: Some("48M"), ..DEFAULT },
        expect: Expect::Refused(&[
            "RAM",
            "the plan needs",
            "the machine has 0x40000000-0x42ffffff",
        ]),
        ..REFUSAL
    },
    Case {
        name: "refusal/too-few-cores",
        machine: Machine { cores: Some(2), ..DEFAULT },
        expect: Expect::Refused(&["cores", "the plan needs 3 cores", "the machine has 2"]),
        ..REFUSAL
    },
    Case {
        name: "refusal/other-gic",
        machine: Machine { foreign_gic: Some(2), ..DEFAULT },
        expect: Expect::Refused(&["GIC", "the plan needs GICv3", "the machine has GICv2"]),
        ..REFUSAL
    },
    Case {
        name: "refusal/other-core-type",
        machine: Machine { cpu: Some("cortex-a35"), ..DEFAULT },
        expect: Expect::Refused(&["core type", "0x411fd040", "the plan admits 0x410fd030"]),
        ..REFUSAL
    },
    Case {
        name: "refusal/corrupted-plan",
        damage: Some(Damage::Bit(-1, 0)),
        expect: Expect::Refused(&["plan", "CRC32C"]),
        ..REFUSAL
    },
    // Header::el2_base, the address that the image would be moved to: far outside RAM.
    Case {
        name: "refusal/corrupted-target",
        damage: Some(Damage::Bit(37, 4)),
        expect: Expect::Refused(&["plan", "CRC32C"]),
        ..REFUSAL
    },
    // Header::image_size: larger than an image can be.
    Case {
        name: "refusal/corrupted-size",
        damage: Some(Damage::Bit(28, 4)),
        expect: Expect::Refused(&["plan", "this image has another or none"]),
        ..REFUSAL
    },
    // Header::version.
    Case {
        name: "refusal/other-version",
        damage: Some(Damage::Bit(8, 1)),
        expect: Expect::Refused(&["plan", "needs one of version 6"]),
        ..REFUSAL
    },
];

/// All whole-system tests.
pub fn cases() -> Vec<Case> {
    // The longest cases come first: the others then run at the same time.
    let mut cases = linux::CASES.to_vec();
    cases.extend_from_slice(restart::CASES);
    cases.extend_from_slice(crash::CASES);
    cases.extend_from_slice(supervise::CASES);
    cases.extend_from_slice(ticks::CASES);
    cases.extend_from_slice(fast_paths::CASES);
    cases.extend_from_slice(minimal::CASES);
    cases.extend_from_slice(DUOS);
    cases.extend_from_slice(attacks::CASES);
    cases.extend_from_slice(gic::CASES);
    cases.extend_from_slice(stream::CASES);
    cases.extend_from_slice(typed::CASES);
    cases.extend_from_slice(verdict::CASES);
    cases.extend_from_slice(rpi4::CASES);
    cases.extend_from_slice(boot::CASES);
    cases.extend_from_slice(end::CASES);
    cases
}
