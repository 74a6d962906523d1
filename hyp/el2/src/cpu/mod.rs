//! The core EL2 runs on: its registers, caches, timer and per-core state.

pub mod cache;
pub mod core;
pub mod guest;
pub mod regs;
pub mod timer;
