//! A guest that returns every message to its sender, on the channel that its command line names
//! (`channel=NAME`). It answers one of length 0 by an [`Account`] of those before, and a message
//! `end` ends it. It goes on when its peer starts again.
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
    let mut account = Account::new(&link);
    let mut buffer = alloc::vec![0; 1 << 20];
    loop {
        match link.receive_wait(&mut buffer, patience()) {
            Ok(size) if &buffer[..size] == b"end" => break,
            Ok(size) => {
                messages += 1;
                bytes += size as u64;
                let mut size = size;
                if size == 0 {
                    size = account.encode(&link, &mut buffer);
                    account = Account::new(&link);
                } else {
                    account.take(&buffer[..size]);
                }
                // What was sent to a life of the peer that is over does not matter.
                match link.push(&buffer[..size], patience()).and_then(|()| link.flush()) {
                    Ok(()) | Err(Error::Restarted | Error::Call(abi::error::PEER_DOWN)) => {}
                    Err(error) => fail!("after {messages} messages: {error}"),
                }
            }
            Err(Error::Restarted) => {
                again(&mut link);
                account = Account::new(&link);
            }
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

/// What was returned since the last account, as `bhchan bench` compares it with its own: messages,
/// bytes, a checksum of their words, and doorbells received, 64 bits each.
struct Account {
    messages: u64,
    bytes: u64,
    checksum: u64,
    /// Doorbells received before.
    doorbells: u64,
}

impl Account {
    fn new(link: &Link) -> Self {
        Self { messages: 0, bytes: 0, checksum: 0, doorbells: doorbells(link) }
    }

    /// Takes a message: its words in order, the last one padded with zeros.
    fn take(&mut self, message: &[u8]) {
        self.messages += 1;
        self.bytes += message.len() as u64;
        for chunk in message.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mixed = self.checksum.rotate_left(5) ^ u64::from_le_bytes(word);
            self.checksum = mixed.wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    /// Writes the account to the start of `buffer` and returns its length.
    fn encode(&self, link: &Link, buffer: &mut [u8]) -> usize {
        let received = doorbells(link).wrapping_sub(self.doorbells);
        let fields = [self.messages, self.bytes, self.checksum, received];
        for (bytes, field) in buffer.chunks_mut(8).zip(fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        size_of_val(&fields)
    }
}

/// Returns how many doorbells of the channel this end has received.
fn doorbells(link: &Link) -> u64 {
    rt::hv::status(link.node.handle, abi::status::RECEIVED).unwrap_or_default()
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
