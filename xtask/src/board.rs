// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask board`: a system on a board at a serial port, with the console, the verdict and the
//! exit code of `cargo xtask qemu`.

use crate::hil::boot::Boot;
use crate::qemu;
use anyhow::{Context, Result};
use clap::Args;
use hil::port::Port;
use hil::stage::Console;
use runner::build::Builder;
use runner::qemu::{Input, Line, Options, Outcome, Verdict, Watch, converse, judge, partitions};
use runner::ui;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A run on a board.
#[derive(Args, Clone, Debug)]
pub struct Request {
    /// The system on the board: a name from the board's systems, BOARD/NAME, or a path to a
    /// manifest
    #[arg(default_value = "duo")]
    system: String,
    /// The board
    #[arg(long, value_name = "BOARD", default_value = "rpi4")]
    board: String,
    #[command(flatten)]
    boot: Boot,
    /// Also write every byte of the console to this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// End the run with a pass when a console line contains this text
    #[arg(long, value_name = "TEXT", value_parser = qemu::until_text)]
    until: Option<String>,
    /// Time limit in seconds after partitions start, 0 for none; default: 120, or none once a key
    /// was pressed
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<u64>,
    /// Time limit in seconds until partitions start, 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    boot_limit: u64,
}

/// Runs a system on a board and prints its console and the verdict on standard output.
///
/// # Errors
/// If the port cannot be opened, or the board cannot be loaded or reset; a run that fails is a
/// [`Verdict`].
pub fn command(request: &Request) -> Result<Verdict> {
    let Request { system, board, until, .. } = request;
    let mut boot = request.boot.clone();
    let _place = boot.claim()?;
    let is_whole = system.contains('/') || system.ends_with(".toml");
    let spec = if is_whole { system.clone() } else { format!("{board}/{system}") };
    let options = Options {
        boot_limit: qemu::limit(request.boot_limit),
        limit: qemu::limit(request.time_limit.unwrap_or(120)),
        limit_ends_with_key: request.time_limit.is_none(),
        input: Input::Stdin,
        ..Options::default()
    };
    boot.check()?;
    let mut log = request.log.as_deref().map(Log::create).transpose()?;
    // A port that is missing is said before anything is built.
    let mut port = Port::open(&boot.port)?;
    let system = Builder::default().system(&spec)?;
    let nonce = boot.nonce();
    boot.prepare(&spec, nonce)?;
    if boot.reset.is_none() {
        eprintln!("{}: open; switch the board on now", boot.port);
    }
    boot.start(&mut port, &spec)?;
    let watch = Watch::new(&system, until.clone());
    let mut console = qemu::console();
    let mut show = |bytes: &[u8]| {
        log.as_mut().map_or(Ok(()), |log| log.add(bytes))?;
        console(bytes)
    };
    let outcome = attend(port, nonce, &options, watch, &mut show)?;
    if outcome.bytes.last().is_some_and(|&byte| byte != b'\n') {
        ui::say("");
    }
    let verdict = verdict(&partitions(&system), &outcome);
    ui::say(&verdict);
    Ok(verdict)
}

/// A file with every byte of a console, as they come: also those of a run that is interrupted.
pub struct Log {
    file: File,
    name: String,
}

impl Log {
    /// Makes the file.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::create(path).with_context(|| format!("--log {name}: cannot make it"))?;
        Ok(Self { file, name })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.with_context(|| format!("--log {}: cannot write it", self.name))
    }
}

/// Talks to a board until EL2 printed its last line, `watch` is settled, or the time is over.
///
/// # Errors
/// If the terminal cannot be made raw, or `show` fails.
pub fn attend(
    port: Port,
    nonce: u64,
    options: &Options,
    watch: Watch,
    show: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Outcome> {
    let name = port.name.clone();
    let Port { bytes, output, .. } = port;
    let line = Line { bytes, output: Some(output) };
    // A board does not end: it waits, or its power is off, and the port stays.
    let talk = converse(line, nonce, options, true, watch, show)?;
    Ok(talk.outcome(name, String::new(), None))
}

/// Judges a run like one on QEMU; a failure also says how far the board came.
pub fn verdict(partitions: &[&str], outcome: &Outcome) -> Verdict {
    let verdict = judge(partitions, outcome);
    let mut console = Console::default();
    console.feed(&outcome.bytes);
    match verdict {
        Verdict::Fail(why) if outcome.console.end.is_none() && console.refusal.is_none() => {
            Verdict::Fail(format!("{why}\n  {}", console.hint()))
        }
        verdict => verdict,
    }
}
