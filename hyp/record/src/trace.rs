// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stack trace of a stopped guest, by its frame pointers (Procedure Call Standard for the Arm
//! 64-bit Architecture, 6.4.6: each frame record has the caller's frame pointer and the return
//! address).
//!
//! Frames and translation tables are the guest's, which may be hostile. All reads go through one
//! function, which reads only the guest's own memory, and there are at most [`FRAMES`] frames of
//! two words, each translated in at most four steps. The walk is software, not `AT`: it needs
//! neither the guest's translation regime at EL2 nor a way back from an abort of the walk.

/// Most return addresses of a trace.
pub const FRAMES: usize = 16;

/// The registers that control a guest's stage 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stage1 {
    /// `SCTLR_EL1`.
    pub sctlr: u64,
    /// `TCR_EL1`.
    pub tcr: u64,
    /// `TTBR0_EL1` and `TTBR1_EL1`.
    pub ttbr: [u64; 2],
}

/// Addresses in tables and registers: 48 bits.
const ADDRESS: u64 = (1 << 48) - 1;

impl Stage1 {
    /// Returns the IPA of `va`, or `None` if the tables do not map it, or use what no core here
    /// has. `read` reads the word at an IPA. Rights and memory types do not matter.
    pub fn translate(&self, va: u64, read: &mut impl FnMut(u64) -> Option<u64>) -> Option<u64> {
        if self.sctlr & 1 == 0 {
            return (va <= ADDRESS).then_some(va);
        }
        // Bit 55 chooses the tables, with top-byte-ignore too. The fields of TTBR1 are 16 bits
        // further up, but TG1 encodes granules differently (DDI 0487, `TCR_EL1`).
        let is_upper = va >> 55 & 1 != 0;
        let fields = self.tcr >> (16 * u32::from(is_upper));
        let page = match (is_upper, fields >> 14 & 3) {
            (false, 0b00) | (true, 0b10) => 12,
            (false, 0b10) | (true, 0b01) => 14,
            (false, 0b01) | (true, 0b11) => 16,
            _ => return None,
        };
        let is_ignored = self.tcr >> (37 + u32::from(is_upper)) & 1 != 0;
        let bits = 64 - (fields & 0x3f) as u32;
        let is_disabled = fields >> 7 & 1 != 0;
        if is_disabled || !(page + 1..=48).contains(&bits) {
            return None;
        }
        let top = if is_ignored { va << 8 >> 8 >> bits } else { va >> bits };
        let all = if is_ignored { u64::MAX >> 8 >> bits } else { u64::MAX >> bits };
        if top != if is_upper { all } else { 0 } {
            return None;
        }
        // A table resolves as many bits as a page has 8-byte entries.
        let stride = page - 3;
        let levels = (bits - page).div_ceil(stride);
        let mut shift = page + stride * (levels - 1);
        let mut input = va & (u64::MAX >> (64 - bits));
        let mut table = self.ttbr[usize::from(is_upper)] & ADDRESS & !((8 << (bits - shift)) - 1);
        loop {
            let entry = read(table + 8 * (input >> shift))?;
            let low = (1 << shift) - 1;
            input &= low;
            match (entry & 3, shift == page) {
                (0b11, true) | (0b01, false) => return Some(entry & ADDRESS & !low | input),
                (0b11, false) => table = entry & ADDRESS & !((1 << page) - 1),
                _ => return None,
            }
            shift -= stride;
        }
    }
}

/// Follows the frame records from `frame` on, and stores the return addresses in `trace`, the
/// innermost first. Returns how many there are.
pub fn frames(
    stage1: &Stage1,
    mut frame: u64,
    trace: &mut [u64; FRAMES],
    mut read: impl FnMut(u64) -> Option<u64>,
) -> usize {
    let mut word = |va: u64| {
        let ipa = stage1.translate(va, &mut read)?;
        read(ipa)
    };
    for (count, place) in trace.iter_mut().enumerate() {
        let is_record = frame != 0 && frame.is_multiple_of(8);
        let record = is_record.then(|| Some((word(frame)?, word(frame.wrapping_add(8))?)));
        let Some((caller, address)) = record.flatten().filter(|&(_, address)| address != 0) else {
            return count;
        };
        *place = address;
        frame = caller;
    }
    FRAMES
}
