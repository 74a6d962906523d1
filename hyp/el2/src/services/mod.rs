//! Answers to guests and interrupts: one file per feature.

pub mod board_watchdog;
pub mod console;
pub mod doorbell;
pub mod ipi;
pub mod lifecycle;
pub mod load;
pub mod record;
pub mod restart;
pub mod shutdown;
pub mod supervision;
pub mod vgic;
pub mod watchdog;
