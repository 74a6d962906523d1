// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ring of crash records in memory, which boot does not clear: a slot may hold anything, until
//! its checksum says that it is a record.

use core::array;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

use plan::{RECORDS_SIZE, Range};
use record::{MAGIC, Record, SIZE, SLOTS, WORDS, slot, word};

use crate::arch::{cache, crc32c::crc32c};

type Slot = [AtomicU64; WORDS];

/// The ring.
#[derive(Clone, Copy)]
pub struct Records(&'static [Slot; SLOTS]);

const _: () = assert!(SLOTS as u64 * SIZE <= RECORDS_SIZE);

/// What cores know of the ring, in the shared region.
#[repr(C)]
pub struct Known {
    /// Number of the next record.
    pub next: AtomicU64,
    /// Records of an earlier run that boot found.
    pub kept: AtomicU32,
    /// The slots whose records are not on the console yet, one bit each.
    pub untold: AtomicU32,
}

impl Records {
    /// Returns the ring at `range`.
    ///
    /// # Safety
    /// `range` is the plan's, of EL2 alone, and mapped.
    pub unsafe fn new(range: Range) -> Self {
        // SAFETY: the caller says so; all of it is atomic, and any bytes are valid.
        Self(unsafe { &*(range.base as *const [Slot; SLOTS]) })
    }

    /// Returns record `number`, if it is there and whole.
    pub fn read(&self, number: u64) -> Option<Record> {
        self.read_slot(slot(number)).filter(|record| record.number() == number)
    }

    fn read_slot(&self, slot: usize) -> Option<Record> {
        let words = self.0.get(slot)?;
        Record::check(array::from_fn(|index| words[index].load(Relaxed)), crc32c)
    }

    /// Seals `record`, writes it, and cleans it to the point of coherency.
    pub fn write(&self, record: &mut Record) {
        record.seal(crc32c);
        let Some(slot) = self.0.get(slot(record.number())) else {
            return;
        };
        for (place, &word) in slot.iter().zip(record.words()) {
            place.store(word, Relaxed);
        }
        cache::clean_invalidate(&raw const *slot as u64, SIZE);
    }

    /// Finds the records of an earlier run of the image whose plan has the checksum `plan`, and
    /// goes on after them. Records of another image are overwritten: its plan may mean another
    /// partition, and other memory, by the same number.
    ///
    /// Boot calls it with the MMU off, where exclusive accesses may not work: it only loads and
    /// stores.
    pub fn recover(&self, known: &Known, plan: u32) {
        let (mut kept, mut untold, mut next) = (0, 0, 0);
        for (at, words) in self.0.iter().enumerate() {
            // Most slots are empty.
            if words[word::MAGIC].load(Relaxed) == MAGIC
                && let Some(record) = self.read_slot(at)
                && record.plan() == plan
                && slot(record.number()) == at
            {
                kept += 1;
                untold |= 1 << at;
                next = record.number().saturating_add(1).max(next);
            }
        }
        known.kept.store(kept, Relaxed);
        known.untold.store(untold, Relaxed);
        known.next.store(next, Relaxed);
    }
}
