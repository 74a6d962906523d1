//! EL2's answer to an abort that stage 2 raised: the syndrome of the exception that the guest takes
//! instead.
//!
//! Where nothing answers an access, hardware reports a synchronous external abort. EL2 does the
//! same for an access that a guest has no right to, since to that guest nothing is there.

use crate::{bit, class, ec, field, is_walk};

/// What EL2 does about an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Skip the instruction: it is cache maintenance by address, where there is nothing to maintain
    /// or nothing that may be written.
    Maintained,
    /// The guest takes an abort with [`syndrome`].
    Abort,
    /// Halt the partition: the guest did not cause this in a way that an exception could report to
    /// it.
    Halt,
}

/// `DFSC` and `IFSC` of a synchronous external abort; on a walk, [`EXTERNAL_WALK`] and the level.
const EXTERNAL: u64 = 0x10;
const EXTERNAL_WALK: u64 = 0x14;
/// `DFSC`: alignment fault.
const ALIGNMENT: u8 = 0x21;
/// `DFSC`: exclusive or atomic access to a memory type that does not support it.
const UNSUPPORTED: u8 = 0x35;

/// Returns what EL2 does about the data or instruction abort `esr`.
pub const fn answer(esr: u64) -> Answer {
    let is_data = class(esr) == ec::DATA_ABORT;
    match field(esr, 0, 6) {
        // An address translation instruction that fails on its walk also has `CM` set; it gets an
        // abort.
        0x00..=0x0f if is_data && is_maintenance(esr) && !is_walk(esr) => Answer::Maintained,
        0x00..=0x0f => Answer::Abort,
        // The memory type of a passed-through device does not allow the access, though the guest's
        // own tables say Normal.
        ALIGNMENT | UNSUPPORTED if is_data => Answer::Abort,
        _ => Answer::Halt,
    }
}

/// Returns `ESR_EL1` of the abort that a guest takes for `esr`, where [`answer`] says so. `level`
/// is the level of the table that a failed walk tried to read ([`walk_level`]).
pub const fn syndrome(esr: u64, from_el0: bool, level: i8) -> u64 {
    const IL: u64 = 1 << 25;
    const CM_WNR: u64 = 1 << 8 | 1 << 6;
    let (class, kept) = match class(esr) {
        ec::INSTRUCTION_ABORT => (ec::INSTRUCTION_ABORT, 0),
        _ => (ec::DATA_ABORT, esr & CM_WNR),
    };
    // The class of an abort from the same level is the next one.
    let class = class as u64 + !from_el0 as u64;
    let status = match field(esr, 0, 6) {
        0x00..=0x0f if is_walk(esr) => EXTERNAL_WALK.wrapping_add_signed(level as i64),
        0x00..=0x0f => EXTERNAL,
        same => same as u64,
    };
    class << 26 | IL | kept | status
}

/// Returns the level of the guest's table that a walk for the address `far` tried to read at `ipa`.
/// For the root, `TTBR<n>_EL1` and `TCR_EL1` give the place and the level. The level of any other
/// table is not known: the result is then 3.
pub const fn walk_level(far: u64, ipa: u64, ttbr: [u64; 2], tcr: u64) -> i8 {
    const LAST: i8 = 3;
    // Bit 55 chooses the tables, with top-byte-ignore too.
    let upper = bit(far, 55);
    let (ttbr, size, granule) = if upper {
        (ttbr[1], field(tcr, 16, 6), field(tcr, 30, 2))
    } else {
        (ttbr[0], field(tcr, 0, 6), field(tcr, 14, 2))
    };
    // TG0 and TG1 encode granules differently; a reserved value is taken for 4 KiB.
    let page = match (upper, granule) {
        (false, 0b01) | (true, 0b11) => 16,
        (false, 0b10) | (true, 0b01) => 14,
        _ => 12,
    };
    const ADDRESS: u64 = 0xffff_ffff_ffff;
    if (ttbr ^ ipa) & ADDRESS >> page << page != 0 {
        return LAST;
    }
    // A table resolves as many bits as fit a page of 8-byte entries.
    let (bits, stride) = (64 - size as i8 - page, page - 3);
    let levels = (bits + stride - 1) / stride;
    let level = LAST + 1 - levels;
    if level < -1 || level > LAST { LAST } else { level }
}

/// Returns whether it is cache maintenance by address, or an address translation instruction
/// (`CM`).
const fn is_maintenance(esr: u64) -> bool {
    bit(esr, 8)
}
