//! `cargo xtask bench`: the cost of EL2 and the gain of direct channels, repeatable to the
//! instruction.
//!
//! Guests measure (guests/bench, guests/relay), `task` runs their systems, and their output becomes
//! figures: a name, a unit and a value. The reports use only figures. docs/performance.md says how
//! each is measured.

mod baseline;
mod figure;
mod growth;
mod guest;
mod operations;
mod report;
mod restart;
mod run;
mod stream;
mod systems;
mod task;
#[cfg(test)]
mod tests;
mod wall;

pub use baseline::check as check_baseline;

use crate::size;
use anyhow::Result;
use figure::{Bounds, Figure};
use operations::Operations;
use restart::Restarts;
use run::Bench;
use runner::build::Builder;
use runner::ui;
use runner::workspace;
use std::path::PathBuf;

/// The options of the bench.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Prints the path of this operation instead.
    pub trace: Option<String>,
    /// GIC version of that trace's machine, instead of the first that the board lists.
    pub gic: Option<u32>,
    /// Shows the differences from the figures in this file.
    pub compare: Option<PathBuf>,
    /// Compares the two paths by the clock instead.
    pub wall: bool,
    /// Makes the new figures the baseline that CI compares with, and writes the tables into
    /// docs/performance.md.
    pub bless: bool,
}

/// Runs the bench and writes its reports; returns whether every budget is kept.
///
/// # Errors
/// If a system does not build or run, or its figures contradict each other.
pub fn command(options: &Options) -> Result<bool> {
    if let Some(name) = &options.trace {
        let mut builder = Builder::for_gic(options.gic);
        if name == "restarted" {
            let first = Bench::build(&mut builder, operations::SYSTEM)?;
            let second = Bench::build(&mut builder, &systems::restarted(operations::SYSTEM)?)?;
            ui::say(restart::comparison(&first, &second)?.trim_end());
            return Ok(true);
        }
        if name == "restart" {
            let bench = Bench::build(&mut builder, restart::SYSTEM)?;
            let elf = builder.hypervisor_of(&bench.system)?;
            ui::say(Restarts::run(&bench, &elf)?.listing().trim_end());
            return Ok(true);
        }
        let bench = Bench::build(&mut builder, operations::SYSTEM)?;
        let elf = builder.hypervisor_of(&bench.system)?;
        let operations = Operations::run(bench, &elf)?;
        ui::say(operations.listing(name)?.trim_end());
        return Ok(true);
    }
    if options.wall {
        let ratios = wall::ratios()?;
        let file = run::folder().join("wall.json");
        workspace::write(&file, figure::to_json(&ratios).as_bytes())?;
        ui::say(wall::table(&ratios).trim_end());
        if let Some(doubt) = wall::doubt() {
            ui::say(format_args!("\n{doubt}"));
        }
        return Ok(true);
    }
    // The file is read now because it may be the one that is written below.
    let old = options.compare.as_deref().map(figure::load).transpose()?;
    let parallel = std::thread::available_parallelism().map_or(1, usize::from);
    let mut figures = task::run(&task::all(), parallel)?;
    growth::check(&figures)?;
    figures.extend(sizes()?);

    let folder = run::folder();
    workspace::write(&folder.join("bench.json"), figure::to_json(&figures).as_bytes())?;
    workspace::write(&folder.join("bench.md"), report::markdown(&figures).as_bytes())?;
    workspace::write(&folder.join("bench.html"), report::html(&figures).as_bytes())?;
    ui::say(report::summary(&figures).trim_end());
    ui::say(format_args!("\nwritten: {}/bench.html, bench.md, bench.json", folder.display()));
    if let Some(old) = old {
        let changes = figure::compare(&old, &figures);
        ui::say(format_args!("\n{} of {} figures moved", changes.len(), figures.len()));
        for (name, change) in changes {
            ui::say(format_args!("{name:<44} {change}"));
        }
    }
    if options.bless {
        baseline::bless(&figures)?;
    }
    Ok(figures.iter().all(Figure::held))
}

/// Returns the size of the code at EL2, in bytes and lines.
fn sizes() -> Result<Vec<Figure>> {
    let sizes = size::measure()?;
    let figure = |name: &str, says: &str, unit, value: u64, bao, hvisor, budget: u64| {
        let bounds = Bounds { bao: Some(bao), hvisor: Some(hvisor), budget: budget as f64 };
        Figure { bounds: Some(bounds), ..Figure::new(name, says, unit, value as f64) }
    };
    let rows = |name: &str, says: &str, [bytes, lines]: [u64; 2], budgets: [u64; 2]| {
        [
            figure(
                &format!("size.{name}bytes"),
                &format!("code and constants{says}"),
                "bytes",
                bytes,
                70_654.0,
                159_744.0,
                budgets[0],
            ),
            figure(
                &format!("size.{name}lines"),
                &format!("source lines at EL2{says}"),
                "lines",
                lines,
                10_090.0,
                11_234.0,
                budgets[1],
            ),
        ]
    };
    let minimal = rows("minimal.", ", no option", sizes.minimal(), [size::BYTES, size::LINES]);
    let all = rows("", ", every option", sizes.all(), size::ALL);
    Ok(minimal.into_iter().chain(all).collect())
}
