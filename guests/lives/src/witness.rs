// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer that runs on. It sends, checks every answer, opens its end anew in each life of the
//! mortal, and gives orders if it is a supervisor that shall.

use abi::{call, state, status, supervise};
use rt::link::{Error, Link};
use rt::log::info;
use rt::{Tree, fail, figures, hv, timer};

use crate::{LAST, SIZE, decode, encode, ends, fresh, open, patience};

/// Messages that the witness sends before it waits for answers.
const AHEAD: u64 = 8;
/// Most answers that the witness takes before an order. They vary from life to life.
const BEFORE_ORDER: u64 = 13;

/// What the witness has seen.
#[derive(Default)]
struct Seen {
    messages: u64,
    lost: u64,
    orders: u64,
}

/// The mortal as its supervisor sees it.
#[derive(Clone, Copy)]
struct Mortal {
    partition: u64,
    handle: u64,
}

/// Talks to `lives` lives of the mortal, and ends the last one.
pub fn run(tree: &'static Tree, lives: u64) {
    let mut link = open(tree);
    let partition = tree.partitions().position(|name| name == "mortal");
    let mortal = partition.map(|number| Mortal { partition: number as u64, handle: 0 });
    let orders = mortal.filter(|_| tree.option("orders").is_some());
    let mut seen = Seen::default();
    loop {
        let life = link.peer_generation();
        fresh::stray(tree, &[link.node.intid, tree.device_spi(channel::tree::SUPERVISOR)]);
        let order = orders.filter(|_| ends::is_ordered(tree, life) && u64::from(life) < lives);
        match talk(&mut link, lives, order, &mut seen) {
            Ok(()) => break,
            Err(Error::Restarted | Error::Call(abi::error::PEER_DOWN)) => {
                let up = link.wait_for_peer(patience());
                up.unwrap_or_else(|error| fail!("life {life}: {error}"));
                seen.lost += u64::from(link.reconnect().unwrap_or(0));
            }
            Err(error) => fail!("life {life}: {error}"),
        }
    }
    figures::print_doorbells(&link);
    if let Some(mortal) = mortal {
        count(&link, mortal, lives);
    }
    info!(
        "{} messages in {lives} lives, {} lost at most, {} orders",
        seen.messages, seen.lost, seen.orders
    );
}

/// Talks to one life of the peer. With `order` it orders the peer to restart, amid its messages.
fn talk(
    link: &mut Link,
    lives: u64,
    mut order: Option<Mortal>,
    seen: &mut Seen,
) -> Result<(), Error> {
    let life = link.peer_generation();
    let mut buffer = [0; SIZE];
    let (mut sent, mut answered) = (0, 0);
    while u64::from(life) < lives || answered < 2 * AHEAD {
        while sent < answered + AHEAD {
            link.push(&encode(sent, life), patience())?;
            sent += 1;
        }
        link.flush()?;
        if answered == u64::from(life) % BEFORE_ORDER
            && let Some(mortal) = order.take()
        {
            let given = hv::supervise(mortal.partition, supervise::RESTART);
            given.unwrap_or_else(|error| fail!("the order was answered with {error}"));
            seen.orders += 1;
        }
        let size = link.receive_wait(&mut buffer, patience())?;
        let number = decode(&buffer[..size], life);
        if number != answered {
            fail!("life {life}: answer {number} came where {answered} was due");
        }
        answered += 1;
        seen.messages += 1;
    }
    link.push(&encode(LAST, life), patience())?;
    link.flush()
}

/// Compares the mortal's starts with its lives, and the doorbells that EL2 counted at both ends of
/// the channel: each one that was sent has arrived, or still waits.
fn count(link: &Link, mortal: Mortal, lives: u64) {
    let own = |item| hv::status(link.node.handle, item).unwrap_or_default();
    let end = patience();
    loop {
        let now = hv::partition(mortal.partition).unwrap_or_default();
        let [sent, _, _, received] =
            hv::hvc(call::PARTITION_DOORBELLS.into(), [mortal.partition, 0, mortal.handle]);
        let to_witness = (sent, own(status::RECEIVED) + own(status::PENDING));
        let from_witness = own(status::SENT);
        // The mortal has stopped, so one doorbell may wait for its next life.
        let is_even = to_witness.0 == to_witness.1 && matches!(from_witness - received, 0 | 1);
        if now.state == state::OFF && u64::from(now.starts) == lives && is_even {
            return;
        }
        if timer::now() > end {
            fail!("{now:?}: doorbells to here {to_witness:?}, to it {from_witness}, {received}");
        }
    }
}
