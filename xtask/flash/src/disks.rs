// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks: their size, their kind, what is on them, and who uses them.

use crate::sysfs::{Root, Usb};
use anyhow::{Result, bail, ensure};
use std::fmt;

/// Bytes of a sector in `/sys/block/*/size`, on every disk.
const SECTOR: u64 = 512;

/// A whole disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name: `sda`, `mmcblk0`.
    pub name: String,
    /// Maker and model; may be empty.
    pub model: String,
    /// Bytes; 0 if a reader has no card in it.
    pub size: u64,
    /// Whether it can be taken out: the kernel says so, or it is on USB, or an SD card.
    pub removable: bool,
    /// Whether it is write-protected.
    pub read_only: bool,
    /// The USB device that it is.
    pub usb: Option<Usb>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// Who uses it or a partition of it, a sentence each.
    pub uses: Vec<String>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The kernel's name: `sda1`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The file system and its label, as udev found them; may be empty.
    pub content: String,
}

impl Disk {
    /// `/dev/sda`.
    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// Path, size and model, in a line.
    pub fn title(&self) -> String {
        let model = if self.model.is_empty() { "no model name" } else { &self.model };
        let usb = self.usb.as_ref().map(|usb| format!(", USB {}", usb.id)).unwrap_or_default();
        let protected = if self.read_only { ", write-protected" } else { "" };
        format!("{}  {}  {model}{usb}{protected}", self.path(), Bytes(self.size))
    }
}

/// The title, then a line for each partition and each use.
impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())?;
        for Partition { name, size, content } in &self.partitions {
            write!(f, "\n  {name}  {}  {content}", Bytes(*size))?;
        }
        for sentence in &self.uses {
            write!(f, "\n  {sentence}")?;
        }
        Ok(())
    }
}

/// A size as makers of cards write it: in powers of ten.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        match units.iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => {
                let tenths = self.0 / (unit / 10);
                write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
            }
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// Returns the disks that can be taken out and have a size, in the order of their names.
pub fn list(root: &Root) -> Vec<Disk> {
    let disks = root.names("sys/block").into_iter().filter_map(|name| read(root, &name));
    disks.filter(|disk| disk.removable && disk.size > 0).collect()
}

/// Returns the disk that a path such as `/dev/sda` names. Symbolic links, such as those of
/// `/dev/disk/by-id`, are followed.
///
/// # Errors
/// If the path does not name a whole disk; the text says what it names.
pub fn find(root: &Root, path: &str) -> Result<Disk> {
    let relative = path.strip_prefix("/dev/");
    let Some(relative) = relative else {
        bail!("--device {path}: expected a disk below /dev, such as /dev/sda");
    };
    let dev = root.path("dev");
    let full = dev.join(relative).canonicalize().unwrap_or_else(|_| dev.join(relative));
    let dev = dev.canonicalize().unwrap_or(dev);
    let name = full.strip_prefix(&dev).ok().and_then(|name| name.to_str()).unwrap_or(relative);
    if let Some(disk) = read(root, name) {
        return Ok(disk);
    }
    let owner = |disk: &String| root.path(&format!("sys/block/{disk}/{name}/partition")).is_file();
    let mut disks = root.names("sys/block").into_iter();
    ensure!(!disks.any(|disk| owner(&disk)), {
        let mut disks = root.names("sys/block").into_iter();
        let disk = disks.find(|disk| owner(disk)).unwrap_or_default();
        format!("{path} is a partition: the image has a partition table, so name /dev/{disk}")
    });
    bail!("{path} is not a disk; `cargo xtask flash` without options lists those that can be used")
}

fn read(root: &Root, name: &str) -> Option<Disk> {
    let folder = format!("sys/block/{name}");
    // A name with `/` would lead to files that are not a disk's.
    if name.contains('/') || !root.path(&folder).join("size").is_file() {
        return None;
    }
    let text = |file: &str| root.text(&format!("{folder}/{file}"));
    let usb = Usb::of(&root.path(&folder));
    let is_card = text("device/type") == "SD";
    let model = format!("{} {} {}", text("device/vendor"), text("device/model"), {
        // An SD card has a name, and no model.
        if is_card { text("device/name") } else { String::new() }
    });
    let parts = root.names(&folder).into_iter();
    let parts: Vec<_> =
        parts.filter(|part| root.path(&format!("{folder}/{part}/partition")).is_file()).collect();
    let sectors = |text: String| text.parse::<u64>().unwrap_or(0) * SECTOR;
    let partition = |part: &String| Partition {
        size: sectors(text(&format!("{part}/size"))),
        content: content(root, &text(&format!("{part}/dev"))),
        name: part.clone(),
    };
    Some(Disk {
        size: sectors(text("size")),
        removable: text("removable") == "1" || usb.is_some() || is_card,
        read_only: text("ro") == "1",
        partitions: parts.iter().map(partition).collect(),
        uses: uses(root, name, &parts),
        model: model.split_whitespace().collect::<Vec<_>>().join(" "),
        name: name.to_owned(),
        usb,
    })
}

/// Returns the file system on a device, by udev's data on its number.
fn content(root: &Root, number: &str) -> String {
    let data = root.text(&format!("run/udev/data/b{number}"));
    let field = |key: &str| {
        let mut lines = data.lines();
        lines.find_map(|line| line.strip_prefix("E:")?.strip_prefix(key)?.strip_prefix('='))
    };
    let words = [field("ID_FS_TYPE"), field("ID_FS_LABEL")];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Returns who uses the disk or its partitions: file systems, swap, and devices made of them.
fn uses(root: &Root, disk: &str, parts: &[String]) -> Vec<String> {
    let mut uses = Vec::new();
    let mounts = root.text("proc/self/mountinfo");
    let swaps = root.text("proc/swaps");
    let folders = parts.iter().map(|part| (part.as_str(), format!("sys/block/{disk}/{part}")));
    for (name, folder) in std::iter::once((disk, format!("sys/block/{disk}"))).chain(folders) {
        let number = root.text(&format!("{folder}/dev"));
        // Fields of a line: two ids, the device's number, the root in it, the place.
        for line in mounts.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            if let [_, _, device, _, place, ..] = fields[..]
                && device == number
            {
                uses.push(format!("{name} is mounted at {}", unescaped(place)));
            }
        }
        let path = format!("/dev/{name}");
        if swaps.lines().any(|line| line.split_whitespace().next() == Some(&path)) {
            uses.push(format!("{name} is swap space"));
        }
        for holder in root.names(&format!("{folder}/holders")) {
            uses.push(format!("{name} is part of /dev/{holder}"));
        }
    }
    uses
}

/// Returns a path of mountinfo with its spaces: it has `\040` for one.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (from, to)| path.replace(from, to))
}
