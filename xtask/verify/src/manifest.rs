//! The system manifest (`docs/manifest.md`), read without any code of the planner's reader. The
//! planner's reader explains what is wrong with a manifest; this one reads good manifests, and
//! refuses what it does not know.

use anyhow::{Context, Result, ensure};
use plan::PAGE;
use serde::Deserialize;

use crate::board::{Board, Size, Time, Trigger};

/// A system as its manifest declares it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// Name of the board.
    pub board: String,
    /// Board core number of the core that drains the console.
    pub console_core: u32,
    /// Percent of that core's time that draining may take.
    #[serde(default = "console_share")]
    pub console_share: u32,
    /// What happens after the last partition has stopped.
    #[serde(default)]
    pub at_end: MachineEnd,
    /// What happens after boot has refused the machine.
    #[serde(default)]
    pub on_refusal: MachineEnd,
    /// Whether EL2 keeps crash records.
    #[serde(default = "yes")]
    pub crash_records: bool,
    /// Whether EL2 has the calls of supervisors and the console's monitor.
    #[serde(default = "yes")]
    pub supervision: bool,
    /// Whether cores of both classes may share a cluster.
    #[serde(default)]
    pub mixed_clusters: Mixed,
    /// RAM that replaces the board's least.
    #[serde(default)]
    pub ram: Vec<Ram>,
    /// Partitions.
    pub partition: Vec<Partition>,
    /// Channels.
    #[serde(default)]
    pub channel: Vec<Channel>,
}

fn console_share() -> u32 {
    10
}

/// What happens to the machine at the end.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineEnd {
    /// The machine is powered off.
    #[default]
    PowerOff,
    /// Its cores wait.
    Wait,
    /// It is reset.
    Reset,
}

/// Whether cores of both classes may share a cluster of the board, and with it an L2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixed {
    /// They may.
    #[default]
    Allow,
    /// They may not.
    Refuse,
}

/// A range of RAM.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ram {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: Size,
}

/// A partition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Its vCPUs in order.
    pub vcpus: Vec<Vcpu>,
    /// Its memory in order.
    pub memory: Vec<Memory>,
    /// Its program.
    pub image: Image,
    /// `bootargs`.
    pub command_line: Option<String>,
    /// Path of its initial RAM disk.
    pub initrd: Option<String>,
    /// Fixed address of its device tree.
    pub device_tree: Option<u64>,
    /// Devices by name.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Whether its devices may write memory by DMA.
    pub dma: Option<Dma>,
    /// Further interrupts.
    #[serde(default)]
    pub interrupts: Vec<Interrupt>,
    /// Whether it has an emulated PL011.
    #[serde(default = "yes")]
    pub console: bool,
    /// The result of an access outside all that it has.
    #[serde(default)]
    pub outside: Outside,
    /// What follows a fault, `FAIL` or a missed watchdog.
    #[serde(default = "restarts")]
    pub on_fault: Action,
    /// What follows `SYSTEM_RESET`.
    #[serde(default = "restarts")]
    pub on_reset: Action,
    /// What follows `SYSTEM_OFF`.
    #[serde(default = "halts")]
    pub on_off: Action,
    /// How it restarts.
    #[serde(default)]
    pub restart: Restart,
    /// Its watchdog.
    pub watchdog: Option<Watchdog>,
    /// Whether it supervises the others.
    #[serde(default)]
    pub supervisor: bool,
    /// Texts that a runner looks for in its console lines; they are not in an image.
    #[serde(rename = "pass")]
    _pass: Option<String>,
    #[serde(rename = "fail")]
    _fail: Option<String>,
}

fn yes() -> bool {
    true
}

impl Partition {
    /// Returns whether anything restarts it.
    #[must_use]
    pub fn restarts(&self) -> bool {
        [self.on_fault, self.on_reset, self.on_off].contains(&Action::Restart)
    }
}

/// What follows when a partition stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It stays stopped.
    Halt,
    /// It starts again.
    Restart,
    /// The whole system stops.
    StopSystem,
}

fn restarts() -> Action {
    Action::Restart
}

fn halts() -> Action {
    Action::Halt
}

/// How a partition restarts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Restart {
    /// Most restarts within the window.
    pub limit: u32,
    /// The window.
    pub within: Time,
    /// Time from a stop to the first restart of a window.
    pub delay: Time,
    /// Factor by which it grows.
    pub back_off: u8,
}

impl Default for Restart {
    fn default() -> Self {
        Self { limit: 5, within: Time(60_000_000), delay: Time(100_000), back_off: 2 }
    }
}

/// A partition's watchdog.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// Time from a start to the first call that sets it.
    pub first: Time,
}

