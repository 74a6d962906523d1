// SPDX-License-Identifier: MIT OR Apache-2.0
//! The message ring over a device's pages, with the waiting of an operating system.

use crate::{Device, Error, Result};
use ::channel::{Consumer, Doorbell, Error as Ring, Pair, Producer, open};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// A peer that opens its end need not ring, so an end that is not connected looks again after this
/// time.
const CONNECTING: Duration = Duration::from_millis(100);
/// Looks at the ring, while polling, between two looks at the clock and at other descriptors.
const LOOKS: u32 = 200;

/// What a sleep is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// The next message.
    pub data: bool,
    /// Room for a message of this many bytes.
    pub room: Option<usize>,
}

impl Interest {
    /// The next message.
    pub const DATA: Self = Self { data: true, room: None };
}

/// What a channel has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Doorbells that this end has rung.
    pub doorbells: u64,
    /// Times that the UIO device reported interrupts.
    pub interrupts: u64,
    /// Times that the peer has restarted.
    pub restarts: u64,
}

/// An open channel.
#[derive(Debug)]
pub struct Channel<'d> {
    device: &'d Device,
    lives: Pair,
    tx: Producer<'d>,
    rx: Consumer<'d>,
    /// Whether the peer was there in these lives.
    has_met: bool,
    counts: Counts,
}

impl<'d> Channel<'d> {
    /// Opens the ring, and rings the peer, which may wait for it.
    ///
    /// # Errors
    /// If the device's sections are not the pages of a channel.
    pub fn open(device: &'d Device) -> Result<Self> {
        let lives = device.lives();
        let (own, peer) = device.regions()?;
        let (tx, rx) = open(own, peer, lives);
        let counts = Counts::default();
        let mut new = Self { device, lives, tx, rx, has_met: false, counts };
        new.ring(Doorbell::Needed);
        Ok(new)
    }

