//! Attacks on memory that is not the guest's, and on rights that it does not have. EL2 halts the
//! partition for each.

use alloc::string::String;

use rt::Tree;
use rt::mmu::{self, Kind};

use crate::{format, number};

/// Returns an address that no stage 2 maps, unless `at=` names another.
pub fn outside(tree: &Tree) -> *mut u64 {
    let address = tree.option("at").and_then(number).unwrap_or(0x7000_0000);
    mmu::map(address, 8, Kind::Device);
    address as *mut u64
}

/// Returns the first address after the guest's own memory.
fn behind(tree: &Tree) -> *mut u64 {
    let (start, size) = tree.memory_at(tree.address()).unwrap_or_default();
    (start + size) as *mut u64
}

fn channel(tree: &Tree) -> rt::tree::ChannelNode {
    let first = tree.channels().next();
    first.unwrap_or_else(|| rt::fail!("this attack needs a channel"))
}

pub fn read_outside(tree: &Tree) -> String {
    // SAFETY: an address outside the program: reading it cannot touch Rust's memory.
    format!("read {:#x}", unsafe { outside(tree).read_volatile() })
}

pub fn write_outside(tree: &Tree) -> String {
    // SAFETY: an address outside the program: writing it cannot touch Rust's memory.
    unsafe { outside(tree).write_volatile(0x6861_766f_6321) };
    "wrote".into()
}

pub fn jump_outside(tree: &Tree) -> String {
    let target = outside(tree);
    // SAFETY: there is no code to run; if there were, this guest would have no guarantees left to
    // keep.
    unsafe { core::arch::asm!("blr {0}", in(reg) target, clobber_abi("C")) };
    "came back".into()
}

pub fn read_el2(tree: &Tree) -> String {
    // SAFETY: an address outside the program: reading it cannot touch Rust's memory.
    format!("read {:#x}", unsafe { behind(tree).read_volatile() })
}

pub fn write_rx(tree: &Tree) -> String {
    let (address, size) = channel(tree).peer;
    mmu::map(address, size, Kind::Shared);
    // SAFETY: these are the peer's pages, which nothing in this program refers to.
    unsafe { (address as *mut u32).write_volatile(0xffff_ffff) };
    "wrote the peer's pages".into()
}

/// The complement of the word with which a case fills this memory before EL2 starts: the word
/// itself must not be in the image.
const LEFT: u64 = !0x5ec2_e7ed_5ec2_e7ed;

pub fn remains(tree: &Tree) -> String {
    let (start, size) = tree.memory_at(tree.address()).unwrap_or_default();
    let words = size / 8;
    let at = |word: usize| (start + word * 8) as *const u64;
    // SAFETY: this is the partition's own memory, all of which is mapped; words that change during
    // the loop are read with their present value.
    let left = (0..words).filter(|&word| unsafe { at(word).read_volatile() } == !LEFT);
    match left.count() {
        0 => format!("0 of {words} words are the loader's"),
        left => rt::fail!("{left} of {words} words are the loader's"),
    }
}

pub fn exec_channel(tree: &Tree) -> String {
    let (address, size) = channel(tree).own;
    mmu::map(address, size, Kind::Ram);
    // SAFETY: only this end writes these pages, and nothing else in this program refers to them.
    // The word is `ret`.
    unsafe {
        (address as *mut u32).write_volatile(0xd65f_03c0);
        core::arch::asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", "blr {0}",
            in(reg) address, clobber_abi("C"));
    }
    "ran code in a channel page".into()
}
