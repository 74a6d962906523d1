// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands' output while they work: one line per step, a spinner on a terminal, colours where
//! they are wanted.

use anyhow::{Context, Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of a failed command's output that are worth showing.
const TAIL: usize = 40;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// A line of output was lost.
static LOST: AtomicBool = AtomicBool::new(false);

/// All moving lines on the terminal; several threads may have some.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Turns Ctrl-C and a request to terminate into a flag, so that QEMU is ended and the verdict still
/// printed. The second request ends this process at once, after `restore_terminal`.
///
/// # Errors
/// If the handler cannot be installed.
pub fn catch_interrupts(restore_terminal: fn()) -> Result<()> {
    ctrlc::set_handler(move || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            restore_terminal();
            std::process::exit(130);
        }
    })
    .context("cannot install the Ctrl-C handler")
}

/// Asks this process to stop.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Whether this process was asked to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Returns the next of the jobs that several threads share; none if this process was asked to stop.
pub fn next<T>(jobs: &Mutex<VecDeque<T>>) -> Option<T> {
    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    job.filter(|_| !interrupted())
}

/// Whether `stream` wants colours: it is a terminal and `NO_COLOR` (<https://no-color.org>) is
/// unset or empty.
pub fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints a line on standard output. If the reader has gone (`| head`), the line is dropped. Any
/// other loss is reported once, and is in the exit code.
pub fn say(line: impl std::fmt::Display) {
    let written = BARS.suspend(|| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush())
    });
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        eprintln!("error: cannot write to standard output: {error}");
    }
}

/// Whether every line was printed: a command that lost one has failed.
pub fn all_said() -> bool {
    !LOST.load(Ordering::Relaxed)
}

/// A line of progress on standard error: a spinner on a terminal, one plain line elsewhere.
pub struct Step {
    title: String,
    bar: ProgressBar,
}

impl Step {
    /// Starts a step. `title` names the work, in the form "building the hypervisor".
    pub fn start(title: impl Into<String>) -> Self {
        let title = title.into();
        let bar = if std::io::stderr().is_terminal() {
            let bar = BARS.add(ProgressBar::new_spinner().with_message(title.clone()));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            eprintln!("{title}");
            ProgressBar::hidden()
        };
        Self { title, bar }
    }