    /// Returns the device.
    pub fn device(&self) -> &'d Device {
        self.device
    }

    /// Returns what was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns both halves of the ring, for programs that work in place. What they publish may
    /// need a doorbell: pass it to [`Self::ring`].
    pub fn halves(&mut self) -> (&mut Producer<'d>, &mut Consumer<'d>) {
        (&mut self.tx, &mut self.rx)
    }

    /// Returns the length of the longest message that this end can send, 0 if it sends nothing.
    pub fn longest(&self) -> usize {
        self.tx.longest().unwrap_or(0)
    }

    /// Returns the length of the longest message that can arrive.
    pub fn longest_received(&self) -> usize {
        (self.rx.capacity() as usize).saturating_sub(8)
    }

    /// Returns whether the peer has its end open, when this end last looked.
    pub fn is_connected(&self) -> bool {
        self.tx.is_connected() && self.rx.is_connected()
    }

    /// Rings the peer if a doorbell is needed.
    pub fn ring(&mut self, doorbell: Doorbell) {
        if doorbell.needed() {
            self.counts.doorbells += 1;
            self.device.ring();
        }
    }

    /// Handles an error of the ring: if a peer has begun another life, the channel is opened anew.
    /// Returns false if there is nothing to do but wait.
    fn handle(&mut self, error: Ring) -> Result<bool> {
        if error != Ring::NotConnected && error != Ring::PeerCorrupt {
            return match error {
                Ring::Empty | Ring::Full => Ok(false),
                other => Err(other.into()),
            };
        }
        if self.renew()? {
            return Ok(true);
        }
        if error == Ring::PeerCorrupt { Err(error.into()) } else { Ok(false) }
    }

    /// Opens the ring anew if one of the two partitions has begun another life; returns whether it
    /// did.
    ///
    /// # Errors
    /// [`Error::Restarted`] if the two were connected before; the ring is open anew.
    pub fn renew(&mut self) -> Result<bool> {
        let lives = self.device.lives();
        if lives == self.lives {
            return Ok(false);
        }
        let lost = self.tx.unconsumed();
        let (own, peer) = self.device.regions()?;
        (self.tx, self.rx) = open(own, peer, lives);
        self.lives = lives;
        self.ring(Doorbell::Needed);
        if std::mem::take(&mut self.has_met) {
            self.counts.restarts += 1;
            return Err(Error::Restarted { lost });
        }
        Ok(true)
    }

    /// Puts one message, the concatenation of `parts`, into the ring. The peer sees it after
    /// [`Self::flush`]. Returns false if the ring has no room now, or if the peer is down.
    ///
    /// # Errors
    /// [`Error::Restarted`], or of the ring.
    pub fn push(&mut self, parts: &[&[u8]]) -> Result<bool> {
        loop {
            match self.tx.push(parts) {
                Ok(()) => {
                    self.has_met = true;
                    return Ok(true);
                }
                Err(error) if self.handle(error)? => {}
                Err(_) => return Ok(false),
            }
        }
    }

    /// Shows the peer what was pushed, and gives the room of what was received back, with at most
    /// two doorbells.
    pub fn flush(&mut self) {
        let doorbell = self.tx.publish();
        self.ring(doorbell);
        let doorbell = self.rx.publish();
        self.ring(doorbell);
    }

    /// Sends one message now. Returns false if the ring has no room, or if the peer is down.
    ///
    /// # Errors
    /// [`Error::Restarted`], or of the ring.
    pub fn try_send(&mut self, message: &[u8]) -> Result<bool> {
        let pushed = self.push(&[message])?;
        let doorbell = self.tx.publish();
        self.ring(doorbell);
        Ok(pushed)
    }

    /// Copies the next message into `buffer` and returns its length, or none if none is there. Its
    /// room is given back by [`Self::flush`], or before a sleep.
    ///
    /// # Errors
    /// [`Error::Restarted`], or of the ring; a message longer than `buffer` stays there.
    pub fn pull(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        loop {
            let pulled = self.rx.peek().and_then(|view| {
                let length = view.len();
                let target = buffer.get_mut(..length).ok_or(Ring::BufferTooShort(length))?;
                view.read(0, target)?;
                view.release()?;
                Ok(length)
            });
            match pulled {
                Ok(length) => {
                    self.has_met = true;
                    return Ok(Some(length));
                }
                Err(error) if self.handle(error)? => {}
                Err(_) => return Ok(None),
            }
        }
    }

    /// As [`Self::pull`], and gives the room back.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        let pulled = self.pull(buffer)?;
        let doorbell = self.rx.publish();
        self.ring(doorbell);
        Ok(pulled)
    }

    /// Sends one message, and waits for room and for the peer.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after the deadline, [`Error::Restarted`], or of the ring.
    pub fn send(&mut self, message: &[u8], deadline: Option<Instant>) -> Result<()> {
        let interest = Interest { data: false, room: Some(message.len()) };
        while !self.try_send(message)? {
            self.wait(interest, deadline)?;
        }
        Ok(())
    }

    /// Copies the next message into `buffer`, waits for it, and returns its length.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after the deadline, [`Error::Restarted`], or of the ring.
    pub fn recv(&mut self, buffer: &mut [u8], deadline: Option<Instant>) -> Result<usize> {
        loop {
            if let Some(length) = self.try_recv(buffer)? {
                return Ok(length);
            }
            self.wait(Interest::DATA, deadline)?;
        }
    }

    /// Waits until the peer has taken every message.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn drain(&mut self, deadline: Option<Instant>) -> Result<()> {
        let longest = Interest { data: false, room: Some(self.longest()) };
        loop {
            let doorbell = self.tx.publish();
            self.ring(doorbell);
            match self.tx.in_flight() {
                Ok(0) => return Ok(()),
                Ok(_) => self.wait(longest, deadline)?,
                Err(error) => _ = self.handle(error)?,
            }
        }
    }

    /// Sleeps until this interest may be met.
    ///
    /// # Errors
    /// As [`sleep`], and [`Error::TimedOut`].
    pub fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> Result<()> {
        if sleep(&mut [(self, interest)], &[], deadline)? == Sleep::TimedOut {
            return Err(Error::TimedOut);
        }
        Ok(())
    }

    /// Returns the descriptor that becomes readable at an interrupt; none if this channel polls.
    /// The order is: use the channel until nothing is left to do, [`Self::arm`], and only if that
    /// says false sleep on the descriptor, then [`Self::acknowledge`].
    pub fn fd(&self) -> Option<BorrowedFd<'d>> {
        self.device.fd()
    }

    /// Prepares a sleep: allows one interrupt, tells the peer what this end waits for, and looks at
    /// the ring. Returns true if there is something to do already.
    ///
    /// # Errors
    /// [`Error::Restarted`], or of the ring or the registers.
    pub fn arm(&mut self, interest: Interest) -> Result<bool> {
        self.device.arm()?;
        Ok(self.look(interest)? || self.look_for_peer(interest)?)
    }

    /// Returns whether another life of the peer has something to do for an interest that nobody is
    /// there for.
    fn look_for_peer(&mut self, interest: Interest) -> Result<bool> {
        Ok(!self.is_seen(interest) && self.renew()?)
    }

    /// Publishes, and looks whether an interest is met.
    fn look(&mut self, interest: Interest) -> Result<bool> {
        let mut ready = false;
        if let Some(length) = interest.room {
            // Half of the room at once: one doorbell for many messages.
            match self.tx.wait_begin(length, self.tx.capacity() / 2) {
                Ok(wait) => {
                    self.ring(wait.doorbell);
                    // Without a peer there may be room, and yet nothing can be sent.
                    ready |= wait.ready && self.tx.is_connected();
                }
                Err(error) => ready |= self.handle(error)?,
            }
        } else {
            let doorbell = self.tx.publish();
            self.ring(doorbell);
        }
        if interest.data {
            match self.rx.wait_begin() {
                Ok(wait) => {
                    self.ring(wait.doorbell);
                    ready |= wait.ready;
                }
                Err(error) => ready |= self.handle(error)?,
            }
        } else {
            let doorbell = self.rx.publish();
            self.ring(doorbell);
        }
        Ok(ready)
    }

    /// Returns whether the peer's word that an interest is about is of these lives.
    fn is_seen(&self, interest: Interest) -> bool {
        (interest.room.is_none() || self.tx.is_connected())
            && (!interest.data || self.rx.is_connected())
    }

    /// Takes note of interrupts, after the descriptor was readable; returns whether there were any.
    ///
    /// # Errors
    /// If the UIO device is gone.
    pub fn acknowledge(&mut self) -> Result<bool> {
        let some = self.device.take_interrupts()?;
        self.counts.interrupts += u64::from(some);
        Ok(some)
    }
}

