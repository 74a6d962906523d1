//! The rate limit of a channel end, and the doorbells it has put off.
//!
//! The limit is the generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex
//! A): one stored time, no division and no loop when a doorbell is admitted. Times are counter
//! ticks; a 64-bit counter at 1 GHz lasts 584 years, and beyond that the arithmetic saturates.

use zerocopy::FromZeros;

use crate::Outcome;

/// Admits `rate` doorbells per second in the long run, `burst` back to back. All zero admits every
/// one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(C)]
pub struct Bucket {
    /// Theoretical arrival time: when the next doorbell is due at an even rate.
    pub arrival: u64,
    /// Ticks between doorbells at an even rate; 0 means no limit.
    pub interval: u64,
    /// How much sooner than `arrival` one is admitted.
    pub tolerance: u64,
}

impl Bucket {
    /// Returns a full bucket. `frequency` is the counter's ticks per second; `rate` 0 means no
    /// limit; `burst` 0 is taken as 1.
    pub fn new(frequency: u64, rate: u32, burst: u32) -> Self {
        let interval = match rate {
            0 => 0,
            // Rounded up: never more than `rate` in the long run.
            rate => frequency.div_ceil(rate.into()),
        };
        Self {
            arrival: 0,
            interval,
            tolerance: interval.saturating_mul(burst.saturating_sub(1).into()),
        }
    }

    /// Admits a doorbell ([`Outcome::Notify`]), or returns the tick at which one will be admitted
    /// ([`Outcome::Deferred`]). `now` reads the counter, which is slow; it is not called without a
    /// limit.
    pub fn admit(&mut self, now: impl FnOnce() -> u64) -> Outcome {
        if self.interval == 0 {
            return Outcome::Notify;
        }
        let (now, earliest) = (now(), self.arrival.saturating_sub(self.tolerance));
        if now < earliest {
            return Outcome::Deferred(earliest);
        }
        self.arrival = self.arrival.max(now).saturating_add(self.interval);
        Outcome::Notify
    }
}

/// Handles of one core whose SGI waits for the rate limit. Private to that core. All zero is empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deferred {
    handles: u64,
    next: u64,
}

impl Deferred {
    /// Puts `handle` (modulo 64) off until the tick `at`. Returns true if the core's timer has to
    /// be set to [`Deferred::next`] again.
    pub fn defer(&mut self, handle: u32, at: u64) -> bool {
        let sooner = self.handles == 0 || at < self.next;
        if sooner {
            self.next = at;
        }
        self.handles |= 1 << (handle & 63);
        sooner
    }

    /// Returns the tick at which to call [`Deferred::due`], if anything waits.
    pub fn next(&self) -> Option<u64> {
        (self.handles != 0).then_some(self.next)
    }

    /// Returns at the tick `now` every handle put off, or none before [`Deferred::next`]. The
    /// caller retries each, and defers it again if it is still too early.
    pub fn due(&mut self, now: u64) -> Handles {
        if now < self.next {
            return Handles(0);
        }
        Handles(core::mem::take(&mut self.handles))
    }
}

/// Handles, lowest first: the bits of a word.
#[derive(Clone, Copy, Debug)]
pub struct Handles(pub u64);

impl Iterator for Handles {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let handle = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (handle < 64).then_some(handle)
    }
}
