// SPDX-License-Identifier: MIT OR Apache-2.0
//! A session with a board that runs the measuring system: waits for each stage within its time,
//! orders a report, collects it, and orders it again if the line damaged it.

use crate::collect::Collector;
use crate::port::Port;
use crate::stage::{Console, Stage};
use anyhow::{Context, Result, anyhow, bail};
use report::{Order, READY};
use runner::qemu::EL2;
use runner::ui;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// Attempts at a report.
pub const ATTEMPTS: u32 = 3;
/// Times that an order is sent.
const ORDERS: u32 = 5;
/// Interval of the checks for the time.
const TICK: Duration = Duration::from_millis(20);

/// The longest time in each state.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until the first byte.
    pub power: Duration,
    /// From there until EL2's first line.
    pub firmware: Duration,
    /// From there until the partitions start.
    pub plan: Duration,
    /// Without a byte, while the partitions run.
    pub silence: Duration,
    /// From an order to the report's first line.
    pub answer: Duration,
    /// From the last order to EL2's last line.
    pub end: Duration,
    /// All of a report.
    pub report: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            power: seconds(60),
            firmware: seconds(60),
            plan: seconds(60),
            silence: seconds(120),
            answer: seconds(5),
            end: seconds(20),
            report: seconds(3600),
        }
    }
}

/// What a session tells while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The board has come this far.
    Stage(Stage),
    /// So many rows of all came.
    Rows(usize, usize),
    /// A report did not count, and the next attempt begins.
    Again(String),
}

/// A report.
#[derive(Clone, Debug)]
pub struct Report {
    /// The payloads of its lines.
    pub payloads: Vec<String>,
    /// The attempts that it took.
    pub attempts: u32,
}

/// Has the board start again.
pub type Reset<'a> = Option<&'a mut dyn FnMut(&mut Port) -> Result<()>>;

/// A session.
pub struct Session<'a> {
    port: Port,
    /// The board's console.
    pub console: Console,
    times: Times,
    reset: Reset<'a>,
    tell: &'a mut dyn FnMut(Event),
    stage: Stage,
    /// When this stage began, and when the last byte came.
    since: Instant,
    heard: Instant,
    /// Every byte that came.
    pub log: Vec<u8>,
}

/// What became of one attempt.
enum Attempt {
    Complete(Vec<String>),
    Spoilt(String),
}

impl<'a> Session<'a> {
    /// Begins a session at an open port.
    pub fn new(port: Port, times: Times, reset: Reset<'a>, tell: &'a mut dyn FnMut(Event)) -> Self {
        let now = Instant::now();
        Self {
            port,
            console: Console::default(),
            times,
            reset,
            tell,
            stage: Stage::Power,
            since: now,
            heard: now,
            log: Vec::new(),
        }
    }

    /// Has the board start again, if it can: at the start of a session, so that the whole boot is
    /// seen.
    ///
    /// # Errors
    /// If the command for it fails.
    pub fn restart(&mut self) -> Result<()> {
        if let Some(reset) = &mut self.reset {
            reset(&mut self.port).context("power: the board was not reset")?;
            // What came before is of no interest.
            while self.port.bytes.try_recv().is_ok() {}
            self.console = Console::default();
            self.stage = Stage::Power;
        }
        self.since = Instant::now();
        self.heard = self.since;
        Ok(())
    }

    /// Gets one whole report of `samples` values per row. `nonce` gives a number for each attempt.
    ///
    /// # Errors
    /// A sentence with the state that took too long, or why three reports did not count.
    pub fn report(&mut self, samples: u32, mut nonce: impl FnMut() -> u64) -> Result<Report> {
        let mut reasons = Vec::new();
        for attempt in 1..=ATTEMPTS {
            match self.attempt(Order::Run { nonce: nonce(), samples })? {
                Attempt::Complete(payloads) => return Ok(Report { payloads, attempts: attempt }),
                Attempt::Spoilt(why) => {
                    if attempt < ATTEMPTS {
                        (self.tell)(Event::Again(why.clone()));
                        self.restart()?;
                    }
                    reasons.push(why);
                }
            }
        }
        bail!("figures: {ATTEMPTS} reports did not count: {}", reasons.join("; "))
    }

