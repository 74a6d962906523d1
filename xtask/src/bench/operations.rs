//! The budget table: EL2 instructions of each operation, counted by EL2's own counter and held against a trace.

use super::figure::{Figure, Peers};
use super::guest::{Printed, Span};
use super::run::Bench;
use crate::build::{Builder, HYPERVISOR};
use crate::trace::boot::{Boot, Part};
use crate::trace::{self, Entry, Symbols, Trace};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;

/// The system, from the repository's root.
const SYSTEM: &str = "tests/bench/operations.toml";
/// The machine has a second PL011 if it has a second serial port.
const MACHINE: &[&str] = &["-serial", "null"];
/// By how many instructions counter and trace may differ between two readings.
///
/// Boot is the trace's alone: under icount QEMU's counter is the whole machine's while the core is at EL2 (`pmu_op_finish`,
/// `icount_get_raw`), and there cores wait for each other.
const TOLERANCE: u64 = 0;

/// How a row's figure is made of spans.
enum Measure {
    /// EL2's work in one repetition, the sum over these spans (each of another core).
    All(&'static [&'static str]),
    /// From the sender's vector to the write that sends the SGI, and from the receiver's vector to its ERET.
    Critical {
        send: &'static str,
        receive: &'static str,
    },
}

/// A row of the table.
struct Row {
    name: &'static str,
    says: &'static str,
    measure: Measure,
    peers: Option<Peers>,
}

const fn row(
    name: &'static str,
    says: &'static str,
    measure: Measure,
    bao: u64,
    hvisor: u64,
    budget: u64,
) -> Row {
    Row {
        name,
        says,
        measure,
        peers: Some(Peers {
            bao: Some(bao),
            hvisor: Some(hvisor),
            budget,
        }),
    }
}

const fn further(name: &'static str, says: &'static str, spans: &'static [&'static str]) -> Row {
    Row {
        name,
        says,
        measure: Measure::All(spans),
        peers: None,
    }
}

use Measure::{All, Critical};

