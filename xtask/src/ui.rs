//! What the commands say while they work: one line a step, a spinner where someone watches, colours
//! where they are wanted.

use anyhow::{Context, Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// Lines of a failed command's output that are worth showing.
const TAIL: usize = 40;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// A line of output was lost.
static LOST: AtomicBool = AtomicBool::new(false);

/// Everything on the terminal that moves: several threads may have some.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Turns Ctrl-C and a request to terminate into a flag, so that QEMU is ended and the verdict still
/// said. The second one ends this process at once.
///
/// # Errors
/// If the handler cannot be installed.
pub fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            crate::qemu::restore_terminal();
            std::process::exit(130);
        }
    })
    .context("cannot install the Ctrl-C handler")
}

/// Asks this process to stop.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Whether someone asked this process to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// The next of the jobs that several threads take turns at, unless someone asked this process to
/// stop.
pub fn next<T>(jobs: &Mutex<VecDeque<T>>) -> Option<T> {
    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    job.filter(|_| !interrupted())
}

/// Whether `stream` wants colours: it is a terminal and `NO_COLOR` (<https://no-color.org>) is
/// unset or empty.
pub fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A number of things, in words: `1 core`, `2 cores`.
#[must_use]
pub fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Prints a line on standard output. A reader that has gone away (`| head`) wants no more; a line
/// that is lost otherwise is told, once, and shows in the exit code.
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

/// Whether every line that was to be printed has been: what lost one has not done what it was
/// asked.
pub fn all_said() -> bool {
    !LOST.load(Ordering::Relaxed)
}

/// A line of progress on standard error: a spinner on a terminal, one plain line elsewhere.
pub struct Step {
    title: String,
    bar: ProgressBar,
}

impl Step {
    /// Starts a step. `title` says what is done, in the form "building the hypervisor".
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

    /// Shows what the step is busy with.
    pub fn detail(&self, detail: &str) {
        self.bar.set_message(format!("{}: {}", self.title, detail.trim()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Several things being done, one after the other or at once: a bar on a terminal, a line for each
/// elsewhere.
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

    /// Shows what is being done.
    pub fn begin(&self, what: &str) {
        if self.bar.is_hidden() {
            eprintln!("{what}");
        }
        self.bar.set_message(what.to_string());
    }

    /// One more is done.
    pub fn done(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Runs `command` as a step, without standard input, its output shown as progress only. Answers
/// what it printed (standard output and error, line by line).
///
/// # Errors
/// If it cannot be started or fails; the error carries the end of its output.
pub fn run(title: &str, command: &mut Command) -> Result<Vec<String>> {
    let (ok, output) = attempt(title, command)?;
    if !ok {
        let tail = &output[output.len().saturating_sub(TAIL)..];
        bail!("{title}: this command failed: {}\n{}", shown(command), tail.join("\n"));
    }
    Ok(output)
}

/// As [`run`], but a command that fails is an answer: whether it succeeded, and what it printed.
///
/// # Errors
/// If it cannot be started, or someone asked to stop.
pub fn attempt(title: &str, command: &mut Command) -> Result<(bool, Vec<String>)> {
    let step = Step::start(title);
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
    for line in lines {
        step.detail(&line);
        output.push(line);
    }
    for reader in readers.into_iter().flatten() {
        // A reader ends with its pipe; there is nothing to learn from it.
        let _ = reader.join();
    }
    let status = child.wait().with_context(|| format!("{title}: lost `{}`", shown(command)))?;
    if interrupted() {
        bail!("interrupted while {title}");
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

/// A command as one would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_string() } else { format!("'{word}'") }
}
