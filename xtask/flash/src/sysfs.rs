// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Linux says of devices, in files: `/sys`, `/proc`, udev's data. Tests pass a folder of
//! their own instead of the root.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder that these files are below.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Default for Root {
    fn default() -> Self {
        Self(PathBuf::from("/"))
    }
}

impl Root {
    /// Another folder than `/`.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Returns the path of a file; `path` does not start with `/`.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Returns a file's text without spaces around it; empty if it cannot be read.
    pub fn text(&self, path: &str) -> String {
        text(&self.path(path))
    }

    /// Returns the names in a folder in order; none if it cannot be read.
    pub fn names(&self, path: &str) -> Vec<String> {
        names(&self.path(path))
    }
}

/// Returns a file's text without spaces around it; empty if it cannot be read.
pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Returns the names in a folder in order; none if it cannot be read.
pub fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// A device on a USB bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usb {
    /// Vendor and product, as `lsusb` prints them: `0403:6001`.
    pub id: String,
    /// The names that the device gives of its maker and itself; may be empty.
    pub name: String,
    /// Its serial number; may be empty.
    pub serial: String,
}

impl Usb {
    /// Returns the USB device that the device at `path` below `/sys` is part of.
    pub fn of(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok()?;
        let device = path.ancestors().find(|folder| folder.join("idVendor").is_file())?;
        let text = |file| text(&device.join(file));
        let name = format!("{} {}", text("manufacturer"), text("product"));
        Some(Self {
            id: format!("{}:{}", text("idVendor"), text("idProduct")),
            name: name.trim().to_owned(),
            serial: text("serial"),
        })
    }
}
