//! The sending half of an end.

use crate::word::{AtomicU64, fence};
use crate::{Doorbell, Error, Indices, Pair, Region, Span, UNIT, Wait, record};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// Sends messages. It has one owner at a time and never waits.
#[derive(Debug)]
pub struct Producer<'a> {
    own: Indices<'a>,
    data: &'a [AtomicU64],
    peer_consumed: &'a AtomicU64,
    peer_want_data: &'a AtomicU64,
    /// The lives that this end and its peer are in.
    pair: Pair,
    /// End of the last record written.
    head: u32,
    /// End of the last record the peer may see.
    published: u32,
    /// Last good value of the peer's index; at most one ring's length less than `published`.
    consumed: u32,
    /// The peer's word when this end last looked.
    seen: u64,
    /// Whether the peer's index was good once, so that `consumed` is one.
    has_met: bool,
    faults: u32,
    /// Whether this end asks for doorbells, and whether its peer may.
    takes_doorbells: bool,
    peer_takes_doorbells: bool,
}

impl<'a> Producer<'a> {
    pub(crate) fn new(own: Region<'a>, peer: Region<'a>, pair: Pair) -> Self {
        let head = own.indices.produced.load(Relaxed) as u32 & !(UNIT - 1);
        let mut new = Self {
            own: own.indices,
            data: own.data,
            peer_consumed: peer.indices.consumed,
            peer_want_data: peer.indices.want_data,
            pair,
            head,
            published: head,
            consumed: head,
            seen: 0,
            has_met: false,
            faults: 0,
            takes_doorbells: own.doorbells,
            peer_takes_doorbells: peer.doorbells,
        };
        // The ring counts as full until the peer's index is read.
        new.consumed = head.wrapping_sub(new.capacity());
        new
    }

    /// Bytes of data in the ring. A message takes 8 more than its length, rounded up to 8.
    pub fn capacity(&self) -> u32 {
        (self.data.len() as u32).wrapping_mul(UNIT)
    }

    /// Returns the length of the longest message that the ring can ever take, or `None` if this end
    /// sends nothing.
    pub fn longest(&self) -> Option<usize> {
        Some(self.capacity().checked_sub(UNIT)? as usize)
    }

    /// Returns how many operations were refused because of what the peer wrote.
    pub fn faults(&self) -> u32 {
        self.faults
    }

    /// Puts one message into the ring and publishes it with all that were pushed before.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::TooLong`], [`Error::NotConnected`], [`Error::PeerCorrupt`]; then
    /// nothing is put or published.
    pub fn try_send(&mut self, message: &[u8]) -> Result<Doorbell, Error> {
        self.push(&[message])?;
        Ok(self.publish())
    }

    /// Puts one message, the concatenation of `parts`, into the ring. The peer sees it after
    /// [`Producer::publish`].
    ///
    /// # Errors
    /// As [`Producer::try_send`].
    pub fn push(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        let len = parts
            .iter()
            .try_fold(0_usize, |sum, part| sum.checked_add(part.len()))
            .ok_or(Error::TooLong)?;
        let mut lease = self.reserve(len)?;
        let mut offset = 0;
        for part in parts {
            lease.write(offset, part)?;
            offset += part.len();
        }
        lease.commit(len);
        Ok(())
    }

    /// Leases room for a message of at most `len` bytes, to be written in place.
    ///
    /// # Errors
    /// As [`Producer::try_send`].
    pub fn reserve(&mut self, len: usize) -> Result<Lease<'_, 'a>, Error> {
        let size = record(len).filter(|size| *size <= self.capacity());
        let size = size.ok_or(Error::TooLong)?;
        if self.faults != 0 {
            return Err(self.corrupt());
        }
        if self.room() < size {
            self.refresh()?;
            if self.room() < size {
                let is_connected = self.is_connected();
                return Err(if is_connected { Error::Full } else { Error::NotConnected });
            }
        }
        let span = Span::new(self.data, self.head.wrapping_add(UNIT), len);
        Ok(Lease { producer: self, span, len })
    }

    /// Shows the peer every message put so far: one store of the index, at most one doorbell.
    pub fn publish(&mut self) -> Doorbell {
        let (old, new) = (self.published, self.head);
        if old == new {
            return Doorbell::NotNeeded;
        }
        self.own.produced.store(self.pair.word(new), Release);
        self.published = new;
        if !self.peer_takes_doorbells {
            return Doorbell::NotNeeded;
        }
        // Pairs with `Consumer::wait_begin`: of this store and its store of the wanted index, the
        // other side sees at least one.
        fence(SeqCst);
        Doorbell::crossed(old, new, self.peer_want_data.load(Relaxed) as u32)
    }

