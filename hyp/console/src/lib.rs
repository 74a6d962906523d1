//! The console: the PL011 a guest sees, the rings its bytes wait in, and the one core that brings them to the real UART.
//!
//! Each core has two rings in the shared region: its guest's bytes and EL2's own lines. The console core alone takes
//! from them ([`Mux`]), so nobody else ever waits for the UART; a guest that is faster finds its PL011 full.
//!
//! What a guest can do to the terminal: a guest line always starts with its partition's name, and only EL2's lines start
//! with [`PREFIX`]. `filter.rs` says which bytes a guest may send there.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod filter;
mod line;
mod mux;
mod pl011;
mod ring;
#[cfg(test)]
mod tests;

pub use line::Line;
pub use mux::{Mux, Progress, Source};
pub use pl011::Pl011;
pub use ring::{Pushed, Ring, Rings};

/// How EL2's own lines start, and no guest's.
pub const PREFIX: &str = "bulkhead: ";
