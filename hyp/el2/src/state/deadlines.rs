//! The deadlines of a core, in ticks of the physical counter. EL2's one timer is armed for the
//! earliest.

use crate::arch::timer;

/// Events that a core may wait for.
#[derive(Clone, Copy)]
pub enum Deadline {
    /// A doorbell that the rate limit put off may be sent.
    Doorbell,
    /// The console's next drain, on the console core.
    ConsoleDrain,
    /// A look at this partition's PL011, whose full ring may have room.
    ConsoleLook,
    /// The partition's next start, on the core of vCPU 0.
    Restart,
    /// The partition's watchdog, on each core that has set it.
    Watchdog,
    /// The next pet of the board's watchdog, on the console core.
    BoardWatchdog,
    /// The rest of a crash record's dump, which the console had no room for.
    Record,
}

/// One tick per [`Deadline`].
pub struct Deadlines([u64; 7]);

impl Deadlines {
    /// No deadline is set.
    pub const NONE: Self = Self([timer::NEVER; 7]);

    /// Sets `which` to tick `at`; [`timer::NEVER`] clears it. It takes effect with [`Self::arm`].
    pub fn set(&mut self, which: Deadline, at: u64) {
        self.0[which as usize] = at;
    }

    /// Sets `which` to tick `at` if it is later than `at` now.
    pub fn advance(&mut self, which: Deadline, at: u64) {
        self.set(which, at.min(self.0[which as usize]));
    }

    /// Returns whether `which` has come by tick `now`.
    pub fn is_due(&self, which: Deadline, now: u64) -> bool {
        self.0[which as usize] <= now
    }

    /// Arms EL2's timer for the earliest.
    pub fn arm(&self) {
        let [a, b, c, d, e, f, g] = self.0;
        timer::arm(a.min(b).min(c.min(d)).min(e.min(f).min(g)));
    }
}
