//! The protocol of sensor and control: messages of 64 bytes, eight little-endian words.
#![no_std]
#![forbid(unsafe_code)]

/// Name of the channel between the two.
pub const CHANNEL: &str = "samples";
/// Bytes of every message.
pub const SIZE: usize = 64;

const WORDS: usize = SIZE / 8;
/// Words of a sample that its sequence number and time determine.
const PAYLOAD: usize = WORDS - 3;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// 0, 1, 2, … without a gap.
    pub sequence: u64,
    /// When it was taken, counter ticks.
    pub time: u64,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Sensor to control.
    Sample(Sample),
    /// Sensor to control: the end of the samples.
    End {
        /// The number of samples.
        total: u64,
    },
    /// Control to sensor, after each batch: the first `received` samples have arrived, and their
    /// sum is `checksum`.
    Ack {
        /// Samples received so far.
        received: u64,
        /// [`checksum`] over them.
        checksum: u64,
    },
    /// Control to sensor, the answer to `End`: the same fields, for the last time.
    Done {
        /// Samples received in all.
        received: u64,
        /// [`checksum`] over them.
        checksum: u64,
    },
}

/// A word that depends on every bit of the sample (the finalizer of SplitMix64, Steele and others,
/// 2014).
fn mix(sample: Sample, index: u64) -> u64 {
    let mut z =
        sample.time ^ sample.sequence.wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Adds one sample to `sum`, the checksum of all samples before. The result depends on their order.
pub fn checksum(sum: u64, sample: Sample) -> u64 {
    (0..PAYLOAD as u64).fold(sum, |sum, index| sum.rotate_left(7) ^ mix(sample, index))
}

impl Message {
    /// Returns the bytes that go over the channel.
    pub fn encode(self) -> [u8; SIZE] {
        let mut words = [0; WORDS];
        match self {
            Self::Sample(sample) => {
                words = core::array::from_fn(|index| mix(sample, index.wrapping_sub(3) as u64));
                words[..3].copy_from_slice(&[1, sample.sequence, sample.time]);
            }
            Self::End { total } => words[..2].copy_from_slice(&[2, total]),
            Self::Ack { received, checksum } => {
                words[..3].copy_from_slice(&[3, received, checksum]);
            }
            Self::Done { received, checksum } => {
                words[..3].copy_from_slice(&[4, received, checksum]);
            }
        }
        let mut bytes = [0; SIZE];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Parses the bytes of a message; `None` if a single bit differs from the output of
    /// [`Message::encode`].
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |index: usize| {
            let chunk = bytes.get(index * 8..)?.first_chunk()?;
            Some(u64::from_le_bytes(*chunk))
        };
        let (first, second) = (word(1)?, word(2)?);
        let message = match word(0)? {
            1 => Self::Sample(Sample { sequence: first, time: second }),
            2 => Self::End { total: first },
            3 => Self::Ack { received: first, checksum: second },
            4 => Self::Done { received: first, checksum: second },
            _ => return None,
        };
        (message.encode() == bytes).then_some(message)
    }
}

#[cfg(test)]
mod tests;
