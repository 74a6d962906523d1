//! Builds a bench system and runs it, repeatable to the instruction.

use super::guest::Printed;
use crate::trace::{Code, Trace};
use anyhow::{Context, Result, bail, ensure};
use manifest::system::System;
use planner::Image;
use runner::build::Builder;
use runner::qemu::{self, Options, Outcome, Watch};
use runner::workspace;
use std::path::PathBuf;
use std::time::Duration;

/// The nonce of every run: EL2's work on it depends on its digits.
const NONCE: u64 = 0x1234_5678_9abc_def0;
/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(300);
/// Console lines shown with a failure.
const TAIL: usize = 15;

/// A system ready to run.
pub struct Bench {
    /// The system.
    pub system: System,
    image: PathBuf,
    code: Code,
    /// Words for EL2 on the boot command line.
    pub append: Option<&'static str>,
}

/// The folder of the bench's files.
#[must_use]
pub fn folder() -> PathBuf {
    workspace::target_dir().join("bench")
}

impl Bench {
    /// Builds the system of a manifest.
    ///
    /// # Errors
    /// If it does not build.
    pub fn build(builder: &mut Builder, manifest: &str) -> Result<Self> {
        let system = builder.system(manifest)?;
        let Image { bytes, design } = builder.image(&system)?;
        let gic = system.board.gic.version;
        let image = folder().join(format!("{}-gicv{gic}.img", system.name));
        workspace::write(&image, &bytes)?;
        let code = Code { base: design.places.image.base, size: design.el2.segments[0].size };
        Ok(Self { system, image, code, append: None })
    }

    /// Runs it under icount; returns its guests' output.
    ///
    /// # Errors
    /// If a partition does not end without error.
    pub fn run(&self) -> Result<Printed> {
        self.start(Vec::new(), true)
    }

    /// Runs it like [`Bench::run`]. `extra` are further arguments for QEMU.
    ///
    /// # Errors
    /// As [`Bench::run`].
    pub fn run_on(&self, extra: &[&str]) -> Result<Printed> {
        self.start(extra.iter().map(ToString::to_string).collect(), true)
    }

    /// Runs it by the clock, all cores at once.
    ///
    /// # Errors
    /// As [`Bench::run`].
    pub fn run_by_clock(&self) -> Result<Printed> {
        self.start(Vec::new(), false)
    }

    /// Runs like [`Bench::run`], with a trace of everything that runs at EL2. `extra` are further
    /// arguments for QEMU.
    ///
    /// # Errors
    /// As [`Bench::run`], and if the trace cannot be read.
    pub fn traced(&self, extra: &[&str]) -> Result<(Printed, Trace)> {
        // Two threads may trace the same image at the same time.
        let name = match self.append {
            Some(append) => format!("{append}.trace"),
            None => "trace".to_string(),
        };
        let name = self.image.with_extension(name);
        let log = name.as_path();
        let mut arguments = self.code.arguments(log);
        arguments.extend(extra.iter().map(ToString::to_string));
        let printed = self.start(arguments, true)?;
        let trace = Trace::read(log, self.code)?;
        // The log is large, and all of it is in memory now.
        std::fs::remove_file(log).with_context(|| format!("cannot remove {}", log.display()))?;
        Ok((printed, trace))
    }

    fn start(&self, extra: Vec<String>, icount: bool) -> Result<Printed> {
        let cores = self.system.partitions.iter().flat_map(|p| &p.vcpus);
        let cores = cores.map(|vcpu| vcpu.core + 1).max();
        let options = Options {
            icount,
            cores,
            append: self.append.map(String::from),
            extra,
            nonce: Some(NONCE),
            boot_limit: Some(LIMIT),
            limit: Some(LIMIT),
            limit_ends_with_key: false,
            ..Options::default()
        };
        let board = qemu::board(&self.system)?;
        let outcome =
            qemu::run(&board, &self.image, &options, false, Watch::default(), &mut |_| Ok(()))?;
        let lines = &outcome.console.lines;
        let tail = || lines[lines.len().saturating_sub(TAIL)..].join("\n    ");
        let verdict = qemu::judge(&qemu::partitions(&self.system), &outcome);
        if !verdict.passed() {
            let Outcome { command, .. } = &outcome;
            bail!("{}: {verdict}\n  $ {command}\n    {}", self.system.name, tail());
        }
        ensure!(outcome.stderr.is_empty(), "QEMU: {}", outcome.stderr);
        Printed::read(&outcome.console).with_context(|| self.system.name.clone())
    }

    /// Returns the machine's core on which a vCPU runs.
    ///
    /// # Errors
    /// If the system has no such vCPU.
    pub fn core(&self, partition: &str, vcpu: usize) -> Result<usize> {
        let partitions = &self.system.partitions;
        let found = partitions.iter().find(|other| other.name == partition);
        let vcpu = found.and_then(|partition| partition.vcpus.get(vcpu));
        vcpu.map(|vcpu| vcpu.core as usize)
            .with_context(|| format!("{}: {partition} has no such vCPU", self.system.name))
    }
}
