// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask silicon`: runs a system under the checker of caches, TLBs and barriers, which QEMU
//! does not model.

pub mod code;
pub mod mutants;
pub mod names;
pub mod print;
pub mod run;
mod waivers;

use std::path::PathBuf;

use anyhow::{Result, bail};
use silicon_model::rules::{self, Rule};

use manifest::words::nearest;
pub use print::{Findings, findings};
use run::Prepared;
pub use run::{Checked, Options};
use runner::build::Builder;
use runner::ui::{self, Step};
use runner::workspace;

/// The command's options.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The options of the run.
    pub run: Options,
    /// Path for the findings as JSON.
    pub json: Option<PathBuf>,
    /// Whether the mutants of EL2 are run instead.
    pub mutants: bool,
    /// Whether their table in `docs/boot.md` is written.
    pub bless: bool,
}

/// Builds `spec` for GIC version `gic` or its board's first, and runs it under the checker; returns
/// whether no rule is broken.
///
/// # Errors
/// If it cannot be built or run, or the checker's report is not reliable.
pub fn command(spec: &str, gic: Option<u32>, request: &Request) -> Result<bool> {
    let mut builder = Builder::for_gic(gic);
    let (json, holds, text) = if request.mutants {
        let results = mutants::run(&mut builder, spec, &request.run)?;
        if request.bless {
            mutants::page::bless(&results)?;
        }
        (results.json(), results.holds(), results.to_string())
    } else {
        let findings = check(&mut builder, spec, &request.run)?;
        (findings.json(), findings.holds(), findings.to_string())
    };
    if let Some(path) = &request.json {
        workspace::write(path, serde_json::to_string_pretty(&json)?.as_bytes())?;
    }
    ui::say(text);
    Ok(holds)
}

/// Builds a system and runs it under the checker.
///
/// # Errors
/// As [`command`].
pub fn check(builder: &mut Builder, spec: &str, options: &Options) -> Result<Findings> {
    let prepared = Prepared::new(builder, spec, options)?;
    let step = Step::start(format!("running {} under the checker", prepared.name()));
    let checked = prepared.run(&prepared.image.bytes, options)?;
    drop(step);
    findings(&prepared, &checked)
}

/// Lists the checker's rules, one per line.
#[must_use]
pub fn list() -> String {
    let width = rules::RULES.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    let line = |rule: &&Rule| format!("  {:width$}  {}\n", rule.id, rule.says);
    rules::RULES.iter().map(line).collect()
}

/// Explains a rule of the checker; none if there is no such rule.
#[must_use]
pub fn explain(id: &str) -> Option<String> {
    let rule = rules::find(id)?;
    let kind = if rule.warns { "warning" } else { "violation" };
    Some(format!(
        "{} (silicon, {kind})\n\n{}\n\nWhy: {}\n\nFix: {}.\n\nSource: {}.",
        rule.id, rule.says, rule.why, rule.missing, rule.section
    ))
}

/// `cargo xtask silicon --explain RULE`.
///
/// # Errors
/// If there is no such rule.
pub fn explain_command(id: &str) -> Result<()> {
    if id == "all" {
        ui::say(list().trim_end());
        return Ok(());
    }
    let Some(text) = explain(id) else {
        match nearest(id, rules::RULES.iter().map(|rule| rule.id)) {
            Some(near) => bail!("there is no rule `{id}`: did you mean `{near}`?"),
            None => {
                bail!("there is no rule `{id}`: `cargo xtask silicon --explain all` lists them")
            }
        }
    };
    ui::say(text);
    Ok(())
}
