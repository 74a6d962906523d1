// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a system on QEMU under the checker's plugin.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use silicon_model::observer::Settings;
use silicon_model::{Config, Gic, Report};

use manifest::system::{self, System};
use planner::Image;
use runner::build::Builder;
use runner::qemu::{self, Outcome, Verdict, Watch};
use runner::workspace;
use runner::{errands, ui};

/// Time limit of one run.
const LIMIT: Duration = Duration::from_secs(900);
/// The nonce of every run: runs are the same, byte for byte.
const NONCE: u64 = 0x1234_5678_9abc_def0;
/// Package of the plugin.
const PLUGIN: &str = "silicon-plugin";

/// A system ready to run under the checker.
pub struct Prepared {
    /// The system.
    pub system: System,
    /// Its image.
    pub image: Image,
    /// EL2's executable.
    pub elf: PathBuf,
    plugin: PathBuf,
    machine: system::Qemu,
}

/// The differences of a run from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Runs all cores at once, each in a thread of QEMU, instead of one after the other by
    /// instructions.
    pub threads: bool,
    /// Ends the run after this number of blocks of guests.
    pub stop: Option<u64>,
    /// Ends the run, as one that hangs, after this number of blocks of guests and EL2.
    pub limit: Option<u64>,
    /// Time limit, instead of the usual one.
    pub time: Option<Duration>,
    /// Ends the run at the first violation.
    pub first: bool,
    /// Offsets of `ERET`s that are taken not to synchronize.
    pub unsynchronized: Vec<u32>,
    /// Believes QEMU's number of the running core: for the test that shows that it can be wrong.
    pub believe: bool,
    /// Another command line for a partition.
    pub command_line: Option<(String, String)>,
}

/// A run that came to its end, or to the end that was asked for.
pub struct Checked {
    /// The model's report.
    pub report: Report,
    /// How the system ended; none if the run was ended before that.
    pub verdict: Option<Verdict>,
    /// The time that it took.
    pub time: Duration,
    /// Whether the time limit ended it: then there may be no report.
    pub timed_out: bool,
}

