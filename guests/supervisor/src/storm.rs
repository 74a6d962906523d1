// SPDX-License-Identifier: MIT OR Apache-2.0
//! A doorbell storm, and its victim, which counts the entries into EL2 that it has because of it.

use abi::Reason;
use rt::log::info;
use rt::{Tree, fail, hv, interrupt, timer};

/// Rings every channel without a pause, until the victim has stopped.
pub fn storm(tree: &Tree) {
    let Some(node) = tree.channels().next() else { fail!("there is no channel") };
    while hv::ring(node.handle) != Err(abi::error::PEER_DOWN) {}
}

/// Sleeps for `seconds=`, and takes every doorbell. Then compares the entries with `rate=`, of all
/// its channels in doorbells per second, and `burst=`.
pub fn victim(tree: &Tree) {
    let number = |name| tree.option(name).and_then(|value| value.parse::<u64>().ok());
    let (Some(seconds), Some(rate), Some(burst)) =
        (number("seconds"), number("rate"), number("burst"))
    else {
        fail!("expected seconds=, rate=, burst=")
    };
    tree.channels().filter_map(|node| node.intid).for_each(interrupt::enable);
    let foreign = || Reason::FOREIGN.map(|reason| hv::entries(0, reason as usize)).map(count);
    let before = foreign();
    let began = timer::now();
    let mut taken = 0;
    while interrupt::wait_until(began + seconds * timer::frequency()).is_some() {
        taken += 1;
    }
    let time = (timer::now() - began) * 1000 / timer::frequency();
    let after = foreign();
    let entries: u64 = after.iter().zip(before).map(|(after, before)| after - before).sum();
    let most = burst + (rate * time).div_ceil(1000);
    let received =
        tree.channels().map(|node| count(hv::status(node.handle, abi::status::RECEIVED)));
    info!(
        "{entries} foreign entries in {time} ms, at most {most}; {taken} interrupts, {} doorbells",
        received.sum::<u64>()
    );
    // Half of what the rows allow shows that the storm was one.
    if entries > most || entries < most / 2 {
        fail!("{entries} entries, and the rows allow {most}");
    }
}

fn count(answer: Result<u64, i64>) -> u64 {
    answer.unwrap_or_default()
}
