// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan send`, `recv` and `cat`: between standard input and output and a channel.

use crate::Failure;
use crate::options::Options;
use bhchan::{Channel, Error, Interest, Sleep, sleep};
use std::io::{BufRead, Stdin, StdoutLock, Write};
use std::os::fd::AsFd;

/// Bytes per message, unless `--size` says otherwise.
const SIZE: usize = 16 << 10;

fn input_error(error: &std::io::Error) -> Failure {
    Failure::local("read standard input", error)
}

/// Writes to standard output.
fn write(output: &mut StdoutLock<'_>, bytes: &[u8]) -> Result<(), Failure> {
    let written = output.write_all(bytes);
    written.map_err(|error| Failure::local("write standard output", &error))
}

/// Sends standard input, and then a message of length 0; waits until the peer has taken all.
pub fn send(options: &Options) -> Result<(), Failure> {
    let device = options.device(0)?;
    let mut channel = Channel::open(&device)?;
    let size = options.size(SIZE, &channel)?;
    let mut input = std::io::stdin().lock();
    let mut message = Vec::with_capacity(size);
    loop {
        message.clear();
        if options.lines {
            input.read_until(b'\n', &mut message).map_err(|error| input_error(&error))?;
            if message.is_empty() {
                break;
            }
            message.pop_if(|last| *last == b'\n');
            if message.len() > channel.longest() {
                let longest = channel.longest();
                let text = format!("a line has {} bytes, at most {longest} fit", message.len());
                return Err(Failure::Local(text));
            }
            if message.is_empty() {
                // A message of length 0 would end the stream.
                continue;
            }
        } else {
            // What is there now is sent now: a terminal's lines do not wait for more.
            let there = input.fill_buf().map_err(|error| input_error(&error))?;
            let length = there.len().min(size);
            message.extend_from_slice(&there[..length]);
            input.consume(length);
            if length == 0 {
                break;
            }
        }
        channel.send(&message, options.deadline())?;
    }
    channel.send(&[], options.deadline())?;
    Ok(channel.drain(options.deadline())?)
}

/// Writes messages to standard output.
pub fn recv(options: &Options) -> Result<(), Failure> {
    let device = options.device(0)?;
    let mut channel = Channel::open(&device)?;
    let mut buffer = vec![0; channel.longest_received()];
    let mut output = std::io::stdout().lock();
    let mut left = options.count;
    while left != Some(0) {
        // The buffer of standard output is shown before each wait.
        let length = match channel.try_recv(&mut buffer) {
            Ok(Some(length)) => length,
            Ok(None) => {
                output.flush().map_err(|error| Failure::local("write standard output", &error))?;
                match channel.wait(Interest::DATA, options.deadline()) {
                    Err(Error::Restarted { .. }) if options.forever => {}
                    result => result?,
                }
                continue;
            }
            Err(Error::Restarted { .. }) if options.forever => continue,
            Err(error) => return Err(error.into()),
        };
        if length == 0 && !options.forever {
            break;
        }
        write(&mut output, &buffer[..length])?;
        if options.lines {
            write(&mut output, b"\n")?;
        }
        left = left.map(|left| left - 1);
    }
    output.flush().map_err(|error| Failure::local("write standard output", &error))
}

/// What is on its way out.
struct Outgoing {
    input: Stdin,
    message: Vec<u8>,
    /// Bytes in `message` that the channel had no room for; 0 is the end of the stream.
    waiting: Option<usize>,
    ended: bool,
}

/// Copies in both directions, until both have ended.
pub fn cat(options: &Options) -> Result<(), Failure> {
    let device = options.device(0)?;
    let mut channel = Channel::open(&device)?;
    let size = options.size(SIZE, &channel)?;
    let input = std::io::stdin();
    let mut out = Outgoing { input, message: vec![0; size], waiting: None, ended: false };
    let mut buffer = vec![0; channel.longest_received()];
    let mut output = std::io::stdout().lock();
    let mut received_all = false;
    loop {
        while !received_all && let Some(length) = channel.try_recv(&mut buffer)? {
            received_all = length == 0;
            write(&mut output, &buffer[..length])?;
        }
        output.flush().map_err(|error| Failure::local("write standard output", &error))?;
        if let Some(length) = out.waiting
            && channel.try_send(&out.message[..length])?
        {
            out.waiting = None;
            out.ended = length == 0;
        }
        if out.ended && received_all {
            return Ok(channel.drain(options.deadline())?);
        }
        let interest = Interest { data: !received_all, room: out.waiting };
        let reads = out.waiting.is_none() && !out.ended;
        let input = [out.input.as_fd()];
        let others = if reads { &input[..] } else { &[] };
        if sleep(&mut [(&mut channel, interest)], others, options.deadline())? == Sleep::TimedOut {
            return Err(Error::TimedOut.into());
        }
        if reads && is_readable(&out.input) {
            // Not through the standard library's buffer: what it kept would not wake the sleep.
            let read = rustix::io::read(&out.input, &mut out.message[..]);
            out.waiting = Some(read.map_err(|error| input_error(&error.into()))?);
        }
    }
}

/// Returns whether a read of standard input would not block.
fn is_readable(input: &Stdin) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&now)).is_ok_and(|count| count > 0)
}
