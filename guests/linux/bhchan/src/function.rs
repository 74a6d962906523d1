// SPDX-License-Identifier: MIT OR Apache-2.0
//! The PCI functions that EL2 shows for channels, as sysfs lists them: finding, describing and
//! binding them (Linux, Documentation/PCI/sysfs-pci.rst and
//! Documentation/driver-api/uio-howto.rst).

use crate::sys::{PAGE, Registers};
use crate::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Vendor, device, subsystem's vendor and device: ivshmem version 2 as EL2 shows it.
const IDS: [(&str, u32); 4] = [
    ("vendor", 0x110a),
    ("device", 0x4106),
    ("subsystem_vendor", 0x110a),
    ("subsystem_device", 0x4248),
];
/// The kernel's driver.
const DRIVER: &str = "uio_pci_generic";
/// Time for the driver to make its device.
const PROBING: Duration = Duration::from_secs(5);

/// Offsets in configuration space (PCI 3.0, 6.1, and ivshmem version 2, "Vendor Specific
/// Capability").
pub mod config {
    /// Command, 16 bits.
    pub const COMMAND: u64 = 0x04;
    /// Status, 16 bits.
    pub const STATUS: u64 = 0x06;
    /// Pointer to the first capability.
    pub const CAPABILITIES: usize = 0x34;
    /// Bit of Command: the function answers at its BARs.
    pub const MEMORY: u16 = 1 << 1;
    /// Bit of Command: no interrupts.
    pub const INTX_DISABLE: u16 = 1 << 10;
    /// Bit of Status: an interrupt is pending.
    pub const INTERRUPT: u16 = 1 << 3;
    /// Identifier of the vendor's capability.
    pub const VENDOR: u8 = 0x09;
    /// Byte of the vendor's capability: privileged control, bit 0 is the one-shot mode.
    pub const CONTROL: usize = 0x03;
    /// State Table Size in it, 32 bits.
    pub const STATE_TABLE: usize = 0x04;
    /// R/W Section Size in it, 64 bits.
    pub const COMMON: usize = 0x08;
    /// Output Section Size in it, 64 bits.
    pub const OUTPUT: usize = 0x10;
}

/// Offsets of BAR0's registers, 32 bits each: ivshmem version 2, then those that EL2 adds in its
/// reserved space.
pub mod registers {
    /// This end's number, 0 or 1.
    pub const ID: usize = 0x00;
    /// Bit 0: interrupts are delivered.
    pub const INTERRUPT_CONTROL: usize = 0x08;
    /// Written with the target's number in bits 31:16: rings it.
    pub const DOORBELL: usize = 0x0c;
    /// This end's state, which the peer sees in the state table.
    pub const STATE: usize = 0x10;
    /// Generation of this end's partition.
    pub const OWN_GENERATION: usize = 0x20;
    /// Generation of the peer's partition.
    pub const PEER_GENERATION: usize = 0x24;
    /// State of the peer's partition (`abi::state`).
    pub const PEER_STATE: usize = 0x28;
    /// How the peer waits: 0 by doorbell; otherwise it takes none.
    pub const PEER_WAIT: usize = 0x2c;
    /// The channel's name: 16 bytes, padded with zeros.
    pub const NAME: usize = 0x30;
}

/// Sizes of the parts of BAR2, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections {
    /// The state table, first.
    pub table: u64,
    /// The section that both ends may write: none here.
    pub common: u64,
    /// What one end writes; one per end, in the order of their numbers.
    pub output: u64,
}

impl Sections {
    /// Finds the sizes in the contents of a configuration space, with the offset of the capability
    /// that has them. Returns `None` if the space has no such capability: a user without privileges
    /// sees only the first 64 bytes.
    pub fn parse(space: &[u8]) -> Option<(Self, usize)> {
        let byte = |at: usize| space.get(at).copied();
        let word = |at: usize| {
            let bytes = space.get(at..at.checked_add(4)?)?;
            Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
        };
        let long = |at: usize| Some(word(at)? | word(at + 4)? << 32);
        let mut at = usize::from(byte(config::CAPABILITIES)? & !3);
        // Each capability has at least four bytes, so a list that is longer runs in a circle.
        for _ in 0..64 {
            if at < 0x40 {
                return None;
            }
            if byte(at)? == config::VENDOR {
                let table = word(at + config::STATE_TABLE)?;
                let common = long(at + config::COMMON)?;
                let output = long(at + config::OUTPUT)?;
                return Some((Self { table, common, output }, at));
            }
            at = usize::from(byte(at + 1)? & !3);
        }
        None
    }
}

