// SPDX-License-Identifier: MIT OR Apache-2.0
//! How an image gets into a board over its serial line. The loader on the board ([`Transfer`]) and
//! `cargo xtask flash --serial` ([`Sender`]) both use this crate.
//!
//! A [`Message`] is encoded by postcard, followed by its CRC32C, and framed by COBS, so that a zero
//! byte is only ever between frames ([`frame`]). The image is compressed as one LZ4 block, which is
//! sent in pieces of [`BLOCK`] bytes. The loader keeps the pieces in RAM and acknowledges each as
//! soon as its CRC holds; it decompresses them after the last one, when nothing more is on its way.
//! A UART's FIFO of 16 bytes lasts only 0.17 ms at 921600 baud.
//!
//! ```
//! use bulkhead_loader_protocol::{Decoder, Message, encode};
//!
//! let mut decoder = Decoder::default();
//! let mut buffer = [0; bulkhead_loader_protocol::FRAME];
//! let frame = encode(&Message::Hello { nonce: 7 }, &mut buffer);
//! let mut found = None;
//! for &byte in b"noise\x03".iter().chain(frame) {
//!     if let Some(Message::Hello { nonce }) = decoder.push(byte) {
//!         found = Some(nonce);
//!     }
//! }
//! assert_eq!(found, Some(7));
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod board;
pub mod frame;
pub mod message;
pub mod place;
pub mod sender;
#[cfg(test)]
mod tests;
pub mod transfer;

pub use board::{Board, divisor};
pub use frame::{Decoder, FRAME, encode};
pub use message::{Image, Message};
pub use sender::Sender;
pub use transfer::Transfer;

use crc::{CRC_32_ISCSI, Crc, Table};

/// The version of the messages: a loader of another one is not used.
pub const VERSION: u32 = 1;
/// Most bytes of a block of the compressed image.
pub const BLOCK: usize = 1024;
/// Blocks after the first missing one that the loader keeps: one bit each in its answers.
pub const AHEAD: u32 = 32;
/// Bits per second at power-on, and after silence at another rate.
pub const FIRST_RATE: u32 = 115_200;
/// Silence at another rate after which the loader returns to the first one, microseconds.
pub const SILENCE_US: u64 = 5_000_000;
/// Time between the answer [`Message::Starting`] and the jump, microseconds. The host sets its port
/// to the first rate in this time, and asks again if the answer was lost.
pub const LINGER_US: u64 = 300_000;

/// The sum over frames and images.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// Returns the CRC32C of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// Why an image cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The compressed bytes are not an LZ4 block of the image's size.
    Form,
    /// The image has another CRC32C than the host announced.
    Checksum,
}

/// Unpacks `packed` to `image`, whose length is the image's, and compares its CRC32C.
///
/// # Errors
/// If the bytes are not the announced image.
pub fn unpack(packed: &[u8], image: &mut [u8], crc: u32) -> Result<(), Damage> {
    let size = lz4_flex::block::decompress_into(packed, image).map_err(|_| Damage::Form)?;
    if size != image.len() {
        return Err(Damage::Form);
    }
    if checksum(image) == crc { Ok(()) } else { Err(Damage::Checksum) }
}
