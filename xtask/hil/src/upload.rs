// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends an image to the loader on a board (`loader/`), over the serial line of its console.

use crate::port::Port;
use crate::stage::{Console, Stage};
use anyhow::{Context, Result, anyhow, bail};
use loader_protocol::sender::{Hopeless, WINDOW};
use loader_protocol::{BLOCK, Decoder, FIRST_RATE, FRAME, Image, Message, SILENCE_US, Sender};
use loader_protocol::{VERSION, checksum, encode};
use runner::ui;
use std::collections::VecDeque;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// The rate that is tried, bits per second. A 48 MHz clock gives it with an error of 0.16 %.
pub const RATE: u32 = 921_600;
/// Start of the loader's own lines.
const LOADER: &str = "loader: ";
/// Times that a question is asked, unless it waits for the board to be switched on.
const ASKED: u32 = 12;
/// Times that a question is asked at a new rate: three seconds, and the loader waits for five.
const PROBES: u32 = 30;
/// Time for an answer.
const ANSWER: Duration = Duration::from_millis(100);
/// Time for the answer to a question while the board may be off.
const POLL: Duration = Duration::from_millis(250);
/// Time for answers at a new rate.
const NEW_RATE: Duration = Duration::from_millis(100);
/// Silence during the transfer after which the line is taken as broken. The loader falls back to
/// the first rate a little later.
const BROKEN: Duration = Duration::from_secs(4);
/// Times that silence during the transfer brings both sides back to the first rate.
const FALLS: u32 = 3;

/// What to send.
pub struct Order<'a> {
    /// The image.
    pub image: &'a [u8],
    /// The address where it belongs.
    pub target: u64,
    /// The rate to raise the line to.
    pub rate: u32,
    /// How long the board may take to answer at first.
    pub wait: Duration,
}

/// What an upload tells while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It waits for a loader.
    Waiting,
    /// Something that people should know: the line is slower than asked for.
    Note(String),
    /// So many compressed bytes of all are there, and so many blocks were sent again.
    Sent(u64, u64, u64),
    /// The board unpacks the image.
    Unpacking,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Bytes of the image.
    pub size: usize,
    /// Bytes of it on the line, compressed.
    pub packed: usize,
    /// Bits per second at the end.
    pub rate: u32,
    /// Blocks that were sent again.
    pub repeats: u64,
    /// Time from the loader's first answer to the start of the image.
    pub time: Duration,
}

impl std::fmt::Display for Uploaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes, {} on the line at {} baud, {} of {} blocks sent again, {:.1} s",
            self.size,
            self.packed,
            self.rate,
            self.repeats,
            self.packed.div_ceil(BLOCK),
            self.time.as_secs_f64()
        )
    }
}

/// The loader's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Loader { nonce: u32, version: u32 },
    Changing { baud: u32 },
    Have { session: u32, next: u32, more: u32 },
    Unpacked { session: u32 },
    Starting { session: u32 },
    Refused(String),
}

impl Answer {
    /// Returns the answer that a message is, if the loader sent it.
    fn of(message: &Message<'_>) -> Option<Self> {
        Some(match *message {
            Message::Loader { nonce, version, .. } => Self::Loader { nonce, version },
            Message::Changing { baud } => Self::Changing { baud },
            Message::Have { session, next, more } => Self::Have { session, next, more },
            Message::Unpacked { session } => Self::Unpacked { session },
            Message::Starting { session } => Self::Starting { session },
            Message::Refused { why } => Self::Refused(why.to_owned()),
            // An adapter that echoes returns the host's own messages.
            _ => return None,
        })
    }
}

/// A conversation with a loader.
struct Talk<'a> {
    port: &'a mut Port,
    decoder: Decoder,
    /// Bytes that came and were not looked at.
    bytes: VecDeque<u8>,
    /// What is not a frame, as the console of a board without a loader.
    console: Console,
    rate: u32,
}

/// Sends an image and has it started. The port is at the first rate before and after it.
///
/// # Errors
/// A sentence with what to do, if no loader answers, it refuses the image, or the line is too bad.
pub fn upload(port: &mut Port, order: &Order, tell: &mut dyn FnMut(Event)) -> Result<Uploaded> {
    let image = order.image;
    let packed = lz4_flex::block::compress(image);
    let mut talk = Talk {
        port,
        decoder: Decoder::default(),
        bytes: VecDeque::new(),
        console: Console::default(),
        rate: FIRST_RATE,
    };
    tell(Event::Waiting);
    talk.find(order.wait)?;
    let begun = Instant::now();
    if let Some(note) = talk.raise(order.rate)? {
        tell(Event::Note(note));
    }
    let announced = Image {
        // Another transfer's blocks must not be taken for this one's.
        session: runner::qemu::random() as u32 & 0xffff,
        target: order.target,
        size: u32::try_from(image.len()).context("the image is larger than 4 GiB")?,
        packed: u32::try_from(packed.len()).context("the image is larger than 4 GiB")?,
        crc: checksum(image),
    };
    let repeats = talk.send(&announced, &packed, tell)?;
    tell(Event::Unpacking);
    let session = announced.session;
    // With its caches off the board takes up to a second per 3 MB.
    let patience = 20 + image.len() as u32 / 100_000;
    talk.ask(&Message::Unpack { session }, patience, POLL, |answer| {
        matches!(answer, Answer::Unpacked { session: own } if *own == session).then_some(())
    })
    .context("the image was not unpacked")?;
    let rate = talk.rate;
    let started = talk.ask(&Message::Start { session }, 3, ANSWER, |answer| {
        matches!(answer, Answer::Starting { session: own } if *own == session).then_some(())
    });
    // If each of the answers was lost the image has started too: its console will tell.
    match started {
        Err(error) if error.is::<Refused>() => return Err(error),
        _ => {}
    }
    talk.set_rate(FIRST_RATE)?;
    talk.discard(ANSWER);
    let time = begun.elapsed();
    Ok(Uploaded { size: image.len(), packed: packed.len(), rate, repeats, time })
}