/// A channel's PCI function.
#[derive(Clone, Debug)]
pub struct Function {
    root: PathBuf,
    folder: PathBuf,
    address: String,
}

impl Function {
    /// Returns the channels' functions in the order of their addresses. `root` is where sysfs and
    /// /dev are found: `/`, or for tests a folder with the same files.
    ///
    /// # Errors
    /// If sysfs cannot be read.
    pub fn all(root: &Path) -> Result<Vec<Self>> {
        let devices = root.join("sys/bus/pci/devices");
        let entries = match fs::read_dir(&devices) {
            Ok(entries) => entries,
            // A kernel without a PCI bus.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::file("read", devices, error)),
        };
        let mut found: Vec<_> = entries
            .flatten()
            .map(|entry| Self {
                root: root.to_path_buf(),
                folder: entry.path(),
                address: entry.file_name().to_string_lossy().into_owned(),
            })
            .filter(|function| IDS.iter().all(|(file, id)| function.id(file) == Some(*id)))
            .collect();
        found.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(found)
    }

    /// Returns the function of the channel `name`, which may also be an address. Without a name
    /// there must be only one channel.
    ///
    /// # Errors
    /// If there is none, or several and no name.
    pub fn named(root: &Path, name: Option<&str>) -> Result<Self> {
        let mut found = Self::all(root)?;
        if found.is_empty() {
            return Err(Error::NoFunction);
        }
        let shown = |function: &Self| match function.name() {
            Ok(name) => format!("{name} ({})", function.address),
            Err(_) => function.address.clone(),
        };
        let known: Vec<_> = found.iter().map(shown).collect();
        let Some(name) = name else {
            return if found.len() == 1 { Ok(found.remove(0)) } else { Err(Error::Several(known)) };
        };
        let mut refused = None;
        for function in found {
            if function.address == name {
                return Ok(function);
            }
            match function.name() {
                Ok(own) if own == name => return Ok(function),
                Ok(_) => {}
                Err(error) => refused = Some(error),
            }
        }
        // A name that may not be read may be the one.
        Err(refused.unwrap_or_else(|| Error::Unknown { name: name.to_owned(), known }))
    }

    fn id(&self, file: &str) -> Option<u32> {
        let text = fs::read_to_string(self.folder.join(file)).ok()?;
        u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
    }

    /// Returns its address on the bus, as `0000:00:01.0`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Opens one of its files in sysfs.
    pub(crate) fn open(&self, file: &str) -> Result<File> {
        let path = self.folder.join(file);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        opened.map_err(|error| Error::file("open", path, error))
    }

    /// Returns the error that the function is not what EL2 shows.
    pub(crate) fn malformed(&self, what: impl Into<String>) -> Error {
        Error::Malformed { address: self.address.clone(), what: what.into() }
    }

    /// Makes the function answer at its BARs, as a driver does when it binds. Returns the Command
    /// register.
    pub(crate) fn enable(&self, config: &File) -> Result<u16> {
        let fail = |error| Error::file("access", self.folder.join("config"), error);
        let mut command = [0; 2];
        config.read_exact_at(&mut command, config::COMMAND).map_err(fail)?;
        let command = u16::from_le_bytes(command);
        if command & config::MEMORY != 0 {
            return Ok(command);
        }
        let command = command | config::MEMORY;
        config.write_all_at(&command.to_le_bytes(), config::COMMAND).map_err(fail)?;
        Ok(command)
    }

    /// Maps BAR0.
    ///
    /// # Errors
    /// If this user may not, or the region is too small.
    pub fn registers(&self) -> Result<Registers> {
        let file = self.open("resource0")?;
        self.check_size(&file, "resource0", PAGE as u64)?;
        self.enable(&self.open("config")?)?;
        Registers::map(&file)
            .map_err(|error| Error::file("map", self.folder.join("resource0"), error))
    }

    /// Checks that a region has at least this many bytes, since an access beyond its end is a bus
    /// error.
    pub(crate) fn check_size(&self, file: &File, name: &str, bytes: u64) -> Result<()> {
        let data = file.metadata();
        let data = data.map_err(|error| Error::file("read", self.folder.join(name), error))?;
        if data.len() < bytes {
            let what = format!("{name} has {} bytes, and {bytes} are needed", data.len());
            return Err(self.malformed(what));
        }
        Ok(())
    }

    /// Returns the channel's name.
    ///
    /// # Errors
    /// As [`Self::registers`].
    pub fn name(&self) -> Result<String> {
        Ok(name(&self.registers()?))
    }