const ROWS: &[Row] = &[
    row(
        "hypercall",
        "cheapest hypercall",
        All(&["call-version"]),
        149,
        162,
        25,
    ),
    row(
        "psci-version",
        "PSCI_VERSION",
        All(&["psci-version"]),
        188,
        126,
        65,
    ),
    row(
        "doorbell-critical",
        "doorbell, trap on one core to handler on the other",
        Critical {
            send: "doorbell-send",
            receive: "doorbell-receive",
        },
        673,
        684,
        120,
    ),
    row(
        "doorbell",
        "doorbell, both cores",
        All(&["doorbell-send", "doorbell-receive"]),
        1314,
        733,
        150,
    ),
    row(
        "sgi-critical",
        "SGI between own vCPUs, trap to handler",
        Critical {
            send: "sgi-send",
            receive: "sgi-receive",
        },
        712,
        309,
        130,
    ),
    row(
        "sgi",
        "SGI between own vCPUs, both cores",
        All(&["sgi-send", "sgi-receive"]),
        799,
        339,
        160,
    ),
    row(
        "virtual-timer",
        "virtual timer interrupt",
        All(&["virtual-timer"]),
        199,
        227,
        35,
    ),
    row(
        "physical-timer",
        "other owned interrupt: the physical timer",
        All(&["physical-timer"]),
        199,
        227,
        60,
    ),
    row(
        "device-interrupt",
        "other owned interrupt: a device's SPI",
        All(&["device-interrupt"]),
        199,
        227,
        60,
    ),
    row(
        "gicd-typer-read",
        "GICD_TYPER read",
        All(&["gicd-typer-read"]),
        226,
        325,
        100,
    ),
    row(
        "gicd-isenabler-read",
        "GICD_ISENABLER1 read",
        All(&["gicd-isenabler-read"]),
        1291,
        716,
        120,
    ),
    row(
        "gicd-isenabler-write",
        "GICD_ISENABLER1 write that enables",
        All(&["gicd-isenabler-write"]),
        3564,
        713,
        150,
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
    row(
        "message",
        "4 KiB message through a ring, one doorbell each way, both cores",
        All(&["message-send", "message-receive"]),
        1731,
        978,
        320,
    ),
];

/// A run of the operations with its trace.
pub struct Operations {
    bench: Bench,
    printed: Printed,
    trace: Trace,
    symbols: Symbols,
}

impl Operations {
    /// Builds the system and runs it.
    ///
    /// # Errors
    /// If that fails, or counter and trace differ.
    pub fn run(builder: &mut Builder) -> Result<Self> {
        let bench = Bench::build(builder, SYSTEM)?;
        let (printed, trace) = bench.traced(MACHINE)?;
        let symbols = Symbols::read(&builder.program(HYPERVISOR)?)?;
        let operations = Self {
            bench,
            printed,
            trace,
            symbols,
        };
        operations.check()?;
        Ok(operations)
    }

    /// Holds every span against the trace.
    fn check(&self) -> Result<()> {
        for span in &self.printed.spans {
            let traced = self.readings(span)?.len() as u64;
            ensure!(
                traced.abs_diff(span.work) <= TOLERANCE,
                "{}, {}: the counter says {} instructions, the trace {traced}",
                span.partition,
                span.name,
                span.work
            );
        }
        Ok(())
    }

    /// Where a span lies in its core's trace: from its first reading up to its second.
    fn readings(&self, span: &Span) -> Result<std::ops::Range<usize>> {
        let core = self.bench.core(&span.partition, span.vcpu)?;
        let readings = trace::readings(&self.trace, core);
        let place = |number: usize| readings.get(number).copied();
        let ends = place(span.reading).zip(place(span.reading + 1));
        let (from, to) = ends
            .with_context(|| format!("{}: the trace has {} readings", span.name, readings.len()))?;
        Ok(from..to)
    }

    /// A span's core and the entries that lie wholly within it.
    fn entries(&self, name: &str) -> Result<(usize, Vec<Entry>)> {
        let span = self.printed.span(name)?;
        let core = self.bench.core(&span.partition, span.vcpu)?;
        let within = self.readings(span)?;
        let mut entries = trace::entries(&self.trace, core, self.symbols.vectors);
        entries.retain(|entry| entry.at.start >= within.start && entry.at.end <= within.end);
        Ok((core, entries))
    }

    fn value(&self, measure: &Measure) -> Result<f64> {
        match measure {
            All(spans) => spans
                .iter()
                .map(|name| self.printed.each(self.printed.span(name)?))
                .sum(),
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

    /// The table's figures.
    ///
    /// # Errors
    /// If a guest did not measure one.
    pub fn figures(&self) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for row in ROWS {
            figures.push(Figure {
                name: format!("el2.{}", row.name),
                says: row.says.to_string(),
                unit: "instructions",
                value: self.value(&row.measure)?,
                peers: row.peers,
            });
        }
        figures.extend(self.boot());
        Ok(figures)
    }

    fn boot(&self) -> Vec<Figure> {
        let boot = Boot::of(&self.trace, &self.symbols);
        let rest = boot.part(Part::Rest) + boot.part(Part::Checksum);
        let tree = boot.part(Part::DeviceTree);
        let figure = |name: &str, says: &str, value: usize, peers| Figure {
            name: format!("el2.{name}"),
            says: says.to_string(),
            unit: "instructions",
            value: value as f64,
            peers,
        };
        vec![
            figure(
                "boot",
                "boot to both guests, all cores, without spins, copies, clearing and cleaning",
                rest + tree,
                Some(Peers {
                    bao: Some(573_430),
                    hvisor: Some(1_268_534),
                    budget: 300_000,
                }),
            ),
            figure(
                "boot-rest",
                "of it outside the pass over the device tree",
                rest,
                Some(Peers {
                    bao: None,
                    hvisor: None,
                    budget: 60_000,
                }),
            ),
            figure(
                "boot-copy",
                "copying the image and the partitions' contents",
                boot.part(Part::Copy),
                None,
            ),
            figure(
                "boot-clear",
                "clearing memory and cleaning caches",
                boot.part(Part::Clear),
                None,
            ),
        ]
    }

    /// An operation written out: on each core that has a part in it, the path it took, instruction by instruction.
    /// `boot` is boot by function.
    ///
    /// # Errors
    /// If there is no such operation.
    pub fn listing(&self, name: &str) -> Result<String> {
        if name == "boot" {
            return Ok(self.boot_listing());
        }
        let row = ROWS.iter().find(|row| row.name == name).with_context(|| {
            let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            format!(
                "no operation `{name}`; there are boot, {}",
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