/// The loader refused something.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the loader refused it: {}", self.0)
    }
}

impl std::error::Error for Refused {}

impl Talk<'_> {
    /// Waits until a loader answers.
    fn find(&mut self, wait: Duration) -> Result<()> {
        let begun = Instant::now();
        // One number for all questions: a late answer counts too.
        let own = runner::qemu::random() as u32;
        loop {
            match self.hello(own, 1, POLL)? {
                Some(VERSION) => return Ok(()),
                Some(version) => bail!(
                    "the loader on the board is version {version}, this command's is {VERSION}: \
                     write it anew (cargo xtask flash --loader --device /dev/sdX)"
                ),
                None if begun.elapsed() >= wait => break,
                None => {}
            }
        }
        let seconds = wait.as_secs_f32();
        let hint = match self.console.stage() {
            _ if self.console.last.starts_with(LOADER) => {
                "the loader printed its line, but hears nothing: does the adapter's output go to \
                 pin 10 (GPIO 15)?"
                    .to_owned()
            }
            Stage::El2 | Stage::Running => {
                "a system of Bulkhead's runs: reset the board".to_owned()
            }
            _ => self.console.says(),
        };
        Err(anyhow!(
            "{}: after {seconds} s no loader answers: {hint}. The board's card needs the loader \
             (cargo xtask flash --loader --device /dev/sdX), and the board must start from it: \
             switch it off and on",
            self.port.name
        ))
    }

    /// Asks whether a loader is there; returns the version of its messages.
    fn hello(&mut self, own: u32, times: u32, wait: Duration) -> Result<Option<u32>> {
        let answer = self.ask(&Message::Hello { nonce: own }, times, wait, |answer| match answer {
            Answer::Loader { nonce, version } if *nonce == own => Some(*version),
            _ => None,
        });
        match answer {
            Ok(version) => Ok(Some(version)),
            Err(error) if error.is::<Silence>() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Raises the rate; returns a sentence if the line stays slow.
    fn raise(&mut self, rate: u32) -> Result<Option<String>> {
        if rate == FIRST_RATE {
            return Ok(None);
        }
        if self.port.rate.is_none() {
            let name = &self.port.name;
            return Ok(Some(format!(
                "{name} has a fixed rate: the line stays at {FIRST_RATE} baud"
            )));
        }
        let changed = self.ask(&Message::Rate { baud: rate }, ASKED, ANSWER, |answer| {
            matches!(answer, Answer::Changing { baud } if *baud == rate).then_some(())
        });
        match changed {
            Err(error) if error.is::<Refused>() => return Ok(Some(format!("{error:#}"))),
            // If the answers were lost the loader has changed: the next question will tell.
            Err(error) if !error.is::<Silence>() => return Err(error),
            _ => {}
        }
        if let Err(error) = self.set_rate(rate) {
            self.fall()?;
            return Ok(Some(format!("{error:#}: the line stays at {FIRST_RATE} baud")));
        }
        if self.hello(runner::qemu::random() as u32, PROBES, NEW_RATE)?.is_some() {
            return Ok(None);
        }
        self.fall()?;
        Ok(Some(format!("no answer at {rate} baud: the line is back at {FIRST_RATE} baud")))
    }

    /// Goes back to the first rate, and waits until the loader does the same.
    fn fall(&mut self) -> Result<()> {
        self.set_rate(FIRST_RATE)?;
        self.decoder = Decoder::default();
        let until = Instant::now() + Duration::from_micros(3 * SILENCE_US);
        let own = runner::qemu::random() as u32;
        while Instant::now() < until {
            if self.hello(own, 1, POLL)?.is_some() {
                return Ok(());
            }
        }
        bail!(
            "{}: the loader does not answer any more: was the board switched off, or the wire \
             pulled?",
            self.port.name
        )
    }

    /// Sends all blocks; returns how many were sent more than once.
    fn send(&mut self, image: &Image, packed: &[u8], tell: &mut dyn FnMut(Event)) -> Result<u64> {
        let mut repeats = 0;
        for _ in 0..=FALLS {
            let next =
                self.ask(&Message::Begin(*image), ASKED, 2 * POLL, |answer| match answer {
                    Answer::Have { session, next, .. } if *session == image.session => Some(*next),
                    _ => None,
                })?;
            let mut sender = Sender::new(*image, next);
            let is_done = self.blocks(image, packed, &mut sender, repeats, tell)?;
            repeats += sender.repeats;
            if is_done {
                return Ok(repeats);
            }
            let lost = self.rate;
            self.fall()?;
            tell(Event::Note(format!("silence at {lost} baud: back to {FIRST_RATE} baud")));
        }
        bail!("{}: the line broke off {FALLS} times", self.port.name)
    }

    /// Sends blocks until all are there, or until nothing came for a long time.
    fn blocks(
        &mut self,
        image: &Image,
        packed: &[u8],
        sender: &mut Sender,
        repeats: u64,
        tell: &mut dyn FnMut(Event),
    ) -> Result<bool> {
        // A window's bytes there, and the answers back, with as much again for adapters.
        let window = (WINDOW * FRAME * 10) as u64 * 1_000_000 / u64::from(self.rate);
        let least = Duration::from_micros(2 * window) + ANSWER;
        // A slow board or a busy host must not be flooded with the same blocks: the longest wait
        // for an answer, which fades, says what is usual.
        let (mut quiet, mut usual) = (least, Duration::ZERO);
        let (mut heard, mut asked) = (Instant::now(), Instant::now());
        let total = packed.len() as u64;
        while !sender.is_complete() {
            while let Some(number) = sender.next_block().map_err(|why| self.hopeless(why))? {
                let from = number as usize * BLOCK;
                let bytes = &packed[from..from + image.length(number)];
                self.say(&Message::Block { session: image.session, number, bytes })?;
                asked = Instant::now();
            }
            match self.answer(asked + quiet)? {
                Some(Answer::Have { session, next, more }) if session == image.session => {
                    sender.acknowledge(next, more);
                    usual = asked.elapsed().max(usual * 15 / 16);
                    quiet = (3 * usual).clamp(least, BROKEN);
                    heard = Instant::now();
                    asked = heard;
                    let done = u64::from(sender.done()) * BLOCK as u64;
                    tell(Event::Sent(done.min(total), total, repeats + sender.repeats));
                }
                Some(Answer::Refused(why)) => return Err(Refused(why).into()),
                Some(_) => {}
                // Not the time of one wait: a broken line must not be taken for a slow one.
                None if heard.elapsed() > BROKEN => return Ok(false),
                None => {
                    sender.give_up_waiting();
                    quiet = BROKEN.min(quiet * 2);
                    asked = Instant::now();
                }
            }
        }
        Ok(true)
    }

    fn hopeless(&self, why: Hopeless) -> anyhow::Error {
        let Hopeless::Block(number) = why;
        anyhow!(
            "{}: block {number} was damaged on the line {} times: use a shorter wire, or a lower \
             rate (--baud)",
            self.port.name,
            loader_protocol::sender::ATTEMPTS
        )
    }

    /// Asks up to `times` times; returns what `accept` makes of an answer.
    fn ask<T>(
        &mut self,
        message: &Message,
        times: u32,
        wait: Duration,
        accept: impl Fn(&Answer) -> Option<T>,
    ) -> Result<T> {
        for _ in 0..times {
            self.say(message)?;
            let until = Instant::now() + wait;
            while let Some(answer) = self.answer(until)? {
                if let Some(accepted) = accept(&answer) {
                    return Ok(accepted);
                }
                if let Answer::Refused(why) = answer {
                    return Err(Refused(why).into());
                }
            }
        }
        Err(Silence(self.port.name.clone()).into())
    }

    fn say(&mut self, message: &Message) -> Result<()> {
        let mut buffer = [0; FRAME];
        self.port.send(encode(message, &mut buffer))
    }

    /// Returns the next answer, or none if none came until `until`.
    fn answer(&mut self, until: Instant) -> Result<Option<Answer>> {
        loop {
            while let Some(byte) = self.bytes.pop_front() {
                if let Some(answer) = self.decoder.push(byte).as_ref().and_then(Answer::of) {
                    return Ok(Some(answer));
                }
            }
            if ui::interrupted() {
                bail!("interrupted");
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.port.bytes.recv_timeout(left) {
                Ok(bytes) => {
                    self.console.feed(&bytes);
                    self.bytes.extend(bytes);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!(
                    "the port {} closed: the adapter was unplugged, or its server ended",
                    self.port.name
                ),
            }
        }
    }

    /// Drops what comes in this time: answers to repeated questions.
    fn discard(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.port.bytes.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    fn set_rate(&mut self, rate: u32) -> Result<()> {
        if self.rate != rate && self.port.set_rate(rate)? {
            self.rate = rate;
            self.decoder = Decoder::default();
        }
        Ok(())
    }
}

/// The loader did not answer.
#[derive(Debug)]
struct Silence(String);

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: the loader does not answer any more", self.0)
    }
}

impl std::error::Error for Silence {}
