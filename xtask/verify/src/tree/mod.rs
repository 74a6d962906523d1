//! Guest device trees: read by another library than the one that writes them, and held node by node
//! and property by property against what the guest must be told.

mod expected;
mod node;
mod wellformed;

pub use expected::expected;
pub use node::Node;
