//! A channel end as a program uses it: `hyp/channel`'s ring over the pages of the device tree, plus doorbells.

use alloc::vec::Vec;
use core::fmt;
use core::slice;
use core::sync::atomic::{AtomicU32, AtomicU64};

use channel::{Consumer, Doorbell, Indices, Producer, Region};

use crate::tree::ChannelNode;
use crate::{Tree, hv, interrupt, mmu, smp, timer};

/// Why a link does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The ring's.
    Ring(channel::Error),
    /// EL2 refused the doorbell: one of `abi::error`.
    Call(i64),
    /// The deadline passed.
    Timeout,
}

impl From<channel::Error> for Error {
    fn from(error: channel::Error) -> Self {
        Self::Ring(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::Call(abi::error::PEER_DOWN) => f.write_str("the peer does not run"),
            Self::Call(error) => write!(f, "the doorbell was refused with {error}"),
            Self::Timeout => f.write_str("the peer did not answer in time"),
        }
    }
}

/// One end of a channel. It belongs to the vCPU that opened it.
#[derive(Debug)]
pub struct Link {
    /// What the device tree says of it.
    pub node: ChannelNode,
    producer: Producer<'static>,
    consumer: Consumer<'static>,
}

impl Link {
    /// Opens the channel `name`, if this vCPU has an end of it, and lets its doorbells through. Open it once.
    pub fn open(tree: &Tree, name: &str) -> Option<Self> {
        let mut nodes = tree.channels();
        let node = nodes.find(|node| node.name == name && node.vcpu == smp::vcpu())?;
        let [own, peer] = [node.own, node.peer].map(|(address, size)| {
            mmu::map(address, size, mmu::Kind::Shared);
            // SAFETY: pages of Normal memory that the device tree gives this end, mapped for good, and used as atomics
            // alone. Nobody writes through `peer`: stage 2 would not let it, and `channel` only loads there.
            let (indices, data) = unsafe {
                let data = address as usize + abi::layout::DATA;
                let words = (size as usize - abi::layout::DATA) / size_of::<AtomicU64>();
                (
                    slice::from_raw_parts(address as *const AtomicU32, abi::layout::DATA / 4),
                    slice::from_raw_parts(data as *const AtomicU64, words),
                )
            };
            Region::new(Indices::new(indices)?, data)
        });
        let (producer, consumer) = channel::open(own.ok()?, peer.ok()?);
        interrupt::enable(node.intid);
        Some(Self {
            node,
            producer,
            consumer,
        })
    }

    /// State of the peer's partition: one of `abi::state`.
    pub fn peer(&self) -> u32 {
        hv::peer(self.node.handle).map_or(abi::state::LOADING, |state| state as u32)
    }

    /// Puts a message into the ring without showing it yet, waiting for room until `deadline` if need be.
    ///
    /// # Errors
    ///
    /// The peer is down, broke the protocol, or made no room in time.
    pub fn push(&mut self, message: &[u8], deadline: u64) -> Result<(), Error> {
        loop {
            match self.producer.push(&[message]) {
                Err(channel::Error::Full) => {}
                other => return Ok(other?),
            }
            // Half the ring at once: one doorbell for much room instead of many for little.
            let half = self.producer.capacity() / 2;
            let wait = self.producer.wait_begin(message.len(), half)?;
            self.ring(wait.doorbell)?;
            if !wait.ready && interrupt::wait_until(deadline).is_none() {
                return Err(Error::Timeout);
            }
        }
    }

    /// Shows the peer what was pushed and released, with a doorbell if it sleeps.
    ///
    /// # Errors
    ///
    /// The peer is down.
    pub fn flush(&mut self) -> Result<(), Error> {
        let sent = self.producer.publish();
        let received = self.consumer.publish();
        self.ring(if sent.needed() { sent } else { received })
    }

    /// Takes the next message: its length, or `None` if there is none now.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol, or the message does not fit.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        match self.consumer.recv(buffer) {
            Ok((length, doorbell)) => match self.ring(doorbell) {
                // Its last message is good, and it needs the room no more.
                Ok(()) | Err(Error::Call(abi::error::PEER_DOWN)) => Ok(Some(length)),
                Err(error) => Err(error),
            },
            Err(channel::Error::Empty) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for a doorbell with the next message. `true` if one is there already; otherwise sleep.
    ///
    /// # Errors
    ///
    /// The peer is down or broke the protocol.
    pub fn wait_begin(&mut self) -> Result<bool, Error> {
        let wait = self.consumer.wait_begin()?;
        self.ring(wait.doorbell)?;
        Ok(wait.ready)
    }

    /// Sleeps until a message is there.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] at `deadline`; the peer is down or broke the protocol.
    pub fn wait(&mut self, deadline: u64) -> Result<(), Error> {
        while !self.wait_begin()? {
            if interrupt::wait_until(deadline).is_none() {
                return Err(Error::Timeout);
            }
        }
        Ok(())
    }

    /// Waits until the peer runs: a doorbell to one that is not up yet goes nowhere.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] at `deadline`.
    pub fn wait_for_peer(&self, deadline: u64) -> Result<(), Error> {
        while self.peer() != abi::state::RUNNING {
            if timer::now() >= deadline {
                return Err(Error::Timeout);
            }
            interrupt::wait_until(timer::now() + timer::milliseconds(1));
        }
        Ok(())
    }

    fn ring(&self, doorbell: Doorbell) -> Result<(), Error> {
        if doorbell.needed() {
            hv::ring(self.node.handle).map_err(Error::Call)?;
        }
        Ok(())
    }
}

/// The same ring over memory of the partition's own, for its vCPUs among themselves. `bytes`: a power of two.
///
/// # Errors
///
/// [`channel::Error::BadGeometry`] for other sizes.
pub fn queue(bytes: usize) -> Result<(Producer<'static>, Consumer<'static>), channel::Error> {
    let region = |bytes: usize| {
        let page: Vec<_> = (0..abi::layout::DATA / 4)
            .map(|_| AtomicU32::new(0))
            .collect();
        let data: Vec<_> = (0..bytes / 8).map(|_| AtomicU64::new(0)).collect();
        Region::new(Indices::new(page.leak())?, data.leak())
    };
    // One direction is used; the other is as small as it may be.
    let (near, far) = (region(bytes)?, region(16)?);
    let (producer, _) = channel::open(near, far);
    let (_, consumer) = channel::open(far, near);
    Ok((producer, consumer))
}
