// SPDX-License-Identifier: MIT OR Apache-2.0
//! The results of a run under the checker, as text and as JSON.

use std::fmt::Write;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use silicon_model::report::{Report, Violation};
use silicon_model::rules;

use super::names::Names;
use super::run::{Checked, Prepared};
use super::waivers::{self, Waiver};
use manifest::words::count;
use runner::qemu::Verdict;

/// A violation with its names.
pub struct Finding {
    /// As the model found it.
    pub violation: Violation,
    /// Whether it is only a warning: its rule warns, or the guest's own operations broke it.
    pub warns: bool,
    /// Functions it is in, the outermost first.
    pub functions: Vec<String>,
    /// Source file and line.
    pub line: Option<String>,
    /// Its waiver's reason.
    pub waiver: Option<String>,
    /// The complete text.
    pub text: String,
}

/// All findings of a run.
pub struct Findings {
    /// The system's name.
    name: String,
    /// The findings.
    pub all: Vec<Finding>,
    /// The model's report.
    pub report: Report,
    /// The end of the system.
    verdict: Option<Verdict>,
    /// Seconds.
    seconds: f32,
}

impl Findings {
    /// Adds names to the findings of `checked`.
    ///
    /// # Errors
    /// If EL2's executable cannot be read.
    pub fn new(prepared: &Prepared, checked: &Checked, waivers: &[Waiver]) -> Result<Self> {
        let report = checked.report.clone();
        let names = Names::new(prepared, report.loaded.unwrap_or(0))?;
        let all = report
            .violations
            .iter()
            .map(|violation| {
                let named = names.named(&violation.place);
                let waiver = waivers::find(waivers, &violation.rule, &named.functions);
                let waiver = waiver.map(|waiver| waiver.reason.clone());
                Finding {
                    warns: warns(violation),
                    text: text(violation, &names, &report, waiver.as_deref()),
                    functions: named.functions,
                    line: named.line,
                    waiver,
                    violation: violation.clone(),
                }
            })
            .collect();
        Ok(Self {
            name: prepared.name(),
            all,
            report,
            verdict: checked.verdict.clone(),
            seconds: checked.time.as_secs_f32(),
        })
    }

    /// Findings that fail a run.
    #[must_use]
    pub fn failures(&self) -> usize {
        let fails = |finding: &&Finding| !finding.warns && finding.waiver.is_none();
        self.all.iter().filter(fails).count()
    }

    /// Whether the system came to its own end, or to the end that was asked for.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.verdict.is_some() || self.report.stopped
    }

    /// Whether no finding fails the run, and the system ended without error or where it was told
    /// to.
    #[must_use]
    pub fn holds(&self) -> bool {
        let ended = match &self.verdict {
            Some(verdict) => verdict.passed(),
            None => self.report.stopped,
        };
        ended && self.failures() == 0
    }

    /// Returns everything as JSON, for other programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let findings = self.all.iter().map(|finding| {
            json!({
                "violation": finding.violation,
                "warning": finding.warns,
                "functions": finding.functions,
                "line": finding.line,
                "waiver": finding.waiver,
                "missing": rules::find(&finding.violation.rule).map(|rule| rule.missing),
            })
        });
        json!({
            "system": self.name,
            "holds": self.holds(),
            "verdict": self.verdict.as_ref().map(ToString::to_string),
            "blocks": self.report.blocks,
            "guest-blocks": self.report.guest_blocks,
            "stopped": self.report.stopped,
            "accesses": self.report.accesses,
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

/// Returns the findings of `checked`, with names and waivers.
///
/// # Errors
/// If events were attributed to the wrong cores.
pub fn findings(prepared: &Prepared, checked: &Checked) -> Result<Findings> {
    let report = &checked.report;
    if let (true, Some(verdict)) = (checked.timed_out, &checked.verdict) {
        bail!("{}: the run took too long; {verdict}", prepared.name());
    }
    ensure!(
        report.mistaken == 0 && (report.identified > 0 || !report.violations.is_empty()),
        "the checker does not know which core runs: of {} reads of TPIDR_EL2, {} disagree",
        report.identified + report.mistaken,
        report.mistaken
    );
    Findings::new(prepared, checked, &waivers::read()?)
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for finding in &self.all {
            writeln!(f, "{}", finding.text)?;
        }
        let Report { blocks, guest_blocks, accesses, unplaced, stopped, .. } = &self.report;
        let end = if *stopped { ", ended there" } else { "" };
        writeln!(
            f,
            "silicon: {}: {blocks} blocks, {guest_blocks} of them guests'{end}; \
             {accesses} accesses; {:.1} s",
            self.name, self.seconds
        )?;
        if *unplaced > 0 {
            writeln!(
                f,
                "silicon: {unplaced} cache operations of guests were left out, because their \
                 addresses are unknown"
            )?;
        }
        if let Some(verdict) = &self.verdict {
            writeln!(f, "{verdict}")?;
        }
        let number =
            |which: fn(&Finding) -> bool| self.all.iter().filter(|finding| which(finding)).count();
        let words = if self.holds() { "PASS" } else { "FAIL" };
        write!(
            f,
            "silicon: {words}: {}, {} waived, {}",
            count(self.failures(), "violation"),
            number(|finding| finding.waiver.is_some()),
            count(number(|finding| finding.warns), "warning")
        )
    }
}

fn warns(violation: &Violation) -> bool {
    violation.is_guests() || rules::find(&violation.rule).is_some_and(|rule| rule.warns)
}

fn text(violation: &Violation, names: &Names, report: &Report, waiver: Option<&str>) -> String {
    let Violation { rule, place, address, cause, detail, count: times } = violation;
    let rule = rules::find(rule);
    let id = rule.map_or("?", |rule| rule.id);
    let kind = match (waiver, warns(violation)) {
        (Some(_), _) => "waived",
        (_, true) => "warning",
        _ => "violation",
    };
    let mut text = format!("{kind}[{id}]: {}\n", rule.map_or("", |rule| rule.says));
    let mut line = |name: &str, words: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {name:<9} {words}");
    };
    line("where", &names.words(place));
    if let Some(address) = address {
        line("address", &format!("{address:#x}"));
    }
    if let Some(cause) = cause {
        line("because of", &names.words(cause));
    }
    line("seen", &format!("{detail} ({})", count(*times as usize, "time")));
    if let Some(rule) = rule {
        line("missing", rule.missing);
        line("source", rule.section);
    }
    if violation.is_guests() {
        line("note", "this concerns only the guest: EL2 does not take part in it");
    }
    if let Some(reason) = waiver {
        line("waived", reason);
    }
    for place in [Some(place), cause.as_ref()].into_iter().flatten() {
        text += &listing(names.named(place).offset, report);
    }
    text
}

/// Lists EL2's instructions around `offset`.
fn listing(offset: Option<u32>, report: &Report) -> String {
    const AROUND: u32 = 4 * 4;
    let Some(offset) = offset else {
        return String::new();
    };
    let near = |at: u32| at.abs_diff(offset) <= AROUND;
    let mut text = String::from("\n");
    for (at, word, words) in report.code.iter().filter(|(at, ..)| near(*at)) {
        let mark = if *at == offset { ">" } else { " " };
        // Writing to a string does not fail.
        let _ = writeln!(text, "    {mark} {at:#07x}  {word:08x}  {words}");
    }
    text
}
