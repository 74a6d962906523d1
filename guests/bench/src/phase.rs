//! The phases of a run. All partitions know them, so they need not negotiate.

use alloc::string::String;
use alloc::vec::Vec;

use rt::link::Link;
use rt::{Tree, fail, timer};

/// Sizes of messages, bytes.
pub const SIZES: [usize; 8] = [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];
/// Messages published to the peer together in a stream; each ring has room for two such batches.
pub const BATCH: usize = 60;
/// Messages that are timed together, by size: as many as take some 100,000 instructions, so that an
/// emulator that runs one core after the other rarely switches cores in between. Divisors of
/// [`BATCH`].
const BURSTS: [usize; SIZES.len()] = [60, 60, 30, 10, 4, 1, 1, 1];
/// Round trips of the short and the long phase: the two differ only in round trips.
const ROUNDS: [usize; 2] = [2, 10];

/// The kind of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Doorbells there and back, without a message.
    Bells,
    /// Messages there and back, one at a time.
    Ping,
    /// Messages in one direction, a batch at a time.
    Stream,
}

impl Kind {
    /// Returns its name in output lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bells => "bells",
            Self::Ping => "ping",
            Self::Stream => "stream",
        }
    }
}

/// A phase.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// Its kind.
    pub kind: Kind,
    /// Index in [`SIZES`].
    pub size: usize,
    /// Messages or round trips.
    pub count: usize,
}

impl Phase {
    /// Bytes of each message.
    #[must_use]
    pub fn bytes(&self) -> usize {
        SIZES[self.size]
    }

    /// Returns the number of messages that are timed together.
    #[must_use]
    pub fn burst(&self) -> usize {
        BURSTS[self.size]
    }

    /// Returns the bytes of a batch in the ring (docs/guest-abi.md: 8 more than its length for each
    /// message).
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        BATCH * (self.bytes() + 8)
    }
}

/// Returns all phases; phases of only doorbells are included where both sides take them.
pub fn all(doorbells: bool) -> impl Iterator<Item = Phase> {
    let phase = |kind, size, count| Phase { kind, size, count };
    let rounds = move |kind, size| ROUNDS.map(|count| phase(kind, size, count));
    // The first phase also has the first use of that interrupt.
    let bells = doorbells.then(|| {
        let [short, long] = rounds(Kind::Bells, 0);
        [phase(Kind::Bells, 0, 1), short, long]
    });
    let pings = (0..SIZES.len()).flat_map(move |size| rounds(Kind::Ping, size));
    let streams = SIZES.iter().enumerate().map(move |(size, bytes)| {
        let batches = match bytes {
            ..=4096 => 20,
            ..=65_536 => 4,
            _ => 2,
        };
        phase(Kind::Stream, size, batches * BATCH)
    });
    bells.into_iter().flatten().chain(pings).chain(streams)
}

/// Opens the links of all sizes: the channels `PREFIX64`, `PREFIX256`, … of the calling vCPU.
#[must_use]
pub fn links(tree: &Tree, prefix: &str) -> Vec<Link> {
    let open = |size: &usize| {
        let name = alloc::format!("{prefix}{size}");
        Link::open(tree, &name).unwrap_or_else(|| fail!("no channel named {name:?} at this vCPU"))
    };
    SIZES.iter().map(open).collect()
}

/// Returns the channel that has only doorbells: handle and interrupt.
#[must_use]
pub fn bell(tree: &Tree, prefix: &str) -> Option<(u64, u32)> {
    let name: String = alloc::format!("{prefix}bell");
    let node = tree.channels().find(|node| node.name == name)?;
    rt::interrupt::enable(node.intid?);
    Some((node.handle, node.intid?))
}

/// Returns the time limit for a peer.
#[must_use]
pub fn patience() -> u64 {
    timer::now() + 20 * timer::frequency()
}
