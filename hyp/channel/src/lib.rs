//! The message ring over a channel's pages, for guests of any kind.
//!
//! A channel gives each end one region that only it writes and its peer reads ([`layout`]): a page
//! of indices, then the data it sends. [`open`] makes of the two regions a [`Producer`] (own data,
//! peer's indices) and a [`Consumer`] (peer's data).
//!
//! **Records.** A message is an 8-byte header (its length, little-endian, 64 bits) and its bytes,
//! padded to 8. Indices count bytes, run freely modulo 2^32 and are multiples of 8, so every word
//! of a record is one aligned word of the data; a record that reaches the end continues at the
//! start. The longest message is 8 bytes short of the data.
//!
//! **Trust.** The peer may write anything at any moment. The caller passes the sizes, which it has
//! from EL2 (`CHANNEL` call or device tree). Each shared word is read once and checked before use.
//! An index that the protocol cannot have produced, or a length beyond what was produced, is
//! [`Error::PeerCorrupt`] from then on, only in that direction.
//!
//! **Lives.** A partition may stop and start again while its peer runs on ([`Pair`]). EL2 clears
//! the pages that it writes before its next life. An index counts only if it was written in the
//! lives that both ends know of; otherwise the direction is [`Error::NotConnected`]. A message that
//! was being read when its sender's pages were cleared is discarded. Messages that the peer had not
//! consumed are lost, at most [`Producer::unconsumed`].
//!
//! **Waiting.** An end waits for doorbells, by WFE or by polling ([`wait`]), as the system was
//! built. An end that takes no doorbells has its region made [`Region::without_doorbells`], on both
//! sides: such an end never asks for a doorbell and is never sent one.
//!
//! **Doorbells.** Each end says at which index it wants one: [`Producer::publish`] and
//! [`Consumer::publish`] compare and answer [`Doorbell::Needed`] only where that index was crossed,
//! so a peer that is awake costs no call. To wait, call `wait_begin` and sleep (WFI, or a blocking
//! read in an operating system) only if it says nothing is there. An end without doorbells calls
//! `wait_begin` too; then it polls, or loads `watch` exclusively (LDAXR) and does a WFE if that is
//! what `seen` says. A stream costs few doorbells if each side asks for much at once:
//! [`Producer::wait_begin`] for half of the room, [`Consumer::wait_begin_for`] for some of the
//! data.
//!
//! ```
//! # use core::sync::atomic::AtomicU64;
//! # use bulkhead_channel::{Error, Indices, Pair, Region, Wait, open};
//! # fn ring() {}
//! # fn wfi() {}
//! # fn ask_el2() -> Pair { Pair::default() }
//! # type Pages<'a> = (&'a [AtomicU64], &'a [AtomicU64]);
//! # fn serve(own: Pages, peer: Pages) -> Result<(), Error> {
//! let own = Region::new(Indices::new(own.0)?, own.1)?; // first page, then the data
//! let peer = Region::new(Indices::new(peer.0)?, peer.1)?;
//! let mut pair = ask_el2(); // PEER
//! let (mut tx, mut rx) = open(own, peer, pair);
//! let mut message = [0; 256];
//! loop {
//!     match rx.recv(&mut message) {
//!         Ok((len, room)) => {
//!             // Error::Full: tx.wait_begin, sleep, try again.
//!             let reply = tx.try_send(&message[..len])?;
//!             if room.needed() || reply.needed() {
//!                 ring();
//!             }
//!         }
//!         Err(Error::Empty | Error::NotConnected) => {
//!             // The peer has begun another life: so does the channel.
//!             if ask_el2() != pair {
//!                 pair = ask_el2();
//!                 (tx, rx) = open(own, peer, pair);
//!             }
//!             // With interrupts masked, so that WFI wakes for one that comes in between.
//!             let wait = rx.wait_begin()?;
//!             if wait.doorbell.needed() {
//!                 ring();
//!             }
//!             if !wait.ready {
//!                 wfi();
//!             }
//!         }
//!         Err(error) => return Err(error),
//!     }
//! }
//! # }
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod consumer;
mod producer;
mod shape;
mod span;
#[cfg(all(test, not(loom)))]
mod tests;

