// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loader's messages: each is answered, and the state that it asks for is made.

use core::fmt::{Arguments, Write};

use loader_protocol::place::{Memory, Misplaced, Range};
use loader_protocol::{
    Board, Damage, Decoder, FIRST_RATE, FRAME, Image, LINGER_US, Message, SILENCE_US, Transfer,
    VERSION, divisor, encode, unpack,
};

use crate::cpu;
use crate::ram::{LIMIT, PAGE};
use crate::uart::Uart;

/// Turns of the loop between two looks at an empty FIFO: a few microseconds, while 16 bytes take 53
/// at the highest rate of a 48 MHz clock. Without this pause the loader would keep an emulator from
/// filling the FIFO: device registers and the counter need its one lock.
const PAUSE: u32 = 200;
/// Most bytes of a refusal.
const LINE: usize = 160;

/// The loader's state.
pub struct Loader {
    board: Board,
    memory: Memory,
    transfer: Option<Transfer>,
    /// Where the compressed blocks of the transfer are.
    packed: Range,
    is_unpacked: bool,
    /// The rate that the host asked for.
    rate: u32,
    /// When a started image gets the core.
    starts: Option<u64>,
}

impl Loader {
    /// Returns a loader that waits, with `memory` for images.
    pub fn new(board: Board, memory: Memory) -> Self {
        Self {
            board,
            memory,
            transfer: None,
            packed: Range::default(),
            is_unpacked: false,
            rate: FIRST_RATE,
            starts: None,
        }
    }
}

/// Answers messages until an image is to start; returns its address.
pub fn serve(loader: &mut Loader, uart: &mut Uart) -> u64 {
    let mut decoder = Decoder::default();
    let mut rate = FIRST_RATE;
    let mut heard = cpu::now();
    loop {
        if let Some(byte) = uart.receive() {
            if let Some(message) = decoder.push(byte) {
                heard = cpu::now();
                loader.answer(message, uart);
            }
            if rate != loader.rate {
                rate = loader.rate;
                uart.set_rate(rate);
                decoder = Decoder::default();
                heard = cpu::now();
            }
            continue;
        }
        (0..PAUSE).for_each(|_| core::hint::spin_loop());
        let now = cpu::now();
        if rate != FIRST_RATE && now - heard > cpu::ticks(SILENCE_US) {
            rate = FIRST_RATE;
            loader.rate = rate;
            uart.set_rate(rate);
        }
        if let (Some(time), Some(transfer)) = (loader.starts, &loader.transfer)
            && now >= time
        {
            uart.set_rate(FIRST_RATE);
            return transfer.image.target;
        }
    }
}

/// Sends a message.
fn say(message: &Message, uart: &mut Uart) {
    let mut buffer = [0; FRAME];
    encode(message, &mut buffer).iter().for_each(|&byte| uart.send(byte));
}

/// Sends a refusal.
fn refuse(why: Arguments<'_>, uart: &mut Uart) {
    let mut line = Line { bytes: [0; LINE], used: 0 };
    // What does not fit is cut.
    let _ = line.write_fmt(why);
    let why = core::str::from_utf8(&line.bytes[..line.used]).unwrap_or_default();
    say(&Message::Refused { why }, uart);
}

impl Loader {
    fn answer(&mut self, message: Message<'_>, uart: &mut Uart) {
        match message {
            Message::Hello { nonce } => {
                let clock = self.board.clock;
                say(&Message::Loader { nonce, version: VERSION, clock }, uart);
            }
            Message::Rate { baud } if divisor(self.board.clock, baud).is_some() => {
                say(&Message::Changing { baud }, uart);
                self.rate = baud;
            }
            Message::Rate { baud } => {
                let clock = self.board.clock;
                refuse(format_args!("a clock of {clock} Hz does not give {baud} baud"), uart);
            }
            Message::Begin(image) => self.begin(image, uart),
            Message::Block { session, number, bytes } => {
                if let Some(transfer) =
                    self.transfer.as_mut().filter(|t| t.image.session == session)
                {
                    if let Some(at) = transfer.take(number, bytes.len()) {
                        let base = self.packed.base + at as u64;
                        // SAFETY: `begin` found free RAM for `packed`, and the block is inside.
                        let place = unsafe { cpu::bytes_mut(base, bytes.len() as u64) };
                        place.copy_from_slice(bytes);
                    }
                    say(&transfer.have(), uart);
                }
            }
            Message::Unpack { session } => self.unpack(session, uart),
            Message::Start { session } => match &self.transfer {
                Some(transfer) if transfer.image.session == session && self.is_unpacked => {
                    say(&Message::Starting { session }, uart);
                    self.starts = self.starts.or(Some(cpu::now() + cpu::ticks(LINGER_US)));
                }
                _ => refuse(format_args!("there is no image to start"), uart),
            },
            // These are the loader's own.
            Message::Loader { .. }
            | Message::Changing { .. }
            | Message::Have { .. }
            | Message::Unpacked { .. }
            | Message::Starting { .. }
            | Message::Refused { .. } => {}
        }
    }

