// SPDX-License-Identifier: MIT OR Apache-2.0
//! Test guest, in two roles. `role=mortal` answers messages, and ends each of its lives after
//! `each=N` of them in another way. `role=witness` runs on: it sends, checks every answer, and
//! opens its end anew in each life of its peer.
//!
//! A message has its number in the sender's view of the life, and the generation of the mortal's
//! partition. So a message of another life is recognised at both ends.
#![no_std]
#![no_main]

use core::arch::asm;

use rt::link::{Error, Link};
use rt::log::info;
use rt::{Tree, fail, figures, hv, psci, smp, timer};

/// The channel.
const CHANNEL: &str = "lives";
/// Bytes of a message: number and generation.
const SIZE: usize = 16;
/// The number of the message that ends the run.
const LAST: u64 = u64::MAX;
/// Messages that the witness sends before it waits for answers.
const AHEAD: u64 = 8;
/// Seconds that the other end may be silent.
const PATIENCE: u64 = 8;
/// Time-out of a watchdog that is going to be missed, microseconds.
const WATCHDOG: u64 = 20_000;

rt::main!(main);

fn main(tree: &'static Tree) {
    let number = |name| tree.option(name).and_then(|value| value.parse::<u64>().ok());
    let Some(mut link) = Link::open(tree, CHANNEL) else {
        fail!("no channel named {CHANNEL:?} at this vCPU")
    };
    let lives = number("lives").unwrap_or(5);
    match tree.option("role") {
        Some("witness") => {
            let seen = witness(&mut link, lives);
            figures::print_doorbells(&link);
            info!("{} messages in {lives} lives, {} lost at most", seen.messages, seen.lost);
        }
        _ => mortal(tree, &mut link, lives, number("each").unwrap_or(20)),
    }
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

/// What the witness has seen.
#[derive(Default)]
struct Seen {
    messages: u64,
    lost: u64,
}

/// Sends and checks answers until the peer's last life has answered enough; then ends it.
fn witness(link: &mut Link, lives: u64) -> Seen {
    let mut seen = Seen::default();
    loop {
        match talk(link, lives, &mut seen) {
            Ok(()) => return seen,
            Err(Error::Restarted | Error::Call(abi::error::PEER_DOWN)) => {
                let up = link.wait_for_peer(patience());
                up.unwrap_or_else(|error| fail!("life {}: {error}", link.peer_generation()));
                seen.lost += u64::from(link.reconnect().unwrap_or(0));
            }
            Err(error) => fail!("life {}: {error}", link.peer_generation()),
        }
    }
}

/// Talks to one life of the peer.
fn talk(link: &mut Link, lives: u64, seen: &mut Seen) -> Result<(), Error> {
    let life = link.peer_generation();
    let mut buffer = [0; SIZE];
    let (mut sent, mut answered) = (0, 0);
    while u64::from(life) < lives || answered < 2 * AHEAD {
        while sent < answered + AHEAD {
            link.push(&encode(sent, life), patience())?;
            sent += 1;
        }
        link.flush()?;
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

/// Answers `each` messages and ends this life, unless it is the last one.
fn mortal(tree: &'static Tree, link: &mut Link, lives: u64, each: u64) {
    let life = link.own_generation();
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
        if due == each && u64::from(life) < lives {
            end(tree, life);
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

/// Ends this life in a way that depends on its number, or in the way that `end=` names.
fn end(tree: &Tree, life: u16) -> ! {
    const WAYS: [&str; 7] = ["fault", "reset", "spin", "reset2", "suspend", "tables", "order"];
    // The last way needs a supervisor.
    let ways = WAYS.len() - usize::from(tree.option("orders").is_none());
    let way = tree.option("end").unwrap_or(WAYS[usize::from(life) % ways]);
    info!("life {life} ends: {way}");
    let watchdog = || {
        let set = hv::watchdog(WATCHDOG);
        set.unwrap_or_else(|error| fail!("the watchdog was refused with {error}"));
    };
    match way {
        "reset" => {
            hv::hvc(psci::SYSTEM_RESET.into(), [0; 3]);
        }
        "reset2" => {
            hv::hvc(psci::SYSTEM_RESET2.into(), [0; 3]);
        }
        "off" => psci::system_off(),
        "order" => loop {
            rt::interrupt::wait();
        },
        "suspend" => {
            watchdog();
            // Doorbells of the witness end each one early.
            loop {
                hv::hvc(psci::CPU_SUSPEND.into(), [0, 0, 0]);
            }
        }
        "spin" => {
            watchdog();
            // SAFETY: the program ends here: everything is masked, and nothing follows.
            unsafe { asm!("msr DAIFSet, #0xf", "1: b 1b", options(noreturn)) };
        }
        "tables" => {
            watchdog();
            // SAFETY: the program ends here: it has no translations, no vectors and no stack.
            unsafe {
                asm!(
                    "msr VBAR_EL1, xzr",
                    "msr TTBR0_EL1, xzr",
                    "tlbi vmalle1",
                    "dsb ish",
                    "isb",
                    "1: b 1b",
                    options(noreturn)
                );
            }
        }
        _ => {
            let outside = 0x7000_0000 as *mut u64;
            rt::mmu::map(outside as u64, 8, rt::mmu::Kind::Device);
            // SAFETY: an address outside the program: reading it cannot touch Rust's memory.
            unsafe { outside.read_volatile() };
        }
    }
    fail!("life {life} survived: {way}")
}
