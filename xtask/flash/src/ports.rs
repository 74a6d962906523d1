// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serial ports on USB, from `/sys/class/tty`. The ports of the mainboard are left out: Linux lists
//! some that do not exist, and none of them has 3.3 V.

use crate::sysfs::{Root, Usb};
use std::fmt;

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// `/dev/ttyUSB0`.
    pub path: String,
    /// The adapter.
    pub usb: Usb,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  {}", self.path, self.usb.id, self.usb.name)?;
        if !self.usb.serial.is_empty() {
            write!(f, ", serial number {}", self.usb.serial)?;
        }
        Ok(())
    }
}

/// Returns the serial ports on USB, in the order of their names.
pub fn list(root: &Root) -> Vec<Port> {
    let names = root.names("sys/class/tty").into_iter();
    let port = |name: String| {
        let usb = Usb::of(&root.path(&format!("sys/class/tty/{name}/device")))?;
        Some(Port { path: format!("/dev/{name}"), usb })
    };
    names.filter_map(port).collect()
}
