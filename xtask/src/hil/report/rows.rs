// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sections of distributions: calls, registers, interrupts, loads, doorbells.

use super::curves::{counts, cumulative, distribution, shares};
use crate::page::plot::Series;
use crate::page::{Section, Table, number};
use hil::figures::{Figures, Row};

/// Rows of only the lead's partition, idle and under load.
const ALONE: [&str; 11] = [
    "clock",
    "null-call",
    "psci-hvc",
    "psci-smc",
    "gicd-typer-read",
    "gicd-isenabler-read",
    "gicd-isenabler-write",
    "sgi-self",
    "timer-asleep",
    "timer-awake",
    "restart",
];
/// Those whose distributions are drawn under every load.
const DRAWN: [(&str, &str); 6] = [
    ("null-call", "doorbell"),
    ("sgi-self", "doorbell"),
    ("timer-asleep", "doorbell"),
    ("timer-awake", "doorbell"),
    ("doorbell-one-way", "doorbell"),
    ("doorbell-one-way", "poll"),
];
const LOADS: [&str; 4] = ["none", "memory", "tlbi", "console"];
/// Ways of waiting.
const WAYS: [&str; 3] = ["doorbell", "wfe", "poll"];

/// Heads of a distribution's columns, and the columns.
const COLUMNS: [&str; 7] = ["values", "least", "p50", "p99", "p99.9", "worst", "p50 in cycles"];

fn columns(row: &Row, figures: &Figures) -> Vec<String> {
    let ns = row.ns;
    let cycles = ns.p50 * figures.machine.chain_hz as f64 / 1e9;
    let times = [ns.min, ns.p50, ns.p99, ns.p999, ns.max, cycles];
    let times = times.map(|time| number(time.round()));
    std::iter::once(number(row.count as f64)).chain(times).collect()
}

/// A table of rows with the words that tell them apart.
fn table<'a>(
    figures: &Figures,
    head: &[&str],
    rows: impl Iterator<Item = (Vec<String>, &'a Row)>,
) -> Table {
    let head = [head, &COLUMNS].concat();
    let rows = rows.map(|(words, row)| [words, columns(row, figures)].concat());
    Table { head: head.iter().map(ToString::to_string).collect(), rows: rows.collect() }
}

pub fn solo(figures: &Figures) -> Section {
    let rows = ALONE.into_iter().filter_map(|name| {
        let row = figures.find(&format!("{name} doorbell direct none 0"))?;
        Some((vec![name.to_owned()], row))
    });
    Section {
        title: "Calls, registers, own interrupts".into(),
        text:
            "Nanoseconds, with the other cores asleep. `clock` is two readings of the counter in \
               a row: every other row has that time too."
                .into(),
        tables: vec![table(figures, &["row"], rows)],
        plots: vec![],
    }
}

/// A row's name, with the way of waiting where that matters.
fn label(name: &str, way: &str) -> String {
    if name.starts_with("doorbell") { format!("{name}, {way}") } else { name.to_owned() }
}

pub fn loads(figures: &Figures) -> Section {
    let row =
        |name: &str, way: &str, load: &str| figures.find(&format!("{name} {way} direct {load} 0"));
    let rows = DRAWN.into_iter().flat_map(|(name, way)| {
        LOADS.into_iter().filter_map(move |load| {
            let words = vec![label(name, way), load.to_owned()];
            Some((words, row(name, way, load)?))
        })
    });
    let plots = DRAWN.into_iter().map(|(name, way)| {
        let series = LOADS.into_iter().filter_map(|load| {
            Some(Series { name: load.into(), points: counts(row(name, way, load)?, figures) })
        });
        distribution(&format!("{}, by load", label(name, way)), series.collect())
    });
    Section {
        title: "Under load".into(),
        text: "Nanoseconds. The two other partitions' cores copy memory that no cache holds \
               (`memory`), invalidate TLB entries on all cores (`tlbi`), or print without end \
               (`console`). Plots have the number of values over the time, both logarithmic."
            .into(),
        tables: vec![table(figures, &["row", "load"], rows)],
        plots: plots.collect(),
    }
}

pub fn doorbells(figures: &Figures) -> Section {
    let cases: Vec<_> =
        WAYS.map(|way| (way, "direct")).into_iter().chain([("doorbell", "relayed")]).collect();
    let row = |name: &str, (way, path): (&str, &str)| {
        figures.find(&format!("{name} {way} {path} none 0"))
    };
    let both = ["doorbell-one-way", "doorbell-there-back"];
    let rows = both.into_iter().flat_map(|name| {
        cases.iter().filter_map(move |&case| {
            let words = vec![name.to_owned(), case.0.to_owned(), case.1.to_owned()];
            Some((words, row(name, case)?))
        })
    });
    let plots = both.into_iter().map(|name| {
        let series = cases.iter().filter_map(|&case| {
            let label = if case.1 == "relayed" { "relayed" } else { case.0 };
            Some(Series { name: label.into(), points: shares(row(name, case)?, figures) })
        });
        cumulative(&format!("{name}, by way of waiting"), series.collect())
    });
    Section {
        title: "Doorbells".into(),
        text: "Nanoseconds from the sender's reading of the counter to the receiver's first \
               instruction, and until the answer is seen. `wfe` and `poll` use no doorbell: they \
               watch a word in the channel's pages. Plots have the share of values up to a time."
            .into(),
        tables: vec![table(figures, &["row", "way", "path"], rows)],
        plots: plots.collect(),
    }
}
