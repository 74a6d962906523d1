//! The receiving half of an end.

use crate::word::{AtomicU64, fence};
use crate::{Doorbell, Error, Indices, Pair, Region, Span, UNIT, Wait, record};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// Receives messages. It has one owner at a time and never waits.
#[derive(Debug)]
pub struct Consumer<'a> {
    own: Indices<'a>,
    data: &'a [AtomicU64],
    peer_produced: &'a AtomicU64,
    peer_want_room: &'a AtomicU64,
    /// The lives that this end and its peer are in.
    pair: Pair,
    /// End of the last record released.
    tail: u32,
    /// The value of `tail` that the peer was last told.
    published: u32,
    /// Last good value of the peer's index; at most one ring ahead of `published`.
    produced: u32,
    /// The peer's word when this end last looked.
    seen: u64,
    faults: u32,
    /// Whether this end asks for doorbells, and whether its peer may.
    takes_doorbells: bool,
    peer_takes_doorbells: bool,
}

impl<'a> Consumer<'a> {
    pub(crate) fn new(own: Region<'a>, peer: Region<'a>, pair: Pair) -> Self {
        let tail = own.indices.consumed.load(Relaxed) as u32 & !(UNIT - 1);
        Self {
            own: own.indices,
            data: peer.data,
            peer_produced: peer.indices.produced,
            peer_want_room: peer.indices.want_room,
            pair,
            tail,
            published: tail,
            produced: tail,
            seen: pair.swapped().word(tail),
            faults: 0,
            takes_doorbells: own.doorbells,
            peer_takes_doorbells: peer.doorbells,
        }
    }

    /// Bytes of data in the ring.
    pub fn capacity(&self) -> u32 {
        (self.data.len() as u32).wrapping_mul(UNIT)
    }

    /// Returns how many operations were refused because of what the peer wrote.
    pub fn faults(&self) -> u32 {
        self.faults
    }

    /// Copies the next message into `buffer`, releases it and publishes the room. Returns the
    /// message's length and whether to ring.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::BufferTooShort`], [`Error::NotConnected`],
    /// [`Error::PeerCorrupt`].
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<(usize, Doorbell), Error> {
        let view = self.peek()?;
        let len = view.len();
        let target = buffer.get_mut(..len).ok_or(Error::BufferTooShort(len))?;
        view.read(0, target)?;
        view.release()?;
        Ok((len, self.publish()))
    }

    /// Returns the next message in place. The peer can still change its bytes: read each once, and
    /// check what was read. The peer may restart meanwhile, so act on what was read only after
    /// [`View::release`] has succeeded.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotConnected`], [`Error::PeerCorrupt`].
    pub fn peek(&mut self) -> Result<View<'_, 'a>, Error> {
        if self.faults != 0 {
            return Err(self.corrupt());
        }
        if self.produced == self.tail {
            self.refresh()?;
            self.check_connection()?;
        }
        let filled = self.produced.wrapping_sub(self.tail);
        if filled == 0 {
            return Err(Error::Empty);
        }
        let header = Span::new(self.data, self.tail, UNIT as usize);
        let len = header.first.first().map(|word| word.load(Relaxed));
        // Both are multiples of 8, so a length within bounds has its padding within bounds too.
        let longest = u64::from(filled.wrapping_sub(UNIT));
        let Some(len) = len.filter(|len| *len <= longest) else {
            self.check_life()?;
            return Err(self.corrupt());
        };
        let len = len as usize;
        let span = Span::new(self.data, self.tail.wrapping_add(UNIT), len);
        Ok(View { consumer: self, span, len })
    }

    /// Gives the room of every released message back: one store of the index, at most one doorbell.
    pub fn publish(&mut self) -> Doorbell {
        let (old, new) = (self.published, self.tail);
        if old == new {
            return Doorbell::NotNeeded;
        }
        self.own.consumed.store(self.pair.word(new), Release);
        self.published = new;
        if !self.peer_takes_doorbells {
            return Doorbell::NotNeeded;
        }
        // Pairs with `Producer::wait_begin`: of this store and its store of the wanted index, the
        // other side sees at least one.
        fence(SeqCst);
        Doorbell::crossed(old, new, self.peer_want_room.load(Relaxed) as u32)
    }

    /// Bytes of messages released whose room the peer does not know of yet.
    pub fn unpublished(&self) -> u32 {
        self.tail.wrapping_sub(self.published)
    }

    /// Publishes, and asks the peer for a doorbell at its next message. The result is ready if a
    /// message is there already.
    ///
    /// # Errors
    /// [`Error::PeerCorrupt`].
    pub fn wait_begin(&mut self) -> Result<Wait, Error> {
        self.wait_begin_for(UNIT)
    }

