//! The state of a core, a partition and the system, and access to the plan. This floor is data; the
//! code that acts on it is on the floors above. `services/mod.rs` says what `no_` means.

pub mod deadlines;
pub mod frame;
pub mod functions;
pub mod next;
pub mod percpu;
pub mod plan_view;
pub mod shared;

#[cfg(not(feature = "crash-records"))]
pub mod no_records;
#[cfg(feature = "crash-records")]
pub mod records;

#[cfg(not(feature = "crash-records"))]
pub use no_records as records;
