//! Attacks on a peer over channels that both have, and the peer that must withstand them.

use alloc::string::String;
use alloc::vec::Vec;

use abi::{error, ring};
use channel::layout;
use rt::link::Link;
use rt::tree::ChannelNode;
use rt::{Tree, Wait, hv, mmu, timer};

use crate::format;
use crate::probe::Random;

/// The channel ends of this vCPU.
fn nodes(tree: &Tree) -> Vec<ChannelNode> {
    let nodes: Vec<_> = tree.channels().filter(|node| node.vcpu == 0).collect();
    if nodes.is_empty() {
        rt::fail!("this attack needs a channel");
    }
    nodes
}

pub fn ring_storm(tree: &Tree) -> String {
    let handle = nodes(tree)[0].handle;
    let (mut sent, mut coalesced, mut deferred, mut refused) = (0, 0, 0, 0);
    let end = timer::now() + timer::frequency();
    while timer::now() < end {
        match hv::ring(handle).map(|answer| answer as i64) {
            Ok(ring::SENT) => sent += 1,
            Ok(ring::COALESCED) => coalesced += 1,
            Ok(ring::DEFERRED) => deferred += 1,
            Ok(other) => rt::fail!("RING answered {other}"),
            // The neighbour has finished and is off.
            Err(error::PEER_DOWN) => refused += 1,
            Err(error) => rt::fail!("RING answered {error}"),
        }
        // An end that masks itself must not affect its peer either.
        let _ = hv::mask(handle, sent & 1 != 0);
    }
    format!("{sent} sent, {coalesced} coalesced, {deferred} deferred, {refused} refused")
}

/// Writes random bytes to every page it can write, in words of every size, with doorbells in
/// between, for a second.
pub fn storm(tree: &Tree) -> String {
    let nodes = nodes(tree);
    for node in &nodes {
        mmu::map(node.own.0, node.own.1, mmu::Kind::Shared);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut writes, mut refused) = (0_u64, 0_u64);
    let end = timer::now() + timer::frequency();
    while timer::now() < end {
        let node = &nodes[random.next() as usize % nodes.len()];
        let (address, size) = node.own;
        // Half of the writes go to indices: small changes there break a ring in other ways than
        // noise does.
        let offset = match random.next() % 8 {
            0 => layout::PRODUCED as u64,
            1 => layout::CONSUMED as u64,
            2 => layout::WANT_DATA as u64,
            3 => layout::WANT_ROOM as u64,
            _ => (random.next() % size) & !7,
        };
        let value = random.next();
        let value = if value >> 63 == 0 { value } else { value & 0x78 };
        let at = address + offset;
        // SAFETY: only this end writes these pages, and nothing else in this program refers to
        // them; `offset` is a multiple of 8 within them.
        unsafe {
            match random.next() % 4 {
                0 => ((at + value % 8) as *mut u8).write_volatile(value as u8),
                1 => (at as *mut u16).write_volatile(value as u16),
                2 => (at as *mut u32).write_volatile(value as u32),
                _ => (at as *mut u64).write_volatile(value),
            }
        }
        writes += 1;
        if writes.is_multiple_of(8) {
            refused += u64::from(ring(node));
        }
    }
    let channels = nodes.len();
    format!(
        "{writes} writes to {channels} channels, {refused} rings to ends without doorbells refused"
    )
}

/// Sends a doorbell on an end. It must be refused if its peer takes no doorbells; returns whether
/// it was.
fn ring(node: &ChannelNode) -> bool {
    match (node.peer_wait, hv::ring(node.handle)) {
        (Wait::Doorbell, Ok(_)) | (_, Err(error::PEER_DOWN)) => false,
        (Wait::Wfe | Wait::Poll, Err(error::NO_DOORBELL)) => true,
        (wait, answer) => rt::fail!("RING of an end that waits by {wait:?} answered {answer:?}"),
    }
}

/// One of the honest end's channels, and its own count of bytes of records that it has sent and
/// received.
struct Counted {
    link: Link,
    sent: u32,
    received: u32,
}

/// The other side of [`storm`]: uses every channel like an honest program. It must neither crash
/// nor hang, and its indices must agree with its own counts.
pub fn listen(tree: &Tree) -> String {
    let nodes = nodes(tree);
    let open = nodes.iter().map(|node| Link::open(tree, node.name));
    let open = open.map(|link| Counted {
        link: link.unwrap_or_else(|| rt::fail!("a channel does not open")),
        sent: 0,
        received: 0,
    });
    let mut links: Vec<_> = open.collect();
    let mut buffer = [0; 256];
    let (mut messages, mut errors, mut rounds) = (0, 0, 0_u32);
    let end = timer::now() + 2 * timer::frequency();
    while timer::now() < end {
        for counted in &mut links {
            let Counted { link, .. } = counted;
            let pause = timer::now() + timer::milliseconds(2);
            match link.receive(&mut buffer) {
                Ok(Some(length)) => {
                    messages += 1;
                    counted.received = counted.received.wrapping_add(record(length));
                }
                // A pause that ends without a message is not an error here.
                Ok(None) => errors += u64::from(link.wait(pause).is_err()),
                Err(_) => errors += 1,
            }
            // Pushing may also find the other direction broken; waiting for room ends after the
            // pause.
            match link.push(&buffer[..64], pause) {
                Ok(()) => counted.sent = counted.sent.wrapping_add(record(64)),
                Err(_) => errors += 1,
            }
            errors += u64::from(link.flush().is_err());
            counted.check();
        }
        rounds += 1;
    }
    let channels = links.len();
    format!(
        "{channels} channels, {messages} messages, {errors} errors, {rounds} rounds, every index \
         right"
    )
}

/// Returns the bytes of the record of a message.
fn record(length: usize) -> u32 {
    8 + length.next_multiple_of(8) as u32
}

impl Counted {
    /// Checks, after everything was published, that this end's indices are its counts, independent
    /// of the peer's data.
    fn check(&self) {
        let node = &self.link.node;
        let index = |offset: usize| {
            let at = (node.own.0 as usize + offset) as *const u32;
            // SAFETY: this end's own index page was mapped when the link was opened; no other code
            // writes it.
            unsafe { at.read_volatile() }
        };
        let found = [index(layout::PRODUCED), index(layout::CONSUMED)];
        let counted = [self.sent, self.received];
        if found != counted {
            rt::fail!("channel {}: indices are {found:?}, must be {counted:?}", node.name);
        }
    }
}