/// Builds the plugin, once, with the Cargo that runs this.
///
/// # Errors
/// If it does not build.
fn plugin() -> Result<PathBuf> {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*built {
        return Ok(path.clone());
    }
    let target = workspace::target_dir();
    let mut command = workspace::cargo("build");
    command.args(["--locked", "--package", PLUGIN, "--target-dir"]).arg(&target);
    ui::run("building the checker", &mut command)?;
    let name =
        format!("{}silicon_plugin{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = target.join("debug").join(name);
    ensure!(
        path.is_file(),
        "{PLUGIN} was built, but {} is not there: is build.target-dir set for Cargo?",
        path.display()
    );
    *built = Some(path.clone());
    Ok(path)
}

impl Prepared {
    /// Builds a system and the checker.
    ///
    /// # Errors
    /// If one of them does not build, or QEMU has no such machine.
    pub fn new(builder: &mut Builder, spec: &str, options: &Options) -> Result<Self> {
        let mut system = builder.system(spec)?;
        if let Some((name, line)) = &options.command_line {
            let partition = system.partitions.iter_mut().find(|partition| &partition.name == name);
            let partition = partition.with_context(|| format!("{spec} has no partition {name}"))?;
            partition.command_line = Some(line.clone());
        }
        let image = builder.image(&system)?;
        Ok(Self {
            elf: builder.hypervisor_of(&system)?,
            plugin: plugin()?,
            machine: qemu::board(&system)?,
            image,
            system,
        })
    }

    /// The system's name with its board and GIC.
    #[must_use]
    pub fn name(&self) -> String {
        let board = &self.system.board;
        format!("{} ({}, GICv{})", self.system.name, board.name, board.gic.version)
    }

    /// Whether cores run at once. They do where firmware's cores poll a spin table. If they ran one
    /// after the other by instructions, a machine that is never idle would run through every
    /// nanosecond.
    #[must_use]
    pub fn threads(&self, options: &Options) -> bool {
        options.threads || !self.release_addresses().is_empty()
    }

    /// Spin-table release addresses.
    fn release_addresses(&self) -> Vec<u64> {
        let cores = &self.system.board.cores;
        cores.iter().map(|core| core.release).filter(|&at| at != 0).collect()
    }

    fn settings(&self, options: &Options, report: &Path) -> Settings {
        let board = &self.system.board;
        let range = |range: system::Range| (range.base, range.size);
        let vcpus = self.system.partitions.iter().flat_map(|p| &p.vcpus);
        // The plan's rows are in ascending order of core numbers.
        let mut owned: Vec<_> = vcpus.map(|vcpu| vcpu.core as usize).collect();
        owned.sort_unstable();
        let mut private = vec![(0, 0); board.cores.len()];
        for (&core, region) in owned.iter().zip(&self.image.design.places.private) {
            private[core] = (region.base, region.size);
        }
        let gic = &board.gic;
        Settings {
            machine: Config {
                ram: (board.ram[0].base, self.machine.memory),
                cores: owned.len(),
                release: self.release_addresses(),
                gic: Gic {
                    gicd: range(gic.gicd),
                    gicr: range(gic.gicr),
                    gicc: range(gic.gicc),
                    gich: range(gic.gich),
                },
            },
            image: range(self.image.design.places.image),
            private,
            stop: options.stop,
            limit: options.limit,
            first: options.first,
            unsynchronized: options.unsynchronized.clone(),
            one_thread: !self.threads(options),
            believe: options.believe,
            report: report.display().to_string(),
        }
    }

    /// Runs the image `bytes`, which is this system's or a mutant of it.
    ///
    /// # Errors
    /// If QEMU cannot be run, or the checker leaves no report.
    pub fn run(&self, bytes: &[u8], options: &Options) -> Result<Checked> {
        let id = workspace::unique();
        let folder = workspace::target_dir().join("silicon");
        let file = |extension| folder.join(format!("{}-{id}.{extension}", self.system.name));
        let (image, settings, report) = (file("img"), file("settings"), file("report"));
        workspace::write(&image, bytes)?;
        let text = serde_json::to_string(&self.settings(options, &report))?;
        workspace::write(&settings, text.as_bytes())?;
        let argument = format!("{},settings={}", self.plugin.display(), settings.display());
        let run = qemu::Options {
            icount: !self.threads(options),
            extra: vec!["-plugin".to_string(), argument],
            nonce: Some(NONCE),
            boot_limit: Some(options.time.unwrap_or(LIMIT)),
            limit: Some(options.time.unwrap_or(LIMIT)),
            limit_ends_with_key: false,
            input: match errands::errands(&self.system) {
                steps if steps.is_empty() => qemu::Input::Nobody,
                steps => qemu::Input::Typed(steps),
            },
            ..qemu::Options::default()
        };
        let stays_up = self.system.at_end == plan::END_WAIT;
        let outcome =
            qemu::run(&self.machine, &image, &run, stays_up, Watch::default(), &mut |_| Ok(()))?;
        let checked = self.checked(&outcome, &report);
        for file in [image, settings, report] {
            // Some of the files may not exist.
            let _ = std::fs::remove_file(file);
        }
        checked
    }

    fn checked(&self, outcome: &Outcome, file: &Path) -> Result<Checked> {
        if outcome.timed_out {
            return Ok(Checked {
                verdict: Some(qemu::judge(&qemu::partitions(&self.system), outcome)),
                report: Report::default(),
                time: outcome.time,
                timed_out: true,
            });
        }
        let text = std::fs::read_to_string(file).with_context(|| {
            format!(
                "the checker left no report: {}\n  $ {}",
                qemu::judge(&qemu::partitions(&self.system), outcome),
                outcome.command
            )
        })?;
        let report: Report = serde_json::from_str(&text).context("the checker's report")?;
        // QEMU warns of devices that it takes from a board's tree.
        let words = outcome.stderr.lines().find(|line| !line.contains(": warning: "));
        if let Some(words) = words {
            bail!("QEMU: {words}\n  $ {}", outcome.command);
        }
        if report.loaded.is_none() {
            bail!("EL2 never ran\n  $ {}", outcome.command);
        }
        let ended = !report.stopped && outcome.console.end.is_some();
        Ok(Checked {
            verdict: ended.then(|| qemu::judge(&qemu::partitions(&self.system), outcome)),
            report,
            time: outcome.time,
            timed_out: false,
        })
    }
}
