// SPDX-License-Identifier: MIT OR Apache-2.0
//! In place of the monitor, in a console without it: it does not open and has nothing to send.

/// No monitor.
#[derive(Default)]
pub struct Monitor;

impl Monitor {
    /// The monitor's part of the line that answers a command: none.
    pub const KEY: &str = "";

    /// Returns false: it does not open.
    pub fn open(&mut self) -> bool {
        false
    }

    /// Does nothing.
    pub fn close(&mut self) {}

    /// Returns whether it is open.
    pub fn is_open(&self) -> bool {
        false
    }

    /// Returns whether it has something to send.
    pub fn has_output(&self) -> bool {
        false
    }

    /// Returns whether it may have a step to do.
    pub fn is_active(&self) -> bool {
        false
    }

    /// Drops a key.
    pub fn press(&mut self, _: u8) {}
}
