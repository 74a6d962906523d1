//! Cuts a core's instructions into entries: from a vector to the ERET that ends it.

use super::log::Trace;
use std::ops::Range;

/// ERET.
pub(crate) const ERET: u32 = 0xd69f_03e0;
/// MRS Xt, PMXEVCNTR_EL0: EL2 reads its counter.
const READ_COUNTER: u32 = 0xd53b_9d40;
/// MSR ICC_SGI1R_EL1, Xt: a physical SGI is sent.
const SEND_SGI: u32 = 0xd518_cba0;

/// One entry of a core to EL2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its instructions, as indices in the core's trace, with the vector's first one and the ERET.
    pub at: Range<usize>,
    /// The vector: bytes from the table's start (DDI 0487, D1.3.1.4), 0x400 synchronous, 0x480 IRQ.
    pub vector: u32,
    /// The number of them that ran until the physical SGI was sent, including that write; none if
    /// there was no SGI.
    pub sent: Option<usize>,
}

impl Entry {
    /// Returns the number of instructions.
    #[must_use]
    pub fn work(&self) -> usize {
        self.at.len()
    }
}

/// Returns the entries of `core`, in order, without boot. `vectors` is the vector table's place in
/// EL2's code.
#[must_use]
pub fn entries(trace: &Trace, core: usize, vectors: u32) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut open: Option<Entry> = None;
    for (place, &offset) in trace.cores.get(core).into_iter().flatten().enumerate() {
        let within = offset.wrapping_sub(vectors);
        if (0x400..0x800).contains(&within) && within % 0x80 == 0 {
            open = Some(Entry { at: place..place, vector: within, sent: None });
        }
        let opcode = trace.opcode(offset);
        if let Some(entry) = &mut open {
            entry.at.end = place + 1;
            if opcode & !0x1f == SEND_SGI && entry.sent.is_none() {
                entry.sent = Some(entry.work());
            }
        }
        if opcode == ERET {
            found.extend(open.take());
        }
    }
    found
}

/// Returns where EL2 read its counter: indices in the trace of `core`.
#[must_use]
pub fn readings(trace: &Trace, core: usize) -> Vec<usize> {
    let offsets = trace.cores.get(core).into_iter().flatten().enumerate();
    let is = |(place, offset): (usize, &u32)| {
        (trace.opcode(*offset) & !0x1f == READ_COUNTER).then_some(place)
    };
    offsets.filter_map(is).collect()
}

/// Returns where the first guest started on `core`: the index after the first ERET.
#[must_use]
pub fn first_return(trace: &Trace, core: usize) -> Option<usize> {
    let mut offsets = trace.cores.get(core)?.iter();
    offsets.position(|&offset| trace.opcode(offset) == ERET).map(|place| place + 1)
}
