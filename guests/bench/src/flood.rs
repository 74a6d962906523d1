//! A million messages over every channel of two partitions, while their compute cores do other
//! work.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::Reason;
use bench::message::{HEADER, Header, Kind};
use bench::phase::{BATCH, patience};
use rt::link::{Error, Link};
use rt::{Tree, fail, figures, interrupt, println, smp, timer};

/// Messages over all channels together.
const MESSAGES: usize = 1_000_080;
/// Channels.
const CHANNELS: usize = 4;
/// Periods per second of the compute core.
const RATE: u64 = 1000;

const _: () = assert!(MESSAGES.is_multiple_of(CHANNELS * BATCH));

/// Sends the messages.
pub fn flood(tree: &'static Tree) {
    let mut links = links(tree);
    links[0].wait_for_peer(patience()).unwrap_or_else(|error| fail!("{error}"));
    let over = compute();
    for batch in 0..MESSAGES / BATCH {
        let link = &mut links[batch % CHANNELS];
        send(link, batch).unwrap_or_else(|error| fail!("batch {batch}: {error}"));
    }
    report(tree, &over);
}

/// Receives and checks the messages.
pub fn drain(tree: &'static Tree) {
    let mut links = links(tree);
    let over = compute();
    let mut received = [0; CHANNELS];
    while received.iter().sum::<usize>() < MESSAGES {
        take(&mut links, &mut received).unwrap_or_else(|error| fail!("{received:?}: {error}"));
    }
    println!("figure messages {}", received.iter().sum::<usize>());
    report(tree, &over);
}

fn links(tree: &Tree) -> Vec<Link> {
    let open = |index| {
        let name = format!("flood{index}");
        Link::open(tree, &name).unwrap_or_else(|| fail!("no channel named {name:?} at this vCPU"))
    };
    (0..CHANNELS).map(open).collect()
}

fn send(link: &mut Link, batch: usize) -> Result<(), Error> {
    for message in 0..BATCH {
        let header = Header {
            kind: Kind::Data,
            sequence: (batch / CHANNELS * BATCH + message) as u32,
            time: 0,
        };
        link.push(&header.encode(), patience())?;
    }
    link.flush()
}

/// Takes the messages that are there, and sleeps if there are none.
fn take(links: &mut [Link], received: &mut [usize; CHANNELS]) -> Result<(), Error> {
    let mut message = [0; HEADER];
    let mut idle = true;
    for (link, received) in links.iter_mut().zip(received) {
        while let Some(length) = link.receive(&mut message)? {
            Header::decode(&message).check(*received, HEADER, length);
            *received += 1;
            idle = false;
        }
    }
    if !idle {
        return Ok(());
    }
    let mut ready = false;
    for link in links {
        ready |= link.wait_begin()?;
    }
    if !ready && interrupt::wait_until(patience()).is_none() {
        return Err(Error::Timeout);
    }
    Ok(())
}

/// Starts work on the compute core that its own timer paces, until `over` is set.
fn compute() -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&over);
    let started = smp::start(1, move || {
        let mut due = timer::now();
        while !flag.load(Ordering::Acquire) {
            due += timer::frequency() / RATE;
            interrupt::wait_until(due);
        }
    });
    started.unwrap_or_else(|error| fail!("vCPU 1 does not start: {error}"));
    over
}

fn report(tree: &Tree, over: &AtomicBool) {
    over.store(true, Ordering::Release);
    for vcpu in (0..tree.vcpus()).filter(|&vcpu| tree.class(vcpu) == "compute") {
        let foreign = figures::entries(vcpu, &Reason::FOREIGN);
        let own = figures::entries(vcpu, &[Reason::Interrupt]);
        println!("figure foreign-entries {foreign}");
        println!("figure own-interrupts {own}");
    }
}
