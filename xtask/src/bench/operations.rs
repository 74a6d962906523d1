//! The budget table: EL2 instructions of each operation, counted by EL2's own counter and compared
//! with a trace.

use super::figure::{Bounds, Figure, INSTRUCTIONS};
use super::guest::{Printed, Span};
use super::run::Bench;
use crate::trace::boot::{Boot, Part};
use crate::trace::{self, Entry, Symbols, Trace};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

/// The system, from the repository's root.
pub const SYSTEM: &str = "tests/bench/operations.toml";
/// The machine has a second PL011 if it has a second serial port.
pub const MACHINE: &[&str] = &["-serial", "null"];
/// How a row's figure is computed from spans.
enum Measure {
    /// EL2's work in one repetition, the sum over these spans (each of another core).
    All(&'static [&'static str]),
    /// From the sender's vector to the write that sends the SGI, and from the receiver's vector to
    /// its ERET.
    Critical { send: &'static str, receive: &'static str },
}

/// A row of the table.
struct Row {
    name: &'static str,
    says: &'static str,
    measure: Measure,
    bounds: Option<Bounds>,
    /// The budget with a GICv2, if there is one with a GICv3.
    gicv2: f64,
}

/// Makes a row with the peers' figures and the budgets with a GICv3 and a GICv2.
const fn row(
    name: &'static str,
    says: &'static str,
    measure: Measure,
    bao: u32,
    hvisor: u32,
    [budget, gicv2]: [u32; 2],
) -> Row {
    Row { name, says, measure, bounds: Some(bounds(bao, hvisor, budget)), gicv2: gicv2 as f64 }
}

const fn bounds(bao: u32, hvisor: u32, budget: u32) -> Bounds {
    Bounds { bao: Some(bao as f64), hvisor: Some(hvisor as f64), budget: budget as f64 }
}

const fn further(name: &'static str, says: &'static str, spans: &'static [&'static str]) -> Row {
    Row { name, says, measure: Measure::All(spans), bounds: None, gicv2: 0.0 }
}

/// Makes a row of an operation that was not measured on a peer, with one budget for both GICs.
const fn bounded(
    name: &'static str,
    says: &'static str,
    span: &'static [&'static str],
    budget: u32,
) -> Row {
    let budget = budget as f64;
    let bounds = Bounds { bao: None, hvisor: None, budget };
    Row { bounds: Some(bounds), gicv2: budget, ..further(name, says, span) }
}

/// Name of the row for the longest drain of the console in one entry.
const DRAIN: &str = "console-drain";
/// The function that drains it.
const DRAINS: &str = "services::console::drain";
/// Most instructions of a drain.
const DRAIN_BUDGET: f64 = 300.0;

/// A drain: its core, the entry it is in, and how many of its instructions it takes.
struct Drain<'a> {
    core: usize,
    entry: &'a Entry,
    work: usize,
}

use Measure::{All, Critical};

