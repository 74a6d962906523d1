//! A channel end as a program uses it: `hyp/channel`'s ring over the pages of the device tree, with
//! doorbells.

use alloc::vec::Vec;
use core::fmt;
use core::slice;
use core::sync::atomic::AtomicU64;

use channel::{Consumer, Doorbell, Indices, Lease, Pair, Producer, Region, View};

use crate::hv::Peer;
use crate::tree::ChannelNode;
use crate::{Tree, Wait, hv, interrupt, mmu, smp, timer};

/// Why a link's operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An error of the ring.
    Ring(channel::Error),
    /// EL2 refused the doorbell: one of `abi::error`.
    Call(i64),
    /// The deadline passed.
    Timeout,
    /// The peer has started again: see [`Link::reconnect`].
    Restarted,
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
            Self::Restarted => f.write_str("the peer has started again"),
            Self::Timeout => f.write_str("the peer did not answer in time"),
        }
    }
}

/// One end of a channel. It belongs to the vCPU that opened it.
#[derive(Debug)]
pub struct Link {
    /// The end's node in the device tree.
    pub node: ChannelNode,
    producer: Producer<'static>,
    consumer: Consumer<'static>,
    regions: [Region<'static>; 2],
    pair: Pair,
}

impl Link {
    /// Opens the channel `name`, if this vCPU has an end of it, and enables its doorbells. Open it
    /// once.
    pub fn open(tree: &Tree, name: &str) -> Option<Self> {
        let mut nodes = tree.channels();
        let node = nodes.find(|node| node.name == name && node.vcpu == smp::vcpu())?;
        let sides = [(node.own, node.wait), (node.peer, node.peer_wait)];
        let [own, peer] = sides.map(|((address, size), wait)| {
            mmu::map(
                address,
                size,
                if node.non_cacheable { mmu::Kind::NonCacheable } else { mmu::Kind::Shared },
            );
            // SAFETY: pages of Normal memory that the device tree gives this end, never unmapped,
            // and used only as atomics. No code writes through `peer`: stage 2 would not let it,
            // and `channel` only loads there.
            let (indices, data) = unsafe {
                let data = address as usize + channel::layout::DATA;
                let words = (size as usize - channel::layout::DATA) / size_of::<AtomicU64>();
                (
                    slice::from_raw_parts(address as *const AtomicU64, channel::layout::DATA / 8),
                    slice::from_raw_parts(data as *const AtomicU64, words),
                )
            };
            let region = Region::new(Indices::new(indices)?, data)?;
            Ok(match wait {
                Wait::Doorbell => region,
                Wait::Wfe | Wait::Poll => region.without_doorbells(),
            })
        });
        let (own, peer): (Result<_, channel::Error>, Result<_, _>) = (own, peer);
        let regions = [own.ok()?, peer.ok()?];
        let peer = ask(&node);
        let pair = Pair { own: peer.own_generation, peer: peer.generation };
        let (producer, consumer) = channel::open(regions[0], regions[1], pair);
        node.wait.prepare();
        if let Some(intid) = node.intid {
            interrupt::enable(intid);
        }
        let link = Self { node, producer, consumer, regions, pair };
        link.announce();
        Some(link)
    }

    /// Returns the state of the peer's partition: one of `abi::state`.
    pub fn peer(&self) -> u32 {
        ask(&self.node).state
    }

    /// Returns the generation of this partition.
    pub fn own_generation(&self) -> u16 {
        self.pair.own
    }

    /// Returns the generation of the peer's partition that this end is open for.
    pub fn peer_generation(&self) -> u16 {
        self.pair.peer
    }

    /// Opens the end anew if the peer has started again. Returns how many messages that were sent
    /// are lost at most, or `None` if the peer's life is the one that the end is open for.
    pub fn reconnect(&mut self) -> Option<u32> {
        let peer = ask(&self.node).generation;
        if peer == self.pair.peer {
            return None;
        }
        let lost = self.producer.unconsumed();
        self.pair.peer = peer;
        let [own, peer] = self.regions;
        (self.producer, self.consumer) = channel::open(own, peer, self.pair);
        self.announce();
        Some(lost)
    }

    /// Rings the peer, which may wait for this end to open. It may also be down, or take no
    /// doorbells.
    fn announce(&self) {
        if self.node.peer_wait == Wait::Doorbell {
            let _ = hv::ring(self.node.handle);
        }
    }

    /// Returns whether the peer has started again since this end was opened.
    fn has_restarted(&self) -> bool {
        has_restarted(&self.node, self.pair)
    }

