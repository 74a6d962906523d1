// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask crash`: decodes the crash records in a console's log, with the functions, files and
//! lines of the guests' programs.

mod kallsyms;
mod log;
mod names;
mod print;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use runner::build::Builder;
use runner::qemu::Console;
use runner::ui;

pub use log::Log;
pub use names::Names;

/// What to decode.
#[derive(Debug)]
pub struct Options {
    /// The console's log; `-` is standard input.
    pub log: PathBuf,
    /// The system that ran.
    pub system: String,
    /// Its GIC version, or its board's first.
    pub gic: Option<u32>,
    /// Files with symbols, each `PARTITION=FILE`.
    pub symbols: Vec<String>,
    /// Shows the log as it comes, with each record decoded after its last line.
    pub live: bool,
}

/// Prints the records of a log. Returns whether all of the log's records are whole.
///
/// # Errors
/// If the log cannot be read or has no record, or the system does not build.
pub fn command(options: &Options) -> Result<bool> {
    if options.live {
        let shown = options.log.display().to_string();
        let names = names(options)?;
        let mut output = std::io::stdout();
        return match shown.as_str() {
            "-" => live(std::io::stdin(), &mut output, &names),
            _ => {
                let file = std::fs::File::open(&options.log);
                live(file.with_context(|| format!("cannot read {shown}"))?, &mut output, &names)
            }
        };
    }
    let bytes = read(&options.log)?;
    let log = Log::read(&bytes);
    let shown = match options.log.to_str() {
        Some("-") => "standard input".to_string(),
        _ => options.log.display().to_string(),
    };
    if !log.is_worth_decoding() {
        match log.indented {
            Some(line) => bail!(
                "{shown}, line {line}: `bulkhead: record` is not at the start of the line: remove \
                 what was put in front of each line; only a time may stay"
            ),
            None => bail!("{shown} has no crash record: no line starts with `bulkhead: record`"),
        }
    }
    let names = names(options)?;
    for record in &log.records {
        ui::say(print::print(record, &names).trim_end());
    }
    for problem in &log.problems {
        eprintln!("error: {shown}: {problem}");
    }
    Ok(log.problems.is_empty())
}

/// Builds the system and reads its names.
fn names(options: &Options) -> Result<Names> {
    let mut instead = Vec::new();
    for pair in &options.symbols {
        let (name, file) = pair
            .split_once('=')
            .with_context(|| format!("--symbols {pair}: expected PARTITION=FILE"))?;
        instead.push((name.to_string(), PathBuf::from(file)));
    }
    let mut builder = Builder::for_gic(options.gic);
    let system = builder.system(&options.system)?;
    let image = builder.image(&system)?;
    let el2 = builder.hypervisor_of(&system)?;
    Names::new(&system, &el2, &image.bytes, &instead)
}

/// Copies `input` to `output` as it comes, with each record in words after its last line. Returns
/// at the end of `input` whether all records were whole.
fn live(mut input: impl Read, output: &mut impl Write, names: &Names) -> Result<bool> {
    let mut console = Console::new(0);
    let mut log = Log::default();
    let (mut shown, mut told) = (0, 0);
    let mut buffer = [0; 4096];
    loop {
        let count = match input.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            count => count.context("cannot read the console")?,
        };
        for part in buffer[..count].split_inclusive(|&byte| byte == b'\n') {
            output.write_all(part)?;
            console.feed(part);
            console.lines.drain(..).for_each(|line| log.line(&line));
            for record in log.records.iter().skip(shown) {
                output.write_all(print::print(record, names).as_bytes())?;
            }
            shown = log.records.len();
        }
        if count == 0 {
            log.finish();
        }
        for problem in log.problems.iter().skip(told) {
            writeln!(output, "error: {problem}")?;
        }
        told = log.problems.len();
        output.flush()?;
        if count == 0 {
            return Ok(log.problems.is_empty());
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = || format!("cannot read {}", path.display());
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).with_context(shown)?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(shown)
}

/// Returns all records of a console's bytes in words.
///
/// # Errors
/// If one of them is not whole.
pub fn decode(bytes: &[u8], names: &Names) -> Result<String> {
    let log = Log::read(bytes);
    if let Some(problem) = log.problems.first() {
        bail!("{problem}");
    }
    Ok(log.records.iter().map(|record| print::print(record, names)).collect())
}
