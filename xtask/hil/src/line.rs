// SPDX-License-Identifier: MIT OR Apache-2.0
//! A serial line with faults, for tests: between a board (QEMU, or a recorded one) and a command
//! that opens `tcp://`. A pty has neither a speed nor an overrun, and loses nothing.

use crate::port::{Port, TCP};
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that an unread UART keeps; what comes then is lost.
pub const FIFO: usize = 16;
/// Bits on the line for each byte: start, eight, stop.
const BITS: u32 = 10;
/// Bytes that go out together where the line has a speed.
const PIECE: usize = 64;

/// The faults of a line. Probabilities are per byte from the board.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The seed: the same one gives the same faults.
    pub seed: u64,
    /// Bits per second; 0 is as fast as possible.
    pub baud: u32,
    /// Probability that a byte is lost.
    pub lose: f64,
    /// Probability that one bit of a byte flips.
    pub flip: f64,
    /// No faults of these two kinds before this byte.
    pub from: u64,
    /// No faults of these two kinds from this byte on.
    pub until: Option<u64>,
    /// The two sides have different rates: every byte is garbage.
    pub wrong_rate: bool,
    /// Nobody reads from this byte on, for so many bytes: all but [`FIFO`] of them are lost.
    pub unread: Option<(u64, u64)>,
    /// From this byte on nothing passes for so long.
    pub dead: Option<(u64, Duration)>,
    /// The connection ends before this byte.
    pub cut: Option<u64>,
    /// Probability that a byte to the board is lost.
    pub lose_orders: f64,
}

/// Numbers from a seed: SplitMix64.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Whether something of this probability happens.
    fn happens(&mut self, probability: f64) -> bool {
        // 53 bits are a float's.
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 <= probability && probability > 0.0
    }
}

/// One direction of a line.
pub struct Wire {
    faults: Faults,
    dice: Dice,
    /// Bytes that came in.
    seen: u64,
    /// Bytes of an unread time that the FIFO kept.
    kept: usize,
    /// When the time began in which nothing passes.
    died: Option<Instant>,
}

impl Wire {
    /// Returns a wire at its first byte.
    pub fn new(faults: Faults) -> Self {
        let dice = Dice(faults.seed);
        Self { faults, dice, seen: 0, kept: 0, died: None }
    }

    /// Returns what comes out for a byte that goes in; an error if the line is cut.
    ///
    /// # Errors
    /// The cut.
    pub fn pass(&mut self, byte: u8) -> Result<Option<u8>, Cut> {
        let at = self.seen;
        self.seen += 1;
        let faults = &self.faults;
        if faults.cut.is_some_and(|cut| at >= cut) {
            return Err(Cut);
        }
        if let Some((from, time)) = faults.dead
            && at >= from
            && self.died.get_or_insert_with(Instant::now).elapsed() < time
        {
            return Ok(None);
        }
        if let Some((from, count)) = faults.unread
            && (from..from + count).contains(&at)
        {
            self.kept += 1;
            if self.kept > FIFO {
                return Ok(None);
            }
        }
        if faults.wrong_rate {
            return Ok(Some(self.dice.next() as u8 | 0x80));
        }
        if at < faults.from || faults.until.is_some_and(|until| at >= until) {
            return Ok(Some(byte));
        }
        let (lose, flip) = (faults.lose, faults.flip);
        if self.dice.happens(lose) {
            return Ok(None);
        }
        let bit = if self.dice.happens(flip) { 1 << (self.dice.next() % 8) } else { 0 };
        Ok(Some(byte ^ bit))
    }
}

/// The line was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// Puts a line with faults between a board and the one client that connects to the address that is
/// returned, in the form of `--port`.
///
/// # Errors
/// If this machine has no TCP.
pub fn start(board: Port, faults: Faults) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no TCP on this machine")?;
    let address = format!("{TCP}{}", listener.local_addr()?);
    std::thread::spawn(move || {
        // Both ends of the line may go at any time, which ends it.
        if let Ok((client, _)) = listener.accept() {
            let _ = serve(board, &client, faults);
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
    });
    Ok(address)
}

