// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask qemu`: builds a system, runs it on QEMU, shows its console, and ends with one
//! verdict.

use crate::{crash, verify};
use anyhow::{Context, Result};
use runner::build::Builder;
use runner::linux::Overrides;
use runner::qemu::{Options, Outcome, Plain, Verdict, Watch, board, judge, partitions, run};
use runner::{ui, workspace};
use std::io::Write;
use std::time::Duration;

/// Builds `spec` for GIC version `gic` or its board's first, with `instead` in place of files from
/// Debian, runs it and prints its console and the verdict on standard output. The run ends with a
/// line that has `until`, if that is given.
///
/// # Errors
/// If it cannot be built or run; a run that fails is a [`Verdict`].
pub fn command(
    spec: &str,
    gic: Option<u32>,
    overrides: Overrides,
    until: Option<String>,
    options: &Options,
) -> Result<Verdict> {
    let mut builder = Builder::for_gic(gic);
    builder.overrides = overrides.of(spec)?;
    let system = builder.system(spec)?;
    let image = verify::image(&mut builder, &system)?;
    let path = workspace::target_dir().join("images").join(format!("{}.img", system.name));
    workspace::write(&path, &image.bytes)?;

    let outcome = run(
        &board(&system)?,
        &path,
        options,
        system.at_end == plan::END_WAIT,
        Watch::new(&system, until),
        &mut console(),
    )?;
    if outcome.bytes.last().is_some_and(|&byte| byte != b'\n') {
        ui::say("");
    }
    if !outcome.stderr.is_empty() {
        eprintln!("{}", outcome.stderr);
    }
    if crash::Log::read(&outcome.bytes).is_worth_decoding() {
        let log = path.with_extension("log");
        workspace::write(&log, &outcome.bytes)?;
        let gic = gic.map(|version| format!(" --gic {version}")).unwrap_or_default();
        let here = std::env::current_dir().unwrap_or_default();
        ui::say(format_args!(
            "a partition crashed: `cargo xtask crash {} --system {spec}{gic}` says where",
            log.strip_prefix(here).unwrap_or(&log).display()
        ));
    }
    let verdict = judge(&partitions(&system), &outcome);
    let has_watchdog = !system.board.writes[plan::writes::WATCHDOG].is_empty();
    let verdict = match verdict {
        Verdict::Fail(why) if has_watchdog && starts_watchdog(options, &outcome) => {
            Verdict::Fail(format!("{why}\n  {NO_COUNTDOWN}"))
        }
        verdict => verdict,
    };
    ui::say(&verdict);
    Ok(verdict)
}

/// Why a machine with a watchdog stopped early.
const NO_COUNTDOWN: &str = "--append bulkhead.watchdog=1 started the board's watchdog, and QEMU's \
                            machine does not count down: it resets at once. Leave it out here";

/// Whether a run stopped, before EL2 printed anything, because it started the board's watchdog.
fn starts_watchdog(options: &Options, outcome: &Outcome) -> bool {
    let words = options.append.as_deref().unwrap_or_default();
    let ended = outcome.status.is_some_and(|status| status.success());
    words.split_whitespace().any(|word| word == "bulkhead.watchdog=1")
        && ended
        && !outcome.console.started
}

/// Converts a limit in seconds; 0 is none.
#[must_use]
pub fn limit(seconds: u64) -> Option<Duration> {
    (seconds != 0).then(|| Duration::from_secs(seconds))
}

/// Checks that a console line can hold the text.
///
/// # Errors
/// If it cannot.
pub fn until_text(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("give at least one character, and only printable ones");
    }
    Ok(text.to_string())
}

/// Returns what writes a console's bytes to standard output: without control sequences, unless that
/// is a terminal with colours.
pub fn console() -> impl FnMut(&[u8]) -> Result<()> {
    let mut stdout = std::io::stdout();
    let raw = ui::coloured(&stdout);
    let mut plain = Plain::default();
    move |bytes| {
        if raw {
            stdout.write_all(bytes)?;
        } else {
            let text: Vec<u8> = bytes.iter().filter_map(|&byte| plain.filter(byte)).collect();
            stdout.write_all(&text)?;
        }
        stdout.flush().context("cannot write the console's output")
    }
}