pub use consumer::{Consumer, View};
pub use producer::{Lease, Producer};
pub use shape::{layout, tree, wait};
pub use span::Span;

/// The words that the regions are made of.
pub mod word {
    #[cfg(not(loom))]
    pub use core::sync::atomic::{AtomicU64, fence};
    #[cfg(loom)]
    pub use loom::sync::atomic::{AtomicU64, fence};
}

use core::sync::atomic::Ordering::{Relaxed, Release};
use word::AtomicU64;

// Indices and headers are little-endian, and so is every machine this builds for.
const _: () = assert!(cfg!(target_endian = "little"));

/// Bytes of a record's header; every record's size is a multiple of it.
const UNIT: u32 = 8;

/// Why an operation did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The region is not a page of indices and a power of two of data, from 16 bytes to 2 GiB, or
    /// none.
    BadGeometry,
    /// The ring has no room for the message now.
    Full,
    /// No message is there.
    Empty,
    /// The message is longer than the ring can ever take, or a write goes beyond its lease.
    TooLong,
    /// The buffer is too short for the message, which is this many bytes long and stays where it
    /// is.
    BufferTooShort(usize),
    /// The peer's indices are of another life of the peer's partition, or of this one: it has
    /// stopped, restarted, or not opened its end yet. Ask EL2 for the peer's state and generation.
    NotConnected,
    /// The peer wrote what the protocol cannot produce. The error is permanent: this direction is
    /// closed.
    PeerCorrupt,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::BadGeometry => f.write_str("not the shape of a channel region"),
            Self::Full => f.write_str("no room in the channel"),
            Self::Empty => f.write_str("no message in the channel"),
            Self::TooLong => f.write_str("longer than the channel can take"),
            Self::BufferTooShort(n) => write!(f, "the message has {n} bytes, more than the buffer"),
            Self::NotConnected => f.write_str("the peer has not opened its end"),
            Self::PeerCorrupt => f.write_str("the peer broke the channel's protocol"),
        }
    }
}

impl core::error::Error for Error {}

/// Whether the peer waits for what was just published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a peer that waits sleeps on until it is rung"]
pub enum Doorbell {
    /// The peer is awake, or waits for something else.
    NotNeeded,
    /// Ring the channel (`RING`).
    Needed,
}

impl Doorbell {
    /// Returns whether to ring.
    pub const fn needed(self) -> bool {
        matches!(self, Self::Needed)
    }

    /// Returns `Needed` if the peer's wanted index is in what was published: after `old`, up to
    /// `new`.
    fn crossed(old: u32, new: u32, want: u32) -> Self {
        if new.wrapping_sub(want) < new.wrapping_sub(old) { Self::Needed } else { Self::NotNeeded }
    }
}

/// What `wait_begin` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "sleep only if not ready, and ring first if the peer waits"]
pub struct Wait {
    /// There is something to do: do not sleep.
    pub ready: bool,
    /// Whether the peer waits for what was published on the way; ring before sleeping.
    pub doorbell: Doorbell,
}

/// The four shared indices of a region.
#[derive(Clone, Copy, Debug)]
pub struct Indices<'a> {
    /// [`layout::PRODUCED`].
    pub produced: &'a AtomicU64,
    /// [`layout::CONSUMED`].
    pub consumed: &'a AtomicU64,
    /// [`layout::WANT_DATA`].
    pub want_data: &'a AtomicU64,
    /// [`layout::WANT_ROOM`].
    pub want_room: &'a AtomicU64,
}

