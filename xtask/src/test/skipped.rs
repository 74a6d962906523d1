// SPDX-License-Identifier: MIT OR Apache-2.0
//! The error of a check that cannot run on this machine.

/// Why a check could not run, which is not a failure.
#[derive(Debug)]
pub struct Skipped(pub &'static str);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Skipped {}
