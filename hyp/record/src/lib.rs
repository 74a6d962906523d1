// SPDX-License-Identifier: MIT OR Apache-2.0
//! Crash records: what EL2 keeps of a partition's life that ended by a fault, a reset or a
//! watchdog.
//!
//! A record is [`WORDS`] words of 64 bits, little-endian in memory ([`word`] names them). EL2 keeps
//! the last [`SLOTS`] in a ring that boot does not clear ([`slot`]), so a reader cannot trust a
//! slot: it may hold anything, or half of two records. [`Record::check`] accepts only a record
//! whose magic number and CRC32C are right.
//!
//! [`trace`] reads a stopped guest's stack, by translation tables and frames that the guest wrote.
//!
//! ```
//! use bulkhead_record::{Cause, Place, Record, word};
//!
//! let crc = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum();
//! let place = Place { partition: 1, vcpu: 0, core: 2, generation: 7 };
//! let mut record = Record::new(12, Cause::Reset, place);
//! record.set(word::PC, 0x4008_1234);
//! record.seal(crc);
//!
//! let read = Record::check(*record.words(), crc).expect("it is whole");
//! assert_eq!((read.number(), read.cause(), read.place()), (12, Some(Cause::Reset), place));
//! let mut torn = *record.words();
//! torn[word::PC] += 1;
//! assert!(Record::check(torn, crc).is_none());
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod trace;

pub use trap::Cause;

use trace::FRAMES;
use zerocopy::IntoBytes;

/// Words of a record.
pub const WORDS: usize = 80;
/// Bytes of a record: whole cache lines, so that two cores never write the same one.
pub const SIZE: u64 = 8 * WORDS as u64;
/// Records in the ring.
pub const SLOTS: usize = 12;
/// First word of a record.
pub const MAGIC: u64 = u64::from_le_bytes(*b"BULKCRSH");
/// Words in a line of a record's dump on the console.
pub const PER_LINE: usize = 10;
/// Lines of a record's dump.
pub const LINES: usize = WORDS.div_ceil(PER_LINE);
/// Counters of EL2 entries.
pub const ENTRIES: usize = 13;

const _: () = assert!(SIZE.is_multiple_of(128));

/// Places of a record's words.
pub mod word {
    use super::{ENTRIES, WORDS};

    /// [`MAGIC`](super::MAGIC).
    pub const MAGIC: usize = 0;
    /// CRC32C of all words that follow.
    pub const CRC: usize = 1;
    /// The record's number, counted from 0 as long as the ring is kept.
    pub const NUMBER: usize = 2;
    /// CRC32C of the plan in bits 31:0, the counter's frequency (Hz) in bits 63:32.
    pub const ORIGIN: usize = 3;
    /// `CNTPCT_EL0` when the partition stopped.
    pub const TIME: usize = 4;
    /// Partition, vCPU, core and cause, 8 bits each; the generation, 16 bits; the number of
    /// [`TRACE`] words, 8 bits; whether there are registers, 1 bit.
    pub const PLACE: usize = 5;
    /// The code of `FAIL`.
    pub const CODE: usize = 6;
    /// `ESR_EL2` of the fault, or `ESR_EL1` if the guest's vector faults.
    pub const ESR: usize = 7;
    /// The address of the instruction that the cause names.
    pub const ELR: usize = 8;
    /// `FAR_EL2` of the fault, or `FAR_EL1` if the guest's vector faults.
    pub const FAR: usize = 9;
    /// `HPFAR_EL2` of the fault.
    pub const HPFAR: usize = 10;
    /// `ELR_EL2`: where the vCPU would have continued.
    pub const PC: usize = 11;
    /// `SPSR_EL2`: its PSTATE.
    pub const SPSR: usize = 12;
    /// `SP_EL0`.
    pub const SP_EL0: usize = 13;
    /// `SP_EL1`; EL2's own stack pointer in a record of a fault of EL2.
    pub const SP_EL1: usize = 14;
    /// `ELR_EL1`, and the words after it: `SPSR_EL1`, `ESR_EL1`, `FAR_EL1`, `VBAR_EL1`.
    pub const ELR_EL1: usize = 15;
    /// `SPSR_EL1`.
    pub const SPSR_EL1: usize = 16;
    /// `ESR_EL1`.
    pub const ESR_EL1: usize = 17;
    /// `FAR_EL1`.
    pub const FAR_EL1: usize = 18;
    /// `VBAR_EL1`.
    pub const VBAR_EL1: usize = 19;
    /// x0; x1 to x30 follow.
    pub const X0: usize = 20;
    /// EL2 entries of the core since boot, one word per reason.
    pub const ENTRIES_AT: usize = 51;
    /// Return addresses of the stack trace, the innermost first.
    pub const TRACE: usize = ENTRIES_AT + ENTRIES;

