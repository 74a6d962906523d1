//! Target `record`: crash records and stack traces of any contents are read within bounds.

use arbitrary::Unstructured;
use record::trace::{FRAMES, Stage1, frames};
use record::{Cause, MAGIC, Record, WORDS, word};

use crate::arch::crc32c::crc32c;

/// Where the guest's memory begins.
const BASE: u64 = 0x4000_0000;
/// Most reads of a trace: two words per frame, each after a walk of four steps.
const MOST: usize = FRAMES * 2 * 5;

/// Runs one input: `SCTLR_EL1`, `TCR_EL1`, both TTBRs and x29, 8 bytes each, little-endian; then
/// the guest's memory, which is also read as a record.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok([sctlr, tcr, low, high, frame]) = input.arbitrary::<[u64; 5]>() else {
        return;
    };
    let (bytes, _) = input.take_rest().as_chunks::<8>();
    let memory: Vec<_> = bytes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let stage1 = Stage1 { sctlr, tcr, ttbr: [low, high] };
    let mut trace = [0; FRAMES];
    let mut reads = 0;
    let count = frames(&stage1, frame, &mut trace, |ipa| {
        reads += 1;
        memory.get(usize::try_from(ipa.checked_sub(BASE)? / 8).ok()?).copied()
    });
    assert!(count <= FRAMES && reads <= MOST, "{count} frames, {reads} reads");
    assert!(trace[..count].iter().all(|&address| memory.contains(&address)));
    assert!(trace[count..].iter().all(|&address| address == 0));

    let mut words = [0; WORDS];
    words.iter_mut().zip(&memory).for_each(|(place, &word)| *place = word);
    let given = Record::check(words, crc32c);
    words[word::MAGIC] = MAGIC;
    let rest: Vec<_> = words[word::NUMBER..].iter().flat_map(|word| word.to_le_bytes()).collect();
    words[word::CRC] = crc32c(&rest).into();
    let read = Record::check(words, crc32c).expect("its checksum is right");
    assert!(given.is_none_or(|given| given == read), "two checksums are right");
    assert!(read.trace().len() <= FRAMES);
    assert!(read.cause().is_none_or(|cause| Cause::ALL.contains(&cause)));
}
