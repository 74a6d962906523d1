//! The core EL2 runs on: its registers, caches, timer and per-core state.

// First: `icc` uses its macros.
#[macro_use]
pub mod regs;
pub mod cache;
pub mod core;
pub mod guest;
#[cfg(not(feature = "gicv2"))]
pub mod icc;
pub mod timer;
