// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames: a zero, the COBS code of a message and its CRC32C, a zero.

use crate::{BLOCK, CRC, Message};
use cobs::{DecodeResult, DecoderState};
use crc::{Digest, Table};

/// Bytes of the CRC.
const SUM: usize = size_of::<u32>();
/// Most bytes of a message with its CRC: a block, its two numbers and its length, each at most 5.
const CONTENT: usize = BLOCK + 1 + 3 * 5 + SUM;
/// Most bytes of a frame: COBS adds one byte per 254, and one.
pub const FRAME: usize = 2 + CONTENT + CONTENT / 254 + 1;
/// What the CRC over a message and its own CRC is (CRC-32/ISCSI's residue).
const RESIDUE: u32 = 0x48674bc7;

/// Writes the frame of `message` to `buffer`, and returns it. A message that is too long, which
/// only a text could be, gives an empty frame.
pub fn encode<'b>(message: &Message, buffer: &'b mut [u8; FRAME]) -> &'b [u8] {
    let mut content = [0; CONTENT];
    let Ok(used) = postcard::to_slice(message, &mut content[..CONTENT - SUM]) else {
        return &[];
    };
    let size = used.len();
    let sum = crate::checksum(&content[..size]);
    content[size..size + SUM].copy_from_slice(&sum.to_le_bytes());
    buffer[0] = 0;
    let Ok(coded) = cobs::try_encode(&content[..size + SUM], &mut buffer[1..FRAME - 1]) else {
        return &[];
    };
    buffer[coded + 1] = 0;
    &buffer[..coded + 2]
}

/// Finds frames in a stream of bytes. The CRC is computed as the bytes come, so that little is to
/// be done when a frame ends and the next one comes already.
pub struct Decoder {
    state: DecoderState,
    content: [u8; CONTENT],
    used: usize,
    sum: Digest<'static, u32, Table<1>>,
    /// Frames that were not whole.
    pub damaged: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: DecoderState::Idle,
            content: [0; CONTENT],
            used: 0,
            sum: CRC.digest(),
            damaged: 0,
        }
    }
}

impl Decoder {
    /// Takes a byte; returns the message that it ends.
    pub fn push(&mut self, byte: u8) -> Option<Message<'_>> {
        let result = self.state.feed(byte);
        match result {
            Ok(DecodeResult::DataContinue(byte)) => {
                // A longer frame is not one of ours: its CRC will not hold.
                if let Some(place) = self.content.get_mut(self.used) {
                    *place = byte;
                    self.used += 1;
                    self.sum.update(&[byte]);
                } else {
                    self.used = usize::MAX;
                }
                None
            }
            Ok(DecodeResult::DataComplete) => {
                let used = self.restart();
                let whole = used.and_then(|(used, sum)| {
                    let size = used.checked_sub(SUM)?;
                    (sum == RESIDUE).then_some(size)
                });
                let message = whole
                    .and_then(|size| postcard::from_bytes::<Message>(&self.content[..size]).ok());
                self.damaged += u32::from(message.is_none());
                message
            }
            Ok(DecodeResult::NoData) => None,
            Err(_) => {
                self.restart();
                self.damaged += 1;
                None
            }
        }
    }

    /// Begins the next frame; returns the bytes of this one and their CRC, if it was not too long.
    fn restart(&mut self) -> Option<(usize, u32)> {
        let sum = core::mem::replace(&mut self.sum, CRC.digest()).finalize();
        let used = core::mem::take(&mut self.used);
        (used != usize::MAX).then_some((used, sum))
    }
}
