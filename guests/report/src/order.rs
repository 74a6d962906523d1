// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host asks the guest for: one line with a CRC, so that a damaged one starts nothing.

use crate::{CRC, Text};
use core::fmt::Write;

/// The guest's line, again and again, while it waits for an order.
pub const READY: &str = "latency: ready";

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Measure, and report under this nonce.
    Run {
        /// The nonce of the run.
        nonce: u64,
        /// Values of each distribution; rows of long operations have fewer. With 0 the run is
        /// short: one value of each row that needs no other partition.
        samples: u32,
    },
    /// Switch off.
    End,
}

impl Order {
    /// Returns the order's line, without its line feed.
    #[must_use]
    pub fn encode(&self) -> Text {
        let mut body = Text::new();
        // A text does not fail: it is cut at its end, and these are short.
        let _ = match self {
            Self::Run { nonce, samples } => write!(body, "run {nonce:016x} {samples}"),
            Self::End => write!(body, "end"),
        };
        let mut text = body;
        let _ = write!(text, " {:08x}", CRC.checksum(body.as_str().as_bytes()));
        text
    }

    /// Reads an order; none if it is damaged.
    #[must_use]
    pub fn decode(line: &str) -> Option<Self> {
        let (body, crc) = line.trim().rsplit_once(' ')?;
        let is_plain = crc.len() == 8 && crc.bytes().all(|b| b"0123456789abcdef".contains(&b));
        if !is_plain || u32::from_str_radix(crc, 16).ok()? != CRC.checksum(body.as_bytes()) {
            return None;
        }
        let mut words = body.split(' ');
        match words.next()? {
            "run" => {
                let nonce = u64::from_str_radix(words.next()?, 16).ok()?;
                Some(Self::Run { nonce, samples: words.next()?.parse().ok()? })
            }
            "end" => Some(Self::End),
            _ => None,
        }
    }
}
