// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan ping`: the latency of round trips.

use crate::Failure;
use crate::bench::account;
use crate::options::{Options, print};
use crate::pattern::Pattern;
use bhchan::Channel;
use hdrhistogram::Histogram;
use std::fmt::Write;
use std::time::Instant;

/// Sends one message at a time, and waits for it to come back.
pub fn run(options: &Options) -> Result<(), Failure> {
    let device = options.device(0)?;
    let mut channel = Channel::open(&device)?;
    let size = options.size(64, &channel)?;
    let count = options.count.unwrap_or(1000);
    let mut pattern = Pattern::default();
    let (mut message, mut answer) = (vec![0; size], vec![0; size]);
    // Nanoseconds, with three digits; a value beyond counts as the highest.
    let highest = 1_000_000_000_000;
    let times = Histogram::<u64>::new_with_bounds(1, highest, 3);
    let mut times = times.map_err(|error| Failure::Local(error.to_string()))?;
    // The peer may still have to open its end: the first round trip is not counted.
    for number in 0..=count {
        pattern.fill(&mut message);
        let start = Instant::now();
        channel.send(&message, options.deadline())?;
        let length = channel.recv(&mut answer, options.deadline())?;
        let taken = start.elapsed().as_nanos();
        if answer[..length] != message {
            let text = format!("round trip {number}: something else came back; does it run echo?");
            return Err(Failure::Peer(text));
        }
        if number > 0 {
            times.saturating_record(u64::try_from(taken).unwrap_or(highest));
        }
        if !options.interval.is_zero() {
            std::thread::sleep(options.interval);
        }
    }
    account(&mut channel, options)?;
    print(&report(&times, size, &channel))
}

fn report(times: &Histogram<u64>, size: usize, channel: &Channel<'_>) -> String {
    let micro = |nanoseconds: u64| format!("{:.1}", nanoseconds as f64 / 1e3);
    let mut text = format!(
        "{} round trips of {size} bytes, in microseconds: least {}, mean {:.1}, most {}\n",
        times.len(),
        micro(times.min()),
        times.mean() / 1e3,
        micro(times.max())
    );
    for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999] {
        let value = micro(times.value_at_quantile(quantile));
        let _ = writeln!(text, "  {:>6}%  {value:>10}", quantile * 100.0);
    }
    let counts = channel.counts();
    let _ = writeln!(text, "doorbells {}, interrupts {}", counts.doorbells, counts.interrupts);
    text
}
