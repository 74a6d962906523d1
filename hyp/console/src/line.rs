//! A line of EL2's, put together without `core::fmt`: that would bring indirect calls and kilobytes along.

/// Text of bounded length; what does not fit is cut off.
pub struct Line {
    bytes: [u8; Self::SIZE],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// Most bytes of a line.
    pub const SIZE: usize = 240;

    /// An empty line.
    pub const fn new() -> Self {
        Self {
            bytes: [0; Self::SIZE],
            len: 0,
        }
    }

    /// Appends one byte.
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
        self
    }

    /// Appends text.
    #[inline(never)]
    pub fn str(&mut self, text: &str) -> &mut Self {
        self.name(text.as_bytes())
    }

    /// Appends a name of the plan: bytes up to the first zero.
    #[inline(never)]
    pub fn name(&mut self, name: &[u8]) -> &mut Self {
        for &byte in name.iter().take_while(|&&byte| byte != 0) {
            self.byte(byte);
        }
        self
    }

    /// Appends a number in decimal.
    #[inline(never)]
    pub fn dec(&mut self, value: u64) -> &mut Self {
        let mut power = 10_000_000_000_000_000_000;
        while power > 1 && value < power {
            power /= 10;
        }
        while power != 0 {
            self.byte(b'0' + (value / power % 10) as u8);
            power /= 10;
        }
        self
    }

    /// Appends a number as `0x` and its hex digits, without leading zeros.
    #[inline(never)]
    pub fn hex(&mut self, value: u64) -> &mut Self {
        let digits = (67 - (value | 1).leading_zeros()) / 4;
        self.str("0x").hex_digits(value, digits)
    }

    /// Appends the low `digits` hex digits of a number, leading zeros and all.
    #[inline(never)]
    pub fn hex_digits(&mut self, value: u64, digits: u32) -> &mut Self {
        for place in (0..digits.min(16)).rev() {
            let digit = value >> (4 * place) & 0xf;
            self.byte(b"0123456789abcdef"[digit as usize]);
        }
        self
    }

    /// What was appended.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Starts anew.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}