    const _: () = assert!(TRACE + super::FRAMES == WORDS);
}

/// The vCPU whose core stopped the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the partition in the plan.
    pub partition: u8,
    /// Number of the vCPU.
    pub vcpu: u8,
    /// Index of the core in the plan.
    pub core: u8,
    /// Generation of the life that ended.
    pub generation: u16,
}

/// Bit of [`word::PLACE`]: there are registers.
const HAS_REGISTERS: u64 = 1 << 56;

/// A crash record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record([u64; WORDS]);

impl Record {
    /// Returns a record without registers.
    #[must_use]
    pub fn new(number: u64, cause: Cause, place: Place) -> Self {
        let mut words = [0; WORDS];
        words[word::MAGIC] = MAGIC;
        words[word::NUMBER] = number;
        let [partition, vcpu, core] = [place.partition, place.vcpu, place.core].map(u64::from);
        words[word::PLACE] = partition
            | vcpu << 8
            | core << 16
            | (cause as u64) << 24
            | u64::from(place.generation) << 32;
        Self(words)
    }

    /// Sets one word; those that [`Record::new`] and [`Record::seal`] set are not for this.
    pub fn set(&mut self, index: usize, value: u64) {
        if let Some(word) = self.0.get_mut(index) {
            *word = value;
        }
    }

    /// Says that the record has registers.
    pub fn mark_registers(&mut self) {
        self.0[word::PLACE] |= HAS_REGISTERS;
    }

    /// Returns where the stack trace goes.
    pub fn trace_mut(&mut self) -> Option<&mut [u64; FRAMES]> {
        self.0.last_chunk_mut()
    }

    /// Sets the length of the stack trace.
    pub fn set_frames(&mut self, count: usize) {
        self.0[word::PLACE] |= (count.min(FRAMES) as u64) << 48;
    }

    /// Completes the record by its checksum; `crc` computes the CRC32C of bytes.
    pub fn seal(&mut self, crc: impl Fn(&[u8]) -> u32) {
        self.0[word::CRC] = self.crc(crc);
    }

    fn crc(&self, crc: impl Fn(&[u8]) -> u32) -> u64 {
        crc(self.0.get(word::NUMBER..).unwrap_or(&[]).as_bytes()).into()
    }

    /// Returns the record that `words` are, or `None` if they are not a whole one.
    #[must_use]
    pub fn check(words: [u64; WORDS], crc: impl Fn(&[u8]) -> u32) -> Option<Self> {
        let record = Self(words);
        let is_whole = words[word::MAGIC] == MAGIC && words[word::CRC] == record.crc(crc);
        is_whole.then_some(record)
    }

    /// Returns all words.
    #[must_use]
    pub fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    /// Returns one word, 0 beyond the last.
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// Returns its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.get(word::NUMBER)
    }

    /// Returns its cause, if it is a known one.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        let number = (self.get(word::PLACE) >> 24) as u8;
        Cause::ALL.into_iter().find(|cause| *cause as u8 == number)
    }

    /// Returns the vCPU that it is about.
    #[must_use]
    pub fn place(&self) -> Place {
        let place = self.get(word::PLACE);
        Place {
            partition: place as u8,
            vcpu: (place >> 8) as u8,
            core: (place >> 16) as u8,
            generation: (place >> 32) as u16,
        }
    }

    /// Returns whether it has registers.
    #[must_use]
    pub fn has_registers(&self) -> bool {
        self.get(word::PLACE) & HAS_REGISTERS != 0
    }

    /// Returns the return addresses of the stack trace, the innermost first.
    #[must_use]
    pub fn trace(&self) -> &[u64] {
        let count = (self.get(word::PLACE) >> 48) as u8;
        let end = word::TRACE + FRAMES.min(count.into());
        self.0.get(word::TRACE..end).unwrap_or(&[])
    }

    /// Returns the CRC32C of the plan that it was written under.
    #[must_use]
    pub fn plan(&self) -> u32 {
        self.get(word::ORIGIN) as u32
    }

    /// Returns the counter's frequency, Hz.
    #[must_use]
    pub fn frequency(&self) -> u32 {
        (self.get(word::ORIGIN) >> 32) as u32
    }
}

/// Returns the slot of the ring for record `number`.
#[must_use]
pub fn slot(number: u64) -> usize {
    (number % SLOTS as u64) as usize
}