    /// Publishes, and asks the peer for a doorbell once `bytes` bytes of records are there (half a
    /// ring at most), so that a stream costs one for many messages. The result is ready if a single
    /// message is there already.
    ///
    /// The peer may pause, or wait for an answer, before that much is there: sleep with a deadline.
    ///
    /// # Errors
    /// [`Error::PeerCorrupt`].
    pub fn wait_begin_for(&mut self, bytes: u32) -> Result<Wait, Error> {
        let doorbell = self.publish();
        if self.takes_doorbells {
            let bytes = bytes.min(self.capacity() / 2).max(UNIT);
            let want = self.tail.wrapping_add(bytes);
            self.own.want_data.store(want.into(), Relaxed);
            // Pairs with `Producer::publish`, as in `publish` above.
            fence(SeqCst);
        }
        let ready = self.available()? != 0;
        Ok(Wait { ready, doorbell })
    }

    /// Reads the peer's index and returns the bytes of records that are there now, 0 for none, also
    /// if the peer is not connected. For polling.
    ///
    /// # Errors
    /// [`Error::PeerCorrupt`].
    pub fn available(&mut self) -> Result<u32, Error> {
        self.refresh()?;
        Ok(self.produced.wrapping_sub(self.tail))
    }

    /// Returns the bytes of records that were there when this end last looked; does not read the
    /// peer's index.
    pub fn buffered(&self) -> u32 {
        self.produced.wrapping_sub(self.tail)
    }

    /// Returns the word that changes when a message arrives: a WFE waiter loads it exclusively.
    pub fn watch(&self) -> &'a AtomicU64 {
        self.peer_produced
    }

    /// Returns the value of [`Consumer::watch`] when this end last looked. Any other value means
    /// that a message has arrived, or that the peer has stopped or begun a new life.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Returns whether the peer's word, when this end last looked, was of these two lives.
    pub fn is_connected(&self) -> bool {
        self.pair.swapped().index(self.seen).is_some()
    }

    fn check_connection(&self) -> Result<(), Error> {
        if self.is_connected() { Ok(()) } else { Err(Error::NotConnected) }
    }

    /// Returns an error if the peer began a new life after this end last looked: what was read
    /// since then may not be of the old one.
    fn check_life(&mut self) -> Result<(), Error> {
        // Pairs with the barrier between EL2's clearing of the indices and of the data: if some of
        // what was read was of another life, this sees the index cleared.
        fence(Acquire);
        self.seen = self.peer_produced.load(Relaxed);
        let result = self.check_connection();
        if result.is_err() {
            // No message of the old life is left.
            self.produced = self.tail;
        }
        result
    }

    /// Reads the peer's index once. It may only advance, by whole units, up to a ring ahead of what
    /// it knows was consumed. An index of other lives changes nothing.
    fn refresh(&mut self) -> Result<(), Error> {
        // Pairs with the producer's release: the records up to it are there.
        self.seen = self.peer_produced.load(Acquire);
        let Some(new) = self.pair.swapped().index(self.seen) else {
            return if self.faults == 0 { Ok(()) } else { Err(self.corrupt()) };
        };
        let ahead = new.wrapping_sub(self.published);
        let before = self.produced.wrapping_sub(self.published);
        let bad = ahead < before || ahead > self.capacity() || !new.is_multiple_of(UNIT);
        if self.faults != 0 || bad {
            return Err(self.corrupt());
        }
        self.produced = new;
        Ok(())
    }

    fn corrupt(&mut self) -> Error {
        self.faults = self.faults.saturating_add(1);
        Error::PeerCorrupt
    }
}

/// A message in place. Dropped without [`View::release`], it stays the next one.
#[derive(Debug)]
pub struct View<'c, 'a> {
    consumer: &'c mut Consumer<'a>,
    span: Span<'a>,
    len: usize,
}

impl<'a> View<'_, 'a> {
    /// Returns the message's length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty message is a message")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the words to read, for consumers that work without a copy. The last one may be
    /// padded.
    pub fn words(&self) -> Span<'a> {
        self.span
    }

    /// Copies bytes from byte `offset` until `buffer` is full.
    ///
    /// # Errors
    /// [`Error::TooLong`] if that would go beyond the message.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> Result<(), Error> {
        match offset.checked_add(buffer.len()) {
            Some(end) if end <= self.len => {
                self.span.read(offset, buffer);
                Ok(())
            }
            _ => Err(Error::TooLong),
        }
    }

    /// Ends the use of the message. The peer has its room back after [`Consumer::publish`].
    ///
    /// # Errors
    /// [`Error::NotConnected`]: the peer has begun a new life, and what was read may not be the
    /// message.
    pub fn release(self) -> Result<(), Error> {
        self.consumer.check_life()?;
        if let Some(size) = record(self.len) {
            self.consumer.tail = self.consumer.tail.wrapping_add(size);
        }
        Ok(())
    }
}
