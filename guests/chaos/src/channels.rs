//! Attacks on a peer over a channel that both have, and the peer that has to stand them.

use alloc::string::String;

use abi::{layout, ring};
use rt::link::{Error, Link};
use rt::{Tree, hv, mmu, timer};

use crate::format;
use crate::probe::Random;

/// The first channel of this vCPU.
fn node(tree: &Tree) -> rt::tree::ChannelNode {
    let first = tree.channels().find(|channel| channel.vcpu == 0);
    first.unwrap_or_else(|| rt::fail!("this attack needs a channel"))
}

pub fn ring_storm(tree: &Tree) -> String {
    let handle = node(tree).handle;
    let (mut sent, mut coalesced, mut deferred, mut refused) = (0, 0, 0, 0);
    let end = timer::now() + timer::frequency();
    while timer::now() < end {
        match hv::ring(handle).map(|answer| answer as i64) {
            Ok(ring::SENT) => sent += 1,
            Ok(ring::COALESCED) => coalesced += 1,
            Ok(ring::DEFERRED) => deferred += 1,
            Ok(other) => rt::fail!("RING answered {other}"),
            // The neighbour has done its work and is off.
            Err(abi::error::PEER_DOWN) => refused += 1,
            Err(error) => rt::fail!("RING answered {error}"),
        }
        // Masking one's own end must not matter to anyone either.
        let _ = hv::mask(handle, sent & 1 != 0);
    }
    format!("{sent} sent, {coalesced} coalesced, {deferred} deferred, {refused} refused")
}

pub fn garbage(tree: &Tree) -> String {
    let node = node(tree);
    let (address, size) = node.own;
    mmu::map(address, size, mmu::Kind::Shared);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut words = 0_u64;
    let end = timer::now() + timer::frequency();
    while timer::now() < end {
        // Small changes to an index break a ring in other ways than noise does.
        let offset = match words % 4 {
            0 => layout::PRODUCED as u64,
            1 => layout::CONSUMED as u64,
            2 => [layout::WANT_DATA, layout::WANT_ROOM][random.next() as usize % 2] as u64,
            _ => random.next() % (size / 4) * 4,
        };
        let value = random.next();
        let value = if value & 1 << 63 == 0 {
            value as u32
        } else {
            (value & 0x78) as u32
        };
        // SAFETY: pages that this end alone writes and that nothing else in this program refers to.
        unsafe { ((address + offset) as *mut u32).write_volatile(value) };
        words += 1;
        if words.is_multiple_of(8) {
            let _ = hv::ring(node.handle);
        }
    }
    format!("wrote {words} words of garbage")
}

/// The other side of `garbage`: uses the channel as an honest program does, and must neither crash nor hang.
pub fn listen(tree: &Tree) -> String {
    let name = node(tree).name;
    let Some(mut link) = Link::open(tree, name) else {
        rt::fail!("the channel does not open")
    };
    let mut buffer = [0; 256];
    let (mut messages, mut errors, mut wakes) = (0, 0, 0_u32);
    let end = timer::now() + 2 * timer::frequency();
    while timer::now() < end {
        let pause = timer::now() + timer::milliseconds(5);
        match link.receive(&mut buffer) {
            Ok(Some(_)) => messages += 1,
            // A pause that ends without a doorbell is no error here.
            Ok(None) => match link.wait(pause) {
                Ok(()) | Err(Error::Timeout) => wakes += 1,
                Err(_) => errors += 1,
            },
            Err(_) => {
                errors += 1;
                rt::interrupt::wait_until(pause);
            }
        }
        // Pushing may find the other direction broken as well; waiting for room ends at the pause.
        if link
            .push(&buffer[..64], pause)
            .and_then(|()| link.flush())
            .is_err()
        {
            errors += 1;
        }
    }
    format!("{messages} messages, {errors} errors, {wakes} waits")
}
