//! The board as `boards/NAME/board.toml` describes it, read without any code of the planner's
//! reader.

use plan::{PAGE, Range, writes};
use serde::{Deserialize, Deserializer, de::Error};

use crate::ranges::merged;

/// A board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Board {
    /// How firmware starts cores.
    pub start: Start,
    /// Register writes that switch it off where firmware has no PSCI.
    #[serde(default)]
    pub power_off: Vec<RegisterWrite>,
    /// Register writes that reset it where firmware has no PSCI.
    #[serde(default)]
    pub reset: Vec<RegisterWrite>,
    /// A device that firmware may have left writing memory.
    #[serde(default)]
    pub quiesce: Quiesce,
    /// Its watchdog.
    #[serde(default)]
    pub watchdog: Watchdog,
    /// A light that shows that EL2 boots.
    #[serde(default)]
    pub light: Light,
    /// Whether the cores are real ones: the reader of manifests then refuses unhandled errata.
    #[serde(default, rename = "silicon")]
    _silicon: bool,
    /// Physical address width, bits.
    pub pa_bits: u32,
    /// RAM that every such board has.
    #[serde(deserialize_with = "ranges")]
    pub ram: Vec<Range>,
    /// Parts of it that firmware keeps.
    #[serde(default, deserialize_with = "ranges")]
    pub reserved: Vec<Range>,
    /// Parts of it that the boot tree may reserve and a plan may use nevertheless.
    #[serde(default, deserialize_with = "ranges")]
    pub reclaimed: Vec<Range>,
    /// Cores: a core's number is its index here.
    pub core: Vec<Core>,
    /// Core types.
    pub core_type: Vec<CoreType>,
    /// Interrupt controllers that it can be built with; it runs with the first.
    pub gic: Vec<Gic>,
    /// The console's PL011.
    pub console: Console,
    /// Devices that can be passed through.
    #[serde(default)]
    pub device: Vec<Device>,
    /// How an emulator runs it; not part of any proof.
    #[serde(default, rename = "qemu")]
    _qemu: Option<toml::Table>,
    /// What its boot loader needs; not part of any proof.
    #[serde(default, rename = "card")]
    _card: Option<toml::Table>,
}

/// A write to a device register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterWrite {
    /// The register.
    pub address: u64,
    /// The value that is written.
    pub value: u32,
}

/// A watchdog of the board's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// Register writes that start it or begin its time anew.
    pub pet: Vec<RegisterWrite>,
    /// Time between two pets.
    pub period: Time,
}

/// A device that boot stops.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiesce {
    /// Its `compatible` in the boot device tree.
    pub compatible: String,
    /// Register writes that stop it.
    pub writes: Vec<RegisterWrite>,
}

/// A light of the board's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Light {
    /// Register writes that switch it on.
    pub on: Vec<RegisterWrite>,
    /// Register writes that switch it off.
    pub off: Vec<RegisterWrite>,
}

impl Board {
    /// Returns EL2's register writes for each purpose of [`writes`].
    #[must_use]
    pub fn writes(&self) -> [&[RegisterWrite]; writes::COUNT] {
        let mut list: [&[RegisterWrite]; writes::COUNT] = [&[]; writes::COUNT];
        list[writes::POWER_OFF] = &self.power_off;
        list[writes::RESET] = &self.reset;
        list[writes::WATCHDOG] = &self.watchdog.pet;
        list[writes::CONSOLE] = &self.console.init;
        list[writes::QUIESCE] = &self.quiesce.writes;
        list[writes::LIGHT_ON] = &self.light.on;
        list[writes::LIGHT_OFF] = &self.light.off;
        list
    }

    /// Returns the pages of the registers that EL2 writes while partitions run or at the end.
    #[must_use]
    pub fn running_pages(&self) -> Vec<Range> {
        let writes = self.writes();
        let pages = writes[..writes::RUNNING]
            .iter()
            .copied()
            .flatten()
            .map(|write| Range { base: write.address & !(PAGE - 1), size: PAGE });
        merged(&pages.collect::<Vec<_>>())
    }
}

/// How cores start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// PSCI.
    Psci,
    /// A spin table.
    SpinTable,
}

/// A physical core.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// Affinity fields of `MPIDR_EL1`.
    pub mpidr: u64,
    /// Cores with one number share a cluster.
    pub cluster: u32,
    /// Spin-table release address, or 0.
    #[serde(default)]
    pub release: u64,
}

/// A core type that the board admits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoreType {
    /// Its name in messages.
    #[serde(rename = "name")]
    _name: String,
    /// Bits of `MIDR_EL1` compared.
    pub mask: u32,
    /// The value that they must have.
    pub value: u32,
}