/// A vCPU.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vcpu {
    /// Board core number.
    pub core: u32,
    /// Its class.
    pub class: Class,
}

/// A core's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// May be an end of channels.
    Comm,
    /// Never an end of channels, and never gets a doorbell.
    Compute,
}

impl Class {
    /// Returns its word in manifests and device trees.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Comm => "comm",
            Self::Compute => "compute",
        }
    }
}

/// What a partition gets for an access outside all that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outside {
    /// An external abort.
    #[default]
    Abort,
    /// The partition is halted.
    Halt,
}

/// The trust in a partition's devices with DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dma {
    /// Trusted with all of RAM.
    Trusted,
}

/// A piece of memory.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Guest address; the first piece has a default, see [`Memory::ipa`].
    ipa: Option<u64>,
    /// Bytes.
    pub size: Size,
    /// Fixed physical address.
    pub physical: Option<u64>,
    /// Its use by the guest.
    #[serde(default)]
    pub kind: Kind,
}

/// The use of a piece of memory by the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Read-write memory.
    #[default]
    Ram,
    /// Read-only, and not named as memory.
    Rom,
}

impl Memory {
    /// Guest address.
    #[must_use]
    pub fn ipa(&self) -> u64 {
        self.ipa.unwrap_or(0x4000_0000)
    }
}

/// A program: exactly one of the first four is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// A crate under guests/.
    pub guest: Option<String>,
    /// Path of an ELF file.
    pub elf: Option<String>,
    /// Path of bytes.
    pub raw: Option<String>,
    /// Path of an arm64 Image.
    pub linux: Option<String>,
    /// Load address.
    pub load: Option<u64>,
    /// Entry address of vCPU 0.
    pub entry: Option<u64>,
    /// Further files in its memory.
    #[serde(default)]
    pub files: Vec<File>,
}

/// A file that is in memory from the start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Load address.
    pub load: u64,
}

/// A passed-through interrupt.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interrupt {
    /// SPI number: INTID less 32.
    pub spi: u32,
    /// How it signals.
    #[serde(default)]
    pub trigger: Trigger,
}

/// A channel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Its ends, `partition/vCPU`.
    ends: [String; 2],
    /// Data bytes by sending end.
    pub bytes: [Size; 2],
    /// How each end waits for the other.
    #[serde(default)]
    pub waits: [Wait; 2],
    /// Rate limits by sending end.
    #[serde(default)]
    pub rate: [Rate; 2],
    /// What the guest of each end sees of it.
    #[serde(default)]
    pub views: [View; 2],
}

impl Channel {
    /// Whether the guest of either end sees it as a PCI function: its pages are then Normal
    /// Non-cacheable at both.
    #[must_use]
    pub fn has_function(&self) -> bool {
        self.views.contains(&View::Ivshmem)
    }
}

/// What a guest sees of a channel end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// Its pages.
    #[default]
    Pages,
    /// A PCI function.
    Ivshmem,
}

/// How an end waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Asleep, until a doorbell arrives.
    #[default]
    Doorbell,
    /// By WFE: it takes no doorbells.
    Wfe,
    /// By polling: it takes no doorbells.
    Poll,
}

impl Wait {
    /// Its word in manifests and device trees.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Doorbell => "doorbell",
            Self::Wfe => "wfe",
            Self::Poll => "poll",
        }
    }
}

/// A doorbell rate limit.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rate {
    /// Doorbells per second.
    pub per_second: u32,
    /// Doorbells sent back to back.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_second: 10_000, burst: 32 }
    }
}

/// First SPI's INTID (IHI 0069, 2.2.1).
pub const FIRST_SPI: u32 = 32;

