//! Guest device trees: read by another library than the one that writes them, and compared node by
//! node and property by property with the expected tree.

mod expected;
mod node;
mod wellformed;

pub use expected::expected;
pub use node::Node;
