// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan net`: a bridge between a TAP device and a channel.
//!
//! Each message is a frame after its virtio-net header, as the TAP device has it, or a *hello*,
//! which is shorter than any frame. Each side says hello when the two are connected: its MTU, and
//! the offloads that it can take. The other's kernel then leaves out checksums, and segments of
//! TCP, that nobody needs on the way. Frames before the peer's hello are dropped.

use crate::Failure;
use crate::options::Options;
use bhchan::{Channel, Error, FRAME_HEADER, Interest, Offload, Sleep, Tap, sleep};
use std::os::fd::AsFd;

/// Bytes of an Ethernet header with a VLAN tag.
const ETHERNET: usize = 18;
/// The longest packet of TCP that a kernel leaves to be cut up.
const SEGMENT: usize = 65_536;
/// Frames of one direction between two looks at the other, and between two doorbells.
const BATCH: usize = 64;

/// Connects the two, until it is stopped.
pub fn run(options: &Options) -> Result<(), Failure> {
    let device = options.device(0)?;
    let mut channel = Channel::open(&device)?;
    let longest = channel.longest().min(channel.longest_received());
    let offload = wanted_offload(options, longest)?;
    let tap = Tap::open(&options.tap)?;
    tap.set_offload(Offload::default())?;
    tap.start(hardware_address(&device.name(), device.id()), options.mtu)?;
    tap.set_carrier(false);
    eprintln!("bhchan: {} bridges {}", tap.name(), device.name());
    if let Some(command) = &options.up {
        run_command(command, tap.name())?;
    }
    let mut bridge = Bridge {
        tap,
        name: device.name(),
        own: Hello { mtu: options.mtu, offload, wants_answer: true },
        peer: None,
        hello: true,
        frame: vec![0; FRAME_HEADER + ETHERNET + SEGMENT],
        held: None,
        message: vec![0; channel.longest_received()],
    };
    loop {
        match bridge.turn(&mut channel, options) {
            Ok(()) => {}
            Err(Failure::Channel(Error::Restarted { .. })) => bridge.reconnect(),
            Err(failure) => return Err(failure),
        }
    }
}

/// Returns what this side can take: segments only if they fit into the channel.
fn wanted_offload(options: &Options, longest: usize) -> Result<Offload, Failure> {
    let frame = FRAME_HEADER + ETHERNET + options.mtu as usize;
    if frame > longest {
        let text = format!("--mtu {}: the channel takes frames of {longest} bytes", options.mtu);
        return Err(Failure::Usage(text));
    }
    Ok(match options.offload {
        false => Offload::default(),
        true if longest < FRAME_HEADER + ETHERNET + SEGMENT => Offload::CHECKSUM,
        true => Offload::SEGMENTS,
    })
}

/// Returns the address of a channel's end, always the same: a bridge that starts again is known to
/// its peer's kernel. It is locally administered (bit 1 of the first byte).
fn hardware_address(channel: &str, end: u32) -> [u8; 6] {
    // FNV-1a, 32 bits.
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = channel.bytes().fold(0x811c_9dc5, mix);
    let [a, b, c, d] = hash.to_be_bytes();
    [0x02, a, b, c, d, end as u8]
}

fn run_command(command: &str, tap: &str) -> Result<(), Failure> {
    let status = std::process::Command::new("sh").args(["-c", command]).env("TAP", tap).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Local(format!("--up: {status}"))),
        Err(error) => Err(Failure::local("start sh", &error)),
    }
}

/// What one side says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hello {
    mtu: u32,
    offload: Offload,
    /// The other side is to say hello, too.
    wants_answer: bool,
}

impl Hello {
    const LENGTH: usize = 16;
    const MAGIC: [u8; 4] = *b"BHN1";

    fn encode(self) -> [u8; Self::LENGTH] {
        let mut message = [0; Self::LENGTH];
        message[..4].copy_from_slice(&Self::MAGIC);
        message[4..8].copy_from_slice(&self.mtu.to_le_bytes());
        message[8..12].copy_from_slice(&self.offload.0.to_le_bytes());
        message[12] = self.wants_answer.into();
        message
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let (words, []) = message.as_chunks::<4>() else { return None };
        let [Self::MAGIC, mtu, offload, answer] = words else { return None };
        Some(Self {
            mtu: u32::from_le_bytes(*mtu),
            offload: Offload(u32::from_le_bytes(*offload)),
            wants_answer: answer[0] != 0,
        })
    }
}

