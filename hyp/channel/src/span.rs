//! A message's bytes in place in the ring: one run of words, or two where it wraps.
//!
//! The words are atomics because the peer may read or write them at any moment; plain references
//! would be undefined behaviour. Every word is accessed once and whole.

use crate::word::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use zerocopy::FromBytes;

const WORD: usize = 8;

/// The words of a message in order: all of `first`, then all of `second`. Bytes are in memory
/// order.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Up to the data's end, or all of it.
    pub first: &'a [AtomicU64],
    /// The rest, from the data's start.
    pub second: &'a [AtomicU64],
}

impl<'a> Span<'a> {
    /// Returns the words for `len` bytes from the free-running byte index `at` in `data`, whose
    /// length is a power of two.
    pub(crate) fn new(data: &'a [AtomicU64], at: u32, len: usize) -> Self {
        let words = len.div_ceil(WORD);
        let start = (at as usize / WORD) & data.len().wrapping_sub(1);
        let tail = data.get(start..).unwrap_or_default();
        let first = tail.get(..words).unwrap_or(tail);
        let second = data.get(..words - first.len()).unwrap_or_default();
        Self { first, second }
    }

    /// Returns the span without its first `words` words. The rest starts in `first`.
    fn skip(self, words: usize) -> Self {
        match words.checked_sub(self.first.len()) {
            None => Self { first: self.first.get(words..).unwrap_or_default(), ..self },
            Some(beyond) => {
                Self { first: self.second.get(beyond..).unwrap_or_default(), second: &[] }
            }
        }
    }

    /// Stores `bytes` from byte `offset` on; bytes around them keep their values. The caller is the
    /// words' only writer.
    pub(crate) fn write(self, offset: usize, bytes: &[u8]) {
        let mut span = self.skip(offset / WORD);
        let mut bytes = bytes;
        let inside = offset % WORD;
        if inside != 0 {
            let (head, rest) = bytes.split_at(bytes.len().min(WORD - inside));
            patch(span.first, 0, inside, head);
            span = span.skip(1);
            bytes = rest;
        }
        let (first, second) = bytes.split_at(bytes.len().min(span.first.len() * WORD));
        store(span.first, first);
        store(span.second, second);
    }

    /// Loads `bytes` from byte `offset` on.
    pub(crate) fn read(self, offset: usize, bytes: &mut [u8]) {
        let mut span = self.skip(offset / WORD);
        let mut bytes = bytes;
        let inside = offset % WORD;
        if inside != 0 {
            let (head, rest) = bytes.split_at_mut(bytes.len().min(WORD - inside));
            fetch(span.first, 0, inside, head);
            span = span.skip(1);
            bytes = rest;
        }
        let (first, second) = bytes.split_at_mut(bytes.len().min(span.first.len() * WORD));
        load(span.first, first);
        load(span.second, second);
    }
}

fn store(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, tail) = bytes.as_chunks::<WORD>();
    // A guest's compiler may have to assemble a word of unknown alignment byte by byte.
    if let Ok(values) = <[u64]>::ref_from_bytes(whole.as_flattened()) {
        for (word, value) in words.iter().zip(values) {
            word.store(*value, Relaxed);
        }
    } else {
        for (word, chunk) in words.iter().zip(whole) {
            word.store(u64::from_ne_bytes(*chunk), Relaxed);
        }
    }
    patch(words, whole.len(), 0, tail);
}

fn load(words: &[AtomicU64], bytes: &mut [u8]) {
    let (whole, tail) = bytes.as_chunks_mut::<WORD>();
    let loaded = words.iter().map(|word| word.load(Relaxed));
    if let Ok(values) = <[u64]>::mut_from_bytes(whole.as_flattened_mut()) {
        for (value, word) in values.iter_mut().zip(loaded) {
            *value = word;
        }
    } else {
        for (chunk, word) in whole.iter_mut().zip(loaded) {
            *chunk = word.to_ne_bytes();
        }
    }
    fetch(words, whole.len(), 0, tail);
}

/// Puts a few bytes into the word at `index`, from its byte `inside` on.
fn patch(words: &[AtomicU64], index: usize, inside: usize, bytes: &[u8]) {
    if let (Some(word), false) = (words.get(index), bytes.is_empty()) {
        let mut value = word.load(Relaxed).to_ne_bytes();
        for (to, from) in value.iter_mut().skip(inside).zip(bytes) {
            *to = *from;
        }
        word.store(u64::from_ne_bytes(value), Relaxed);
    }
}

/// Gets a few bytes of the word at `index`, from its byte `inside` on.
fn fetch(words: &[AtomicU64], index: usize, inside: usize, bytes: &mut [u8]) {
    if let (Some(word), false) = (words.get(index), bytes.is_empty()) {
        let value = word.load(Relaxed).to_ne_bytes();
        for (to, from) in bytes.iter_mut().zip(value.iter().skip(inside)) {
            *to = *from;
        }
    }
}
