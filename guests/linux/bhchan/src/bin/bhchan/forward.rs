// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan forward`: messages between two channels, both ways.

use crate::Failure;
use crate::options::Options;
use bhchan::{Channel, Error, Interest, Sleep, sleep};

/// Messages of one direction between two looks at the other.
const BATCH: usize = 64;

/// Copies until it is stopped, or nothing happens within the timeout. A message that the other side
/// has no room for waits, and the peer that sent it waits then. When a peer restarts, what was on
/// its way to it is lost.
pub fn run(options: &Options) -> Result<(), Failure> {
    let devices = [options.device(0)?, options.device(1)?];
    let [a, b] = &devices;
    let (mut a, mut b) = (Channel::open(a)?, Channel::open(b)?);
    let mut there = Direction::new(&a);
    let mut back = Direction::new(&b);
    loop {
        let moved = there.pass(&mut a, &mut b)? | back.pass(&mut b, &mut a)?;
        a.flush();
        b.flush();
        if moved {
            continue;
        }
        let a_wants = Interest { data: there.held.is_none(), room: back.held };
        let b_wants = Interest { data: back.held.is_none(), room: there.held };
        let slept = sleep(&mut [(&mut a, a_wants), (&mut b, b_wants)], &[], options.deadline());
        match slept {
            Ok(Sleep::TimedOut) => return Err(Error::TimedOut.into()),
            Ok(Sleep::Ready) | Err(Error::Restarted { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// One direction, with the message that the other side had no room for.
struct Direction {
    buffer: Vec<u8>,
    held: Option<usize>,
}

impl Direction {
    fn new(from: &Channel<'_>) -> Self {
        Self { buffer: vec![0; from.longest_received()], held: None }
    }

    /// Moves messages; returns whether it moved any.
    fn pass(&mut self, from: &mut Channel<'_>, to: &mut Channel<'_>) -> Result<bool, Failure> {
        let mut moved = false;
        for _ in 0..BATCH {
            if self.held.is_none() {
                self.held = restarts(from.pull(&mut self.buffer), || None)?;
            }
            let Some(length) = self.held else { break };
            if length > to.longest() {
                let text = format!(
                    "{} takes messages of at most {} bytes, and one of {length} came from {}",
                    to.device().name(),
                    to.longest(),
                    from.device().name()
                );
                return Err(Failure::Peer(text));
            }
            // After a restart, what is held is of the life before for nobody: it is tried again.
            if !restarts(to.push(&[&self.buffer[..length]]), || false)? {
                break;
            }
            self.held = None;
            moved = true;
        }
        Ok(moved)
    }
}

/// Returns what to do in place of an operation that a restart has ended.
fn restarts<T>(result: bhchan::Result<T>, instead: impl Fn() -> T) -> bhchan::Result<T> {
    match result {
        Err(Error::Restarted { .. }) => Ok(instead()),
        other => other,
    }
}
