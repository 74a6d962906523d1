//! `cargo xtask fuzz`: libFuzzer over every target of fuzz/, on the repository's toolchain.
//!
//! The engine is the crate `libfuzzer-sys`; flags that every toolchain has switch the compiler's
//! coverage pass on. So it needs neither a nightly toolchain nor cargo-fuzz, but a C++ compiler.
//! With both, `cargo +nightly fuzz run TARGET --features engine` works too.

use anyhow::{Context, Result, bail};
use runner::ui;
use runner::workspace::{cargo, root, target_dir};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Flags for counters per edge and the operands of comparisons, which libFuzzer learns from (LLVM,
/// SanitizerCoverage).
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
                        -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Packages that take most of the time.
const OPTIMIZED: [&str; 3] = ["bulkhead-fuzz", "bulkhead-verify", "xtask"];
/// Seconds per target from which on optimizing these packages saves more time than it takes.
const LONG: u32 = 20;
/// Seconds that one input may take.
const TIMEOUT: u32 = 10;
/// The command's needs in addition to Rust.
pub const NEEDS: &str = "a C++ compiler (Debian and Ubuntu: apt-get install g++)";

/// The targets, and their time.
#[derive(Clone, Debug)]
pub struct Options {
    /// One target, or all.
    pub target: Option<String>,
    /// Seconds per target.
    pub seconds: u32,
    /// Makes inputs seeds that reach more code than the seeds do.
    pub keep: bool,
}

/// Runs the targets and prints a line each; returns whether nothing was found.
///
/// # Errors
/// If there is no such target, or the programs do not build.
pub fn command(options: &Options) -> Result<bool> {
    let mut found = 0;
    run(options, &mut |target, outcome| match outcome {
        Ok(executions) => {
            ui::say(format_args!("ok {target}: {executions} executions, nothing found"))
        }
        Err(error) => {
            found += 1;
            ui::say(format_args!("FOUND {target}: {error:#}"));
        }
    })?;
    Ok(found == 0)
}

/// Runs every target for `seconds`; returns how many there are.
///
/// # Errors
/// If a program does not build, or a target finds a fault.
pub fn short(seconds: u32) -> Result<usize> {
    let options = Options { target: None, seconds, keep: false };
    let mut outcomes = Vec::new();
    run(&options, &mut |target, outcome| {
        outcomes.push(outcome.with_context(|| target.to_owned()));
    })?;
    let executions = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(executions.len())
}

/// Whether there is a C++ compiler, which libFuzzer is built with.
pub fn has_compiler() -> bool {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let version = Command::new(compiler).arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Builds and runs the targets of `options`; `report` gets each target's number of executions, or
/// the fault that it found.
fn run(options: &Options, report: &mut dyn FnMut(&str, Result<u64>)) -> Result<()> {
    let known = targets(&root())?;
    let chosen: Vec<&String> = match &options.target {
        None => known.iter().collect(),
        Some(name) => known.iter().filter(|target| *target == name).collect(),
    };
    if chosen.is_empty() {
        bail!("there is no such target: the targets are {}", known.join(", "));
    }
    if !has_compiler() {
        bail!("fuzzing needs {NEEDS}");
    }
    let programs = build(options)?;
    for target in chosen {
        let outcome = fuzz(&programs, target, options);
        if ui::interrupted() {
            bail!("interrupted");
        }
        report(target, outcome);
    }
    Ok(())
}

/// Names of all targets, which are one program each.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.strip_suffix(".rs")?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Builds the programs of all targets, or of one; returns their folder.
fn build(options: &Options) -> Result<PathBuf> {
    let machine = host()?;
    // `--target` keeps the flags from build scripts, and the results separate from other builds.
    let folder = target_dir();
    let mut command = cargo("build");
    command
        .args(["--locked", "--package", "bulkhead-fuzz"])
        .args(["--features", "engine", "--target", &machine])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", COVERAGE);
    let level = u8::from(options.seconds >= LONG);
    for package in OPTIMIZED {
        let level = format!("profile.dev.package.{package}.opt-level={level}");
        command.args(["--config", &level]);
    }
    match &options.target {
        None => command.arg("--bins"),
        Some(name) => command.args(["--bin", name]),
    };
    ui::run("building the fuzz targets", &mut command)?;
    Ok(folder.join(machine).join("debug"))
}

/// Returns the compiler's name for this machine.
fn host() -> Result<String> {
    let mut command = Command::new("rustc");
    let lines = ui::run("asking rustc", command.current_dir(root()).arg("-vV"))?;
    let host = lines.iter().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// Runs one target; returns the number of executions.
fn fuzz(programs: &Path, target: &str, options: &Options) -> Result<u64> {
    let seeds = root().join("fuzz/seeds").join(target);
    let work = target_dir().join("fuzz");
    let corpus = work.join("corpus").join(target);
    let artifacts = work.join("artifacts").join(target);
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let engine = || {
        let mut command = Command::new(programs.join(target));
        command.current_dir(root());
        command
    };
    let mut command = engine();
    command
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-timeout={TIMEOUT}"))
        // With a separator at its end, this is a folder.
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-verbosity=0"])
        .arg(&corpus)
        .arg(&seeds);
    let (ok, output) = ui::attempt(&format!("fuzzing {target}"), &mut command)?;
    if !ok {
        bail!("{}", finding(target, &output));
    }
    if options.keep {
        let mut merge = engine();
        merge.args(["-merge=1", "-verbosity=0"]).arg(&seeds).arg(&corpus);
        ui::run(&format!("keeping seeds of {target}"), &mut merge)?;
    }
    executions(&output).context("libFuzzer did not report how many inputs it tried")
}

/// Returns the number after `stat::number_of_executed_units:`.
fn executions(output: &[String]) -> Option<u64> {
    let key = "stat::number_of_executed_units:";
    let value = output.iter().find_map(|line| line.strip_prefix(key))?;
    value.trim().parse().ok()
}

/// Describes a run that found a fault: the panic or libFuzzer's message, the input, and how to
/// repeat it.
fn finding(target: &str, output: &[String]) -> String {
    let panicked = output.iter().position(|line| line.contains("panicked at"));
    let reason = match panicked {
        Some(at) => output[at..output.len().min(at + 3)].join("\n  "),
        None => output
            .iter()
            .find(|line| line.contains("ERROR: libFuzzer"))
            .cloned()
            .unwrap_or_else(|| output.join("\n  ")),
    };
    let input = output
        .iter()
        .find_map(|line| line.split_once("Test unit written to "))
        .map_or("", |(_, file)| file);
    format!(
        "{reason}\n  the input is {input}\n  copy it to fuzz/seeds/{target}/ and run `cargo test \
         -p bulkhead-fuzz` to keep it as a test"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_run_is_counted() {
        let output = lines(
            "INFO: Seed: 1\nstat::number_of_executed_units: 8421\nstat::average_exec_per_sec: 40",
        );
        assert_eq!(executions(&output), Some(8421));
        assert_eq!(executions(&lines("INFO: Seed: 1")), None);
    }

    #[test]
    fn a_finding_says_what_and_where() {
        let output = lines(
            "INFO: Seed: 1\nthread '<unnamed>' panicked at hyp/x.rs:1:2:\nout of bounds\nstack \
             backtrace:\n\
             == ERROR: libFuzzer: deadly signal\nartifact_prefix='a/'; Test unit written to \
             a/crash-1",
        );
        let text = finding("esr", &output);
        for word in ["hyp/x.rs:1:2", "out of bounds", "a/crash-1", "fuzz/seeds/esr/"] {
            assert!(text.contains(word), "{text}");
        }
        let hang = finding("esr", &lines("x\n==1== ERROR: libFuzzer: timeout after 10 seconds"));
        assert!(hang.contains("timeout after 10 seconds"));
    }

    #[test]
    fn the_targets_are_there() {
        let names = targets(&root()).expect("fuzz/fuzz_targets");
        assert!(names.iter().any(|name| name == "manifest") && names.len() > 5);
    }
}