struct Bridge {
    tap: Tap,
    /// The channel's.
    name: String,
    own: Hello,
    peer: Option<Hello>,
    /// A hello is to be sent.
    hello: bool,
    frame: Vec<u8>,
    /// Bytes of the frame that the channel had no room for.
    held: Option<usize>,
    message: Vec<u8>,
}

impl Bridge {
    /// Moves what is there, and sleeps if there was nothing.
    fn turn(&mut self, channel: &mut Channel<'_>, options: &Options) -> Result<(), Failure> {
        if self.hello && channel.try_send(&self.own.encode())? {
            self.hello = false;
        }
        let moved = self.take(channel)? | self.give(channel)?;
        channel.flush();
        if moved {
            return Ok(());
        }
        let room = if self.hello { Some(Hello::LENGTH) } else { self.held };
        let tap = [self.tap.as_fd()];
        // While a frame waits for room, or for the peer, the kernel keeps its queue.
        let others = if self.held.is_none() { &tap[..] } else { &[] };
        let interest = Interest { data: true, room };
        match sleep(&mut [(channel, interest)], others, options.deadline())? {
            Sleep::Ready => Ok(()),
            Sleep::TimedOut => Err(Error::TimedOut.into()),
        }
    }

    /// Frames from the channel to the TAP device.
    fn take(&mut self, channel: &mut Channel<'_>) -> Result<bool, Failure> {
        for count in 0..BATCH {
            let Some(length) = channel.pull(&mut self.message)? else { return Ok(count > 0) };
            if let Some(hello) = Hello::decode(&self.message[..length]) {
                self.meet(hello)?;
            } else if self.peer.is_some() && length >= FRAME_HEADER {
                // A frame that the kernel does not take is lost, as on any wire.
                self.tap.write(&self.message[..length])?;
            }
        }
        Ok(true)
    }

    /// Frames from the TAP device to the channel.
    fn give(&mut self, channel: &mut Channel<'_>) -> Result<bool, Failure> {
        for count in 0..BATCH {
            if self.held.is_none() {
                self.held = self.tap.read(&mut self.frame)?;
            }
            let Some(length) = self.held else { return Ok(count > 0) };
            // Without a peer nobody waits for it; and what was cut up for another peer may be too
            // long for this one.
            let fits = length <= channel.longest();
            if self.peer.is_some() && fits && !channel.push(&[&self.frame[..length]])? {
                return Ok(count > 0);
            }
            self.held = None;
        }
        Ok(true)
    }

    /// Takes note of what the peer says of itself.
    fn meet(&mut self, hello: Hello) -> Result<(), Failure> {
        if hello.mtu != self.own.mtu {
            return Err(Failure::Peer(format!(
                "{}: the peer's MTU is {}, and this side's is {}: give both the same --mtu",
                self.name, hello.mtu, self.own.mtu
            )));
        }
        if hello.wants_answer {
            self.own.wants_answer = false;
            self.hello = true;
        }
        let offload = hello.offload.common(Offload::SEGMENTS);
        self.tap.set_offload(offload)?;
        self.tap.set_carrier(true);
        if self.peer.replace(hello).is_none() {
            let with = match offload {
                Offload::SEGMENTS => "whole segments without checksums",
                Offload::CHECKSUM => "packets without checksums",
                _ => "packets",
            };
            eprintln!("bhchan: {}: the peer is there, and takes {with}", self.name);
        }
        Ok(())
    }

    /// The peer has restarted.
    fn reconnect(&mut self) {
        eprintln!("bhchan: {}: the peer has restarted", self.name);
        self.peer = None;
        self.held = None;
        self.own.wants_answer = true;
        self.hello = true;
        self.tap.set_carrier(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_ends_have_addresses_of_their_own() {
        let of = hardware_address;
        assert_ne!(of("a", 0), of("a", 1));
        assert_ne!(of("a", 0), of("b", 0));
        assert_eq!(of("a", 0)[0] & 3, 2, "locally administered, for one station");
    }

    #[test]
    fn a_hello_is_read_back_and_is_shorter_than_a_frame() {
        let hello = Hello { mtu: 1500, offload: Offload::SEGMENTS, wants_answer: true };
        assert_eq!(Hello::decode(&hello.encode()), Some(hello));
        const { assert!(Hello::LENGTH < FRAME_HEADER + 14) };
        for wrong in [&b""[..], b"BHN1", &[0; 16], &[0; 24]] {
            assert_eq!(Hello::decode(wrong), None);
        }
    }
}
