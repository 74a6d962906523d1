// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the loader knows of its board: `cargo xtask flash` writes it into the loader's header.

use serde::{Deserialize, Serialize};

/// Most writes that bring up the console.
pub const WRITES: usize = 16;
/// Most bytes of an encoded [`Board`], and the room for it in the loader's header.
pub const ROOM: usize = 256;
/// Where that room is, bytes from the loader's first one: after the arm64 Image header.
pub const OFFSET: usize = 64;

/// A board, from `boards/NAME/board.toml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// Address of the console's PL011.
    pub uart: u64,
    /// Its clock, Hz.
    pub clock: u32,
    /// The writes that bring it up, address and value. Those with address 0 are not done.
    pub init: [(u64, u32); WRITES],
}

impl Board {
    /// Returns its encoded form.
    pub fn encode(&self) -> [u8; ROOM] {
        let mut room = [0; ROOM];
        // Each of 16 writes has at most 15 bytes, and the rest 15: 255.
        let _ = postcard::to_slice(self, &mut room);
        room
    }

    /// Reads an encoded board; none if the room was not filled.
    pub fn decode(room: &[u8]) -> Option<Self> {
        let board: Self = postcard::from_bytes(room).ok()?;
        (board.uart != 0 && board.clock != 0).then_some(board)
    }
}

/// Returns a PL011's divisor for a rate, IBRD and FBRD, if the rate then differs by at most 2 %
/// (Arm DDI 0183, 3.3.6: the clock divided by 16 times the rate, in 64ths).
pub fn divisor(clock: u32, baud: u32) -> Option<(u32, u32)> {
    if baud == 0 {
        return None;
    }
    let (clock, baud) = (u64::from(clock) * 4, u64::from(baud));
    let parts = (clock + baud / 2) / baud;
    if !(64..65536 * 64).contains(&parts) {
        return None;
    }
    let real = clock / parts;
    let is_near = real.abs_diff(baud) * 50 <= baud;
    is_near.then_some(((parts >> 6) as u32, (parts & 63) as u32))
}
