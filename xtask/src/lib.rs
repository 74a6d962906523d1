//! Bulkhead's command line: one file a command, the manifest reader and the plan compiler.
pub mod bench;
pub mod build;
pub mod check;
pub mod compile;
pub mod draw;
pub mod explain;
pub mod fuzz;
pub mod manifest;
pub mod qemu;
pub mod schema;
pub mod setup;
pub mod size;
pub mod system;
pub mod test;
pub mod trace;
pub mod ui;
pub mod verify;