impl<'a> Indices<'a> {
    /// Finds the indices in a region's first page. Returns [`Error::BadGeometry`] if `page` is too
    /// short.
    pub fn new(page: &'a [AtomicU64]) -> Result<Self, Error> {
        let at = |offset: usize| page.get(offset / 8).ok_or(Error::BadGeometry);
        Ok(Self {
            produced: at(layout::PRODUCED)?,
            consumed: at(layout::CONSUMED)?,
            want_data: at(layout::WANT_DATA)?,
            want_room: at(layout::WANT_ROOM)?,
        })
    }
}

/// One end's region: its indices and the data it sends. This end only reads the peer's region.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    indices: Indices<'a>,
    data: &'a [AtomicU64],
    doorbells: bool,
}

impl<'a> Region<'a> {
    /// Makes a region of these words. Returns [`Error::BadGeometry`] unless `data` is a power of
    /// two, from 16 bytes to 2 GiB, or empty: its writer then sends nothing, and every message is
    /// [`Error::TooLong`].
    pub fn new(indices: Indices<'a>, data: &'a [AtomicU64]) -> Result<Self, Error> {
        let words = data.len();
        if words == 0 || words.is_power_of_two() && (2..=1 << 28).contains(&words) {
            Ok(Self { indices, data, doorbells: true })
        } else {
            Err(Error::BadGeometry)
        }
    }

    /// Marks the end that writes this region as taking no doorbells: it waits by WFE or by polling.
    pub fn without_doorbells(self) -> Self {
        Self { doorbells: false, ..self }
    }
}

/// The lives of an end's partition and its peer's: generations, as EL2 counts a partition's starts
/// (call `PEER`). Each index is in one word with the pair of its writer, and is good
/// only for a reader with the same pair.
///
/// The default, two zeros, is for rings within a partition. EL2 has no generation zero, so cleared
/// pages are connected to nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// Generation of this end's partition.
    pub own: u16,
    /// Generation of the peer's partition.
    pub peer: u16,
}

impl Pair {
    /// Returns the pair as the peer has it.
    const fn swapped(self) -> Self {
        Self { own: self.peer, peer: self.own }
    }

    /// Returns the word that holds `index`: the index in bits 31:0, the writer's own generation in
    /// bits 47:32, its peer's in bits 63:48.
    const fn word(self, index: u32) -> u64 {
        index as u64 | (self.own as u64) << 32 | (self.peer as u64) << 48
    }

    /// Returns the index in `word`, if its writer has this pair.
    const fn index(self, word: u64) -> Option<u32> {
        if word >> 32 == self.word(0) >> 32 { Some(word as u32) } else { None }
    }
}

/// Opens an end: `own` is the region it writes, `peer` the one its peer writes, `pair` the two
/// lives. Open it again with the new pair if an operation says [`Error::NotConnected`] and EL2
/// answers another generation of the peer.
///
/// If the indices in `own` are of the same pair, the end continues at them, so that a kernel can
/// take a channel over from its boot loader, or a program from the one before it. Otherwise the
/// channel is new: the indices become zero, and no message of another life is received.
pub fn open<'a>(own: Region<'a>, peer: Region<'a>, pair: Pair) -> (Producer<'a>, Consumer<'a>) {
    let Indices { produced, consumed, want_data, want_room } = own.indices;
    let words = [produced, consumed];
    if words.iter().any(|word| pair.index(word.load(Relaxed)).is_none()) {
        // A peer that sees the pair sees no wish of another life.
        want_data.store(0, Relaxed);
        want_room.store(0, Relaxed);
        words.iter().for_each(|word| word.store(pair.word(0), Release));
    }
    (Producer::new(own, peer, pair), Consumer::new(own, peer, pair))
}

/// Returns the bytes of the record for a message of `len` bytes, if any record can be that long.
fn record(len: usize) -> Option<u32> {
    let size = u32::try_from(len).ok()?.checked_next_multiple_of(UNIT)?;
    size.checked_add(UNIT)
}
