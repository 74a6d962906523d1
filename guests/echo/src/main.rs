//! A guest that returns every message to its sender, on the channel that its command line names
//! (`channel=NAME`). A message `end` ends it. It goes on when its peer starts again.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use rt::link::{Error, Link};
use rt::log::info;
use rt::{Tree, fail, figures, timer};

/// Seconds without a message after which the peer must be gone.
const PATIENCE: u64 = 60;

rt::main!(main);

fn main(tree: &'static Tree) {
    let name = tree.option("channel").unwrap_or("samples");
    let Some(mut link) = Link::open(tree, name) else {
        fail!("no channel named {name:?} at this vCPU")
    };
    let kind = if link.node.non_cacheable { "Non-cacheable" } else { "cacheable" };
    info!("returns the messages of {name}; its pages are {kind}");
    let (mut messages, mut bytes) = (0u64, 0u64);
    let mut buffer = alloc::vec![0; 1 << 20];
    loop {
        match link.receive_wait(&mut buffer, patience()) {
            Ok(size) if &buffer[..size] == b"end" => break,
            Ok(size) => {
                messages += 1;
                bytes += size as u64;
                // What was sent to a life of the peer that is over does not matter.
                match link.push(&buffer[..size], patience()).and_then(|()| link.flush()) {
                    Ok(()) | Err(Error::Restarted | Error::Call(abi::error::PEER_DOWN)) => {}
                    Err(error) => fail!("after {messages} messages: {error}"),
                }
            }
            Err(Error::Restarted) => again(&mut link),
            // The peer is between two lives, or has not opened its end.
            Err(Error::Call(abi::error::PEER_DOWN)) => {
                rt::interrupt::wait_until(timer::now() + timer::milliseconds(10));
                again(&mut link);
            }
            Err(error) => fail!("after {messages} messages: {error}"),
        }
    }
    info!("returned {messages} messages, {bytes} bytes");
    figures::print_doorbells(&link);
    figures::print_entries(tree);
}

/// Opens the channel for the peer's next life, if there is one.
fn again(link: &mut Link) {
    if link.reconnect().is_some() {
        info!("the peer has started again: generation {}", link.peer_generation());
    }
}

fn patience() -> u64 {
    timer::now() + PATIENCE * timer::frequency()
}
