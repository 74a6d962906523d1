// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest of `cargo xtask hil`: measures how long EL2's services and messages take on the
//! machine it runs on, and reports each as a distribution.
//!
//! `role=NAME` on the command line is the partition's part: `lead` measures, `peer` answers it,
//! `relay` is in the middle of relayed messages, and `load` keeps its core busy. The lead waits for
//! an order on the console (`report::Order`), reports, and waits for the next one.
#![no_std]
#![no_main]

extern crate alloc;

mod crew;
mod load;
mod output;
mod pairs;
mod plan;
mod solo;
mod stamp;

use alloc::string::String;

use report::{Histogram, Order};
use rt::{Tree, console, fail, interrupt, println, timer};

use crew::Crew;
use output::Output;

rt::main!(main);

/// Seconds between two lines that say that the lead waits.
const AGAIN: u64 = 2;
/// Most bytes of an order's line; a longer one is not an order.
const ORDER: usize = 80;

fn main(tree: &'static Tree) {
    match tree.option("role") {
        Some("lead") => lead(tree),
        Some("relay") => pairs::relay(tree),
        Some("peer") => pairs::peer(tree),
        Some("load") => load::main(tree),
        other => fail!("this guest does not know the role {other:?} of its command line"),
    }
}

fn lead(tree: &'static Tree) {
    let mut crew = Crew::open(tree);
    let mut ends = pairs::Ends::lead(tree);
    console::listen(tree).unwrap_or_else(|| fail!("there is no UART for orders"));
    while let Order::Run { nonce, samples } = next_order() {
        let rows = plan::rows(samples);
        let mut output = Output::begin(nonce, samples, rows.iter().map(plan::Row::reports).sum());
        output.machine(tree);
        for row in &rows {
            crew.load(row.load);
            if row.kind.is_solo() {
                solo::measure(tree, row, &mut ends, &mut output);
            } else if row.kind == plan::Kind::Restart {
                let mut values = Histogram::new();
                (0..row.count).for_each(|_| values.record(crew.restart()));
                output.row(row, "", &values);
            } else {
                pairs::measure(&mut crew, &mut ends, row, &mut output);
            }
        }
        crew.load(plan::Load::None);
        output.end();
    }
    crew.stop();
}

/// Waits for an order, and says so now and then.
fn next_order() -> Order {
    let mut line = String::new();
    loop {
        println!("{}", report::READY);
        let again = timer::now() + AGAIN * timer::frequency();
        while interrupt::wait_until(again).is_some() {
            while let Some(byte) = console::read() {
                if byte != b'\n' && byte != b'\r' {
                    // A byte that belongs to no line of text makes the order a damaged one.
                    line.push(if byte.is_ascii_graphic() { byte.into() } else { ' ' });
                    continue;
                }
                match Order::decode(&line) {
                    Some(order) => return order,
                    None if line.is_empty() => {}
                    None => println!("latency: a damaged order of {} bytes", line.len()),
                }
                line.clear();
            }
            if line.len() > ORDER {
                line.clear();
            }
        }
    }
}
