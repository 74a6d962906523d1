//! Doorbells between cores: the receiver's pending word, the sender's rate limit, and deferred
//! SGIs.
//!
//! [`Bucket::ring`] runs on the sender's core, [`PendingWord::take`] on the receiver's, after the
//! SGI. A doorbell is one bit from the moment it is set in [`PendingWord`] until the receiver takes
//! it; nothing else can lose or invent one:
//!
//! - A bit has one setter (its peer end's core) and one clearer (the word's own core). A set bit
//!   therefore means that its setter has sent the SGI, has it in its [`Deferred`] set, or found the
//!   end masked and left the rest to `unmask`.
//! - When the rate limit is exceeded the bit stays set and only the SGI waits. Rings meanwhile
//!   coalesce into the bit, and if the receiver enters EL2 for another doorbell it takes this one
//!   too: the limit bounds entries at the receiver and delays nothing else.
//! - Whether *other* bits were set says nothing. A sender that trusted a neighbour's bit to bring
//!   the SGI would lose its own doorbell where the receiver masks that neighbour between the
//!   neighbour's two steps (set the bit, read the mask).
//!
//! Two cores, one doorbell, and a rate limit of one per second:
//!
//! ```
//! use bulkhead_doorbell::{Bucket, Counters, Outcome, PendingWord};
//!
//! let receiver = PendingWord::default();
//! let (mut sender, counters) = (Bucket::new(1_000, 1, 1), Counters::default());
//! let now = || 5_000; // the counter, at 1 kHz
//! // The sender's core sends the SGI.
//! assert_eq!(sender.ring(&counters, &receiver, 3, now), Outcome::Notify);
//! assert_eq!(sender.ring(&counters, &receiver, 3, now), Outcome::Coalesced);
//! assert_eq!(receiver.take(), 1 << 3); // the receiver's core, after the SGI
//!
//! // The bit is set, the SGI waits.
//! assert_eq!(sender.ring(&counters, &receiver, 3, now), Outcome::Deferred(6_000));
//! assert!(receiver.is_pending(3));
//! assert_eq!(sender.retry(&receiver, 3, 6_000), Outcome::Notify);
//! assert_eq!((counters.sent.get(), counters.coalesced.get()), (2, 1));
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod limit;
#[cfg(all(test, not(loom)))]
mod tests;

pub use limit::{Bucket, Deferred, Handles};

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

#[cfg(not(loom))]
use core::sync::atomic::AtomicU64;
#[cfg(loom)]
use loom::sync::atomic::AtomicU64;

/// Doorbells on their way to one core. All zero is a valid, empty word. Only its own core masks and
/// takes.
///
/// It has a cache line of its own, so that ringing one core does not disturb another.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct PendingWord {
    /// One bit for each handle that was rung.
    pub pending: AtomicU64,
    /// Handles whose doorbells wait.
    pub masked: AtomicU64,
}

impl PendingWord {
    /// Sets `bit` (modulo 64) and makes all the caller wrote before it visible to the core that
    /// takes it. Returns [`Outcome::Notify`] if the bit is new and not masked.
    ///
    /// No wake-up is lost to a mask that is lifted meanwhile: the read-modify-writes of the pending
    /// word here and in [`PendingWord::unmask`] have one order. If this one is first, `unmask`
    /// finds the bit; if `unmask` is first, this one acquires what it released, and the mask read
    /// next is already lifted. So no sequential consistency and no DMB are needed (LDAXR/STLXR on
    /// Arm). The SGI is a system register write, which these do not order: the caller puts a DSB
    /// ISHST before it.
    pub fn ring(&self, bit: u32) -> Outcome {
        let bit = one(bit);
        if self.pending.fetch_or(bit, AcqRel) & bit != 0 {
            return Outcome::Coalesced;
        }
        if self.masked.load(Relaxed) & bit == 0 { Outcome::Notify } else { Outcome::Held }
    }

