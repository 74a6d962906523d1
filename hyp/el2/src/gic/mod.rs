//! The physical interrupt controller: who sends, takes and ends physical interrupts at EL2.
//!
//! EL2 keeps two SGIs, its timer and the maintenance interrupt of each core, and the console's UART. Every other
//! interrupt belongs to one partition, whose guest ends it itself through a hardware-linked list register.

pub mod lists;
pub mod physical;
mod v3;

pub use v3::{
    acknowledge, deactivate, drop_priority, init_core, init_distributor, intids,
    list_register_count, redistributor_affinity, send, sgi,
};

/// The physical SGI of doorbells and of everything between siblings.
pub const DOORBELL: u32 = 8;
/// The physical SGI of control: start, stop, console.
pub const CONTROL: u32 = 9;
/// The maintenance interrupt (Server Base System Architecture, PPI assignments).
pub const MAINTENANCE: u32 = 25;
/// INTIDs from here on are answers, not interrupts (IHI 0069, 2.2.1).
pub const SPECIAL: u32 = 1020;
