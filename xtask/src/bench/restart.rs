//! The cost of a restart: EL2 instructions by part, from a trace that is compared with EL2's own
//! counter. Also what operations cost after a restart, compared with before.

use super::figure::{Figure, INSTRUCTIONS, PER_CENT};
use super::operations::MACHINE;
use super::run::Bench;
use crate::trace::{ERET, Symbols, Trace, readings};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

/// The system, from the repository's root.
pub const SYSTEM: &str = "tests/bench/restart.toml";
/// Restarts in a run: guests/bench/src/restart.rs ends this many lives.
const RESTARTS: usize = 5;
/// Most that an operation may cost more or less after a restart, per cent.
const CHANGE: f64 = 1.0;
/// With HW = 0: each physical interrupt's end has a sync, which then also looks at the doorbell
/// that the peer has rung as it started again, pending and disabled.
const CHANGE_UNLINKED: f64 = 2.0;

/// WFI.
const WFI: u32 = 0xd503_207f;
/// MSR PMCNTENSET_EL0, Xt: EL2 starts its counter.
const START_COUNTER: u32 = 0xd51b_9c20;

/// A part of a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Stop,
    Record,
    Console,
    Clear,
    Copy,
    Clean,
    Start,
    /// Taking the console's interrupts until the delay is over.
    Delay,
}

impl Part {
    const ALL: [(Self, &str, &str); 7] = [
        (Self::Stop, "stop", "stopping, until the core begins to load"),
        (Self::Record, "record", "writing the crash record, with its stack trace and checksum"),
        (Self::Console, "console", "queuing the record's and EL2's lines for the console"),
        (Self::Clear, "clear", "clearing memory"),
        (Self::Copy, "copy", "copying the partition's contents"),
        (Self::Clean, "clean", "cleaning and invalidating by address"),
        (Self::Start, "start", "loading's steps, state and registers, until the guest runs"),
    ];
}

/// Functions (a part of the name, of any that the instruction was inlined from) of these parts.
const CONSOLE: [&str; 3] = ["console::", "LineBuffer", "record::tell"];
const RECORD: [&str; 4] = ["record::", "records::", "crc32c", "trace::"];

/// Instructions of each restart, by part.
pub struct Restarts {
    each: Vec<BTreeMap<Part, usize>>,
    functions: BTreeMap<(Part, String), usize>,
    bytes: u64,
}

impl Restarts {
    /// Runs the system. `elf` is EL2's executable.
    ///
    /// # Errors
    /// If that fails, or counter and trace differ.
    pub fn run(bench: &Bench, elf: &Path) -> Result<Self> {
        let (printed, trace) = bench.traced(&[])?;
        let symbols = Symbols::read(elf)?;
        let core = bench.core("lives", 0)?;
        let places = readings(&trace, core);
        let values = printed.values("reading");
        // Each life reads twice, and prints what it has read first.
        ensure!(
            values.len() == RESTARTS + 1 && places.len() == 2 * values.len(),
            "{} lives printed a reading, and the trace has {}",
            values.len(),
            places.len()
        );
        // EL2 starts its counter anew in each life.
        let ran = &trace.cores[core];
        for (value, place) in values.iter().zip(places.iter().step_by(2)) {
            let starts = ran[..*place]
                .iter()
                .rposition(|&offset| trace.opcode(offset) & !0x1f == START_COUNTER);
            let traced = (place - starts.unwrap_or(0)) as u64;
            // The instruction that starts it counts only in the first life.
            ensure!(
                value.abs_diff(traced) <= 1,
                "the counter says {value} instructions, the trace {traced}"
            );
        }
        let memory = bench.system.partitions.iter().flat_map(|p| &p.memory);
        let mut all = Self {
            each: Vec::new(),
            functions: BTreeMap::new(),
            bytes: memory.map(|piece| piece.size).sum(),
        };
        for life in 0..RESTARTS {
            all.take(&trace, core, places[2 * life + 1]..places[2 * life + 2], &symbols);
        }
        Ok(all)
    }

