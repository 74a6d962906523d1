//! Bulkhead's command line: one file a command, the manifest reader and the plan compiler.
pub mod compile;
pub mod manifest;
pub mod system;
pub mod ui;