    /// Puts a message into the ring without publishing it yet, and waits for room until `deadline`
    /// if need be.
    ///
    /// # Errors
    ///
    /// The peer is down, broke the protocol, or made no room in time.
    pub fn push(&mut self, message: &[u8], deadline: u64) -> Result<(), Error> {
        match self.producer.push(&[message]) {
            Err(channel::Error::Full | channel::Error::NotConnected) => {
                self.wait_room(message.len(), deadline)?
            }
            other => return Ok(other?),
        }
        Ok(self.producer.push(&[message])?)
    }

    /// Leases room for a message of at most `length` bytes, which the caller writes where the peer
    /// reads it. Like [`Link::push`], it does not publish it yet.
    ///
    /// # Errors
    ///
    /// As [`Link::push`].
    pub fn lease(&mut self, length: usize, deadline: u64) -> Result<Lease<'_, 'static>, Error> {
        let refusal = self.producer.reserve(length).err();
        if let Some(channel::Error::Full | channel::Error::NotConnected) = refusal {
            self.wait_room(length, deadline)?;
        }
        Ok(self.producer.reserve(length)?)
    }

    /// Waits until a message of `length` bytes fits.
    fn wait_room(&mut self, length: usize, deadline: u64) -> Result<(), Error> {
        // The peer may also wait for room, and must not wait for this end's next check.
        let released = self.consumer.publish();
        self.ring(released)?;
        let (mut woken, mut stopped) = (false, false);
        loop {
            // Half the ring is asked for: one doorbell for much room instead of many for little.
            let half = self.producer.capacity() / 2;
            let wait = self.producer.wait_begin(length, half)?;
            self.ring(wait.doorbell)?;
            if wait.ready {
                return Ok(());
            }
            if !self.producer.is_connected() && self.has_restarted() {
                return Err(Error::Restarted);
            }
            if stopped {
                return Err(self.late());
            }
            // Another check sees room that the peer made before it stopped.
            stopped = woken && self.peer_stopped();
            let (word, seen) = (self.producer.watch(), self.producer.seen());
            if !stopped && !self.node.wait.nap(word, seen, deadline) {
                return Err(self.late());
            }
            woken = true;
        }
    }

    /// Publishes what was pushed and released, with a doorbell if the peer sleeps.
    ///
    /// # Errors
    ///
    /// The peer is down.
    pub fn flush(&mut self) -> Result<(), Error> {
        let sent = self.producer.publish();
        let received = self.consumer.publish();
        self.ring(if sent.needed() { sent } else { received })
    }

