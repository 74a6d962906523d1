// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask hil`: measures latencies on a board at a serial port, or on QEMU in its place, and
//! writes a report.

pub mod boot;
pub mod emulator;
mod junit;
pub mod report;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use emulator::Emulator;
use hil::figures::Figures;
use hil::limits::{Check, Limits};
use hil::port::Port;
use hil::session::{Event, Reset, Session, Times};
use hil::stage::Stage;
use runner::qemu::random;
use runner::ui;
use runner::workspace::{root, target_dir, write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The system that measures.
pub const SYSTEM: &str = "latency";
/// The name of the port that is QEMU.
const QEMU: &str = "qemu";
/// Values per row, on a board and on QEMU, where one that polls takes 30 ms.
const SAMPLES: [u32; 2] = [10_000, 100];

/// The options of a measurement.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// The port, and how the board starts.
    #[command(flatten)]
    pub boot: boot::Boot,
    /// The board
    #[arg(long, value_name = "BOARD", default_value = "rpi4")]
    pub board: String,
    /// Values per row; rows of long operations have fewer. Default: 10000, on QEMU 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub samples: Option<u32>,
    /// Folder for the report, instead of target/hil/BOARD
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Compare with the figures in this file, an earlier hil.json; on a board, slower rows fail
    #[arg(long, value_name = "OLD.json")]
    pub compare: Option<PathBuf>,
    /// Repeat the measurement for so many hours, and merge the distributions
    #[arg(long, value_name = "HOURS")]
    pub soak: Option<f64>,
}

/// Measures and writes the report; returns whether every limit is kept.
///
/// # Errors
/// If the board does not get through a state in its time, or three reports did not count.
pub fn command(options: &Options) -> Result<bool> {
    let mut options = options.clone();
    let _place = options.boot.claim()?;
    options.check()?;
    let old = options.compare.as_deref().map(stored).transpose()?;
    let limits = Limits::load(&root().join("boards").join(&options.board).join("hil.toml"))?;
    let spec = format!("{}/{SYSTEM}", options.board);
    let is_qemu = options.boot.port == QEMU;
    let mut emulator = None;
    let port = if is_qemu {
        let (port, machine) = Emulator::start(&spec)?;
        emulator = Some(machine);
        port
    } else {
        let port = Port::open(&options.boot.port)?;
        options.boot.prepare(&spec, options.boot.nonce())?;
        if options.boot.reset.is_none() {
            eprintln!("{}: open; switch the board on now, unless it runs", options.boot.port);
        }
        port
    };
    let mut is_first = true;
    let mut start = |port: &mut Port| match std::mem::take(&mut is_first) {
        // Without a command nothing brings the board back to its loader.
        false if options.boot.reset.is_none() => Ok(()),
        _ => options.boot.start(port, &spec),
    };
    let starts = options.boot.reset.is_some() || options.boot.load == boot::Load::Serial;
    let reset: Reset = if starts { Some(&mut start) } else { None };
    let mut screen = Screen::default();
    let mut tell = |event| screen.show(event);
    let mut session = Session::new(port, Times::default(), reset, &mut tell);
    let samples = options.samples.unwrap_or(SAMPLES[usize::from(is_qemu)]);
    let result = measure(&mut session, samples, options.soak);
    let folder =
        options.out.clone().unwrap_or_else(|| target_dir().join("hil").join(&options.board));
    // The console's bytes are kept also, and above all, if the session failed.
    write(&folder.join("console.log"), &session.log)?;
    let firmware = session.console.firmware.clone();
    drop(session);
    drop(screen);
    let said = emulator.map(Emulator::stop).unwrap_or_default();
    let mut figures = result.map_err(|error| match said.is_empty() {
        true => error.context(format!("{}: no report", options.boot.port)),
        false => error.context(format!("{}: no report; QEMU said: {said}", options.boot.port)),
    })?;
    figures.board.clone_from(&options.board);
    figures.port.clone_from(&options.boot.port);
    figures.emulated = is_qemu;
    figures.firmware = firmware;
    let mut checks = limits.check(&figures);
    let compared = old.map(|old| limits.compare(&old, &figures)).unwrap_or_default();
    save(&folder, &figures, &checks, &compared)?;
    ui::say(report::summary(&figures, &checks, &compared).trim_end());
    ui::say(format_args!(
        "\nwritten: {}/hil.html, hil.md, hil.json, junit.xml, console.log",
        folder.display()
    ));
    if !figures.emulated {
        checks.extend(compared);
    }
    Ok(checks.iter().all(|check| check.why.is_none()))
}