    /// Publishes, and asks the peer for a doorbell once `room` bytes are free (a record's at least,
    /// a ring's at most; more than one message's means fewer doorbells). The result is ready if a
    /// message of `len` bytes fits now.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::PeerCorrupt`]: waiting would never end.
    pub fn wait_begin(&mut self, len: usize, room: u32) -> Result<Wait, Error> {
        let size = record(len).filter(|size| *size <= self.capacity());
        let size = size.ok_or(Error::TooLong)?;
        let doorbell = self.publish();
        if self.takes_doorbells {
            let room = room.clamp(size, self.capacity());
            let want = self.head.wrapping_add(room).wrapping_sub(self.capacity());
            self.own.want_room.store(want.into(), Relaxed);
            // Pairs with `Consumer::publish`, as in `publish` above.
            fence(SeqCst);
        }
        self.refresh()?;
        Ok(Wait { ready: self.room() >= size, doorbell })
    }

    /// Returns how many messages, published or not, the peer has not consumed as far as this end
    /// has seen. If the peer has begun a new life, so many at most are lost.
    pub fn unconsumed(&self) -> u32 {
        let (mut at, mut count) = (self.consumed, 0);
        // Before the peer's first good index the ring counts as full, though no message is there.
        let mut left = if self.has_met { self.head.wrapping_sub(at) } else { 0 };
        while left != 0 {
            let header = Span::new(self.data, at, UNIT as usize);
            let len = header.first.first().map_or(0, |word| word.load(Relaxed));
            let size = record(len as usize).unwrap_or(left).min(left);
            (at, left, count) = (at.wrapping_add(size), left - size, count + 1);
        }
        count
    }

    /// Reads the peer's index and returns the bytes that messages not yet consumed take.
    ///
    /// # Errors
    /// [`Error::PeerCorrupt`].
    pub fn in_flight(&mut self) -> Result<u32, Error> {
        self.refresh()?;
        Ok(if self.has_met { self.published.wrapping_sub(self.consumed) } else { 0 })
    }

    /// Returns the word that changes when room comes free: a WFE waiter loads it exclusively.
    pub fn watch(&self) -> &'a AtomicU64 {
        self.peer_consumed
    }

    /// Returns the value of [`Producer::watch`] when this end last looked. Any other value means
    /// that room has come free, or that the peer has stopped or begun a new life.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Returns whether the peer's word, when this end last looked, was of these two lives.
    pub fn is_connected(&self) -> bool {
        self.pair.swapped().index(self.seen).is_some()
    }

    /// Returns the free bytes by the last known index of the peer.
    fn room(&self) -> u32 {
        let used = self.head.wrapping_sub(self.consumed);
        self.capacity().wrapping_sub(used)
    }

    /// Reads the peer's index once. It may only advance, by whole units, up to what was published.
    /// An index of other lives changes nothing.
    fn refresh(&mut self) -> Result<(), Error> {
        // Pairs with the consumer's release: what it has read may now be overwritten.
        self.seen = self.peer_consumed.load(Acquire);
        let Some(new) = self.pair.swapped().index(self.seen) else {
            return if self.faults == 0 { Ok(()) } else { Err(self.corrupt()) };
        };
        let behind = self.published.wrapping_sub(new);
        let before = self.published.wrapping_sub(self.consumed);
        if self.faults != 0 || !new.is_multiple_of(UNIT) || behind > before {
            return Err(self.corrupt());
        }
        self.consumed = new;
        self.has_met = true;
        Ok(())
    }

    fn corrupt(&mut self) -> Error {
        self.faults = self.faults.saturating_add(1);
        Error::PeerCorrupt
    }
}

/// Room for one message, written in place. If it is dropped without [`Lease::commit`], nothing is
/// sent.
#[derive(Debug)]
pub struct Lease<'p, 'a> {
    producer: &'p mut Producer<'a>,
    span: Span<'a>,
    len: usize,
}

impl<'a> Lease<'_, 'a> {
    /// Returns the words to write, for producers that fill them without a copy.
    pub fn words(&self) -> Span<'a> {
        self.span
    }

    /// Copies `bytes` to byte `offset` of the message.
    ///
    /// # Errors
    /// [`Error::TooLong`] if they would end beyond the lease.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        match offset.checked_add(bytes.len()) {
            Some(end) if end <= self.len => {
                self.span.write(offset, bytes);
                Ok(())
            }
            _ => Err(Error::TooLong),
        }
    }

    /// Makes the first `len` bytes (at most the lease's) the message. The peer sees it after
    /// [`Producer::publish`].
    pub fn commit(self, len: usize) {
        let len = len.min(self.len);
        let producer = self.producer;
        // `reserve` has shown that a record for at least `len` bytes fits, so both of these are
        // always there.
        let header = Span::new(producer.data, producer.head, UNIT as usize);
        if let (Some(word), Some(size)) = (header.first.first(), record(len)) {
            word.store(len as u64, Relaxed);
            producer.head = producer.head.wrapping_add(size);
        }
    }
}
