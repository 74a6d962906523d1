// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manifest as written: every value with its place, and names not resolved. A value that was
//! missing or wrong is `None` (and has been reported), so that the rules can still check the rest.

use super::decode::{At, Table};
use super::names::is_name;
use super::pieces::{Memory, Pieces};
use super::values::{Boolean, Duration, Each, Integer, Size, Text, at, list, table, word};
use crate::system::{Outside, View};

/// Default rate and burst of a channel end's doorbells.
pub const DEFAULT_RATE: Rate = Rate { per_second: 10_000, burst: 32 };

/// The whole manifest.
pub struct Manifest {
    /// The board's name.
    pub board: Option<At<String>>,
    /// The core that drains the console.
    pub console_core: Option<At<u64>>,
    /// Percent of its time that draining may take.
    pub console_share: Option<At<u64>>,
    /// `plan::END_*`.
    pub at_end: u32,
    /// `plan::END_*`.
    pub on_refusal: u32,
    /// Whether EL2 keeps crash records.
    pub crash_records: bool,
    /// Whether EL2 has the supervisors' calls and the monitor; none means yes.
    pub supervision: Option<At<bool>>,
    /// Whether cores of both classes may share a cluster; none means yes.
    pub mixed_clusters: Option<At<bool>>,
    /// RAM of the machine, if it is not only the least that its board has.
    pub ram: Vec<Ram>,
    /// Partitions.
    pub partitions: Vec<Partition>,
    /// Channels.
    pub channels: Vec<Channel>,
    /// Whether every partition could be read.
    pub complete: bool,
}

/// `[[partition]]`.
pub struct Partition {
    /// Its name.
    pub name: Option<At<String>>,
    /// Its vCPUs in order.
    pub vcpus: Option<At<Vec<Vcpu>>>,
    /// Its memory in order.
    pub memory: Option<At<Vec<Memory>>>,
    /// Its program.
    pub image: Option<At<Image>>,
    /// Kernel command line.
    pub command_line: Option<At<String>>,
    /// Path of the initial RAM disk.
    pub initrd: Option<At<String>>,
    /// Fixed address of the device tree.
    pub device_tree: Option<At<u64>>,
    /// Devices by name.
    pub devices: Vec<At<String>>,
    /// `dma = "trusted"`.
    pub dma: Option<At<bool>>,
    /// Interrupts.
    pub interrupts: Vec<Interrupt>,
    /// Whether it has an emulated PL011.
    pub console: bool,
    /// The result of an access outside all that it has.
    pub outside: Outside,
    /// What follows its end, by cause: `plan::ACTION_*`.
    pub on: Actions,
    /// How it restarts.
    pub restart: Option<At<Restart>>,
    /// Its watchdog.
    pub watchdog: Option<At<Watchdog>>,
    /// Whether it supervises the others.
    pub supervisor: Option<At<bool>>,
    /// Text of the line with which it has passed.
    pub pass: Option<At<String>>,
    /// Text of the line with which it has failed.
    pub fail: Option<At<String>>,
}

/// What follows a partition's end, by cause; none if it is the default.
#[derive(Default)]
pub struct Actions {
    /// After a fault, `FAIL` or a missed watchdog.
    pub fault: Option<At<u8>>,
    /// After `SYSTEM_RESET`.
    pub reset: Option<At<u8>>,
    /// After `SYSTEM_OFF`.
    pub off: Option<At<u8>>,
}

/// `restart = { … }`.
#[derive(Default)]
pub struct Restart {
    /// Most restarts within the window.
    pub limit: Option<At<u64>>,
    /// The window, µs.
    pub within: Option<At<u64>>,
    /// Time from the stop to the first restart of a window, µs.
    pub delay: Option<At<u64>>,
    /// Factor of the delay with each further restart.
    pub back_off: Option<At<u64>>,
}

/// `watchdog = { … }`.
#[derive(Default)]
pub struct Watchdog {
    /// Time from a start to the first call that sets the watchdog, µs.
    pub first: Option<At<u64>>,
}

