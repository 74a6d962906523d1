//! Bound on the console's share of its core's time: after each drain comes a pause that is long
//! enough.

/// The share, and the time when the next drain may begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Factor on a drain's time that gives the pause after it, in 256ths.
    pause: u64,
    /// Most ticks charged for a drain, 20 us; hardware needs a tenth of that. If a drain takes
    /// longer, an emulator or a debugger has stopped the core in it.
    most: u64,
    next: u64,
}

impl Pace {
    /// Returns the pace at which drains take at most `share` percent of the time. The counter has
    /// `frequency` ticks per second.
    pub fn new(share: u32, frequency: u64) -> Self {
        let share = u64::from(share.clamp(1, 100));
        // The pause is rounded up, since the share is a maximum. This does not use `/`, which can
        // panic.
        let pause = (((100 - share) << 8) + share - 1).checked_div(share).unwrap_or(0);
        Self { pause, most: (frequency / 50_000).max(1), next: 0 }
    }

    /// Returns when the next drain may begin, if that is later than `now`.
    pub fn wait(&self, now: u64) -> Option<u64> {
        (now < self.next).then_some(self.next)
    }

    /// Charges a drain that took from `start` to `end`. Returns when the next may begin.
    pub fn charge(&mut self, start: u64, end: u64) -> u64 {
        // Entry and return are not between the two; half as much is added for them.
        let spent = end.wrapping_sub(start).min(self.most).max(1) * 3 / 2;
        self.next = end.wrapping_add((spent * self.pause) >> 8);
        self.next
    }
}