    /// Takes the next message; returns its length, or `None` if there is none now.
    ///
    /// The peer gets its room back at the latest when there are no more messages, when this end
    /// waits or [`Link::flush`]es, or when half of the ring was taken: a batch costs one index
    /// store.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol, or the message does not fit.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        let Some(view) = self.peek()? else {
            return Ok(None);
        };
        let length = view.len();
        let target = buffer.get_mut(..length);
        view.read(0, target.ok_or(channel::Error::BufferTooShort(length))?)?;
        match view.release() {
            Ok(()) => Ok(Some(length)),
            Err(_) => self.disconnected(),
        }
    }

    /// Returns what a receive without a message returns if the peer is not connected.
    fn disconnected<T>(&self) -> Result<Option<T>, Error> {
        if self.has_restarted() { Err(Error::Restarted) } else { Ok(None) }
    }

    /// Returns the next message in place, or `None` if there is none now. The peer can still change
    /// its bytes.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol.
    pub fn peek(&mut self) -> Result<Option<View<'_, 'static>>, Error> {
        let rx = &mut self.consumer;
        let empty = rx.buffered() == 0 && rx.available()? == 0;
        if empty || rx.unpublished() >= rx.capacity() / 2 {
            let released = self.consumer.publish();
            match self.ring(released) {
                // The stopped peer's last messages are valid, and it no longer needs the room.
                Ok(()) | Err(Error::Call(abi::error::PEER_DOWN)) => {}
                Err(error) => return Err(error),
            }
        }
        match self.consumer.peek() {
            Ok(view) => Ok(Some(view)),
            Err(channel::Error::Empty) => Ok(None),
            Err(channel::Error::NotConnected) if has_restarted(&self.node, self.pair) => {
                Err(Error::Restarted)
            }
            Err(channel::Error::NotConnected) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the next message, and waits for it until `deadline` if need be; returns its length.
    ///
    /// # Errors
    ///
    /// As [`Link::receive`] and [`Link::wait`].
    pub fn receive_wait(&mut self, buffer: &mut [u8], deadline: u64) -> Result<usize, Error> {
        loop {
            if let Some(length) = self.receive(buffer)? {
                return Ok(length);
            }
            self.wait(deadline)?;
        }
    }

    /// Prepares to wait for a message: returns `true` if one is there already; otherwise call
    /// [`Link::nap`].
    ///
    /// # Errors
    ///
    /// The peer is down or broke the protocol.
    pub fn wait_begin(&mut self) -> Result<bool, Error> {
        self.wait_begin_for(0)
    }

    fn wait_begin_for(&mut self, bytes: u32) -> Result<bool, Error> {
        let wait = self.consumer.wait_begin_for(bytes)?;
        self.ring(wait.doorbell)?;
        Ok(wait.ready)
    }

    /// Waits once, in this end's way: for a doorbell, or a change of the peer's index. It may end
    /// early, for any interrupt or without a cause; check the ring again, and begin again.
    ///
    /// # Errors
    ///
    /// At `deadline`: the peer is down, or [`Error::Timeout`].
    pub fn nap(&self, deadline: u64) -> Result<(), Error> {
        let (word, seen) = (self.consumer.watch(), self.consumer.seen());
        match self.node.wait.nap(word, seen, deadline) {
            true => Ok(()),
            false => Err(self.late()),
        }
    }

    /// Waits until a message is there. An end without doorbells learns only at the deadline that
    /// its peer is down.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] at `deadline`; the peer is down, has started again, or broke the
    /// protocol.
    pub fn wait(&mut self, deadline: u64) -> Result<(), Error> {
        let (mut woken, mut stopped) = (false, false);
        while !self.wait_begin()? {
            if !self.consumer.is_connected() && self.has_restarted() {
                return Err(Error::Restarted);
            }
            if stopped {
                return Err(self.late());
            }
            // Another check sees what the peer sent before it stopped.
            stopped = woken && self.peer_stopped();
            if !stopped {
                self.nap(deadline)?;
            }
            woken = true;
        }
        Ok(())
    }

    /// Waits until `bytes` bytes of messages are there (half of the ring at most; each takes 8
    /// bytes more than its length, rounded up to 8), or until `deadline`. Streams then need one
    /// doorbell for many messages. Returns `false` if there is no message by then.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol.
    pub fn wait_for(&mut self, bytes: u32, deadline: u64) -> Result<bool, Error> {
        while !self.wait_begin_for(bytes)? {
            if !self.consumer.is_connected() && self.has_restarted() {
                return Err(Error::Restarted);
            }
            let (word, seen) = (self.consumer.watch(), self.consumer.seen());
            if !self.node.wait.nap(word, seen, deadline) {
                return Ok(self.consumer.available()? != 0);
            }
        }
        Ok(true)
    }

    /// Waits until the peer runs: a doorbell to a peer that has not started is lost.
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

    /// Whether the peer has stopped, for which EL2 sends one more doorbell. An end without
    /// doorbells wakes too often to ask.
    fn peer_stopped(&self) -> bool {
        self.node.wait == Wait::Doorbell
            && !matches!(self.peer(), abi::state::LOADING | abi::state::RUNNING)
    }

    /// Returns why a wait ended without a result.
    fn late(&self) -> Error {
        match self.peer() {
            abi::state::RUNNING => Error::Timeout,
            _ => Error::Call(abi::error::PEER_DOWN),
        }
    }

    fn ring(&self, doorbell: Doorbell) -> Result<(), Error> {
        if doorbell.needed() {
            hv::ring(self.node.handle).map_err(Error::Call)?;
        }
        Ok(())
    }
}

/// Returns the state of the peer's partition, and the generations of both.
fn ask(node: &ChannelNode) -> Peer {
    hv::peer(node.handle).unwrap_or_default()
}

fn has_restarted(node: &ChannelNode, pair: Pair) -> bool {
    ask(node).generation != pair.peer
}

/// Makes the same ring in the partition's own memory, between its vCPUs. `bytes`: a power of two.
///
/// # Errors
///
/// [`channel::Error::BadGeometry`] for other sizes.
pub fn queue(bytes: usize) -> Result<(Producer<'static>, Consumer<'static>), channel::Error> {
    let region = |bytes: usize| {
        let page: Vec<_> = (0..channel::layout::DATA / 8).map(|_| AtomicU64::new(0)).collect();
        let data: Vec<_> = (0..bytes / 8).map(|_| AtomicU64::new(0)).collect();
        Region::new(Indices::new(page.leak())?, data.leak())
    };
    // One direction is used; the other has the smallest size.
    let (near, far) = (region(bytes)?, region(16)?);
    let pair = Pair::default();
    let (producer, _) = channel::open(near, far, pair);
    let (_, consumer) = channel::open(far, near, pair);
    Ok((producer, consumer))
}