/// A range of RAM.
#[derive(Default)]
pub struct Ram {
    /// First address.
    pub base: Option<At<u64>>,
    /// Bytes.
    pub size: Option<At<u64>>,
}

/// A vCPU.
#[derive(Default)]
pub struct Vcpu {
    /// Board core number.
    pub core: Option<At<u64>>,
    /// `plan::CLASS_*`.
    pub class: Option<At<u32>>,
}

/// `image = { … }`.
pub struct Image {
    /// The kinds it gives, each with its key's place; a valid manifest gives one.
    pub kinds: Vec<(Kind, At<String>)>,
    /// Load address.
    pub load: Option<At<u64>>,
    /// Entry address.
    pub entry: Option<At<u64>>,
    /// Further files.
    pub files: Vec<File>,
}

/// A file that is in a partition's memory from the start.
#[derive(Default)]
pub struct File {
    /// Its path.
    pub path: Option<At<String>>,
    /// Load address.
    pub load: Option<At<u64>>,
}

/// The kind of a program's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A crate under guests/.
    Guest,
    /// An ELF file.
    Elf,
    /// Bytes.
    Raw,
    /// An arm64 Image.
    Linux,
}

/// A physical interrupt.
#[derive(Default)]
pub struct Interrupt {
    /// SPI number.
    pub spi: Option<At<u64>>,
    /// PPI number, which is never granted.
    pub ppi: Option<At<u64>>,
    /// Edge-triggered.
    pub edge: bool,
}

/// `[[channel]]`.
pub struct Channel {
    /// Its name.
    pub name: Option<At<String>>,
    /// Its ends as written.
    pub ends: Option<Ends<String>>,
    /// Data bytes by sending end.
    pub bytes: Option<Ends<u64>>,
    /// `channel::wait` by end.
    pub waits: Option<Ends<u32>>,
    /// Rate limits by sending end.
    pub rates: Option<Ends<Rate>>,
    /// What each end's guest sees of it.
    pub views: Option<Ends<View>>,
}

/// A channel's values, one per end; an element that could not be read keeps its place.
pub type Ends<T> = At<Vec<Option<At<T>>>>;

/// A doorbell rate limit.
#[derive(Clone, Copy)]
pub struct Rate {
    /// Doorbells per second; 0 means no limit.
    pub per_second: u64,
    /// Doorbells sent back to back.
    pub burst: u64,
}

impl Manifest {
    /// Reads the file's top level.
    pub fn read(root: &mut Table<'_>) -> Manifest {
        let ends = [
            ("power-off", plan::END_POWER_OFF),
            ("reset", plan::END_RESET),
            ("wait", plan::END_WAIT),
        ];
        let mixed = [("allow", true), ("refuse", false)];
        let partitions = root.optional("partition", Each(table("a partition", Partition::read)));
        let channels = root.optional("channel", Each(table("a channel", Channel::read)));
        let complete = match &partitions {
            Some(partitions) => partitions.get_ref().iter().all(Option::is_some),
            None => !root.has("partition"),
        };
        Manifest {
            board: root.required("board", "board = \"qemu-virt\"", Text),
            console_core: root.required("console-core", "console-core = 0", Integer),
            console_share: root.optional("console-share", Integer),
            at_end: value(root.optional("at-end", word(&ends)), plan::END_POWER_OFF),
            on_refusal: value(root.optional("on-refusal", word(&ends)), plan::END_POWER_OFF),
            crash_records: value(root.optional("crash-records", Boolean), true),
            supervision: root.optional("supervision", Boolean),
            mixed_clusters: root.optional("mixed-clusters", word(&mixed)),
            ram: value(root.optional("ram", list(table("a range of RAM", Ram::read))), Vec::new()),
            partitions: value(partitions, Vec::new()).into_iter().flatten().collect(),
            channels: value(channels, Vec::new()).into_iter().flatten().collect(),
            complete,
        }
    }

