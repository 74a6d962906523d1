// SPDX-License-Identifier: MIT OR Apache-2.0
//! A board in miniature, for tests: it boots, waits for orders and reports as a real run did, with
//! the nonce of the order.

use crate::port::Port;
use anyhow::{Context, Result, ensure};
use report::{MARK, Order, READY, Text};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Time between two lines that say that it waits.
const AGAIN: Duration = Duration::from_millis(100);

/// The lines of a run.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Lines before the report, as the console had them.
    boot: Vec<String>,
    /// Payloads of the report.
    payloads: Vec<String>,
    /// The board's reset line.
    reset: Arc<AtomicBool>,
}

/// What a board does other than in the recorded run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    /// It prints so many lines of its boot, and then nothing more.
    pub stops_at_boot: Option<usize>,
    /// In its first report it starts again before this line.
    pub resets_at: Option<usize>,
    /// Its first report lacks this line.
    pub skips: Option<usize>,
    /// It halts before this line of every report.
    pub halts_at: Option<usize>,
    /// It is silent from this line of every report on.
    pub hangs_at: Option<usize>,
    /// It hears nothing.
    pub is_deaf: bool,
    /// It says nothing about itself at first: it has run for a while.
    pub is_running: bool,
}

impl Recorded {
    /// Reads a console's log that has a report.
    ///
    /// # Errors
    /// If it has none.
    pub fn parse(log: &str) -> Result<Self> {
        let lines: Vec<&str> = log.lines().collect();
        let first = lines.iter().position(|line| line.contains(MARK));
        let first = first.context("the log has no report")?;
        let payload = |line: &&str| {
            let (_, rest) = line.split_once(MARK)?;
            Some(rest.splitn(3, ' ').nth(2)?.to_owned())
        };
        let payloads: Vec<_> = lines[first..].iter().filter_map(payload).collect();
        let ends = payloads.last().is_some_and(|last| last.starts_with("end "));
        ensure!(ends, "the log's report has no last line");
        let boot = lines[..first].iter().filter(|line| !line.contains(READY));
        Ok(Self { boot: boot.map(ToString::to_string).collect(), payloads, reset: Arc::default() })
    }

    /// Has the started board start again, and waits until it does. If it hung, it does not hang any
    /// more.
    pub fn reset(&self) {
        self.reset.store(true, Relaxed);
        while self.reset.load(Relaxed) && Arc::strong_count(&self.reset) > 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the payloads of its report.
    pub fn payloads(&self) -> &[String] {
        &self.payloads
    }

    /// Starts such a board.
    ///
    /// # Errors
    /// If this machine has no sockets.
    pub fn start(&self, behaviour: Behaviour) -> Result<Port> {
        let (near, far) = UnixStream::pair()?;
        far.set_read_timeout(Some(AGAIN))?;
        let board = self.clone();
        std::thread::spawn(move || {
            // It ends when nobody is at the other end any more.
            let _ = board.run(far, behaviour);
        });
        Ok(Port::of("a recorded board", near.try_clone()?, near))
    }

    fn boot(&self, mut line: &UnixStream, count: usize) -> Result<()> {
        for text in self.boot.iter().take(count) {
            write!(line, "{text}\r\n")?;
        }
        Ok(())
    }

    fn run(&self, mut line: UnixStream, mut behaviour: Behaviour) -> Result<()> {
        if !behaviour.is_running {
            self.boot(&line, behaviour.stops_at_boot.unwrap_or(usize::MAX))?;
        }
        let mut order = String::new();
        loop {
            let mut buffer = [0; 256];
            if self.reset.load(Relaxed) {
                if behaviour.stops_at_boot.is_some() {
                    behaviour = Behaviour::default();
                }
                order.clear();
                self.reset.store(false, Relaxed);
                self.boot(&line, usize::MAX)?;
            }
            if behaviour.stops_at_boot.is_none() {
                write!(line, "[lead] {READY}\r\n")?;
            }
            match line.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) if !behaviour.is_deaf => {
                    order.push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
                _ => continue,
            }
            while let Some((first, rest)) = order.split_once('\n') {
                let (first, rest) = (first.to_owned(), rest.to_owned());
                match Order::decode(&first) {
                    Some(Order::Run { nonce, .. }) => {
                        self.report(&mut line, nonce, &mut behaviour)?;
                    }
                    Some(Order::End) => {
                        let ends = "lead=off relay=off peer=off load=off";
                        return Ok(write!(line, "bulkhead: end {:016x} {ends}\r\n", 0)?);
                    }
                    None => write!(line, "[lead] latency: a damaged order\r\n")?,
                }
                order = rest;
            }
        }
    }

    fn report(&self, line: &mut UnixStream, nonce: u64, behaviour: &mut Behaviour) -> Result<()> {
        for (sequence, payload) in self.payloads.iter().enumerate() {
            if behaviour.resets_at == Some(sequence) {
                behaviour.resets_at = None;
                return self.boot(line, usize::MAX);
            }
            if behaviour.skips == Some(sequence) {
                behaviour.skips = None;
                continue;
            }
            if behaviour.halts_at == Some(sequence) {
                write!(line, "bulkhead: peer: vCPU 0 on core 2 halted: a test (ESR 0x0)\r\n")?;
                return Ok(());
            }
            if behaviour.hangs_at == Some(sequence) {
                behaviour.stops_at_boot = Some(0);
                return Ok(());
            }
            let payload = match payload.strip_prefix("begin nonce=") {
                Some(rest) => format!("begin nonce={nonce:016x}{}", &rest[16..]),
                None => payload.clone(),
            };
            let mut text = Text::new();
            report::line(&mut text, nonce, sequence as u32, format_args!("{payload}"));
            write!(line, "[lead] {}\r\n", text.as_str())?;
        }
        Ok(())
    }
}
