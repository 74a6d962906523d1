// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records: what is written is read, and nothing else is.

use bulkhead_record::trace::FRAMES;
use bulkhead_record::{Cause, MAGIC, Place, Record, SLOTS, WORDS, slot, word};
use crc::{CRC_32_ISCSI, Crc};
use proptest::prelude::*;

fn crc(bytes: &[u8]) -> u32 {
    Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes)
}

fn sealed(number: u64, cause: Cause, place: Place, frames: &[u64]) -> Record {
    let mut record = Record::new(number, cause, place);
    record.mark_registers();
    if let Some(trace) = record.trace_mut() {
        trace[..frames.len()].copy_from_slice(frames);
    }
    record.set_frames(frames.len());
    record.set(word::ORIGIN, 62_500_000 << 32 | 0x1234_5678);
    record.seal(crc);
    record
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        number: u64, cause in 0usize..10, partition: u8, vcpu: u8, core: u8, generation: u16,
        frames in prop::collection::vec(any::<u64>(), 0..=FRAMES),
    ) {
        let cause = Cause::ALL[cause];
        let place = Place { partition, vcpu, core, generation };
        let record = sealed(number, cause, place, &frames);
        let read = Record::check(*record.words(), crc).expect("a whole record");
        prop_assert_eq!(read.number(), number);
        prop_assert_eq!(read.cause(), Some(cause));
        prop_assert_eq!(read.place(), place);
        prop_assert_eq!(read.trace(), &frames[..]);
        prop_assert!(read.has_registers());
        prop_assert_eq!((read.plan(), read.frequency()), (0x1234_5678, 62_500_000));
        prop_assert!(slot(number) < SLOTS);
    }

    #[test]
    fn one_wrong_bit_is_refused(at in 0usize..WORDS, bit in 0u32..64) {
        let place = Place { partition: 1, vcpu: 2, core: 3, generation: 4 };
        let mut words = *sealed(5, Cause::Fault, place, &[1, 2, 3]).words();
        words[at] ^= 1 << bit;
        prop_assert!(Record::check(words, crc).is_none());
    }

    /// Words with a right checksum, but any contents, are read without a panic.
    #[test]
    fn hostile_words_are_read(
        words in prop::collection::vec(any::<u64>(), WORDS), index: usize,
    ) {
        let mut words: [u64; WORDS] = words.try_into().expect("so many");
        prop_assert!(Record::check(words, crc).is_none());
        words[word::MAGIC] = MAGIC;
        words[word::CRC] = crc(&words[2..].iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>())
            .into();
        let record = Record::check(words, crc).expect("the checksum is right");
        prop_assert!(record.trace().len() <= FRAMES);
        let _ = (record.cause(), record.place(), record.get(index));
    }
}

#[test]
fn a_torn_record_is_refused() {
    let place = Place { partition: 0, vcpu: 0, core: 0, generation: 1 };
    let [old, new] = [3, 3 + SLOTS as u64].map(|number| sealed(number, Cause::Reset, place, &[7]));
    assert_eq!(slot(old.number()), slot(new.number()));
    for cut in 1..WORDS {
        let mut words = *old.words();
        words[..cut].copy_from_slice(&new.words()[..cut]);
        // The magic number is the same; checksum and number differ, and then nothing does.
        let expected = [Some(&old), None, Some(&new)][cut.min(3) - 1];
        assert_eq!(Record::check(words, crc).as_ref(), expected, "{cut} words");
    }
}

#[test]
fn every_cause_has_words_or_a_syndrome() {
    for cause in Cause::ALL {
        assert_eq!(cause.words().is_empty(), cause == Cause::Fault);
        assert!(!cause.has_syndrome() || !cause.is_el2());
    }
}
