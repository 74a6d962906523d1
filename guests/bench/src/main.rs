//! Bench guest: does one operation many times, reads EL2's own counter before and after, and prints
//! both at the end.
//!
//! `role=NAME` on the command line selects this partition's part; `cargo xtask bench` reads the
//! output.
#![no_std]
#![no_main]

extern crate alloc;

mod flood;
mod meter;
mod operations;
mod restart;
mod stream;

use rt::{Tree, fail};

rt::main!(main);

fn main(tree: &'static Tree) {
    match tree.option("role") {
        Some("operations") => operations::lead(tree),
        Some("answer") => operations::answer(tree),
        Some("ring") => operations::ring(tree),
        Some("rung") => operations::rung(tree),
        Some("sleep") => operations::sleep(tree),
        Some("flood") => flood::flood(tree),
        Some("drain") => flood::drain(tree),
        Some("restart") => restart::restart(tree),
        // The console core's partition stops immediately, so draining does not disturb a guest.
        Some("console") => {}
        Some("source") => stream::source(tree),
        Some("sink") => stream::sink(tree),
        other => fail!("this guest does not know the role {other:?} of its command line"),
    }
}
