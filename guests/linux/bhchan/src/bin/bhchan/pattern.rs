// SPDX-License-Identifier: MIT OR Apache-2.0
//! The data of self-tests and their checksum, which are the same on every partner: `bhchan echo`,
//! and the bare-metal guest `echo`.

/// A generator of bytes that depend on all before (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub struct Pattern(u64);

impl Default for Pattern {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Pattern {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Fills `bytes`; a part of a word at the end uses up the word.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// A checksum over messages: their words in order, the last one of each padded with zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum(pub u64);

impl Checksum {
    /// Takes one message.
    pub fn take(&mut self, message: &[u8]) {
        let mix =
            |sum: u64, word: u64| (sum.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        let (words, rest) = message.as_chunks::<8>();
        for word in words {
            self.0 = mix(self.0, u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.0 = mix(self.0, u64::from_le_bytes(word));
        }
    }
}

/// What a partner answers to a message of length 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Messages that it has sent back since the last account.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their checksum.
    pub checksum: Checksum,
    /// Interrupts of the channel that it has taken.
    pub interrupts: u64,
}

impl Account {
    /// Length of the message.
    pub const LENGTH: usize = 32;

    /// Returns the message.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut message = [0; Self::LENGTH];
        let fields = [self.messages, self.bytes, self.checksum.0, self.interrupts];
        for (bytes, field) in message.chunks_mut(8).zip(fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        message
    }

    /// Reads a message; none if it is not an account.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (words, []) = message.as_chunks::<8>() else { return None };
        let [messages, bytes, checksum, interrupts] = words else { return None };
        let read = |word: &[u8; 8]| u64::from_le_bytes(*word);
        Some(Self {
            messages: read(messages),
            bytes: read(bytes),
            checksum: Checksum(read(checksum)),
            interrupts: read(interrupts),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_back() {
        let account =
            Account { messages: 1, bytes: 2, checksum: Checksum(u64::MAX - 2), interrupts: 4 };
        assert_eq!(Account::decode(&account.encode()), Some(account));
        assert_eq!(Account::decode(&[0; 31]), None);
        assert_eq!(Account::decode(&[0; 40]), None);
    }

    #[test]
    fn a_checksum_notices_order_and_length() {
        let of = |messages: &[&[u8]]| {
            let mut sum = Checksum::default();
            messages.iter().for_each(|message| sum.take(message));
            sum
        };
        assert_ne!(of(&[b"one", b"two"]), of(&[b"two", b"one"]));
        assert_ne!(of(&[&[1; 8]]), of(&[&[1; 16]]));
        assert_ne!(of(&[&[1; 8]]), of(&[&[1; 9]]));
    }

    #[test]
    fn a_pattern_does_not_repeat() {
        let mut pattern = Pattern::default();
        let (mut first, mut second) = ([0; 64], [0; 64]);
        pattern.fill(&mut first);
        pattern.fill(&mut second);
        assert_ne!(first, second);
        let mut again = [0; 64];
        Pattern::default().fill(&mut again);
        assert_eq!(first, again);
    }
}
