// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a partition that has stopped starts again: the limit and the back-off of its policy.

use super::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A restart policy, with times in ticks of the counter.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Most restarts within `within`.
    pub limit: u32,
    /// The window that `limit` counts in. It begins with a restart, and the first restart after its
    /// end begins the next one.
    pub within: u64,
    /// Time from a stop to the first restart of a window.
    pub delay: u64,
    /// Factor by which the delay grows with each further restart of a window.
    pub back_off: u32,
}

/// A restart that the policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Its number in its window, from 1.
    pub number: u32,
    /// Ticks from the stop to it, at most [`Policy::within`].
    pub delay: u64,
}

/// The restarts of one partition. All bytes zero means none yet.
///
/// Of several vCPUs that stop their partition at once, each may ask, and only the one that changes
/// the partition's state records the restart. So nobody asks while it is recorded.
#[derive(Debug, Default)]
#[repr(C)]
pub struct History {
    first: AtomicU64,
    count: AtomicU32,
}

impl History {
    /// Returns the restart that follows a stop at tick `now`, or `None` if the limit is reached.
    pub fn next(&self, now: u64, policy: &Policy) -> Option<Restart> {
        let is_over = now.wrapping_sub(self.first.load(Relaxed)) > policy.within;
        let count = if is_over { 0 } else { self.count.load(Relaxed) };
        let factor = u64::from(policy.back_off).saturating_pow(count);
        (count < policy.limit).then(|| Restart {
            number: count + 1,
            delay: policy.delay.saturating_mul(factor).min(policy.within),
        })
    }

    /// Records `restart`, which [`Self::next`] returned for tick `now`.
    pub fn record(&self, now: u64, restart: Restart) {
        if restart.number == 1 {
            self.first.store(now, Relaxed);
        }
        self.count.store(restart.number, Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { limit: 3, within: 1000, delay: 10, back_off: 2 };

    fn restart(history: &History, now: u64) -> Option<(u32, u64)> {
        let restart = history.next(now, &POLICY)?;
        history.record(now, restart);
        Some((restart.number, restart.delay))
    }

    #[test]
    fn delays_grow_up_to_the_limit() {
        let history = History::default();
        assert_eq!(restart(&history, 5000), Some((1, 10)));
        assert_eq!(restart(&history, 5100), Some((2, 20)));
        assert_eq!(restart(&history, 5200), Some((3, 40)));
        assert_eq!(restart(&history, 5300), None);
        assert_eq!(restart(&history, 6000), None, "the window's last tick");
    }

    #[test]
    fn the_next_window_begins_anew() {
        let history = History::default();
        restart(&history, 5000);
        restart(&history, 5900);
        assert_eq!(restart(&history, 6001), Some((1, 10)));
        assert_eq!(restart(&history, 6900), Some((2, 20)));
        assert_eq!(restart(&history, 7001), Some((3, 40)));
        assert_eq!(restart(&history, 7001), None);
    }

    #[test]
    fn asking_changes_nothing() {
        let history = History::default();
        for _ in 0..9 {
            assert_eq!(history.next(5000, &POLICY), Some(Restart { number: 1, delay: 10 }));
        }
    }

    #[test]
    fn delays_end_at_the_window_and_do_not_overflow() {
        let policy = Policy { limit: u32::MAX, within: u64::MAX, delay: 1 << 60, back_off: 10 };
        let history = History::default();
        history.record(0, Restart { number: 1000, delay: 0 });
        assert_eq!(history.next(1, &policy).map(|next| next.delay), Some(u64::MAX));
        let policy = Policy { within: 50, ..policy };
        history.record(7, Restart { number: 1, delay: 0 });
        assert_eq!(history.next(8, &policy).map(|next| next.delay), Some(50));
    }

    #[test]
    fn a_first_stop_at_tick_zero_counts() {
        let history = History::default();
        assert_eq!(restart(&history, 0), Some((1, 10)));
        assert_eq!(restart(&history, 1), Some((2, 20)));
    }
}