    /// Returns the name of its driver, if it has one.
    pub fn driver(&self) -> Option<String> {
        let link = fs::read_link(self.folder.join("driver")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    }

    /// Returns its UIO device, if it is bound.
    pub fn uio(&self) -> Option<PathBuf> {
        let mut entries = fs::read_dir(self.folder.join("uio")).ok()?;
        let entry = entries.find_map(std::result::Result::ok)?;
        Some(self.root.join("dev").join(entry.file_name()))
    }

    /// Binds it to `uio_pci_generic`, if it is not. Done by root, other users that have access to
    /// its files can open it from then on.
    ///
    /// # Errors
    /// [`Error::NoModule`], [`Error::NotPermitted`], [`Error::NotBound`].
    pub fn bind(&self) -> Result<()> {
        self.leave_copy();
        if self.driver().as_deref() == Some(DRIVER) && self.uio().is_some() {
            return Ok(());
        }
        if !self.root.join("sys/bus/pci/drivers").join(DRIVER).is_dir() {
            return Err(Error::NoModule);
        }
        let write = |path: PathBuf, text: &str| {
            // Neither makes nor cuts a file: sysfs has it.
            let file = OpenOptions::new().write(true).open(&path);
            let written = file.and_then(|file| file.write_all_at(text.as_bytes(), 0));
            written.map_err(|error| Error::file("write", path, error))
        };
        // The driver has no identifiers of its own, so that it takes only what is given to it.
        write(self.folder.join("driver_override"), DRIVER)?;
        if self.driver().is_some_and(|driver| driver != DRIVER) {
            write(self.folder.join("driver/unbind"), &self.address)?;
        }
        write(self.root.join("sys/bus/pci/drivers_probe"), &self.address)?;
        let start = Instant::now();
        while self.uio().is_none_or(|device| !device.exists()) {
            if start.elapsed() > PROBING {
                return Err(Error::NotBound(self.address.clone()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Returns the sizes of BAR2's parts, and the offset of the capability that has them. A user
    /// without privileges takes them from the copy that [`Self::bind`] left.
    ///
    /// # Errors
    /// If this user sees neither, or if the configuration space has no such capability.
    pub fn sections(&self) -> Result<(Sections, usize)> {
        let path = self.folder.join("config");
        let space = fs::read(&path).map_err(|error| Error::file("read", path, error))?;
        let copy = || Sections::parse(&fs::read(self.copy()).ok()?);
        Sections::parse(&space).or_else(copy).ok_or_else(|| {
            self.malformed(match space.len() {
                0..=64 => "only root sees its capabilities: run `bhchan bind` as root first",
                _ => "its configuration space has no vendor capability",
            })
        })
    }

    /// Where a copy of its configuration space is, for users without privileges.
    fn copy(&self) -> PathBuf {
        self.root.join("run/bhchan").join(&self.address)
    }

    /// Leaves a copy of its configuration space, of which users without privileges see only the
    /// first 64 bytes.
    fn leave_copy(&self) {
        let space = fs::read(self.folder.join("config")).unwrap_or_default();
        if space.len() > 64 {
            // Who may not write there has other users to bind it for.
            let _ = fs::create_dir_all(self.root.join("run/bhchan"));
            let _ = fs::write(self.copy(), space);
        }
    }
}

/// Returns the channel's name in its registers.
pub(crate) fn name(registers: &Registers) -> String {
    let words = (0..4).map(|word| registers.read(registers::NAME + 4 * word));
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).take_while(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&bytes);
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a space whose capabilities are a foreign one at 0x40 and the vendor's at 0x48.
    fn space() -> Vec<u8> {
        let mut space = vec![0; 256];
        space[config::CAPABILITIES] = 0x40;
        space[0x40..0x42].copy_from_slice(&[0x01, 0x48]);
        space[0x48..0x4b].copy_from_slice(&[config::VENDOR, 0, 0x18]);
        space[0x4c..0x50].copy_from_slice(&0x1000_u32.to_le_bytes());
        space[0x58..0x60].copy_from_slice(&0x1_0000_1000_u64.to_le_bytes());
        space
    }

    #[test]
    fn the_capability_has_the_sizes() {
        let sizes = Sections { table: 0x1000, common: 0, output: 0x1_0000_1000 };
        assert_eq!(Sections::parse(&space()), Some((sizes, 0x48)));
    }

    #[test]
    fn spaces_without_it_have_no_sizes() {
        assert_eq!(Sections::parse(&space()[..64]), None, "what an ordinary user reads");
        assert_eq!(Sections::parse(&space()[..0x5f]), None, "cut off");
        let mut circle = space();
        circle[0x41] = 0x40;
        assert_eq!(Sections::parse(&circle), None);
        let mut end = space();
        end[0x41] = 0;
        assert_eq!(Sections::parse(&end), None);
    }
}
