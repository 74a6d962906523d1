//! The console: the PL011 a guest sees, the rings its bytes wait in, and the one core that joins them to the real UART.
//!
//! Each core has two rings in the shared region: what is printed on it, by its guest and by EL2 ([`Printer`]), and what
//! was typed for it. The console core alone is at their other end ([`Mux`], [`Keys`]), so nobody else ever waits for the
//! UART; a guest that is faster finds its PL011 full.
//!
//! What a guest can do to the terminal: a guest line always starts with its partition's name, and only EL2's lines start
//! with [`PREFIX`]. `filter.rs` says which bytes a guest may send there.
//!
//! A guest's line on its way from its core to the UART:
//!
//! ```
//! use bulkhead_console::{Mux, Printer, Ring};
//! use zerocopy::FromZeros;
//!
//! let ring = Ring::new_zeroed();
//! let mut printer = Printer::new(&ring, b"sensor", 32);
//! for &byte in b"ready\x07\n" {
//!     printer.print(byte, false, false); // the bell does not pass: the partition is not live
//! }
//!
//! let mut mux = Mux::default();
//! let mut terminal = Vec::new();
//! while ring.waiting() != 0 {
//!     terminal.extend(mux.next(true, 1, |_| ring.pop()));
//! }
//! let text = String::from_utf8_lossy(&terminal);
//! assert!(text.contains("[sensor]") && text.trim_end().ends_with("ready"), "{text:?}");
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod filter;
mod input;
mod line;
mod mux;
mod pl011;
mod printer;
mod ring;
#[cfg(test)]
mod tests;

pub use input::{Keys, Typed};
pub use line::Line;
pub use mux::{BREAK, CONTINUED, Mux};
pub use pl011::Pl011;
pub use printer::Printer;
pub use ring::Ring;

/// How EL2's own lines start, and no guest's.
pub const PREFIX: &str = "bulkhead: ";
/// EL2's line before the first guest runs.
pub const STARTED: &str = "the machine covers the plan, every core is ready: partitions start";
