// SPDX-License-Identifier: MIT OR Apache-2.0
//! `boards/NAME/board.toml`: what a board has. The author of a port writes it, so reporting the
//! first error is enough and serde's derived types can read it. docs/porting.md explains every key.

use serde::Deserialize;

use super::errata;
use super::values::{parse_duration, parse_size};
use crate::system::{
    Board, BoardCore, Card, CardFile, Device, Gic, Interrupt, LOAD_ADDRESS, Qemu, Range, merged,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    ram: Vec<Span>,
    #[serde(default)]
    reserved: Vec<Span>,
    #[serde(default)]
    reclaimed: Vec<Span>,
    start: Start,
    #[serde(default)]
    power_off: Vec<Write>,
    #[serde(default)]
    reset: Vec<Write>,
    quiesce: Option<Quiesce>,
    watchdog: Option<Watchdog>,
    #[serde(default)]
    light: Light,
    pa_bits: u32,
    #[serde(default)]
    silicon: bool,
    core: Vec<Core>,
    core_type: Vec<CoreType>,
    gic: Vec<Controller>,
    console: Console,
    #[serde(default)]
    device: Vec<Peripheral>,
    qemu: Option<Emulator>,
    card: Option<Medium>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Span {
    base: u64,
    #[serde(deserialize_with = "size")]
    size: u64,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Start {
    Psci,
    SpinTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    address: u64,
    value: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watchdog {
    pet: Vec<Write>,
    period: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quiesce {
    compatible: String,
    writes: Vec<Write>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Light {
    on: Vec<Write>,
    off: Vec<Write>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Core {
    mpidr: u64,
    cluster: u32,
    #[serde(default)]
    release: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CoreType {
    name: String,
    mask: u32,
    value: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Controller {
    version: u32,
    list_registers: u32,
    intids: u32,
    gicd: Span,
    #[serde(default)]
    gicr: Span,
    #[serde(default)]
    gicc: Span,
    #[serde(default)]
    gich: Span,
    #[serde(default)]
    gicv: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Console {
    regs: Span,
    intid: u32,
    #[serde(default)]
    clock: u32,
    #[serde(default)]
    init: Vec<Write>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Peripheral {
    name: String,
    regs: Span,
    #[serde(default)]
    interrupts: Vec<Line>,
    node: Option<String>,
    #[serde(default)]
    compatible: Vec<String>,
    #[serde(default)]
    clock_names: Vec<String>,
    #[serde(default)]
    flags: Vec<String>,
    units: Option<usize>,
    dma: bool,
    #[serde(default)]
    quiesce: Vec<Write>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    intid: u32,
    trigger: Trigger,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Trigger {
    Edge,
    Level,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Emulator {
    machine: String,
    cpu: Option<String>,
    cores: u32,
    #[serde(deserialize_with = "size")]
    memory: u64,
    dtb: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Medium {
    image: String,
    #[serde(default)]
    device_tree: Span,
    config: String,
    file: Vec<FirmwareFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FirmwareFile {
    name: String,
    debian: String,
}

/// Register writes as pairs of address and value.
fn writes(rows: Vec<Write>) -> Vec<(u64, u32)> {
    rows.into_iter().map(|Write { address, value }| (address, value)).collect()
}

/// A size as manifests write it.
fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    parse_size(&text).ok_or_else(|| serde::de::Error::custom("write a size such as \"64KiB\""))
}

impl From<Span> for Range {
    fn from(span: Span) -> Range {
        Range { base: span.base, size: span.size }
    }
}

impl Medium {
    /// Checks that the paths stay on the card, and that what one key names is there.
    fn checked(self) -> Result<Card, String> {
        let is_plain = |name: &str| {
            let mut parts = name.split('/');
            !name.is_empty() && parts.all(|part| !matches!(part, "" | "." | ".."))
        };
        let mut names = vec![self.image.as_str()];
        names.extend(self.file.iter().map(|file| file.name.as_str()));
        if let Some(name) = names.iter().find(|name| !is_plain(name)) {
            return Err(format!("[card]: \"{name}\": write a path below the card's root"));
        }
        let mut files = Vec::new();
        for FirmwareFile { name, debian } in self.file {
            let Some((package, path)) = debian.split_once(':') else {
                return Err(format!("[card]: `debian` of {name}: write \"PACKAGE:PATH\""));
            };
            files.push(CardFile { name, debian: (package.to_owned(), path.to_owned()) });
        }
        if let Some((_, rest)) = self.config.replace(LOAD_ADDRESS, "").split_once('{') {
            let word = rest.split(['}', '\n']).next().unwrap_or_default();
            return Err(format!(
                "[card]: `config` has {{{word}}}, and only {LOAD_ADDRESS} is replaced"
            ));
        }
        Ok(Card {
            image: self.image,
            device_tree: self.device_tree.into(),
            config: self.config,
            files,
        })
    }
}

impl From<Controller> for Gic {
    fn from(gic: Controller) -> Gic {
        Gic {
            version: gic.version,
            list_registers: gic.list_registers,
            intids: gic.intids,
            gicd: gic.gicd.into(),
            gicr: gic.gicr.into(),
            gicc: gic.gicc.into(),
            gich: gic.gich.into(),
            gicv: gic.gicv.into(),
        }
    }
}

/// Reads the board `name` from its file's text.
///
/// # Errors
/// The first error, with its place.
pub fn read(name: &str, text: &str) -> Result<Board, toml::de::Error> {
    let file: File = toml::from_str(text)?;
    let error = |text: String| <toml::de::Error as serde::de::Error>::custom(text);
    let gics: Vec<Gic> = file.gic.into_iter().map(Gic::from).collect();
    if let Some(gic) = gics.iter().find(|gic| !(2..=3).contains(&gic.version)) {
        return Err(error(format!("EL2 drives a GICv2 or GICv3: version = {}", gic.version)));
    }
    // A board may list several controllers that it can be built with; it runs with the first.
    let gic = gics.first().cloned();
    let gic = gic.ok_or_else(|| error("a board needs at least one [[gic]]".into()))?;
    let wrong = |device: &&Peripheral| {
        let units = device.units.unwrap_or(1);
        units == 0
            || !device.regs.size.is_multiple_of(units as u64)
            || !device.interrupts.len().is_multiple_of(units)
    };
    if let Some(device) = file.device.iter().find(wrong) {
        let why =
            format!("`units` of {} does not divide its registers and interrupts", device.name);
        return Err(error(why));
    }
    let outside = |device: &&Peripheral| {
        let regs = &device.regs;
        let inside = |write: &Write| {
            write.address.is_multiple_of(4) && write.address.wrapping_sub(regs.base) < regs.size
        };
        !device.quiesce.iter().all(inside)
    };
    if let Some(device) = file.device.iter().find(outside) {
        return Err(error(format!(
            "`quiesce` of {} writes elsewhere than to words of its registers",
            device.name
        )));
    }
    let ranges = |spans: Vec<Span>| spans.into_iter().map(Range::from).collect::<Vec<_>>();
    let (reserved, reclaimed) = (ranges(file.reserved), ranges(file.reclaimed));
    let both = |range: &&Range| {
        let apart = |kept: &Range| {
            range.base >= kept.base.saturating_add(kept.size)
                || kept.base >= range.base.saturating_add(range.size)
        };
        !reserved.iter().all(apart)
    };
    if let Some(range) = reclaimed.iter().find(both) {
        return Err(error(format!(
            "the range at {:#x} is in both `reserved` and `reclaimed`: either firmware keeps it \
             or the plan may use it",
            range.base
        )));
    }
    let reclaimed = merged(reclaimed.iter());
    let ram: Vec<Range> = ranges(file.ram);
    let (pet, period) = match file.watchdog {
        Some(Watchdog { pet, period }) => (pet, Some(period)),
        None => (Vec::new(), None),
    };
    let period = match period {
        Some(text) => {
            let period = parse_duration(&text).filter(|period| *period > 0);
            period.ok_or_else(|| {
                error(format!("[watchdog]: `period`: \"{text}\" is not a time such as \"5s\""))
            })?
        }
        None => 0,
    };
    let none = Quiesce { compatible: String::new(), writes: Vec::new() };
    let quiesce = file.quiesce.unwrap_or(none);
    if quiesce.compatible.len() > 31 || !quiesce.compatible.is_ascii() {
        return Err(error("[quiesce]: `compatible`: write at most 31 ASCII characters".into()));
    }
    if matches!(file.start, Start::SpinTable)
        && (file.power_off.is_empty() || file.reset.is_empty())
    {
        return Err(error(
            "a board with a spin table needs `power-off` and `reset`: there is no PSCI for it"
                .into(),
        ));
    }
    let firmware = matches!(file.start, Start::Psci);
    let mut errata = Vec::new();
    for kind in &file.core_type {
        for erratum in errata::unhandled(kind.mask, kind.value, firmware) {
            if file.silicon {
                return Err(error(format!(
                    "core-type `{}`: {erratum}: narrow `mask` and `value` to revisions without it",
                    kind.name
                )));
            }
            errata.push(erratum);
        }
    }
    // In the order of `plan::writes`.
    let rows = [
        file.power_off,
        file.reset,
        pet,
        file.console.init,
        quiesce.writes,
        file.light.on,
        file.light.off,
    ];
    for (key, rows) in plan::writes::KEYS.iter().zip(&rows) {
        let is_register = |write: &&Write| {
            write.address.is_multiple_of(4)
                && !ram.iter().any(|range| write.address.wrapping_sub(range.base) < range.size)
        };
        if let Some(write) = rows.iter().find(|write| !is_register(write)) {
            return Err(error(format!(
                "`{key}`: {:#x} is not a register: it is RAM, or not a multiple of 4",
                write.address
            )));
        }
    }
    Ok(Board {
        name: name.to_owned(),
        ram,
        reserved,
        reclaimed,
        cores: file
            .core
            .into_iter()
            .map(|Core { mpidr, cluster, release }| BoardCore { mpidr, cluster, release })
            .collect(),
        midrs: file.core_type.into_iter().map(|kind| (kind.name, kind.mask, kind.value)).collect(),
        errata,
        pa_bits: file.pa_bits,
        start: match file.start {
            Start::Psci => plan::START_PSCI,
            Start::SpinTable => plan::START_SPIN_TABLE,
        },
        writes: rows.map(writes),
        watchdog_period: period,
        quiesced: quiesce.compatible,
        gic,
        gics,
        uart: (file.console.regs.into(), file.console.intid),
        uart_clock: file.console.clock,
        devices: file
            .device
            .into_iter()
            .map(|device| Device {
                node: device.node.unwrap_or_else(|| device.name.clone()),
                name: device.name,
                regs: device.regs.into(),
                interrupts: device
                    .interrupts
                    .iter()
                    .map(|line| Interrupt {
                        intid: line.intid,
                        edge: line.trigger == Trigger::Edge,
                    })
                    .collect(),
                compatible: device.compatible,
                clock_names: device.clock_names,
                flags: device.flags,
                units: device.units.unwrap_or(1),
                dma: device.dma,
                quiesce: writes(device.quiesce),
            })
            .collect(),
        card: file.card.map(Medium::checked).transpose().map_err(error)?,
        qemu: file.qemu.map(|Emulator { machine, cpu, cores, memory, dtb }| Qemu {
            machine,
            cpu,
            cores,
            memory,
            dtb,
        }),
    })
}
