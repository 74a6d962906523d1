// SPDX-License-Identifier: MIT OR Apache-2.0
//! A serial line with faults and rates in both directions, for tests of the loader: each side has
//! a rate of its own, and while they differ every byte is garbage.

use crate::line::{Cut, Faults, Wire};
use crate::port::Port;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Bits on the line for each byte.
const BITS: u32 = 10;
/// Bytes that go out together.
const PIECE: usize = 64;

/// The rates of both ends, bits per second.
pub struct Rates {
    /// The board's: who runs the board sets it.
    pub board: AtomicU32,
    /// The host's: its port sets it.
    host: AtomicU32,
    /// The line does not carry a higher one.
    pub limit: u32,
}

impl Rates {
    /// Returns the rates of a line that is not used yet.
    pub fn new(limit: u32) -> Arc<Self> {
        let first = || AtomicU32::new(crate::port::BAUD);
        Arc::new(Self { board: first(), host: first(), limit })
    }

    /// Returns the rate at which `own` sends, and whether the other end understands it.
    fn sending(&self, own: &AtomicU32) -> (u32, bool) {
        let (board, host) = (self.board.load(Relaxed), self.host.load(Relaxed));
        let own = own.load(Relaxed).max(1);
        (own, board.abs_diff(host) * 25 <= host && own <= self.limit)
    }
}

/// Puts a line between a board and a port: `down` are the faults from the board, `up` those to it.
/// The rates of `faults` are not used: each side's bytes take as long as its rate says.
///
/// # Errors
/// If this machine has no sockets.
pub fn start(board: Port, down: Faults, up: Faults, rates: &Arc<Rates>) -> std::io::Result<Port> {
    let (near, far) = UnixStream::pair()?;
    let Port { bytes, mut output, .. } = board;
    let mut to_host = far.try_clone()?;
    let shared = Arc::clone(rates);
    std::thread::spawn(move || {
        let mut end = End::new(down);
        for chunk in bytes {
            let sent = end.carry(&chunk, || shared.sending(&shared.board), &mut to_host);
            if sent.is_err() {
                break;
            }
        }
        // The other end may have gone.
        let _ = to_host.shutdown(std::net::Shutdown::Both);
    });
    let mut from_host = far;
    let shared = Arc::clone(rates);
    std::thread::spawn(move || {
        let mut end = End::new(up);
        let mut buffer = [0; PIECE];
        while let Ok(count @ 1..) = from_host.read(&mut buffer) {
            let chunk = &buffer[..count];
            if end.carry(chunk, || shared.sending(&shared.host), &mut output).is_err() {
                let _ = from_host.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    });
    let mut port = Port::of("a line", near.try_clone()?, near);
    let rates = Arc::clone(rates);
    port.rate = Some(Box::new(move |baud| {
        rates.host.store(baud, Relaxed);
        Ok(())
    }));
    Ok(port)
}

/// One direction.
struct End {
    good: Wire,
    bad: Wire,
    due: Instant,
}

impl End {
    fn new(faults: Faults) -> Self {
        let bad = Faults { seed: faults.seed, wrong_rate: true, ..Faults::default() };
        Self { good: Wire::new(faults), bad: Wire::new(bad), due: Instant::now() }
    }

    /// Carries bytes to `output`, in the time that they take.
    fn carry(
        &mut self,
        chunk: &[u8],
        rate: impl Fn() -> (u32, bool),
        output: &mut dyn Write,
    ) -> std::io::Result<()> {
        for piece in chunk.chunks(PIECE) {
            let (baud, is_understood) = rate();
            let wire = if is_understood { &mut self.good } else { &mut self.bad };
            let passed: Result<Vec<_>, Cut> = piece.iter().map(|&byte| wire.pass(byte)).collect();
            let passed = passed.map_err(|Cut| std::io::Error::other("the line was cut"))?;
            let time = Duration::from_secs(1) * (piece.len() as u32 * BITS) / baud;
            self.due = self.due.max(Instant::now()) + time;
            std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
            output.write_all(&passed.into_iter().flatten().collect::<Vec<u8>>())?;
            output.flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    /// A line, and the board's end of it.
    fn line(down: Faults, up: Faults, rates: &Arc<Rates>) -> (Port, UnixStream) {
        let (near, far) = UnixStream::pair().expect("a pair");
        let board = Port::of("a board", near.try_clone().expect("a copy"), near);
        far.set_read_timeout(Some(WAIT)).expect("a time");
        (start(board, down, up, rates).expect("a line"), far)
    }

    fn read(board: &mut UnixStream, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        board.read_exact(&mut bytes).expect("bytes for the board");
        bytes
    }

    #[test]
    fn bytes_pass_in_both_directions_while_the_rates_agree() {
        let rates = Rates::new(1_000_000);
        let (mut port, mut board) = line(Faults::default(), Faults::default(), &rates);
        board.write_all(b"from the board").expect("bytes");
        let mut seen = Vec::new();
        while seen.len() < 14 {
            seen.extend(port.bytes.recv_timeout(WAIT).expect("bytes"));
        }
        assert_eq!(seen, b"from the board");
        port.send(b"\0to the board\0").expect("bytes");
        assert_eq!(read(&mut board, 14), b"\0to the board\0");
        // The host changes, the board does not, and then it does.
        assert!(port.set_rate(921_600).expect("a rate"));
        port.send(b"garbage").expect("bytes");
        assert!(read(&mut board, 7).iter().all(|byte| !byte.is_ascii()));
        rates.board.store(923_076, Relaxed);
        port.send(b"understood").expect("bytes");
        assert_eq!(read(&mut board, 10), b"understood");
        // Both are too fast for the line.
        assert!(port.set_rate(3_000_000).expect("a rate"));
        rates.board.store(3_000_000, Relaxed);
        port.send(b"garbage").expect("bytes");
        assert!(read(&mut board, 7).iter().all(|byte| !byte.is_ascii()));
    }

    #[test]
    fn each_direction_has_its_own_faults() {
        let rates = Rates::new(u32::MAX);
        let up = Faults { lose: 1.0, from: 2, until: Some(4), ..Faults::default() };
        let (mut port, mut board) = line(Faults::default(), up, &rates);
        port.send(b"abcdef").expect("bytes");
        assert_eq!(read(&mut board, 4), b"abef");
        let (mut port, _board) =
            line(Faults::default(), Faults { cut: Some(3), ..Faults::default() }, &rates);
        port.send(b"abcdef").expect("bytes");
        assert!(port.bytes.recv_timeout(WAIT).is_err());
    }
}
