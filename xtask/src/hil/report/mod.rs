// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of a measurement: sections of text, tables and plots, computed from figures.

mod curves;
mod messages;
mod rows;

use crate::page::{self, Section, Table, number};
use hil::figures::{Figures, Row};
use hil::limits::Check;

/// What an emulator's figures are worth.
const EMULATED: &str = "These times are an emulator's. QEMU translates instructions and shares \
                        the host's cores, so they say nothing about silicon. They show that the \
                        measurement works.";
/// Returns the report as Markdown.
pub fn markdown(figures: &Figures, checks: &[Check], compared: &[Check]) -> String {
    let sections = sections(figures, checks, compared);
    let texts: Vec<_> = sections.iter().map(Section::markdown).collect();
    format!("# {}\n\n{}", title(figures), texts.join("\n"))
}

/// Returns the report as one HTML page.
pub fn html(figures: &Figures, checks: &[Check], compared: &[Check]) -> String {
    page::html(&page::escaped(&title(figures)), &sections(figures, checks, compared))
}

fn title(figures: &Figures) -> String {
    let place = if figures.emulated { "QEMU in place of " } else { "" };
    format!("Bulkhead: latencies on {place}{}", figures.board)
}

/// Returns the lines for the console.
pub fn summary(figures: &Figures, checks: &[Check], compared: &[Check]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, row: Option<&Row>| {
        if let Some(row) = row {
            let ns = row.ns;
            text += &format!(
                "{name:<40} p50 {:>10}  p99 {:>10}  p99.9 {:>10}  worst {:>12} ns\n",
                number(ns.p50.round()),
                number(ns.p99.round()),
                number(ns.p999.round()),
                number(ns.max.round())
            );
        }
    };
    let find = |key: &str| figures.find(key);
    line("null call", find("null-call doorbell direct none 0"));
    line("timer, asleep", find("timer-asleep doorbell direct none 0"));
    line("doorbell, one way", find("doorbell-one-way doorbell direct none 0"));
    line("message of 64 B, direct", find("message-one-way doorbell direct none 64"));
    line("message of 64 B, relayed", find("message-one-way doorbell relayed none 64"));
    for (check, word) in judged(figures, checks, compared) {
        if let Some(why) = &check.why {
            text += &format!("{word} {}: {why}\n", check.name);
        }
    }
    let held = checks.iter().filter(|check| check.why.is_none()).count();
    text += &format!("{held} of {} limits held\n", checks.len());
    if figures.emulated {
        text += "These times are an emulator's and say nothing about silicon.\n";
    }
    text
}

/// Checks with the word for those that fail: on an emulator a comparison decides nothing.
fn judged<'a>(
    figures: &Figures,
    checks: &'a [Check],
    compared: &'a [Check],
) -> impl Iterator<Item = (&'a Check, &'static str)> {
    let slower = if figures.emulated { "slower" } else { "FAILED" };
    let limits = checks.iter().map(|check| (check, "FAILED"));
    limits.chain(compared.iter().map(move |check| (check, slower)))
}

fn sections(figures: &Figures, checks: &[Check], compared: &[Check]) -> Vec<Section> {
    vec![
        machine(figures),
        verdicts(figures, checks, compared),
        rows::solo(figures),
        rows::loads(figures),
        rows::doorbells(figures),
        messages::messages(figures),
        messages::streams(figures),
        messages::copies(figures),
    ]
}

fn machine(figures: &Figures) -> Section {
    let machine = &figures.machine;
    let mhz = number((machine.chain_hz as f64 / 1e6).round());
    let mut text = String::new();
    if figures.emulated {
        text += EMULATED;
        text += "\n\n";
    }
    text += &format!(
        "Values per row: {}; rows of long operations have fewer. Reports that are merged here: {}, \
         in {} attempts. Port: {}. A quantile is the upper end of its bucket, which is at most 3 % \
         wide; the worst value is exact. One tick of the counter is {} ns.",
        figures.samples,
        figures.reports,
        figures.attempts,
        figures.port,
        number(1e9 / machine.hz as f64)
    );
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        row("counter (CNTFRQ_EL0)", format!("{} Hz", number(machine.hz as f64))),
        row("core clock, by a chain of additions", format!("{mhz} MHz")),
        row("core type (MIDR_EL1)", machine.midr.clone()),
        row("vCPU that measured (MPIDR_EL1)", machine.mpidr.clone()),
        row("GIC", format!("GICv{}", machine.gic)),
        row("PMU of the guest", if machine.pmu == 0 { "hidden" } else { "visible" }.to_owned()),
        row(
            "virtual and physical counter over the same time",
            format!("{} and {} ticks", machine.virtual_ticks, machine.physical_ticks),
        ),
    ];
    let last = figures.firmware.iter().rev().take(5).rev();
    rows.extend(last.map(|line| row("firmware", line.clone())));
    let table = Table { head: ["machine", ""].map(str::to_owned).to_vec(), rows };
    Section { title: "Machine".into(), text, tables: vec![table], plots: vec![] }
}

fn verdicts(figures: &Figures, checks: &[Check], compared: &[Check]) -> Section {
    let failed = |checks: &[Check]| checks.iter().filter(|check| check.why.is_some()).count();
    let mut text = format!("{} of {} limits held.", checks.len() - failed(checks), checks.len());
    if !compared.is_empty() {
        text += &format!(
            " {} of {} figures are slower than before by more than the tolerance, or gone.",
            failed(compared),
            compared.len()
        );
    }
    let rows = judged(figures, checks, compared).filter_map(|(check, word)| {
        let why = check.why.as_ref()?;
        Some(vec![check.name.clone(), format!("{word}: {why}")])
    });
    let rows: Vec<_> = rows.collect();
    let table = Table { head: ["limit", "verdict"].map(str::to_owned).to_vec(), rows };
    let tables = if table.rows.is_empty() { vec![] } else { vec![table] };
    Section { title: "Limits".into(), text, tables, plots: vec![] }
}