impl Options {
    fn check(&self) -> Result<()> {
        self.boot.check()?;
        if self.boot.port == QEMU {
            let plain = self.boot.load == boot::Load::Card && self.boot.reset.is_none();
            ensure!(plain, "--port qemu starts QEMU itself: leave out --load and --reset");
        }
        let hours = self.soak.unwrap_or(0.0);
        ensure!(hours >= 0.0 && hours.is_finite(), "--soak {hours}: expected a number of hours");
        Ok(())
    }
}

/// Reads the figures that new ones are compared with.
fn stored(path: &Path) -> Result<Figures> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Figures::from_json(&text).with_context(|| format!("--compare {}", path.display()))
}

/// Gets a report, or reports for some hours, and switches the system off.
///
/// # Errors
/// As [`Session::report`].
pub fn measure(session: &mut Session, samples: u32, hours: Option<f64>) -> Result<Figures> {
    session.restart()?;
    let until = Instant::now() + Duration::from_secs_f64(hours.unwrap_or(0.0) * 3600.0);
    let mut all: Option<Figures> = None;
    while all.is_none() || Instant::now() < until {
        let report = session.report(samples, random)?;
        let mut figures = Figures::parse(&report.payloads)?;
        figures.attempts = report.attempts;
        match &mut all {
            Some(all) => all.merge(&figures)?,
            None => all = Some(figures),
        }
    }
    let end = session.end()?;
    // `end NONCE lead=off relay=off …`
    let bad = end.split(' ').skip(2).find(|word| !word.ends_with("=off"));
    if let Some(bad) = bad {
        bail!("end: a partition did not switch off: {bad}");
    }
    all.context("no report")
}

/// Writes the files of a report.
fn save(folder: &Path, figures: &Figures, checks: &[Check], compared: &[Check]) -> Result<()> {
    let file = |name: &str, text: String| write(&folder.join(name), text.as_bytes());
    file("hil.json", figures.to_json()?)?;
    file("hil.md", report::markdown(figures, checks, compared))?;
    file("hil.html", report::html(figures, checks, compared))?;
    file("junit.xml", junit::xml(figures, checks, compared))
}

/// The session on the terminal: its stage, then a bar of the report's rows.
#[derive(Default)]
struct Screen {
    step: Option<ui::Step>,
    bar: Option<ui::Progress>,
    rows: usize,
}

impl Screen {
    fn show(&mut self, event: Event) {
        match event {
            Event::Stage(stage) => {
                self.step = Some(ui::Step::start(match stage {
                    Stage::Power => "waiting for the board",
                    Stage::Firmware => "firmware speaks",
                    Stage::El2 => "EL2 checks the machine",
                    Stage::Running => "the partitions run",
                }));
            }
            Event::Rows(done, all) => {
                self.step = None;
                let bar = self.bar.get_or_insert_with(|| ui::Progress::start("rows", all));
                // After a damaged report the rows begin anew, and the bar stays.
                for _ in self.rows..done {
                    bar.done();
                }
                self.rows = self.rows.max(done);
            }
            Event::Again(why) => {
                self.bar = None;
                self.rows = 0;
                eprintln!("{why}; measuring again");
            }
        }
    }
}