    /// Whether every partition was read and has a valid name. Otherwise a missing partition cannot
    /// be reported.
    pub fn knows_partitions(&self) -> bool {
        let mut names = self.partitions.iter().map(|p| p.name.as_ref());
        self.complete && names.all(|name| name.is_some_and(|name| is_name(name.get_ref())))
    }

    /// The number of partitions with this name.
    pub fn named(&self, name: &str) -> usize {
        let partitions = self.partitions.iter();
        partitions.filter(|p| p.label() == name).count()
    }

    /// Whether every core in use is known. Otherwise unused cores cannot be reported.
    pub fn knows_cores(&self) -> bool {
        let vcpus = self.partitions.iter().map(|partition| partition.vcpus.as_ref());
        let known = |vcpus: &At<Vec<Vcpu>>| vcpus.get_ref().iter().all(|vcpu| vcpu.core.is_some());
        self.complete && vcpus.into_iter().all(|vcpus| vcpus.is_some_and(known))
    }
}

impl Partition {
    fn read(t: &mut Table<'_>) -> Partition {
        let outside = [("abort", Outside::Abort), ("halt", Outside::Halt)];
        Partition {
            name: t.required("name", "name = \"sensor\"", Text),
            vcpus: t.required(
                "vcpus",
                "vcpus = [{ core = 0, class = \"comm\" }]",
                list(table("a vCPU", Vcpu::read)),
            ),
            memory: t.required("memory", "memory = [{ size = \"32MiB\" }]", Pieces),
            image: t.required(
                "image",
                "image = { elf = \"program.elf\" }",
                table("an image", Image::read),
            ),
            command_line: t.optional("command-line", Text),
            initrd: t.optional("initrd", Text),
            device_tree: t.optional("device-tree", Integer),
            devices: value(t.optional("devices", Each(at(Text))), Vec::new())
                .into_iter()
                .flatten()
                .collect(),
            dma: t.optional("dma", word(&[("trusted", true)])),
            interrupts: value(
                t.optional("interrupts", list(table("an interrupt", Interrupt::read))),
                Vec::new(),
            ),
            console: value(t.optional("console", Boolean), true),
            outside: value(t.optional("outside", word(&outside)), Outside::default()),
            on: Actions::read(t),
            restart: t.optional("restart", table("a restart policy", Restart::read)),
            watchdog: t.optional("watchdog", table("a watchdog", Watchdog::read)),
            supervisor: t.optional("supervisor", Boolean),
            pass: t.optional("pass", Text),
            fail: t.optional("fail", Text),
        }
    }

    /// Its name for messages.
    pub fn label(&self) -> &str {
        self.name.as_ref().map_or("?", |name| name.get_ref())
    }

    /// Whether every piece of its memory could be read. Otherwise what does not fit in it cannot be
    /// reported.
    pub fn memory_is_known(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| {
            let pieces = memory.get_ref();
            !pieces.is_empty() && self.pieces().count() == pieces.len()
        })
    }

    /// Returns its pieces of memory whose address and size could be read, with both.
    pub fn pieces(&self) -> impl Iterator<Item = (&Memory, u64, u64)> {
        self.memory.iter().flat_map(|memory| memory.get_ref()).filter_map(|piece| {
            Some((piece, *piece.ipa.as_ref()?.get_ref(), *piece.size.as_ref()?.get_ref()))
        })
    }
}

impl Actions {
    fn read(t: &mut Table<'_>) -> Actions {
        use plan::{ACTION_HALT, ACTION_RESTART, ACTION_STOP_SYSTEM};
        let actions = [
            ("restart", ACTION_RESTART),
            ("halt", ACTION_HALT),
            ("stop-system", ACTION_STOP_SYSTEM),
        ];
        Actions {
            fault: t.optional("on-fault", word(&actions)),
            reset: t.optional("on-reset", word(&actions)),
            off: t.optional("on-off", word(&actions)),
        }
    }

