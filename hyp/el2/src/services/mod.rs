//! Answers to guests and interrupts: one file per feature. An EL2 without an option has the file
//! that starts with `no_` instead, which has the same functions and does nothing.

pub mod board_watchdog;
pub mod console;
pub mod doorbell;
pub mod ipi;
pub mod ivshmem;
pub mod lifecycle;
pub mod load;
pub mod restart;
pub mod shutdown;
pub mod vgic;
pub mod watchdog;

#[cfg(not(feature = "crash-records"))]
pub mod no_record;
#[cfg(not(feature = "supervision"))]
pub mod no_supervision;
#[cfg(feature = "crash-records")]
pub mod record;
#[cfg(feature = "supervision")]
pub mod supervision;

#[cfg(not(feature = "crash-records"))]
pub use no_record as record;
#[cfg(not(feature = "supervision"))]
pub use no_supervision as supervision;
