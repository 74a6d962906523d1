//! A trace of every instruction that ran at EL2, from QEMU's log: what each core ran, in order. It
//! shares nothing with the counter that EL2 reads, so one checks the other.

pub mod boot;
mod entries;
mod listing;
mod log;
#[cfg(test)]
mod tests;

pub(crate) use entries::ERET;
pub use entries::{Entry, entries, readings};
pub(crate) use listing::short;
pub use listing::{Symbols, listing};
pub use log::{Code, Instruction, Trace};