    /// Returns whether `bit` is set and not masked, as the bit's own setter sees it when a deferred
    /// SGI comes due.
    ///
    /// The setter never reads a value older than its own write: a clear bit was taken. A mask it
    /// sees is lifted after that write, so `unmask` finds the bit; a mask it does not see yet costs
    /// one SGI that finds nothing to take.
    pub fn wants_notify(&self, bit: u32) -> bool {
        self.pending.load(Relaxed) & !self.masked.load(Relaxed) & one(bit) != 0
    }

    /// Takes every doorbell that is not masked; masked ones stay set. To be called on the word's
    /// own core.
    pub fn take(&self) -> u64 {
        // Only its own core writes the mask, so it cannot change between these two.
        let masked = self.masked.load(Relaxed);
        self.pending.fetch_and(masked, Acquire) & !masked
    }

    /// Holds back doorbells of `bit` from now on. To be called on the word's own core.
    pub fn mask(&self, bit: u32) {
        self.masked.store(self.masked.load(Relaxed) | one(bit), Relaxed);
    }

    /// Lets doorbells of `bit` through again. Returns true if one waited: it is taken, and the
    /// caller delivers it. To be called on the word's own core.
    pub fn unmask(&self, bit: u32) -> bool {
        let bit = one(bit);
        self.masked.store(self.masked.load(Relaxed) & !bit, Relaxed);
        self.pending.fetch_and(!bit, AcqRel) & bit != 0
    }

    /// Returns whether a doorbell of `bit` waits, masked or not.
    pub fn is_pending(&self, bit: u32) -> bool {
        self.pending.load(Relaxed) & one(bit) != 0
    }
}

/// Returns the bit of a handle.
const fn one(bit: u32) -> u64 {
    1 << (bit & 63)
}

/// What the sender's core must do after [`PendingWord::ring`] and the limit ([`Bucket::ring`],
/// [`Bucket::retry`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Send the SGI now.
    Notify,
    /// Do nothing: an earlier doorbell is still pending at the peer.
    Coalesced,
    /// Do nothing: the peer's mask holds it back, or (retry) the peer has already taken it.
    Held,
    /// Put the handle into [`Deferred`] until this counter value: the rate limit is exceeded.
    Deferred(u64),
}

/// The counters of a channel end, all zero at the start. Only its own core counts; any core may
/// read.
///
/// Every ring counts in `sent` or in `coalesced`, so `sent` here is `received` at the peer, plus
/// one while one waits there.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    /// Doorbells set at the peer.
    pub sent: Counter,
    /// Rings that found their bit still set.
    pub coalesced: Counter,
    /// Of those sent, the ones whose SGI had to wait for the limit.
    pub deferred: Counter,
    /// Doorbells taken at this end; the core counts them as it takes them.
    pub received: Counter,
}

/// A count that one core changes, so that a load and a store suffice.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(core::sync::atomic::AtomicU64);

impl Counter {
    /// Adds one.
    pub fn count(&self) {
        self.0.store(self.get().wrapping_add(1), Relaxed);
    }

    /// Returns the count.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Bucket {
    /// Rings `bit` of the peer's `word`, and counts that. `now` reads the counter (ticks); it is
    /// called only if the limit has to be checked.
    pub fn ring(
        &mut self,
        counters: &Counters,
        word: &PendingWord,
        bit: u32,
        now: impl FnOnce() -> u64,
    ) -> Outcome {
        let outcome = match word.ring(bit) {
            Outcome::Notify => self.admit(now),
            Outcome::Coalesced => {
                counters.coalesced.count();
                return Outcome::Coalesced;
            }
            other => other,
        };
        counters.sent.count();
        if matches!(outcome, Outcome::Deferred(_)) {
            counters.deferred.count();
        }
        outcome
    }

    /// Checks the limit again for a doorbell that was put off. Returns [`Outcome::Held`] if it no
    /// longer needs an SGI.
    pub fn retry(&mut self, word: &PendingWord, bit: u32, now: u64) -> Outcome {
        match word.wants_notify(bit) {
            true => self.admit(|| now),
            false => Outcome::Held,
        }
    }
}
