//! Bench guest: does one thing many times, reads EL2's own counter before and after, and prints both at the end.
//!
//! `role=NAME` on the command line says which part this partition plays; `cargo xtask bench` reads what it prints.
#![no_std]
#![no_main]

extern crate alloc;

mod board;
mod meter;
mod operations;

use rt::{Tree, fail};

rt::main!(main);

fn main(tree: &'static Tree) {
    match tree.option("role") {
        Some("operations") => operations::lead(tree),
        Some("answer") => operations::answer(tree),
        other => fail!("the command line's role is {other:?}, which this guest does not play"),
    }
}
