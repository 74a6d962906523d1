//! Bulkhead's command line: one file a command, the manifest reader and the plan compiler.
pub mod build;
pub mod compile;
pub mod manifest;
pub mod qemu;
pub mod setup;
pub mod size;
pub mod system;
pub mod test;
pub mod ui;
