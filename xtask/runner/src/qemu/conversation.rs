// SPDX-License-Identifier: MIT OR Apache-2.0
//! A person, a pipe or a test at the console of a machine: QEMU's or a board's.

use super::console::Console;
use super::keyboard::{self, Input, Raw, Script};
use super::options::{Options, Outcome};
use super::watch::Watch;
use crate::ui;
use anyhow::Result;
use std::io::{Read, Write};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Interval of the checks for the time limit and Ctrl-C.
const TICK: Duration = Duration::from_millis(50);
/// How long the machine continues after the line that ends the run, so that output directly after
/// it is also shown.
const LINGER: Duration = Duration::from_millis(200);

/// A console's two directions.
pub struct Line {
    /// The machine's bytes, in pieces as they come. It ends with the machine.
    pub bytes: Receiver<Vec<u8>>,
    /// The machine's input, if it has any.
    pub output: Option<Box<dyn Write + Send>>,
}

/// What came of a conversation.
pub struct Talk {
    console: Console,
    bytes: Vec<u8>,
    /// Whether the time limit passed.
    pub timed_out: bool,
    /// Whether the console settled the run.
    pub is_over: bool,
    time: Duration,
    unseen: Option<String>,
}

impl Talk {
    /// Returns the outcome of a run by `command`.
    pub fn outcome(self, command: String, stderr: String, status: Option<ExitStatus>) -> Outcome {
        let Self { console, bytes, timed_out, time, unseen, .. } = self;
        Outcome { command, console, bytes, stderr, status, timed_out, time, unseen }
    }
}

/// Returns what `input` has, in pieces as they come.
pub fn pieces(mut input: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, chunks) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match input.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // The machine, the other end of a pty, or an adapter has gone.
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    if sender.send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    chunks
}

/// Talks until the machine ends, its time is over, EL2 printed its last line (`stays_up`: the
/// machine does not end then), or `watch` is settled. `show` gets the console's bytes as they come.
///
/// # Errors
/// If the terminal cannot be made raw, or `show` fails.
pub fn converse(
    mut line: Line,
    nonce: u64,
    options: &Options,
    stays_up: bool,
    watch: Watch,
    show: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Talk> {
    let mut start = Instant::now();
    let raw = match options.input {
        Input::Stdin => Raw::enter()?,
        _ => None,
    };
    if raw.is_some() {
        eprintln!("Ctrl-A x quits, Ctrl-A ? shows which partition has the input");
    }

    let mut console = Console::new(nonce).watching(watch);
    let mut bytes = Vec::new();
    let mut script = Script::new(&options.input);
    let mut keys = None;
    let alone = Arc::new(AtomicBool::new(false));
    let mut deadline = options.boot_limit.map(|limit| start + limit);
    let mut timed_out = false;
    let mut started = false;
    let mut ended = false;
    loop {
        match line.bytes.recv_timeout(TICK) {
            Ok(chunk) => {
                // Before EL2's first line its UART is not set up and loses input.
                if let Some(output) = line.output.take() {
                    let alone = Arc::clone(&alone);
                    keys = keyboard::feed(&options.input, output, raw.is_some(), alone);
                }
                if alone.load(Ordering::Relaxed) {
                    console.watch.lose_names();
                }
                show(&chunk)?;
                console.feed(&chunk);
                bytes.extend(chunk);
                if let Some(keys) = &keys {
                    // A send fails if the machine has ended, which is handled below.
                    let _ = keys.send(script.due(&bytes));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if !started && console.started {
            started = true;
            start = Instant::now();
            deadline = options.limit.map(|limit| start + limit);
        }
        let over = stays_up && console.end.is_some() || console.watch.is_settled();
        if over && !ended {
            ended = true;
            deadline = Some(Instant::now() + LINGER);
        }
        if options.limit_ends_with_key && keyboard::pressed() && !ended {
            deadline = None;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            timed_out = !ended;
            break;
        }
        if ui::interrupted() {
            break;
        }
    }
    console.finish();
    let unseen = script.unseen();
    Ok(Talk { console, bytes, timed_out, is_over: ended, time: start.elapsed(), unseen })
}