/// Why a sleep has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// A channel, or one of the descriptors, may have something to do.
    Ready,
    /// The deadline has passed.
    TimedOut,
}

/// Sleeps until one of the interests may be met, one of the descriptors is readable, or the
/// deadline has passed. If a channel polls, this looks at all of them again and again.
///
/// # Errors
/// [`Error::Restarted`] of one of the channels, or of its ring; or if the kernel refuses.
pub fn sleep(
    channels: &mut [(&mut Channel<'_>, Interest)],
    others: &[BorrowedFd<'_>],
    deadline: Option<Instant>,
) -> Result<Sleep> {
    let mut connected = true;
    for (channel, interest) in &mut *channels {
        if channel.arm(*interest)? {
            return Ok(Sleep::Ready);
        }
        connected &= channel.is_seen(*interest);
    }
    if channels.iter().any(|(channel, _)| channel.fd().is_none()) {
        return spin(channels, others, deadline);
    }
    let end = match connected {
        true => deadline,
        false => {
            let look = Instant::now() + CONNECTING;
            Some(deadline.map_or(look, |deadline| deadline.min(look)))
        }
    };
    let fds: Vec<_> = channels.iter().filter_map(|(channel, _)| channel.fd()).collect();
    let woken = wait_for(&fds, others, end)?;
    for (channel, _) in &mut *channels {
        channel.acknowledge()?;
    }
    let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
    Ok(if woken || !over { Sleep::Ready } else { Sleep::TimedOut })
}

/// Waits until a descriptor is readable; returns whether one is.
fn wait_for(
    fds: &[BorrowedFd<'_>],
    others: &[BorrowedFd<'_>],
    end: Option<Instant>,
) -> Result<bool> {
    let all = fds.iter().chain(others);
    let mut polled: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let left = end.map(|end| end.saturating_duration_since(Instant::now()));
    let left = left.map(|left| Timespec {
        tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    match poll(&mut polled, left.as_ref()) {
        Ok(count) => Ok(count > 0),
        // A signal: the caller looks around.
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(Error::io("wait", error)),
    }
}

/// Looks at the channels until one has something to do.
fn spin(
    channels: &mut [(&mut Channel<'_>, Interest)],
    others: &[BorrowedFd<'_>],
    deadline: Option<Instant>,
) -> Result<Sleep> {
    loop {
        for _ in 0..LOOKS {
            for (channel, interest) in &mut *channels {
                if channel.look(*interest)? {
                    return Ok(Sleep::Ready);
                }
            }
            std::hint::spin_loop();
        }
        for (channel, interest) in &mut *channels {
            if channel.look_for_peer(*interest)? {
                return Ok(Sleep::Ready);
            }
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(Sleep::TimedOut);
        }
        if !others.is_empty() && wait_for(&[], others, Some(now))? {
            return Ok(Sleep::Ready);
        }
        rustix::thread::sched_yield();
    }
}
