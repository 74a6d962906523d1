// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages of both directions.

use crate::BLOCK;
use serde::{Deserialize, Serialize};

/// An image on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Which transfer this is: a number that the host chooses.
    pub session: u32,
    /// The address of its first byte.
    pub target: u64,
    /// Its bytes.
    pub size: u32,
    /// Its bytes on the line, compressed.
    pub packed: u32,
    /// CRC32C of its bytes, not compressed.
    pub crc: u32,
}

impl Image {
    /// Returns the number of its blocks.
    pub fn blocks(&self) -> u32 {
        self.packed.div_ceil(BLOCK as u32)
    }

    /// Returns the bytes of one of its blocks: all but the last have [`BLOCK`].
    pub fn length(&self, number: u32) -> usize {
        let from = u64::from(number) * BLOCK as u64;
        u64::from(self.packed).saturating_sub(from).min(BLOCK as u64) as usize
    }
}

/// A message. The host repeats each until the answer comes, so the loader answers each again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<'a> {
    /// Host: is a loader there?
    Hello {
        /// A number that the answer repeats.
        nonce: u32,
    },
    /// Loader: yes.
    Loader {
        /// The question's number.
        nonce: u32,
        /// The version of its messages.
        version: u32,
        /// The clock of its UART, Hz: it can have rates up to a sixteenth of it.
        clock: u32,
    },
    /// Host: change to this rate after the answer.
    Rate {
        /// Bits per second.
        baud: u32,
    },
    /// Loader: as asked. The host then says [`Message::Hello`] at the new rate.
    Changing {
        /// Bits per second.
        baud: u32,
    },
    /// Host: this image will come. If the loader has blocks of the same one, it keeps them.
    Begin(Image),
    /// Host: a block of the compressed image.
    Block {
        /// The transfer.
        session: u32,
        /// The block's number.
        number: u32,
        /// Its bytes.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// Loader: the blocks that it has.
    Have {
        /// The transfer.
        session: u32,
        /// All blocks before this one.
        next: u32,
        /// And of those after it, one bit each: bit 0 is block `next` + 1.
        more: u32,
    },
    /// Host: unpack the image.
    Unpack {
        /// The transfer.
        session: u32,
    },
    /// Loader: the image is where it belongs, and its CRC holds.
    Unpacked {
        /// The transfer.
        session: u32,
    },
    /// Host: start the image.
    Start {
        /// The transfer.
        session: u32,
    },
    /// Loader: it starts after [`crate::LINGER_US`], at the first rate.
    Starting {
        /// The transfer.
        session: u32,
    },
    /// Loader: something cannot be done.
    Refused {
        /// The reason, for people.
        why: &'a str,
    },
}
