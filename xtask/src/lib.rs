//! Bulkhead's command line: one file per command. What they share is in the crates below it.
pub mod bench;
pub mod callgraph;
pub mod check;
pub mod draw;
pub mod explain;
pub mod fuzz;
pub mod image;
pub mod interface;
pub mod prose;
pub mod qemu;
pub mod schema;
pub mod setup;
pub mod silicon;
pub mod size;
pub mod test;
pub mod trace;
pub mod verify;