    fn attempt(&mut self, order: Order) -> Result<Attempt> {
        let Order::Run { nonce, .. } = order else { bail!("not the order of a report") };
        let mut collector = Collector::new(nonce);
        let (mut sent, mut orders) = (None::<Instant>, 0);
        let begun = Instant::now();
        let mut rows = 0;
        loop {
            for line in self.lines()? {
                collector.line(&line);
                if line.contains(READY) {
                    self.console.is_running();
                    collector.stopped();
                    // The guest says so every 2 s, so an order that it just got is not sent again.
                    if !collector.has_begun()
                        && sent.is_none_or(|sent| sent.elapsed() > self.times.answer)
                    {
                        if orders == ORDERS {
                            bail!(
                                "figures: the board took none of {ORDERS} orders: does the \
                                 adapter's output go to pin 10 (GPIO 15)?"
                            );
                        }
                        self.send(order)?;
                        (sent, orders) = (Some(Instant::now()), orders + 1);
                    }
                }
                self.refuse(&line)?;
            }
            if let Some(why) = collector.spoilt() {
                return Ok(Attempt::Spoilt(why.to_string()));
            }
            let (done, all) = collector.progress();
            if done != rows {
                rows = done;
                (self.tell)(Event::Rows(done, all));
            }
            if let Some(payloads) = collector.complete() {
                return Ok(Attempt::Complete(payloads.to_vec()));
            }
            self.see_stage();
            let silent = self.heard.elapsed() > self.times.silence;
            if collector.has_begun() && (silent || begun.elapsed() > self.times.report) {
                let seconds = self.heard.elapsed().as_secs();
                return Ok(Attempt::Spoilt(format!(
                    "the report stopped after {done} of {all} rows, {seconds} s ago"
                )));
            }
            self.in_time(collector.has_begun())?;
        }
    }

    /// Waits a moment for bytes; returns the lines that ended.
    fn lines(&mut self) -> Result<Vec<String>> {
        if ui::interrupted() {
            bail!("interrupted");
        }
        match self.port.bytes.recv_timeout(TICK) {
            Ok(bytes) => {
                self.heard = Instant::now();
                self.log.extend(&bytes);
                Ok(self.console.feed(&bytes))
            }
            Err(RecvTimeoutError::Timeout) => Ok(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => Err(anyhow!(
                "{}: the port {} closed: the adapter was unplugged, or its server ended; {}",
                state(self.stage),
                self.port.name,
                self.console.says()
            )),
        }
    }

    fn see_stage(&mut self) {
        if self.console.stage() > self.stage {
            self.stage = self.console.stage();
            self.since = Instant::now();
            (self.tell)(Event::Stage(self.stage));
        }
    }

    /// Fails if this stage takes longer than it may.
    fn in_time(&self, has_begun: bool) -> Result<()> {
        let limit = match self.stage {
            Stage::Power => self.times.power,
            Stage::Firmware => self.times.firmware,
            Stage::El2 => self.times.plan,
            Stage::Running => self.times.silence,
        };
        let since = if self.stage == Stage::Running { self.heard } else { self.since };
        if since.elapsed() > limit && !has_begun {
            let seconds = limit.as_secs_f32();
            bail!("{}: after {seconds} s {}", state(self.stage), self.console.says());
        }
        Ok(())
    }

    /// Fails if EL2 says that the system cannot go on.
    fn refuse(&self, line: &str) -> Result<()> {
        if let Some(why) = &self.console.refusal {
            bail!("plan: Bulkhead refused the machine: {why}");
        }
        let Some(said) = line.strip_prefix(EL2) else { return Ok(()) };
        let halts = said.contains(" halted: ") || said.ends_with(": halted");
        if halts || said.contains("reported failure") {
            bail!("figures: {said}");
        }
        if said.starts_with("end ") {
            bail!("figures: the system ended instead of waiting for an order: {said}");
        }
        Ok(())
    }

    fn send(&mut self, order: Order) -> Result<()> {
        self.port.send(format!("{}\n", order.encode().as_str()).as_bytes())
    }

    /// Switches the system off; returns EL2's last line.
    ///
    /// # Errors
    /// If that line does not come in time.
    pub fn end(&mut self) -> Result<String> {
        let begun = Instant::now();
        let mut sent = None::<Instant>;
        loop {
            for line in self.lines()? {
                if line.contains(READY)
                    && sent.is_none_or(|sent| sent.elapsed() > self.times.answer)
                {
                    self.send(Order::End)?;
                    sent = Some(Instant::now());
                }
                if let Some(end) = line.strip_prefix(EL2).filter(|said| said.starts_with("end ")) {
                    return Ok(end.to_owned());
                }
            }
            if begun.elapsed() > self.times.end {
                let seconds = self.times.end.as_secs_f32();
                bail!("end: EL2's last line did not come within {seconds} s");
            }
        }
    }
}

/// Returns the name of the state that a board at this stage is in.
fn state(stage: Stage) -> &'static str {
    match stage {
        Stage::Power => "power",
        Stage::Firmware => "firmware",
        Stage::El2 => "plan",
        Stage::Running => "figures",
    }
}
