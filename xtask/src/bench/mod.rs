//! `cargo xtask bench`: what EL2 costs and what direct channels gain, repeatable to the instruction.

mod figure;
mod guest;
mod operations;
mod run;

use crate::build::Builder;
use crate::ui;
use anyhow::Result;
use figure::Figure;
use operations::Operations;

/// What is asked of the bench.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Print the path of this operation instead.
    pub trace: Option<String>,
}

/// Runs the bench; answers whether every budget is held.
///
/// # Errors
/// If a system does not build or run, or its figures contradict each other.
pub fn command(options: &Options) -> Result<bool> {
    let mut builder = Builder::default();
    let operations = Operations::run(&mut builder)?;
    if let Some(name) = &options.trace {
        ui::say(operations.listing(name)?.trim_end());
        return Ok(true);
    }
    let figures = operations.figures()?;
    for figure in &figures {
        ui::say(line(figure));
    }
    Ok(figures.iter().all(Figure::held))
}

fn line(figure: &Figure) -> String {
    let Figure {
        name, value, peers, ..
    } = figure;
    let peers = peers.map_or(String::new(), |peers| {
        let held = if figure.held() { "held" } else { "OVER" };
        let peer = |value: Option<u64>| value.map_or("-".into(), |value| value.to_string());
        let (bao, hvisor) = (peer(peers.bao), peer(peers.hvisor));
        format!(
            "  budget {:>7} {held}  Bao {bao:>7}  hvisor {hvisor:>7}",
            peers.budget
        )
    });
    format!("{name:<28} {value:>11.2}{peers}")
}
