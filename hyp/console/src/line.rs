//! A line of EL2's, put together without `core::fmt`, which would add indirect calls and kilobytes
//! of code.

/// Text of bounded length; bytes that do not fit are cut off.
pub struct LineBuffer {
    bytes: [u8; Self::SIZE],
    len: usize,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self { bytes: [0; Self::SIZE], len: 0 }
    }
}

impl LineBuffer {
    /// Most bytes of a line.
    pub const SIZE: usize = 240;

    /// Appends one byte.
    #[inline(never)]
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
        self
    }

    /// Appends text.
    pub fn str(&mut self, text: &str) -> &mut Self {
        self.name(text.as_bytes())
    }

    /// Appends a name of the plan: bytes up to the first zero.
    pub fn name(&mut self, name: &[u8]) -> &mut Self {
        for &byte in name.iter().take_while(|&&byte| byte != 0) {
            self.byte(byte);
        }
        self
    }

    /// Appends a number in decimal.
    pub fn dec(&mut self, value: u64) -> &mut Self {
        self.digits(value, 10)
    }

    /// Appends that `done` of `bytes` are loaded, in one unit for both.
    pub fn loading(&mut self, done: u64, bytes: u64) -> &mut Self {
        let (shift, unit) = match bytes >> 30 {
            0 => (20, " MiB"),
            _ => (30, " GiB"),
        };
        self.str("loading, ").tenths(done, shift).str(" of ");
        self.tenths(bytes, shift).str(unit)
    }

    /// Appends `bytes >> shift` with one decimal, unless that is zero.
    fn tenths(&mut self, bytes: u64, shift: u32) -> &mut Self {
        let tenths = ((bytes >> (shift - 10)) * 10) >> 10;
        self.dec(tenths / 10);
        if !tenths.is_multiple_of(10) {
            self.byte(b'.').dec(tenths % 10);
        }
        self
    }

    /// Appends a number as `0x` and its hex digits, without leading zeros.
    pub fn hex(&mut self, value: u64) -> &mut Self {
        self.str("0x").digits(value, 16)
    }

    /// Appends all 16 hex digits of a number.
    pub fn hex16(&mut self, value: u64) -> &mut Self {
        for digit in (0..16).rev() {
            self.digits(value >> (4 * digit) & 15, 16);
        }
        self
    }

    /// Appends a number to a base of 2 to 16.
    pub fn digits(&mut self, value: u64, base: u64) -> &mut Self {
        // The divisions here cannot panic: EL2's panic handler prints numbers itself.
        let base = base.max(2);
        let mut unit: u64 = 1;
        // `unit * base` is at most `value` each time.
        while value.checked_div(unit).is_some_and(|rest| rest >= base) {
            unit *= base;
        }
        while let Some(rest) = value.checked_div(unit) {
            self.byte(b"0123456789abcdef"[(rest % base) as usize & 15]);
            unit /= base;
        }
        self
    }

    /// Removes all text.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Returns what was appended.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}
