//! Reads the lines that bench guests print: `span` (guests/bench/src/meter.rs), `phase` (count.rs
//! there) and `figure`.

use anyhow::{Context, Result, bail};
use runner::qemu::Console;
use std::collections::BTreeMap;

/// EL2's work between two readings of its counter on one vCPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The partition that measured.
    pub partition: String,
    /// The name of the measurement.
    pub name: String,
    /// The vCPU that measured.
    pub vcpu: usize,
    /// Number of its first reading among those of its vCPU, from 0.
    pub reading: usize,
    /// Repetitions.
    pub count: u64,
    /// Instructions.
    pub work: u64,
}

/// A partition's counts of a phase of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phase {
    /// The partition that counted.
    pub partition: String,
    /// `bells`, `ping` or `stream`.
    pub kind: String,
    /// Bytes of a message.
    pub bytes: u64,
    /// Messages or round trips.
    pub count: u64,
    /// Counts by name; a missing one is zero.
    pub counts: BTreeMap<String, u64>,
}

/// Everything a run's guests printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Printed {
    /// Spans.
    pub spans: Vec<Span>,
    /// Phases.
    pub phases: Vec<Phase>,
    /// Counts that guests made themselves: partition, name and value.
    pub figures: Vec<(String, String, u64)>,
}

impl Printed {
    /// Reads the lines of a console.
    ///
    /// # Errors
    /// If a line starts like one of these and is malformed.
    pub fn read(console: &Console) -> Result<Self> {
        let mut printed = Self::default();
        for line in console.guest_lines() {
            printed
                .take(line)
                .with_context(|| format!("a bench guest does not print such a line: `{line}`"))?;
        }
        Ok(printed)
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let (partition, rest) = line
            .strip_prefix('[')
            .and_then(|line| line.split_once("] "))
            .context("expected a partition's name")?;
        let partition = partition.to_string();
        let words: Vec<_> = rest.split_whitespace().collect();
        match words[..] {
            ["span", name, vcpu, reading, count, work] => self.spans.push(Span {
                partition,
                name: name.to_string(),
                vcpu: vcpu.parse()?,
                reading: reading.parse()?,
                count: count.parse()?,
                work: work.parse()?,
            }),
            ["figure", name, value] => {
                self.figures.push((partition, name.to_string(), value.parse()?));
            }
            ["phase", kind, bytes, count, ref pairs @ ..] => {
                let (pairs, rest) = pairs.as_chunks::<2>();
                if !rest.is_empty() {
                    bail!("a name without a value");
                }
                let counts =
                    pairs.iter().map(|[name, value]| Ok((name.to_string(), value.parse()?)));
                self.phases.push(Phase {
                    partition,
                    kind: kind.to_string(),
                    bytes: bytes.parse()?,
                    count: count.parse()?,
                    counts: counts.collect::<Result<_>>()?,
                });
            }
            ["span" | "phase" | "figure", ..] => bail!("wrong number of words"),
            _ => {}
        }
        Ok(())
    }

    /// Returns the span of this name.
    ///
    /// # Errors
    /// If no guest measured it.
    pub fn span(&self, name: &str) -> Result<&Span> {
        let mut spans = self.spans.iter();
        spans.find(|span| span.name == name).with_context(|| format!("no guest measured `{name}`"))
    }

    /// Returns the figure `name` of each partition that printed it.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<u64> {
        let figures = self.figures.iter().filter(|(_, other, _)| other == name);
        figures.map(|(_, _, value)| *value).collect()
    }

    /// Returns EL2's instructions of one repetition of `span`, without the cost of a reading.
    ///
    /// # Errors
    /// If its vCPU did not measure the cost of a reading.
    pub fn each(&self, span: &Span) -> Result<f64> {
        let same = |other: &&Span| {
            other.name == "reading" && other.partition == span.partition && other.vcpu == span.vcpu
        };
        let reading = self.spans.iter().find(same);
        let reading = reading.with_context(|| format!("{}: no span `reading`", span.partition))?;
        Ok((span.work as f64 - reading.work as f64) / span.count as f64)
    }
}
