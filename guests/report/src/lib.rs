// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines of a latency report: `guests/latency` writes them, and `cargo xtask hil` reads them
//! from a serial line that may lose or change bytes.
//!
//! A line is `~hil SEQUENCE CRC PAYLOAD`. The CRC32C covers the run's nonce, the sequence number
//! and the payload, so a line of another run is not taken for one of this run:
//!
//! ```
//! use bulkhead_report::{Text, line, read};
//!
//! let nonce = 0x0123_4567_89ab_cdef;
//! let mut text = Text::new();
//! line(&mut text, nonce, 7, format_args!("row name=sgi count=3"));
//! let seen = format!("[lead] {}", text.as_str());
//! assert_eq!(read(&seen, nonce), Some(Ok((7, "row name=sgi count=3"))));
//! assert!(matches!(read(&seen.replace("=3", "=4"), nonce), Some(Err(_))));
//! assert!(matches!(read(&seen, nonce + 1), Some(Err(_))));
//! assert_eq!(read("[load] something else", nonce), None);
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod histogram;
mod order;
#[cfg(test)]
mod tests;
mod text;

pub use histogram::{BUCKETS, Histogram, bucket, range};
pub use order::{Order, READY};
pub use text::Text;

use core::fmt::{Arguments, Write};
use crc::{CRC_32_ISCSI, Crc};

/// The version of the report's format: the first line has it.
pub const VERSION: u32 = 1;
/// Start of every line of a report.
pub const MARK: &str = "~hil ";
/// Most bytes of a payload. EL2 ends a guest's line after 200 bytes, and a line has its mark,
/// number and CRC too.
pub const PAYLOAD: usize = 150;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Why a line does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// It has not the form of a line.
    Form,
    /// Its CRC is not that of this run's nonce, its sequence number and its payload.
    Crc,
}

/// Returns the CRC32C of a line.
fn crc(nonce: u64, sequence: u32, payload: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&nonce.to_le_bytes());
    digest.update(&sequence.to_le_bytes());
    digest.update(payload);
    digest.finalize()
}

/// Writes a line, without its line feed, to `out`, which is emptied before. A payload that is
/// longer than [`PAYLOAD`] is cut there.
pub fn line(out: &mut Text, nonce: u64, sequence: u32, payload: Arguments) {
    let mut text = Text::new();
    // A text does not fail: it is cut at its end.
    let _ = text.write_fmt(payload);
    let payload = text.cut(PAYLOAD);
    *out = Text::new();
    let crc = crc(nonce, sequence, payload.as_bytes());
    let _ = write!(out, "{MARK}{sequence:05} {crc:08x} {payload}");
}

/// Returns sequence number and payload of a line of the run `nonce`; none if the text has no
/// [`MARK`].
pub fn read(text: &str, nonce: u64) -> Option<Result<(u32, &str), BadLine>> {
    let (_, rest) = text.split_once(MARK)?;
    Some(fields(rest).ok_or(BadLine::Form).and_then(|(sequence, sum, payload)| {
        let right = sum == crc(nonce, sequence, payload.as_bytes());
        if right { Ok((sequence, payload)) } else { Err(BadLine::Crc) }
    }))
}

fn fields(rest: &str) -> Option<(u32, u32, &str)> {
    let mut words = rest.splitn(3, ' ');
    let (sequence, crc) = (words.next()?, words.next()?);
    // Only the form that `line` writes: other ways to write a number are damage.
    let is_number = sequence.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = sequence.len() == 5 || sequence.len() > 5 && !sequence.starts_with('0');
    let is_crc = crc.len() == 8 && crc.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    if !is_number || !is_whole || !is_crc {
        return None;
    }
    Some((sequence.parse().ok()?, u32::from_str_radix(crc, 16).ok()?, words.next()?))
}

/// Returns the value of `name=value` in a payload.
pub fn value<'a>(payload: &'a str, name: &str) -> Option<&'a str> {
    let pairs = payload.split(' ').filter_map(|word| word.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}
