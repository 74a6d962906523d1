//! `--wall`: the two paths by the clock, on an emulator that runs all cores at once. Seconds have
//! no meaning there, but both paths run on the same emulator, so their ratio has: above 1 the relay
//! takes longer.

use super::figure::{Figure, number};
use super::run::Bench;
use super::stream::Stream;
use super::systems::{self, Path, SIZES, WAITS};
use anyhow::{Result, bail};
use runner::build::Builder;
use runner::ui::{self, Progress};

/// Runs both paths by every way of waiting, one run at a time, and returns relayed time over direct
/// time.
///
/// # Errors
/// If a system does not build, or a run fails.
pub fn ratios() -> Result<Vec<Figure>> {
    let mut builder = Builder::default();
    let mut benches = Vec::new();
    for wait in WAITS {
        for path in Path::ALL {
            benches.push((path, wait, Bench::build(&mut builder, &systems::stream(path, wait)?)?));
        }
    }
    let progress = Progress::start("by the clock", benches.len());
    let mut figures = Vec::new();
    for (path, wait, bench) in benches {
        if ui::interrupted() {
            bail!("interrupted");
        }
        progress.begin(&format!("messages {}, by {wait}", path.name()));
        let printed = bench.run_by_clock()?;
        figures.extend(Stream { path, wait, printed, by_clock: true }.figures()?);
        progress.done();
    }
    let value = |name: String| figures.iter().find(|figure| figure.name == name).map(|f| f.value);
    let mut ratios = Vec::new();
    for wait in WAITS {
        for (kind, what) in [("ping", "round-trip"), ("stream", "instructions")] {
            for size in SIZES {
                let of = |path: Path| value(format!("{kind}.{}.{wait}.{size}.{what}", path.name()));
                if let Some((direct, relayed)) = of(Path::Direct).zip(of(Path::Relayed)) {
                    let name = format!("wall.{kind}.{wait}.{size}");
                    let says = format!("{kind} of {size} bytes by {wait}, relayed over direct");
                    ratios.push(Figure::new(name, says, "ratio", relayed / direct));
                }
            }
        }
    }
    Ok(ratios)
}

/// Cores that the relayed systems need.
const CORES: usize = 4;

/// Says why the ratios on this host have no meaning, if so.
#[must_use]
pub fn doubt() -> Option<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores < CORES).then(|| {
        format!(
            "this host has {cores} cores for the {CORES} of the relayed systems: cores wait for \
             each other, so the ratios mean little"
        )
    })
}

/// Returns the ratios as a Markdown table: sizes down, kinds and waits across.
#[must_use]
pub fn table(ratios: &[Figure]) -> String {
    let columns: Vec<_> =
        ["ping", "stream"].iter().flat_map(|kind| WAITS.map(|wait| (*kind, wait))).collect();
    let heads = columns.iter().map(|(kind, wait)| format!(" {kind}, {wait} |"));
    let mut text =
        format!("| bytes |{}\n|---|{}\n", heads.collect::<String>(), "---|".repeat(columns.len()));
    for size in SIZES {
        let cells = columns.iter().map(|(kind, wait)| {
            let name = format!("wall.{kind}.{wait}.{size}");
            let figure = ratios.iter().find(|figure| figure.name == name);
            format!(" {} |", figure.map_or("?".into(), |figure| number(figure.value)))
        });
        text += &format!("| {size} |{}\n", cells.collect::<String>());
    }
    text
}
