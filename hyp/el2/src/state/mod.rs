//! What a core, a partition and the system remember, and how the plan is read. Data: who acts on it
//! is on the floors above.

pub mod deadlines;
pub mod frame;
pub mod next;
pub mod percpu;
pub mod plan_view;
pub mod shared;
