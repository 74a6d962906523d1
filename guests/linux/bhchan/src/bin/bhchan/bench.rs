// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan bench`: a pattern to a partner that sends it back, checked byte for byte here and by
//! checksum there.

use crate::Failure;
use crate::options::{Options, print};
use crate::pattern::{Account, Checksum, Pattern};
use bhchan::{Channel, Interest};
use std::time::Instant;

/// Sends `--bytes` bytes while there is room, and takes what comes back in between.
pub fn run(options: &Options) -> Result<(), Failure> {
    let device = options.device(0)?;
    let mut channel = Channel::open(&device)?;
    let longest = channel.longest().min(channel.longest_received());
    let size = options.size((16 << 10).min(longest / 2), &channel)?;
    // The partner may have counted messages of a program before this one.
    account(&mut channel, options)?;
    let (mut sending, mut expected) = (Pattern::default(), Pattern::default());
    let (mut sum, mut messages) = (Checksum::default(), 0);
    let (mut sent, mut received) = (0, 0);
    let (mut message, mut wanted, mut answer) = (vec![0; size], vec![0; size], vec![0; size]);
    let next = |done: u64| usize::try_from(options.bytes - done).unwrap_or(size).min(size);
    // What is filled but was not sent for want of room.
    let mut filled = 0;
    let mut start = None;
    while received < options.bytes {
        while sent < options.bytes {
            if filled == 0 {
                filled = next(sent);
                sending.fill(&mut message[..filled]);
            }
            if !channel.push(&[&message[..filled]])? {
                break;
            }
            // The time does not count until the peer is there.
            start.get_or_insert_with(Instant::now);
            sum.take(&message[..filled]);
            messages += 1;
            sent += filled as u64;
            filled = 0;
        }
        let mut some = false;
        while received < options.bytes
            && let Some(length) = channel.pull(&mut answer)?
        {
            let wanted = &mut wanted[..next(received)];
            expected.fill(wanted);
            if answer[..length] != *wanted {
                return Err(Failure::Peer(format!(
                    "wrong data came back after {received} bytes; does the peer run echo?"
                )));
            }
            received += length as u64;
            some = true;
        }
        channel.flush();
        if !some && received < options.bytes {
            let room = (sent < options.bytes).then_some(filled);
            channel.wait(Interest { data: true, room }, options.deadline())?;
        }
    }
    let taken = start.unwrap_or_else(Instant::now).elapsed();
    let account = account(&mut channel, options)?;
    let wanted = Account { messages, bytes: sent, checksum: sum, ..account };
    if account != wanted {
        return Err(Failure::Peer(format!("the peer counts {account:?}, and this end {wanted:?}")));
    }
    let counts = channel.counts();
    print(&format!(
        "{sent} bytes both ways in {messages} messages of {size}, checksum {:016x}: {:.1} MB/s \
         each way\ninterrupts {} here, {} there\n",
        sum.0,
        sent as f64 / 1e6 / taken.as_secs_f64().max(1e-9),
        counts.interrupts,
        account.interrupts
    ))
}

/// Asks the partner for an account of what it has sent back since the last one.
pub fn account(channel: &mut Channel<'_>, options: &Options) -> Result<Account, Failure> {
    channel.send(&[], options.deadline())?;
    let mut message = vec![0; channel.longest_received()];
    loop {
        let length = channel.recv(&mut message, options.deadline())?;
        if let Some(account) = Account::decode(&message[..length]) {
            return Ok(account);
        }
        // Answers to a program before this one.
    }
}