const ROWS: &[Row] = &[
    row("hypercall", "cheapest hypercall", All(&["call-version"]), 149, 162, [25, 25]),
    row("psci-version", "PSCI_VERSION", All(&["psci-version"]), 188, 126, [65, 65]),
    bounded("psci-version-smc", "PSCI_VERSION by SMC", &["psci-version-smc"], 85),
    bounded("unknown-call", "unknown call", &["unknown-call"], 60),
    row(
        "doorbell-critical",
        "doorbell, trap on one core to handler on the other",
        Critical { send: "doorbell-send", receive: "doorbell-receive" },
        673,
        684,
        [120, 200],
    ),
    row(
        "doorbell",
        "doorbell, both cores",
        All(&["doorbell-send", "doorbell-receive"]),
        1314,
        733,
        [150, 200],
    ),
    row(
        "sgi-critical",
        "SGI between a partition's vCPUs, trap to handler",
        Critical { send: "sgi-send", receive: "sgi-receive" },
        712,
        309,
        [130, 180],
    ),
    row(
        "sgi",
        "SGI between a partition's vCPUs, both cores",
        All(&["sgi-send", "sgi-receive"]),
        799,
        339,
        [160, 180],
    ),
    row("virtual-timer", "virtual timer interrupt", All(&["virtual-timer"]), 199, 227, [35, 60]),
    row(
        "physical-timer",
        "other owned interrupt: the physical timer",
        All(&["physical-timer"]),
        199,
        227,
        [60, 70],
    ),
    row(
        "device-interrupt",
        "other owned interrupt: a device's SPI",
        All(&["device-interrupt"]),
        199,
        227,
        [60, 70],
    ),
    row("gicd-typer-read", "GICD_TYPER read", All(&["gicd-typer-read"]), 226, 325, [100, 100]),
    row(
        "gicd-isenabler-read",
        "GICD_ISENABLER1 read",
        All(&["gicd-isenabler-read"]),
        1291,
        716,
        [120, 120],
    ),
    row(
        "gicd-isenabler-write",
        "GICD_ISENABLER1 write that enables",
        All(&["gicd-isenabler-write"]),
        3564,
        713,
        [150, 150],
    ),
    further(
        "gicd-isenabler-again",
        "GICD_ISENABLER1 write that changes nothing",
        &["gicd-isenabler-again"],
    ),
    further(
        "gicd-icenabler-write",
        "GICD_ICENABLER1 write that disables",
        &["gicd-icenabler-write"],
    ),
    bounded("gicd-ctlr-read", "GICD_CTLR read", &["gicd-ctlr-read"], 130),
    bounded(GICR_TYPER, "GICR_TYPER read", &[GICR_TYPER], 130),
    bounded(
        "isenabler0-read",
        "GICR_ISENABLER0 (GICv2: GICD_ISENABLER0) read",
        &["isenabler0-read"],
        130,
    ),
    bounded(
        "isenabler0-write",
        "GICR_ISENABLER0 (GICv2: GICD_ISENABLER0) write that enables an SGI",
        &["isenabler0-write"],
        130,
    ),
    bounded(
        "isenabler0-write-timer",
        "GICR_ISENABLER0 (GICv2: GICD_ISENABLER0) write that enables a timer's interrupt",
        &["isenabler0-write-timer"],
        130,
    ),
    bounded("uart-fr-read", "PL011 FR read", &["uart-fr-read"], 120),
    bounded("uart-dr-write", "PL011 DR write", &["uart-dr-write"], 120),
    row(
        "message",
        "4 KiB message through a ring, one doorbell each way, both cores",
        All(&["message-send", "message-receive"]),
        1731,
        978,
        [320, 420],
    ),
];

/// The row of a register that a GICv2 does not have.
const GICR_TYPER: &str = "gicr-typer-read";

/// A run of the operations with its trace.
pub struct Operations {
    bench: Bench,
    printed: Printed,
    trace: Trace,
    symbols: Symbols,
    /// Per core: the places where EL2 read its counter, and its entries.
    cores: Vec<(Vec<usize>, Vec<Entry>)>,
}

impl Operations {
    /// Runs the system. `elf` is EL2's executable.
    ///
    /// # Errors
    /// If that fails, or counter and trace differ.
    pub fn run(bench: Bench, elf: &Path) -> Result<Self> {
        let (printed, trace) = bench.traced(MACHINE)?;
        let symbols = Symbols::read(elf)?;
        let cores = (0..trace.cores.len()).map(|core| {
            let entries = trace::entries(&trace, core, symbols.vectors);
            (trace::readings(&trace, core), entries)
        });
        let operations = Self { cores: cores.collect(), bench, printed, trace, symbols };
        operations.check()?;
        Ok(operations)
    }

    /// Compares every span with the trace: they must be equal.
    ///
    /// Only the trace counts boot: under icount QEMU's counter is the whole machine's while the
    /// core is at EL2 (target/arm/helper.c, `instructions_get_count`), and in boot cores wait for
    /// each other there.
    fn check(&self) -> Result<()> {
        for span in &self.printed.spans {
            let traced = self.place(span)?.1.len() as u64;
            ensure!(
                traced == span.work,
                "{}, {}: the counter says {} instructions, the trace {traced}",
                span.partition,
                span.name,
                span.work
            );
        }
        Ok(())
    }

    /// Returns a span's core, and the span's range in its trace: from its first reading up to its
    /// second.
    fn place(&self, span: &Span) -> Result<(usize, Range<usize>)> {
        let core = self.bench.core(&span.partition, span.vcpu)?;
        let readings = self.cores.get(core).map_or(&[][..], |(readings, _)| readings);
        let place = |number: usize| readings.get(number).copied();
        let ends = place(span.reading).zip(place(span.reading + 1));
        let (from, to) = ends
            .with_context(|| format!("{}: the trace has {} readings", span.name, readings.len()))?;
        Ok((core, from..to))
    }