/// A channel end as declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Index of the channel.
    pub channel: usize,
    /// 0 or 1: which of its ends.
    pub side: usize,
    /// Index of the partition.
    pub partition: usize,
    /// The vCPU that owns it.
    pub vcpu: usize,
    /// The vCPU's handle for it: its index among the vCPU's ends in the manifest's order.
    pub handle: usize,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// If it is not one that this reader knows.
    pub fn read(text: &str) -> Result<Self> {
        let manifest: Self =
            toml::from_str(text).context("the verifier cannot read this manifest")?;
        for partition in &manifest.partition {
            let name = &partition.name;
            let image = &partition.image;
            let kinds = [&image.guest, &image.elf, &image.raw, &image.linux];
            ensure!(
                kinds.into_iter().flatten().count() == 1,
                "partition {name}: its image names no file, or several"
            );
            ensure!(
                !partition.vcpus.is_empty() && !partition.memory.is_empty(),
                "partition {name} has no vCPU or no memory"
            );
            let mut further = partition.memory.iter().skip(1);
            ensure!(
                further.all(|piece| piece.ipa.is_some()),
                "partition {name}: a piece of memory after the first has no `ipa`"
            );
            ensure!(
                manifest.supervision || !partition.supervisor,
                "partition {name} is a supervisor of a system without supervision"
            );
        }
        let share = manifest.console_share;
        ensure!((1..=50).contains(&share), "the console cannot take {share} % of its core");
        // A name must be unique, because it is used to find its owner.
        let names = manifest.partition.iter().map(|partition| &partition.name);
        let names: Vec<_> = names.collect();
        for (n, name) in names.iter().enumerate() {
            ensure!(!names[..n].contains(name), "two partitions are named {name}");
        }
        for channel in &manifest.channel {
            let name = &channel.name;
            for Size(bytes) in channel.bytes {
                ensure!(
                    bytes == 0 || bytes.is_power_of_two() && (PAGE..=1 << 31).contains(&bytes),
                    "channel {name}: {bytes} bytes are not a power of two from 4 KiB to 2 GiB"
                );
            }
            if channel.has_function() {
                let both = channel.waits.iter().zip(channel.views);
                ensure!(
                    channel.bytes[0].0 == channel.bytes[1].0,
                    "channel {name}: a PCI function has sections of one size"
                );
                ensure!(
                    both.into_iter().all(|(wait, view)| match view {
                        View::Pages => *wait != Wait::Wfe,
                        View::Ivshmem => *wait == Wait::Doorbell,
                    }),
                    "channel {name}: these ways of waiting do not suit a PCI function"
                );
            }
            ensure!(
                channel.rate.iter().all(|rate| rate.burst > 0),
                "channel {name}: a burst of 0 lets no doorbell through"
            );
        }
        manifest.declared_ends()?;
        Ok(manifest)
    }

    fn declared_ends(&self) -> Result<Vec<End>> {
        let mut ends: Vec<End> = Vec::new();
        for (channel, row) in self.channel.iter().enumerate() {
            for (side, text) in row.ends.iter().enumerate() {
                let found = text.split_once('/').and_then(|(name, vcpu)| {
                    let partition = self.partition.iter().position(|p| p.name == name)?;
                    // There is no sign and no leading zero: each end has one spelling.
                    let vcpu = (0..plan::MAX_VCPUS).find(|n| n.to_string() == vcpu)?;
                    (vcpu < self.partition[partition].vcpus.len()).then_some((partition, vcpu))
                });
                let (partition, vcpu) = found.with_context(|| {
                    format!("channel {}: there is no vCPU \"{text}\"", row.name)
                })?;
                let same = |end: &&End| (end.partition, end.vcpu) == (partition, vcpu);
                let handle = ends.iter().filter(same).count();
                ends.push(End { channel, side, partition, vcpu, handle });
            }
        }
        Ok(ends)
    }

    /// Every channel end, in the order of channels, first ends first.
    #[must_use]
    pub fn ends(&self) -> Vec<End> {
        self.declared_ends().expect("Manifest::read has seen that every end exists")
    }

    /// How an end waits.
    #[must_use]
    pub fn wait(&self, end: End) -> Wait {
        self.channel[end.channel].waits[end.side]
    }

    /// Whether the guest of an end sees it as a PCI function.
    #[must_use]
    pub fn is_function(&self, end: End) -> bool {
        self.channel[end.channel].views[end.side] == View::Ivshmem
    }

    /// Board core numbers of all vCPUs, ascending: a core's index in the plan is its index here.
    #[must_use]
    pub fn cores(&self) -> Vec<u32> {
        let vcpus = self.partition.iter().flat_map(|p| &p.vcpus);
        let mut cores: Vec<u32> = vcpus.map(|vcpu| vcpu.core).collect();
        cores.sort_unstable();
        cores
    }

    /// Interrupts passed through to a partition, those of its devices included: INTID and trigger.
    pub fn passed<'a>(
        &'a self,
        board: &'a Board,
        partition: usize,
    ) -> impl Iterator<Item = (u32, Trigger)> + 'a {
        let partition = &self.partition[partition];
        let devices = self.devices(board, partition);
        let lines = devices.flat_map(|device| &device.interrupts);
        let own = partition.interrupts.iter();
        lines
            .map(|line| (line.intid, line.trigger))
            .chain(own.map(|i| (i.spi.saturating_add(FIRST_SPI), i.trigger)))
    }

    /// Devices passed through to a partition.
    pub fn devices<'a>(
        &'a self,
        board: &'a Board,
        partition: &'a Partition,
    ) -> impl Iterator<Item = &'a crate::board::Device> + 'a {
        let named = |name: &String| board.device.iter().find(|device| device.name == *name);
        partition.devices.iter().filter_map(named)
    }
}