    /// Returns the action after a fault, a reset and an off, with its default.
    pub fn all(&self) -> [u8; 3] {
        use plan::{ACTION_HALT, ACTION_RESTART};
        let value = |action: &Option<At<u8>>, or| action.as_ref().map_or(or, |at| *at.get_ref());
        [
            value(&self.fault, ACTION_RESTART),
            value(&self.reset, ACTION_RESTART),
            value(&self.off, ACTION_HALT),
        ]
    }
}

impl Restart {
    fn read(t: &mut Table<'_>) -> Restart {
        Restart {
            limit: t.optional("limit", Integer),
            within: t.optional("within", Duration),
            delay: t.optional("delay", Duration),
            back_off: t.optional("back-off", Integer),
        }
    }
}

impl Watchdog {
    fn read(t: &mut Table<'_>) -> Watchdog {
        Watchdog { first: t.required("first", "first = \"10s\"", Duration) }
    }
}

impl Ram {
    fn read(t: &mut Table<'_>) -> Ram {
        Ram {
            base: t.required("base", "base = 0x4000_0000", Integer),
            size: t.required("size", "size = \"8GiB\"", Size),
        }
    }
}

impl Vcpu {
    fn read(t: &mut Table<'_>) -> Vcpu {
        let classes = [("comm", plan::CLASS_COMM), ("compute", plan::CLASS_COMPUTE)];
        Vcpu {
            core: t.required("core", "core = 0", Integer),
            class: t.required("class", "class = \"comm\"", word(&classes)),
        }
    }
}

impl Image {
    fn read(t: &mut Table<'_>) -> Image {
        let kinds = [
            ("guest", Kind::Guest),
            ("elf", Kind::Elf),
            ("raw", Kind::Raw),
            ("linux", Kind::Linux),
        ];
        Image {
            kinds: kinds
                .into_iter()
                .filter_map(|(key, kind)| Some((kind, t.optional(key, Text)?)))
                .collect(),
            load: t.optional("load", Integer),
            entry: t.optional("entry", Integer),
            files: value(t.optional("files", list(table("a file", File::read))), Vec::new()),
        }
    }
}

impl File {
    fn read(t: &mut Table<'_>) -> File {
        File {
            path: t.required("path", "path = \"Image\"", Text),
            load: t.required("load", "load = 0x4800_0000", Integer),
        }
    }
}

impl Interrupt {
    fn read(t: &mut Table<'_>) -> Interrupt {
        let triggers = [("level", false), ("edge", true)];
        let ppi = t.optional("ppi", Integer);
        Interrupt {
            spi: match ppi {
                Some(_) => t.optional("spi", Integer),
                None => t.required("spi", "spi = 7", Integer),
            },
            ppi,
            edge: value(t.optional("trigger", word(&triggers)), false),
        }
    }
}

impl Channel {
    fn read(t: &mut Table<'_>) -> Channel {
        use channel::wait::{DOORBELL, NAMES, POLL, WFE};
        let waits = [DOORBELL, WFE, POLL].map(|wait| (NAMES[wait as usize], wait));
        Channel {
            name: t.required("name", "name = \"samples\"", Text),
            ends: t.required("ends", "ends = [\"sensor/0\", \"control/0\"]", Each(at(Text))),
            bytes: t.required("bytes", "bytes = [\"64KiB\", \"16KiB\"]", Each(at(Size))),
            waits: t.optional("waits", Each(at(word(&waits)))),
            rates: t.optional("rate", Each(at(table("a rate", Rate::read)))),
            views: t.optional("views", Each(at(word(&View::WORDS)))),
        }
    }
}

impl Rate {
    fn read(t: &mut Table<'_>) -> Rate {
        let like = "per-second = 10000";
        Rate {
            per_second: value(t.required("per-second", like, Integer), DEFAULT_RATE.per_second),
            burst: value(t.required("burst", "burst = 32", Integer), DEFAULT_RATE.burst),
        }
    }
}

/// The value without its place, or the default.
fn value<T>(value: Option<At<T>>, default: T) -> T {
    value.map_or(default, At::into_inner)
}
