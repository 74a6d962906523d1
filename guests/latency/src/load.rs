// SPDX-License-Identifier: MIT OR Apache-2.0
//! What other cores do while the lead measures.

use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;

use rt::{Tree, println, timer};

use crate::crew::{Desk, Task};
use crate::plan::Load;

/// Bytes that are copied: more than any cache of these boards holds.
const STREAM: usize = 4 << 20;
/// Bytes that are copied before the next look for a task.
const CHUNK: usize = 64 << 10;

/// Runs the partition that only makes load.
pub fn main(tree: &'static Tree) {
    let born = timer::now();
    let mut desk = Desk::open(tree, "tasks-load");
    desk.born(born);
    loop {
        match desk.next() {
            Task::Load(load) => run(&desk, load),
            Task::Serve(_) => {}
            Task::Restart => desk.restart(),
            Task::Stop => return,
        }
        desk.done();
    }
}

/// Makes load until there is another task.
pub fn run(desk: &Desk, load: Load) {
    match load {
        Load::None => {}
        Load::Memory => memory(desk),
        Load::Tlbi => {
            while !desk.is_called() {
                // SAFETY: invalidates translations of this partition's own regime on all cores;
                // they are walked again.
                unsafe { asm!("dsb ishst", "tlbi vmalle1is", "dsb ish", "isb", options(nostack)) };
            }
        }
        Load::Console => {
            let mut number = 0u64;
            while !desk.is_called() {
                println!("load {number:060}");
                number += 1;
            }
        }
    }
}

fn memory(desk: &Desk) {
    let source: Vec<u8> = vec![0x5a; STREAM];
    let mut target = vec![0; STREAM];
    let mut at = 0;
    while !desk.is_called() {
        target[at..at + CHUNK].copy_from_slice(&source[at..at + CHUNK]);
        core::hint::black_box(&mut target);
        at = (at + CHUNK) % STREAM;
    }
}
