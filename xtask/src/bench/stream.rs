//! Direct compared with relayed: the cost of a message on either path, by size and way of waiting.

use super::figure::{Figure, INSTRUCTIONS};
use super::guest::{Phase, Printed};
use super::systems::{Path, SIZES};
use abi::Reason;
use anyhow::{Result, bail, ensure};

/// The size whose entries are given by reason.
pub const BY_REASON: u64 = 4096;
/// Most doorbells per message in a direct stream.
const DOORBELLS: f64 = 0.05;

/// One system's run.
pub struct Stream {
    /// Its path.
    pub path: Path,
    /// The ends' way of waiting.
    pub wait: &'static str,
    /// Its guests' output.
    pub printed: Printed,
    /// Whether it ran by the clock: then differences of short times are noise.
    pub by_clock: bool,
}

/// Phases of one kind and size, of all partitions.
struct Group<'a>(Vec<&'a Phase>);

impl Group<'_> {
    /// Sum over the partitions.
    fn sum(&self, name: &str) -> f64 {
        let counts = self.0.iter().filter_map(|phase| phase.counts.get(name));
        counts.sum::<u64>() as f64
    }

    fn entries(&self) -> f64 {
        Reason::NAMES.iter().map(|name| self.sum(name)).sum()
    }

    fn count(&self) -> f64 {
        self.0.first().map_or(0.0, |phase| phase.count as f64)
    }
}

impl Stream {
    fn group(&self, kind: &str, bytes: u64, count: Option<u64>) -> Result<Group<'_>> {
        let phases = self.printed.phases.iter().filter(|phase| {
            phase.kind == kind
                && phase.bytes == bytes
                && count.is_none_or(|count| phase.count == count)
        });
        let group = Group(phases.collect());
        let parts = match self.path {
            Path::Direct => 2,
            Path::Relayed => 3,
        };
        ensure!(
            group.0.len() == parts,
            "{} by {}: {} partitions report {kind} with {bytes} bytes, {parts} take part",
            self.path.name(),
            self.wait,
            group.0.len()
        );
        Ok(group)
    }

    /// Returns the cost of one round trip: the difference between the longest phase and the next
    /// shorter one, so that start and end do not count.
    fn round(&self, kind: &str, bytes: u64, value: impl Fn(&Group) -> f64) -> Result<f64> {
        let phases = self.printed.phases.iter();
        let same = phases.filter(|phase| phase.kind == kind && phase.bytes == bytes);
        let mut counts: Vec<_> = same.map(|phase| phase.count).collect();
        counts.sort_unstable();
        counts.dedup();
        let [.., short, long] = counts[..] else {
            let (path, wait) = (self.path.name(), self.wait);
            bail!("{path} by {wait}: no two phases of {kind} with {bytes} bytes");
        };
        let short = self.group(kind, bytes, Some(short))?;
        let long = self.group(kind, bytes, Some(long))?;
        if self.by_clock {
            return Ok(value(&long) / long.count());
        }
        Ok((value(&long) - value(&short)) / (long.count() - short.count()))
    }

    fn name(&self, kind: &str, bytes: u64, what: &str) -> String {
        let (path, wait) = (self.path.name(), self.wait);
        match kind {
            "bells" => format!("bells.{path}.{what}"),
            _ => format!("{kind}.{path}.{wait}.{bytes}.{what}"),
        }
    }

    /// Returns its figures.
    ///
    /// # Errors
    /// If its guests did not count one.
    pub fn figures(&self) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        if self.wait == "doorbell" {
            figures.extend(self.rounds("bells", SIZES[0])?);
        }
        for size in SIZES {
            figures.extend(self.rounds("ping", size)?);
        }
        for size in SIZES {
            figures.extend(self.stream(size)?);
        }
        Ok(figures)
    }

    fn rounds(&self, kind: &str, size: u64) -> Result<Vec<Figure>> {
        let path = format!("{}, by {}", self.path.name(), self.wait);
        let what = match kind {
            "bells" => format!("a doorbell there and back, {path}"),
            _ => format!("{size} bytes there and back, {path}"),
        };
        let figure = |name: &str, says: &str, unit, value| {
            Figure::new(self.name(kind, size, name), format!("{what}: {says}"), unit, value)
        };
        let sum = |name: &'static str| self.round(kind, size, |group| group.sum(name));
        let mut figures = vec![
            figure("round-trip", "instructions until it is back", INSTRUCTIONS, sum("round")?),
            figure("el2", "of EL2, all cores", INSTRUCTIONS, sum("work")?),
        ];
        let entries = figure(
            "entries",
            "EL2 entries, all cores",
            "entries",
            self.round(kind, size, |group| group.entries())?,
        );
        figures.push(self.without_entries(entries));
        if kind == "ping" {
            let one_way = sum("one-way")?;
            figures.push(figure(
                "one-way",
                "instructions until it is there",
                INSTRUCTIONS,
                one_way,
            ));
            if size == BY_REASON {
                for reason in Reason::NAMES {
                    let count = sum(reason)?;
                    if count != 0.0 {
                        let name = format!("entries.{reason}");
                        figures.push(figure(
                            &name,
                            "EL2 entries for this reason",
                            "entries",
                            count,
                        ));
                    }
                }
            }
        }
        Ok(figures)
    }

    /// Sets the budget of a way of waiting without doorbells, which never enters EL2.
    fn without_entries(&self, figure: Figure) -> Figure {
        match self.wait {
            "doorbell" => figure,
            _ => figure.at_most(0.0),
        }
    }

    fn stream(&self, size: u64) -> Result<Vec<Figure>> {
        let group = self.group("stream", size, None)?;
        let count = group.count();
        let path = format!("{}, by {}", self.path.name(), self.wait);
        let figure = |name: &str, says: &str, unit, value| {
            let says = format!("{size} bytes in a stream, {path}: {says}");
            Figure::new(self.name("stream", size, name), says, unit, value)
        };
        let time = group.sum("last") - group.sum("first");
        let bursts = group.0.iter().map(|phase| {
            let value = |name: &str| phase.counts.get(name).copied().unwrap_or(0) as f64;
            value("burst") / value("messages")
        });
        let busiest = bursts.fold(0.0, f64::max);
        ensure!(time > 0.0 && busiest > 0.0, "{path}: a stream of {size} bytes took no time");
        let doorbells = figure(
            "doorbells",
            "doorbells per message",
            "doorbells",
            group.sum("doorbells") / count,
        );
        let doorbells = match (self.path, self.wait) {
            (Path::Direct, "doorbell") => doorbells.at_most(DOORBELLS),
            (_, "doorbell") => doorbells,
            _ => doorbells.at_most(0.0),
        };
        let entries =
            figure("entries", "EL2 entries per message", "entries", group.entries() / count);
        Ok(vec![
            figure(
                "instructions",
                "instructions per message, all cores",
                INSTRUCTIONS,
                time / count,
            ),
            figure("el2", "of EL2", INSTRUCTIONS, group.sum("work") / count),
            self.without_entries(entries),
            doorbells,
            figure(
                "bytes",
                "bytes per thousand instructions of all cores",
                "bytes",
                1000.0 * size as f64 * count / time,
            ),
            figure(
                "busiest",
                "instructions per message on the busiest core",
                INSTRUCTIONS,
                busiest,
            ),
            figure(
                "pipelined",
                "bytes per thousand instructions of the busiest core: all cores at work at once",
                "bytes",
                1000.0 * size as f64 / busiest,
            ),
        ])
    }
}
