//! Messages: a header of 16 bytes, then bytes whose contents are not checked.

use rt::fail;

/// Bytes of the header; a message of only these starts or ends a phase.
pub const HEADER: usize = 16;

/// The purpose of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Data.
    Data,
    /// A phase starts.
    Start,
    /// A phase ends.
    End,
    /// The run ends.
    Stop,
}

/// The first bytes of each message.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Its purpose.
    pub kind: Kind,
    /// Its number within its phase.
    pub sequence: u32,
    /// When it was sent, counter ticks.
    pub time: u64,
}

impl Header {
    /// Returns the header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER] {
        let words = u64::from(self.kind as u32) | u64::from(self.sequence) << 32;
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&words.to_le_bytes());
        bytes[8..].copy_from_slice(&self.time.to_le_bytes());
        bytes
    }

    /// Reads the header from its two words.
    #[must_use]
    pub fn from_words(words: u64, time: u64) -> Self {
        let kind = match words as u32 {
            0 => Kind::Data,
            1 => Kind::Start,
            2 => Kind::End,
            3 => Kind::Stop,
            other => fail!("a message of kind {other}"),
        };
        let sequence = (words >> 32) as u32;
        Self { kind, sequence, time }
    }

    /// Reads the header of a message.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        match bytes.first_chunk::<HEADER>() {
            Some(bytes) => {
                let word =
                    |at: usize| bytes[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
                Self::from_words(word(0), word(8))
            }
            None => fail!("a message of {} bytes", bytes.len()),
        }
    }

    /// Fails unless this is the phase's message `sequence` of `bytes` bytes, and has `length`.
    pub fn check(&self, sequence: usize, bytes: usize, length: usize) {
        if self.kind != Kind::Data || self.sequence as usize != sequence || length != bytes {
            fail!("received {self:?} of {length} bytes, expected message {sequence} of {bytes}");
        }
    }
}
