//! The console: the PL011 a guest sees, the rings its bytes wait in, and the code of the one core
//! that connects them to the real UART.
//!
//! Each partition has two rings in the shared region: one for the output of its vCPUs and of EL2 on
//! their cores ([`Output`]), one for its input ([`Ring`]). Only the console core is at their other
//! end ([`Mux`], [`Keys`]), so no other core ever waits for the UART; a guest that is faster finds
//! its PL011 full. The console takes a bounded share of its core's time ([`Pace`]).
//!
//! A guest's line on the terminal always starts with its partition's name, and only EL2's lines
//! start with [`PREFIX`]. `filter.rs` says which bytes a guest may send there.
//!
//! This example takes a guest's line from its vCPU to the UART:
//!
//! ```
//! use bulkhead_console::{Mux, Output, Partitions, Pl011, Waiting, published};
//! use zerocopy::FromZeros;
//!
//! #[derive(FromZeros)]
//! struct One(Output, Waiting);
//!
//! impl Partitions for One {
//!     fn waiting(&self) -> &Waiting {
//!         &self.1
//!     }
//!     fn output(&self, index: usize) -> Option<&Output> {
//!         (index == 0).then_some(&self.0)
//!     }
//!     fn live(&self, _: usize) -> (bool, bool) {
//!         (false, false)
//!     }
//!     fn stopped(&self, _: usize) -> bool {
//!         false
//!     }
//! }
//!
//! let (one, uart) = (One::new_zeroed(), Pl011::default());
//! for &byte in b"ready\x07\n" {
//!     uart.send(byte, &one.0); // the bell does not reach the terminal: the partition is not live
//! }
//! published();
//! let asleep = one.1.mark(0);
//! assert!(asleep, "the console core is told");
//!
//! let (mut mux, mut terminal) = (Mux::default(), Vec::new());
//! mux.set_name(0, b"sensor", 32);
//! while mux.step(10, 0, |byte| terminal.push(byte), &one).is_some() {}
//! assert_eq!(terminal, b"\x1b[32m[sensor]\x1b[0m ready\r\n");
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod filter;
mod input;
mod line;
#[cfg(feature = "monitor")]
mod monitor;
mod mux;
#[cfg(not(feature = "monitor"))]
mod no_monitor;
mod output;
mod pace;
mod pl011;
mod ring;
#[cfg(all(test, not(loom)))]
mod tests;

pub use input::{Keys, Typed};
pub use line::LineBuffer;
#[cfg(feature = "monitor")]
pub use monitor::{Facts, Monitor, Order};
pub use mux::{After, BREAK, CONTINUED, LINE, Mux, Partitions, Port};
#[cfg(not(feature = "monitor"))]
pub use no_monitor::Monitor;
pub use output::{Front, KEPT, Output, SLOTS, Waiting, published};
pub use pace::Pace;
pub use pl011::Pl011;
pub use ring::Ring;

/// Start of EL2's own lines; a guest's line never starts with it.
pub const PREFIX: &str = "bulkhead: ";
/// EL2's line before the first guest runs.
pub const STARTED: &str = "machine matches plan; all cores ready; starting partitions";
