//! EL2: all of Bulkhead that needs privilege. What needs none is in the crates beside this one.
//!
//! - `boot/`: from the loader to the MMU; its `mod.rs` lists the steps
//! - `run.rs`: a core's way from there into its guest
//! - `vectors/` and `exits/`: why a guest came here and who answers
//! - `bell.rs`: doorbells; `power.rs`: start and stop; `terminal.rs`: lines
//! - `gic/`: the physical interrupt controller; `cpu/`: registers, caches, timer, per-core state
#![no_std]
#![no_main]

mod bell;
mod boot;
mod cpu;
mod exits;
mod gic;
mod load;
mod planned;
mod power;
mod run;
mod shared;
mod terminal;
mod uart;
mod vectors;