    /// Begins a transfer, unless it has begun.
    fn begin(&mut self, image: Image, uart: &mut Uart) {
        if let Some(transfer) = self.transfer.as_ref().filter(|t| t.image == image) {
            return say(&transfer.have(), uart);
        }
        self.transfer = None;
        self.is_unpacked = false;
        self.starts = None;
        let Image { target: base, size, packed, .. } = image;
        let range = Range { base, size: u64::from(size) };
        let end = base.saturating_add(range.size);
        if size == 0 || packed == 0 || !base.is_multiple_of(PAGE) {
            return refuse(
                format_args!("an image of {size} bytes at {base:#x}: it needs bytes and a page"),
                uart,
            );
        }
        match self.memory.check(&range) {
            Ok(()) => {}
            Err(Misplaced::NoRam) => {
                return refuse(
                    format_args!("the image, {base:#x} to {end:#x}, is not in RAM"),
                    uart,
                );
            }
            Err(Misplaced::Kept(kept)) => {
                let (from, to) = (kept.base, kept.base + kept.size);
                return refuse(
                    format_args!(
                        "the image, {base:#x} to {end:#x}, is over {from:#x} to {to:#x}, which the \
                         loader or firmware has"
                    ),
                    uart,
                );
            }
        }
        let mut memory = self.memory;
        let has_room = memory.kept.add(range.base, range.size);
        let room = u64::from(packed).next_multiple_of(PAGE);
        let place = if has_room { memory.highest(room, PAGE, LIMIT) } else { None };
        let Some(place) = place else {
            return refuse(format_args!("no free RAM for {packed} compressed bytes"), uart);
        };
        self.packed = Range { base: place, size: room };
        // Nothing dirty may land on them later.
        cpu::clean_invalidate(&self.packed);
        cpu::clean_invalidate(&range);
        let transfer = Transfer::new(image);
        say(&transfer.have(), uart);
        self.transfer = Some(transfer);
    }

    /// Unpacks the image, unless that is done.
    fn unpack(&mut self, session: u32, uart: &mut Uart) {
        let Some(transfer) = self.transfer.as_ref().filter(|t| t.image.session == session) else {
            return refuse(format_args!("there is no such image"), uart);
        };
        if !transfer.is_complete() {
            return say(&transfer.have(), uart);
        }
        if !self.is_unpacked {
            let Image { target, size, packed, crc, .. } = transfer.image;
            let range = Range { base: target, size: u64::from(size) };
            // SAFETY: `begin` found this RAM free, and apart from the compressed bytes.
            let image = unsafe { cpu::bytes_mut(range.base, range.size) };
            // SAFETY: `begin` found free RAM for them, which only `answer` writes.
            let compressed = unsafe { cpu::bytes(self.packed.base, u64::from(packed)) };
            let result = unpack(compressed, image, crc);
            // Nothing stale may be read instead of it.
            cpu::clean_invalidate(&range);
            match result {
                Ok(()) => self.is_unpacked = true,
                Err(damage) => {
                    self.transfer = None;
                    let why = match damage {
                        Damage::Form => "its compressed form is damaged",
                        Damage::Checksum => "its CRC32C is not the announced one",
                    };
                    return refuse(format_args!("the image is not started: {why}"), uart);
                }
            }
        }
        say(&Message::Unpacked { session }, uart);
    }
}

/// A line for people.
struct Line {
    bytes: [u8; LINE],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.get_mut(self.used..self.used + text.len());
        room.ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}