    /// Adds one restart. `range` is from the last reading of a life to the first of the next one.
    fn take(&mut self, trace: &Trace, core: usize, range: Range<usize>, symbols: &Symbols) {
        let mut known: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let ran = &trace.cores[core][range];
        for &offset in ran {
            known.entry(offset).or_insert_with(|| symbols.functions(offset));
        }
        let has = |offset: &u32, words: &[&str]| {
            known[offset].iter().any(|name| words.iter().any(|word| name.contains(word)))
        };
        let begin = ran.iter().position(|offset| has(offset, &["restart::begin"]));
        let begin = begin.unwrap_or(ran.len());
        // The reading's own return comes first, and the guest's first entry is not of the restart.
        let is_return = |offset: &u32| trace.opcode(*offset) == ERET;
        let from = ran.iter().position(is_return).map_or(0, |place| place + 1);
        let end = ran.iter().skip(begin).position(is_return);
        let end = end.map_or(ran.len(), |place| begin + place + 1);
        // The core waits for the end of the delay; the last interrupt ends it.
        let waits = |offset: &u32| trace.opcode(*offset) == WFI;
        let delay = ran[..begin].iter().position(waits).zip(ran[..begin].iter().rposition(waits));
        let delay = delay.map_or(0..0, |(first, last)| first..last);
        let mut counts = BTreeMap::new();
        for (place, offset) in ran.iter().enumerate().take(end).skip(from) {
            let part = if delay.contains(&place) {
                Part::Delay
            } else if has(offset, &["clear_range"]) {
                Part::Clear
            } else if has(offset, &["clean_invalidate"]) {
                Part::Clean
            } else if place > begin && has(offset, &["load::fill", "memcpy"]) {
                Part::Copy
            } else if has(offset, &CONSOLE) {
                Part::Console
            } else if place < begin && has(offset, &RECORD) {
                Part::Record
            } else if place < begin {
                Part::Stop
            } else {
                Part::Start
            };
            *counts.entry(part).or_default() += 1;
            *self.functions.entry((part, known[offset].join(" > "))).or_default() += 1;
        }
        self.each.push(counts);
    }

    /// Returns the figures, with the GIC that `gic` names.
    #[must_use]
    pub fn figures(&self, gic: &str) -> Vec<Figure> {
        let of = |part: Part| {
            let each = self.each.iter().map(move |counts| counts.get(&part).copied().unwrap_or(0));
            each.collect::<Vec<_>>()
        };
        let mut figures = Vec::new();
        let mut add = |name: &str, says: &str, each: &[usize]| {
            let mean = each.iter().sum::<usize>() as f64 / each.len() as f64;
            let worst = each.iter().max().copied().unwrap_or(0) as f64;
            for (which, words, value) in [("", "mean", mean), ("-worst", "worst", worst)] {
                let name = format!("{gic}.restart-{name}{which}");
                let says = format!("a restart: {says}, {words}");
                figures.push(Figure::new(name, says, INSTRUCTIONS, value.round()));
            }
        };
        for (part, name, says) in Part::ALL {
            add(name, says, &of(part));
        }
        let sum = |parts: &[Part]| -> Vec<usize> {
            let each = self.each.iter();
            each.map(|counts| parts.iter().filter_map(|part| counts.get(part)).sum()).collect()
        };
        let all = Part::ALL.map(|(part, ..)| part);
        add("whole", "all of it, with 4 MiB of memory", &sum(&all));
        let per_mib = |count: usize| (count as u64 * (1 << 20) / self.bytes) as usize;
        let memory = sum(&[Part::Clear, Part::Clean]).into_iter().map(per_mib);
        add("mib", "clearing and cleaning, per MiB", &memory.collect::<Vec<_>>());
        figures
    }

    /// Lists the parts by function.
    #[must_use]
    pub fn listing(&self) -> String {
        let mut functions: Vec<_> = self.functions.iter().collect();
        functions.sort_by_key(|((part, _), count)| (*part, std::cmp::Reverse(**count)));
        let mut text = format!("{RESTARTS} restarts\n");
        for ((part, name), count) in functions {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{count:>9}  {part:?}: {name}");
        }
        text
    }
}

/// An operation's name, and what it costs before and after a restart.
type Pair = (String, f64, f64);

/// Runs the operations, which `restarted` does in the second life of both partitions.
fn pairs(first: &Bench, restarted: &Bench) -> Result<Vec<Pair>> {
    let [before, after] = [first.run_on(MACHINE)?, restarted.run_on(MACHINE)?];
    ensure!(
        before.spans.len() == after.spans.len() && !before.spans.is_empty(),
        "{} measurements before a restart, {} after it",
        before.spans.len(),
        after.spans.len()
    );
    let spans = before.spans.iter().filter(|span| span.name != "reading");
    spans
        .map(|span| {
            let old = before.each(span)?;
            Ok((span.name.clone(), old, after.each(after.span(&span.name)?)?))
        })
        .collect()
}

fn percent((_, old, new): &Pair) -> f64 {
    ((new - old) / old * 100.0).abs()
}

/// Returns the largest change of a cost by a restart, with the GIC that `gic` names.
///
/// # Errors
/// If a run fails, or both do not measure the same.
pub fn change(gic: &str, first: &Bench, restarted: &Bench) -> Result<Vec<Figure>> {
    let most = pairs(first, restarted)?.iter().map(percent).fold(0.0, f64::max);
    let says = "largest change of an operation by a restart of both partitions";
    let figure = Figure::new(format!("{gic}.restarted"), says, PER_CENT, most);
    let most = if gic == "gicv2-hw0" { CHANGE_UNLINKED } else { CHANGE };
    Ok(vec![figure.at_most(most)])
}

/// Lists what each operation costs before and after a restart.
///
/// # Errors
/// As [`change`].
pub fn comparison(first: &Bench, restarted: &Bench) -> Result<String> {
    let lines = pairs(first, restarted)?
        .into_iter()
        .map(|(name, old, new)| format!("{name:<24} {old:>10.2} {new:>10.2}\n"));
    Ok(lines.collect())
}
