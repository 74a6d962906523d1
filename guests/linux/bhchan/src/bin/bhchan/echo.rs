// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan echo`: the partner of `ping` and `bench`.

use crate::Failure;
use crate::options::Options;
use crate::pattern::Account;
use bhchan::{Channel, Error, Interest};

/// Sends every message back, and answers one of length 0 with an account of them.
pub fn run(options: &Options) -> Result<(), Failure> {
    let device = options.device(0)?;
    let mut channel = Channel::open(&device)?;
    let mut buffer = vec![0; channel.longest_received()];
    loop {
        match serve(&mut channel, &mut buffer, options) {
            // The next partner may come.
            Ok(()) | Err(Failure::Channel(Error::Restarted { .. })) if options.forever => {}
            done => return done,
        }
    }
}

/// Serves one partner, until its message of length 0 after others.
fn serve(channel: &mut Channel<'_>, buffer: &mut [u8], options: &Options) -> Result<(), Failure> {
    let mut account = Account::default();
    let before = channel.counts().interrupts;
    loop {
        let Some(length) = channel.pull(buffer)? else {
            channel.wait(Interest::DATA, options.deadline())?;
            continue;
        };
        if length == 0 {
            account.interrupts = channel.counts().interrupts - before;
            channel.send(&account.encode(), options.deadline())?;
            if account.messages == 0 {
                // The partner only makes sure that it begins at zero.
                continue;
            }
            channel.drain(options.deadline())?;
            return Ok(());
        }
        let message = &buffer[..length];
        account.messages += 1;
        account.bytes += length as u64;
        account.checksum.take(message);
        // The last answer of a batch is shown by the wait, with those before.
        if !channel.push(&[message])? {
            channel.flush();
            channel.send(message, options.deadline())?;
        }
    }
}
