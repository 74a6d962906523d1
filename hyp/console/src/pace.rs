//! What the console may take of its core's time: after each drain, a pause that is long enough.

/// The share, and when the next drain may begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// What a drain's time is multiplied with to make the pause behind it, in 256ths.
    pause: u64,
    /// A drain is charged no more than this, 20 us, of which hardware needs a tenth: where it takes
    /// longer, an emulator or a debugger has stopped the core in it.
    most: u64,
    next: u64,
}

impl Pace {
    /// Drains take `share` percent of the time at most, which runs at `frequency` ticks a second.
    pub fn new(share: u32, frequency: u64) -> Self {
        let share = u64::from(share.clamp(1, 100));
        // Rounded up: the share is the most. Not `/`, which can panic.
        let pause = (((100 - share) << 8) + share - 1).checked_div(share).unwrap_or(0);
        Self { pause, most: (frequency / 50_000).max(1), next: 0 }
    }

    /// When the next drain may begin, if that is later than `now`.
    pub fn wait(&self, now: u64) -> Option<u64> {
        (now < self.next).then_some(self.next)
    }

    /// A drain has taken from `start` to `end`. Answers when the next may begin.
    pub fn charge(&mut self, start: u64, end: u64) -> u64 {
        // Entry and return are not between the two: half as much again.
        let spent = end.wrapping_sub(start).min(self.most).max(1) * 3 / 2;
        self.next = end.wrapping_add((spent * self.pause) >> 8);
        self.next
    }
}
