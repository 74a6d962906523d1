//! The state of a core, a partition and the system, and access to the plan. This floor is data; the
//! code that acts on it is on the floors above.

pub mod deadlines;
pub mod frame;
pub mod next;
pub mod percpu;
pub mod plan_view;
pub mod records;
pub mod shared;