/// An interrupt controller.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gic {
    /// 2 or 3.
    pub version: u32,
    /// Least number of list registers.
    pub list_registers: u32,
    /// INTIDs of the distributor.
    pub intids: u32,
    /// Distributor.
    #[serde(deserialize_with = "range")]
    pub gicd: Range,
    /// Redistributors, [`GICR_SIZE`] bytes per core.
    #[serde(default, deserialize_with = "range")]
    pub gicr: Range,
    /// CPU interface (GICv2).
    #[serde(default, deserialize_with = "range")]
    pub gicc: Range,
    /// Virtual interface control (GICv2).
    #[serde(default, deserialize_with = "range")]
    pub gich: Range,
    /// Virtual CPU interface (GICv2).
    #[serde(default, deserialize_with = "range")]
    pub gicv: Range,
}

/// Bytes of one redistributor: two frames of 64 KiB (IHI 0069, 12.10).
pub const GICR_SIZE: u64 = 0x2_0000;

/// The console.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// Registers.
    #[serde(deserialize_with = "range")]
    pub regs: Range,
    /// INTID.
    pub intid: u32,
    /// Its clock, Hz: no part of an image.
    #[serde(default)]
    pub clock: u32,
    /// Register writes that connect it to its pins, and set baud rate and format.
    #[serde(default)]
    pub init: Vec<RegisterWrite>,
}

/// A device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Device {
    /// Its name in manifests.
    pub name: String,
    /// Registers.
    #[serde(deserialize_with = "range")]
    pub regs: Range,
    /// Interrupts.
    #[serde(default)]
    pub interrupts: Vec<Line>,
    /// Name of its nodes, if it is not the device's name.
    node: Option<String>,
    /// `compatible` of its nodes; none means no node.
    #[serde(default)]
    pub compatible: Vec<String>,
    /// Clocks that its driver wants.
    #[serde(default)]
    pub clock_names: Vec<String>,
    /// Properties of its nodes without a value.
    #[serde(default)]
    pub flags: Vec<String>,
    /// The number of nodes that share registers and interrupts evenly.
    #[serde(default = "one")]
    pub units: u32,
    /// Whether it can write memory by DMA.
    pub dma: bool,
    /// Register writes that silence it.
    #[serde(default)]
    pub quiesce: Vec<RegisterWrite>,
}

fn one() -> u32 {
    1
}

impl Device {
    /// Returns each of its nodes: name with unit address, registers, interrupts.
    pub fn nodes(&self) -> impl Iterator<Item = (String, Range, &[Line])> {
        let name = self.node.as_ref().unwrap_or(&self.name);
        let units = self.units.max(1);
        let size = self.regs.size / u64::from(units);
        let lines = self.interrupts.len() / units as usize;
        (0..units).map(move |unit| {
            let base = self.regs.base.saturating_add(u64::from(unit) * size);
            let from = unit as usize * lines;
            let own = &self.interrupts[from..from + lines];
            (format!("{name}@{base:x}"), Range { base, size }, own)
        })
    }
}

/// An interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// INTID.
    pub intid: u32,
    /// How it signals.
    pub trigger: Trigger,
}

/// How an interrupt signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// While its level is high.
    #[default]
    Level,
    /// By an edge.
    Edge,
}

/// A size: bytes, or a string with KiB, MiB or GiB.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Bytes(u64),
            Text(String),
        }
        match Form::deserialize(from)? {
            Form::Bytes(bytes) => Ok(Self(bytes)),
            Form::Text(text) => ["KiB", "MiB", "GiB"]
                .iter()
                .zip([1u64 << 10, 1 << 20, 1 << 30])
                .find_map(|(unit, scale)| {
                    let digits = text.strip_suffix(unit)?.trim_end_matches(' ');
                    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
                    let number: u64 = is_number.then(|| digits.parse().ok())??;
                    number.checked_mul(scale)
                })
                .map(Self)
                .ok_or_else(|| {
                    D::Error::custom("a size is a number of bytes, or a string such as \"64KiB\"")
                }),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    base: u64,
    size: Size,
}

fn range<'de, D: Deserializer<'de>>(from: D) -> Result<Range, D::Error> {
    let Span { base, size } = Span::deserialize(from)?;
    Ok(Range { base, size: size.0 })
}

fn ranges<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Range>, D::Error> {
    let spans = Vec::<Span>::deserialize(from)?.into_iter();
    Ok(spans.map(|Span { base, size }| Range { base, size: size.0 }).collect())
}

/// A time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time(pub u64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        let factor = match text[digits.len()..].trim_start_matches(' ') {
            "us" => Some(1),
            "ms" => Some(1_000),
            "s" => Some(1_000_000),
            "min" => Some(60_000_000),
            _ => None,
        };
        let number = digits.parse().ok();
        let time =
            number.zip(factor).and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
        time.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a time")))
    }
}
