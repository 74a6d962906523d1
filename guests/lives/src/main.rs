// SPDX-License-Identifier: MIT OR Apache-2.0
//! Test guest, in two roles. `role=mortal` answers messages, and ends each of its lives after
//! `each=N` of them in another way. `role=witness` runs on: it sends, checks every answer, and
//! opens its end anew in each life of its peer.
//!
//! A message has its number in the sender's view of the life, and the generation of the mortal's
//! partition. So a message of another life is recognised at both ends. Each life also checks that
//! it finds no memory contents and no interrupt of the one before ([`fresh`]), and the witness that
//! no doorbell was lost or invented.
//!
//! With `orders=` on the mortal's command line a quarter of its lives ends only by a supervisor's
//! order. The witness gives them if it has `orders=` too; otherwise another supervisor does.
//! `role=clock` is a third partition: a core that wakes a thousand times per second and counts its
//! entries into EL2 because of others.
#![no_std]
#![no_main]

mod clock;
mod ends;
mod fresh;
mod witness;

use rt::link::Link;
use rt::{Tree, fail, smp, timer};

use fresh::Mess;

/// The channel.
const CHANNEL: &str = "lives";
/// Bytes of a message: number and generation.
const SIZE: usize = 16;
/// The number of the message that ends the run.
const LAST: u64 = u64::MAX;
/// Seconds that the other end may be silent.
const PATIENCE: u64 = 8;

rt::main!(main);

fn main(tree: &'static Tree) {
    let number = |name| tree.option(name).and_then(|value| value.parse::<u64>().ok());
    let lives = number("lives").unwrap_or(5);
    match tree.option("role") {
        Some("witness") => witness::run(tree, lives),
        Some("clock") => clock::run(),
        _ => mortal(tree, lives, number("each").unwrap_or(20)),
    }
}

fn open(tree: &Tree) -> Link {
    let link = Link::open(tree, CHANNEL);
    link.unwrap_or_else(|| fail!("no channel named {CHANNEL:?} at this vCPU"))
}

fn patience() -> u64 {
    timer::now() + PATIENCE * timer::frequency()
}

fn encode(number: u64, generation: u16) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..].copy_from_slice(&u64::from(generation).to_le_bytes());
    bytes
}

/// Returns the number of a message, which must be of `generation`.
fn decode(bytes: &[u8], generation: u16) -> u64 {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    if bytes.len() != SIZE || word(8) != generation.into() {
        fail!("a message of life {} came in life {generation}", word(8));
    }
    word(0)
}

/// Answers `each` messages and ends this life, unless it is the last one or ends by an order.
fn mortal(tree: &'static Tree, lives: u64, each: u64) {
    let Some(node) = tree.channels().find(|node| node.name == CHANNEL) else {
        fail!("there is no channel named {CHANNEL:?}")
    };
    let mess = Mess::none(tree, &node);
    let link = &mut open(tree);
    let life = link.own_generation();
    let is_ordered = ends::is_ordered(tree, life);
    if is_ordered {
        mess.mark(life);
    }
    if tree.vcpus() > 1 {
        // A sibling that is never in EL2 by itself: only a stop brings it there.
        let started = smp::start(1, || {
            loop {
                core::hint::spin_loop();
            }
        });
        started.unwrap_or_else(|error| fail!("vCPU 1 does not start: {error}"));
    }
    let mut buffer = [0; SIZE];
    for due in 0.. {
        if due == each && u64::from(life) < lives && !is_ordered {
            fresh::stray(tree, &[node.intid]);
            ends::end(tree, &mess, life);
        }
        let size = match link.receive_wait(&mut buffer, patience()) {
            Ok(size) => size,
            Err(error) => fail!("life {life}: {error}"),
        };
        let number = decode(&buffer[..size], life);
        if number == LAST {
            return;
        }
        if number != due {
            fail!("life {life}: message {number} came where {due} was due");
        }
        let sent = link.push(&encode(number, life), patience()).and_then(|()| link.flush());
        sent.unwrap_or_else(|error| fail!("life {life}: {error}"));
    }
}
