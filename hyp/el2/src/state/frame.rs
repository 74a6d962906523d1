//! The guest's general registers on EL2's stack.

/// x0 to x30 and XZR. The vectors save x20 to x29, which Rust keeps across calls, only for a
/// synchronous exception other than HVC, and only after `trapped` has returned false: see
/// [`CALLER_SAVED`].
#[repr(C)]
pub struct Frame([u64; 32]);

/// The registers that every frame has, one bit each.
pub const CALLER_SAVED: u32 = !(0x3ff << 20);
/// All general registers, one bit each.
pub const ALL_GPRS: u32 = !0;

impl Frame {
    /// A frame of zeros.
    pub const ZERO: Self = Self([0; 32]);

    /// Returns all general registers, and XZR's place.
    pub fn all(&self) -> &[u64; 32] {
        &self.0
    }

    /// Returns register `index` as an instruction names it: 31 is XZR.
    pub fn get(&self, index: u8) -> u64 {
        self.0[usize::from(index) & 31]
    }

    /// Sets register `index`; 31 discards the value.
    pub fn set(&mut self, index: u8, value: u64) {
        if index != 31 {
            self.0[usize::from(index) & 31] = value;
        }
    }
}
