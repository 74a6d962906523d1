// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text in an array: a guest formats a line before it knows its CRC.

use core::fmt;

/// Bytes of a text.
const ROOM: usize = 200;

/// Text of at most 200 bytes; what is written beyond them is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    bytes: [u8; ROOM],
    length: usize,
}

impl Text {
    /// Returns an empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.cut(ROOM)
    }

    /// Returns its first `bytes` bytes, or fewer so that no character is cut.
    #[must_use]
    pub fn cut(&self, bytes: usize) -> &str {
        let bytes = &self.bytes[..self.length.min(bytes)];
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }

    /// Returns the number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let count = text.len().min(ROOM - self.length);
        self.bytes[self.length..self.length + count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        Ok(())
    }
}