fn serve(board: Port, client: &TcpStream, faults: Faults) -> Result<()> {
    client.set_nodelay(true)?;
    let mut from_client = client.try_clone()?;
    let dice = Arc::new(Mutex::new(Dice(faults.seed ^ 1)));
    let lose = faults.lose_orders;
    let Port { mut output, bytes, .. } = board;
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(count @ 1..) = from_client.read(&mut buffer) {
            let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = buffer[..count].iter().filter(|_| !dice.happens(lose));
            let kept: Vec<u8> = kept.copied().collect();
            if output.write_all(&kept).and_then(|()| output.flush()).is_err() {
                return;
            }
        }
    });
    let baud = faults.baud;
    let mut wire = Wire::new(faults);
    let mut due = Instant::now();
    let mut client = client;
    for chunk in bytes {
        for piece in chunk.chunks(PIECE) {
            let mut out = Vec::new();
            let mut cut = false;
            for &byte in piece {
                match wire.pass(byte) {
                    Ok(passed) => out.extend(passed),
                    Err(Cut) => cut = true,
                }
            }
            client.write_all(&out)?;
            if cut {
                return Ok(());
            }
            if baud > 0 {
                let bits = piece.len() as u32 * BITS;
                due = due.max(Instant::now()) + Duration::from_secs(1) * bits / baud;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(faults: Faults, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut wire = Wire::new(faults);
        let mut out = Vec::new();
        for &byte in bytes {
            match wire.pass(byte) {
                Ok(passed) => out.extend(passed),
                Err(Cut) => return (out, true),
            }
        }
        (out, false)
    }

    #[test]
    fn a_line_without_faults_changes_nothing() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(through(Faults::default(), &bytes), (bytes, false));
    }

    #[test]
    fn each_fault_does_what_it_says_and_repeats() {
        let bytes = [b'x'; 100_000];
        let base = Faults { seed: 7, ..Faults::default() };
        let lossy = Faults { lose: 0.01, ..base.clone() };
        let (out, _) = through(lossy.clone(), &bytes);
        assert!((98_700..99_300).contains(&out.len()), "{}", out.len());
        assert_eq!(through(lossy, &bytes).0, out, "the same seed");
        let (out, _) = through(Faults { flip: 0.01, ..base.clone() }, &bytes);
        let flipped = out.iter().filter(|byte| **byte != b'x').count();
        assert!(out.len() == bytes.len() && (700..1300).contains(&flipped), "{flipped}");
        assert!(out.iter().all(|byte| (byte ^ b'x').count_ones() <= 1));
        let late = Faults { lose: 1.0, from: 10, until: Some(20), ..base.clone() };
        assert_eq!(through(late, &bytes[..30]).0.len(), 20);
        let unread = Faults { unread: Some((100, 50)), ..base.clone() };
        assert_eq!(through(unread, &bytes[..200]).0.len(), 100 + FIFO + 50);
        let dead = Faults { dead: Some((5, Duration::from_secs(60))), ..base.clone() };
        assert_eq!(through(dead, &bytes[..200]).0.len(), 5);
        let dead = Faults { dead: Some((5, Duration::ZERO)), ..base.clone() };
        assert_eq!(through(dead, &bytes[..200]).0.len(), 200);
        let cut = Faults { cut: Some(5), ..base.clone() };
        assert_eq!(through(cut, &bytes), (bytes[..5].to_vec(), true));
        let (out, _) = through(Faults { wrong_rate: true, ..base }, &bytes[..100]);
        assert!(out.iter().all(|byte| !byte.is_ascii()));
    }

    #[test]
    fn bytes_come_at_the_line_s_speed() {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let board = Port::of("board", near.try_clone().expect("a copy"), near);
        let faults = Faults { baud: 115_200, ..Faults::default() };
        let mut client = Port::open(&start(board, faults).expect("a line")).expect("a client");
        let start = Instant::now();
        (&far).write_all(&[b'y'; 2304]).expect("0.2 s of bytes");
        let mut count = 0;
        while count < 2304 {
            count += client.bytes.recv_timeout(Duration::from_secs(5)).expect("bytes").len();
        }
        let time = start.elapsed();
        assert!((150..2000).contains(&time.as_millis()), "{time:?}");
        client.output.write_all(b"order").expect("bytes for the board");
        let mut order = [0; 5];
        (&far).read_exact(&mut order).expect("the same");
        assert_eq!(&order, b"order");
    }
}