    /// Returns a span's core and the entries that are completely within it.
    fn entries(&self, name: &str) -> Result<(usize, Vec<Entry>)> {
        let (core, within) = self.place(self.printed.span(name)?)?;
        let mut entries = self.cores[core].1.clone();
        entries.retain(|entry| entry.at.start >= within.start && entry.at.end <= within.end);
        Ok((core, entries))
    }

    /// Returns EL2's work in one repetition of these spans together.
    fn sum(&self, spans: &[&str]) -> Result<f64> {
        let each = |name: &&str| self.printed.each(self.printed.span(name)?);
        spans.iter().map(each).sum()
    }

    fn value(&self, measure: &Measure) -> Result<f64> {
        match measure {
            All(spans) => self.sum(spans),
            Critical { send, receive } => {
                let (_, sending) = self.entries(send)?;
                let (_, receiving) = self.entries(receive)?;
                let sent: Vec<_> = sending.iter().filter_map(|entry| entry.sent).collect();
                ensure!(!sent.is_empty(), "{send}: no entry sent an SGI");
                ensure!(!receiving.is_empty(), "{receive}: no entry");
                let works: Vec<_> = receiving.iter().map(Entry::work).collect();
                Ok(mean(&sent) + mean(&works))
            }
        }
    }

    /// Returns the table's figures.
    ///
    /// # Errors
    /// If a guest did not measure one.
    pub fn figures(&self) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for row in ROWS {
            let name = format!("el2.{}", row.name);
            let figure = Figure::new(name, row.says, INSTRUCTIONS, self.value(&row.measure)?);
            figures.push(Figure { bounds: row.bounds, ..figure });
        }
        figures.extend(self.drain_figures("el2")?);
        figures.extend(self.boot());
        Ok(figures)
    }

    /// Returns the longest entry that drains the console, and the longest drain without its entry,
    /// with the GIC that `gic` names.
    fn drain_figures(&self, gic: &str) -> Result<[Figure; 2]> {
        let drains = self.drains()?;
        let most = |work: fn(&Drain) -> usize| drains.iter().map(work).max().unwrap_or(0) as f64;
        Ok([
            ("", "console drain, the longest entry", most(|drain| drain.entry.work())),
            (
                "-alone",
                "the longest drain, without the rest of its entry",
                most(|drain| drain.work),
            ),
        ]
        .map(|(part, says, value)| {
            let name = format!("{gic}.{DRAIN}{part}");
            Figure::new(name, says, INSTRUCTIONS, value).at_most(DRAIN_BUDGET)
        }))
    }

    /// Returns the entries in which the console is drained, at least one.
    fn drains(&self) -> Result<Vec<Drain<'_>>> {
        let mut known = BTreeMap::new();
        let mut is_drain = |offset: &u32| {
            let functions = || self.symbols.functions(*offset);
            *known.entry(*offset).or_insert_with(|| functions().iter().any(|name| name == DRAINS))
        };
        let mut found = Vec::new();
        for (core, (_, entries)) in self.cores.iter().enumerate() {
            for entry in entries {
                let ran = &self.trace.cores[core][entry.at.clone()];
                // The drain is from its first instruction to its last one, including the functions
                // that it calls.
                let Some(first) = ran.iter().position(&mut is_drain) else {
                    continue;
                };
                let last = ran.iter().rposition(&mut is_drain).unwrap_or(first);
                found.push(Drain { core, entry, work: last - first + 1 });
            }
        }
        ensure!(!found.is_empty(), "no entry drains the console");
        Ok(found)
    }

    /// Returns the figures with a GICv2. Peers count from trap to handler, but this counts all of
    /// both cores, because the write that sends an SGI is a store like others.
    ///
    /// # Errors
    /// If a guest did not measure one.
    pub fn gicv2_figures(&self) -> Result<Vec<Figure>> {
        let rows = ROWS.iter().filter(|row| row.name != GICR_TYPER);
        let rows = rows.filter_map(|row| Some((row, row.bounds.as_ref()?)));
        let figures = rows.map(|(row, peers)| {
            let value = match row.measure {
                Critical { send, receive } => self.sum(&[send, receive])?,
                All(spans) => self.sum(spans)?,
            };
            let bounds = Bounds { budget: row.gicv2, ..*peers };
            let figure = Figure::new(format!("gicv2.{}", row.name), row.says, INSTRUCTIONS, value);
            Ok(Figure { bounds: Some(bounds), ..figure })
        });
        let mut figures = figures.collect::<Result<Vec<_>>>()?;
        figures.extend(self.drain_figures("gicv2")?);
        Ok(figures)
    }

    /// Returns the cost of a physical interrupt with a GICv2 that cannot link interrupts; it
    /// includes the maintenance interrupt at the guest's end of the interrupt.
    ///
    /// # Errors
    /// If a guest did not measure one.
    pub fn unlinked_figures(&self) -> Result<Vec<Figure>> {
        let rows = ["virtual-timer", "physical-timer", "device-interrupt"];
        let figure = |name| {
            let row = ROWS.iter().find(|row| row.name == name);
            let row = row.with_context(|| format!("no operation {name}"))?;
            let value = self.value(&row.measure)?;
            let name = format!("gicv2-hw0.{name}");
            Ok(Figure::new(name, row.says, INSTRUCTIONS, value))
        };
        rows.into_iter().map(figure).collect()
    }

    fn boot(&self) -> Vec<Figure> {
        let boot = Boot::of(&self.trace, &self.symbols);
        let part = |part| boot.part(part) as f64;
        let rest = part(Part::Rest) + part(Part::Checksum);
        let figure = |name: &str, says: &str, value| {
            Figure::new(format!("el2.{name}"), says, INSTRUCTIONS, value)
        };
        let all = figure(
            "boot",
            "boot to both guests, all cores, without spins, copies, clearing and cleaning",
            rest + part(Part::DeviceTree),
        );
        let load = part(Part::Copy) + part(Part::Clear);
        let memory = self.bench.system.partitions.iter().flat_map(|p| &p.memory);
        let memory: u64 = memory.map(|piece| piece.size).sum();
        vec![
            Figure { bounds: Some(bounds(573_430, 1_268_534, 300_000)), ..all },
            figure("boot-rest", "of this, outside the pass over the device tree", rest)
                .at_most(60_000.0),
            figure("boot-checksum", "of this, the plan's checksum", part(Part::Checksum)),
            figure("boot-copy", "copying the image and the partitions' contents", part(Part::Copy)),
            figure(
                "boot-clear",
                "clearing memory, and cleaning caches by address",
                part(Part::Clear),
            ),
            figure(
                "boot-whole",
                "boot with copies, clearing and cleaning, without spins",
                rest + part(Part::DeviceTree) + load,
            ),
            figure(
                "boot-gib",
                "of this, copies, clearing and cleaning per GiB of memory, over all cores",
                load * (1u64 << 30) as f64 / memory as f64,
            ),
        ]
    }

    /// Lists an operation: on each core that takes part in it, the path it took, instruction by
    /// instruction. `boot` is boot by function.
    ///
    /// # Errors
    /// If there is no such operation.
    pub fn listing(&self, name: &str) -> Result<String> {
        if name == "boot" {
            return Ok(self.boot_listing());
        }
        if name == DRAIN {
            let drains = self.drains()?.into_iter();
            let longest = drains.max_by_key(|drain| drain.entry.work());
            let Drain { core, entry, .. } = longest.context("no entry drains the console")?;
            let entries = std::slice::from_ref(entry);
            return Ok(trace::listing(&self.trace, core, entries, &self.symbols));
        }
        let row = ROWS.iter().find(|row| row.name == name).with_context(|| {
            let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            format!(
                "no operation `{name}`; there are boot, restart, restarted, {DRAIN}, {}",
                names.join(", ")
            )
        })?;
        let spans = match row.measure {
            All(spans) => spans.to_vec(),
            Critical { send, receive } => vec![send, receive],
        };
        let mut text = format!("{}\n", row.says);
        for name in spans {
            let (core, entries) = self.entries(name)?;
            // Writing to a string does not fail.
            let _ = writeln!(text, "\n{name}, on core {core}");
            text += &trace::listing(&self.trace, core, &entries, &self.symbols);
        }
        Ok(text)
    }

    fn boot_listing(&self) -> String {
        let boot = Boot::of(&self.trace, &self.symbols);
        let mut text = String::new();
        for (part, count) in &boot.parts {
            let _ = writeln!(text, "{count:>9}  {part:?}");
        }
        for (part, name, count) in boot.functions.iter().take(60) {
            let _ = writeln!(text, "{count:>9}  {part:?}: {name}");
        }
        text
    }
}

fn mean(values: &[usize]) -> f64 {
    values.iter().sum::<usize>() as f64 / values.len() as f64
}