    /// Shows the step's current work.
    pub fn detail(&self, detail: &str) {
        self.bar.set_message(format!("{}: {}", self.title, detail.trim()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Several pieces of work, in sequence or in parallel: a bar on a terminal, a line for each
/// otherwise.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts with nothing done of `total`.
    pub fn start(title: &'static str, total: usize) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let bar = BARS.add(ProgressBar::new(total as u64).with_prefix(title));
            if let Ok(style) =
                ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {wide_msg} {elapsed}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self { bar }
    }

    /// Shows a piece of work that begins.
    pub fn begin(&self, what: &str) {
        if self.bar.is_hidden() {
            eprintln!("{what}");
        }
        self.bar.set_message(what.to_string());
    }

    /// Counts one more piece as done.
    pub fn done(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Bytes that go to or come from a device: a bar with their rate on a terminal, a line otherwise.
pub struct Transfer {
    bar: ProgressBar,
}

impl Transfer {
    /// Starts with nothing done of `total` bytes.
    pub fn start(title: &'static str, total: u64) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let bar = BARS.add(ProgressBar::new(total).with_prefix(title));
            let template = "{prefix} {bar:24} {decimal_bytes}/{decimal_total_bytes} \
                            {decimal_bytes_per_sec} {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        } else {
            eprintln!("{title}");
            ProgressBar::hidden()
        };
        Self { bar }
    }

    /// Shows that `done` bytes are done.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Shows a few words after the rate.
    pub fn note(&self, words: String) {
        self.bar.set_message(words);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Runs `command` as a step, without standard input, its output shown as progress only. Returns
/// what it printed (standard output and error, line by line).
///
/// # Errors
/// If it cannot be started or fails; the error has the end of its output.
pub fn run(title: &str, command: &mut Command) -> Result<Vec<String>> {
    or_its_end(title, command, attempt)
}

/// Runs like [`run`], for tests that may hang: `command` and all that it started are killed if they
/// printed nothing for `silence`, and the error has the last output.
///
/// # Errors
/// As [`run`], and if it is killed.
pub fn run_watched(title: &str, command: &mut Command, silence: Duration) -> Result<Vec<String>> {
    or_its_end(title, command, |title, command| answer(title, command, Some(silence)))
}

/// Returns the result of `attempt`; the end of the output as an error if the command failed.
fn or_its_end(
    title: &str,
    command: &mut Command,
    attempt: impl FnOnce(&str, &mut Command) -> Result<(bool, Vec<String>)>,
) -> Result<Vec<String>> {
    let (ok, output) = attempt(title, command)?;
    if !ok {
        bail!("{title}: this command failed: {}\n{}", shown(command), end(&output));
    }
    Ok(output)
}

fn end(output: &[String]) -> String {
    output[output.len().saturating_sub(TAIL)..].join("\n")
}

/// Runs like [`run`], but returns the failure of a command: whether it succeeded, and what it
/// printed.
///
/// # Errors
/// If it cannot be started, or this process was asked to stop.
pub fn attempt(title: &str, command: &mut Command) -> Result<(bool, Vec<String>)> {
    answer(title, command, None)
}

fn answer(
    title: &str,
    command: &mut Command,
    silence: Option<Duration>,
) -> Result<(bool, Vec<String>)> {
    let step = Step::start(title);
    if silence.is_some() {
        // The processes that the command starts are killed with it. Other commands stay in the
        // terminal's process group, because one of them may have to ask for a password.
        command.process_group(0);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{title}: cannot start `{}`", shown(command)))?;
    let (sender, lines) = channel();
    let readers = [
        child.stdout.take().map(|pipe| forward(pipe, sender.clone())),
        child.stderr.take().map(|pipe| forward(pipe, sender)),
    ];
    let mut output = Vec::new();
    let mut last = Instant::now();
    let mut hangs = false;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                step.detail(&line);
                output.push(line);
                last = Instant::now();
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                hangs |= silence.is_some_and(|silence| last.elapsed() > silence);
                if silence.is_some() && (hangs || interrupted()) {
                    // It may already have ended; its pipes end in both cases.
                    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                }
            }
        }
    }
    for reader in readers.into_iter().flatten() {
        // A reader ends with its pipe; its result is not needed.
        let _ = reader.join();
    }
    let status = child.wait().with_context(|| format!("{title}: lost `{}`", shown(command)))?;
    if interrupted() {
        bail!("interrupted while {title}");
    }
    if hangs {
        let seconds = silence.unwrap_or_default().as_secs();
        bail!(
            "{title}: killed, because it printed nothing for {seconds} s: {}\n{}",
            shown(command),
            end(&output)
        );
    }
    Ok((status.success(), output))
}

fn forward(pipe: impl Read + Send + 'static, lines: Sender<String>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_string();
            if lines.send(text).is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// Returns a command as a person would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_string() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// The command's children hold the pipe, too: all of them are killed, and the error has the
    /// last output.
    #[test]
    fn what_hangs_is_ended_and_says_what_it_did_last() {
        let mut command =
            sh("echo test one ... ok; echo test two has been running; sleep 1000 & wait");
        let error = run_watched("tests", &mut command, Duration::from_secs(1)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("tests: killed, because it printed nothing for 1 s: sh -c "),
            "{text}"
        );
        assert!(text.ends_with("\ntest one ... ok\ntest two has been running"), "{text}");
    }

    #[test]
    fn what_speaks_now_and_then_is_not_ended() {
        let mut command = sh("for i in 1 2 3 4; do echo $i; sleep 0.4; done");
        let output = run_watched("tests", &mut command, Duration::from_secs(60)).unwrap();
        assert_eq!(output, ["1", "2", "3", "4"]);
        let error = run_watched("tests", &mut sh("echo no; exit 3"), Duration::from_secs(60));
        assert!(error.unwrap_err().to_string().ends_with("exit 3'\nno"));
    }
}
