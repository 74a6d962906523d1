// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask flash`: a board's boot medium, from a system's name to a card that was read back.

mod disk;
mod medium;
#[cfg(test)]
mod tests;

pub use disk::{refuse, write_to};
pub use medium::Medium;

use crate::loader::{self, Serial};
use crate::reset;
use anyhow::{Context, Result, ensure};
use clap::Args;
use flash::content::LIST;
use flash::image::Image;
use flash::sysfs::Root;
use flash::{bmap, disks, netboot, ports};
use hil::port::Port;
use runner::ui;
use std::path::{Path, PathBuf};

/// What to write, and from what.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// The system: a name from the board's systems, BOARD/NAME, or a path to a manifest
    #[arg(default_value = "duo")]
    pub system: String,
    /// The board whose system of this name is meant
    #[arg(long, value_name = "BOARD", default_value = "rpi4")]
    pub board: String,
    /// Copy the files to this folder: a card that is mounted
    #[arg(long, value_name = "DIR", group = "medium")]
    pub card: Option<PathBuf>,
    /// Write the image of a whole card to this file, and a block map for bmap-tools beside it
    #[arg(long, value_name = "FILE", group = "medium")]
    pub image: Option<PathBuf>,
    /// Write the image of a whole card to this disk, and read it back
    #[arg(long, value_name = "/dev/sdX", group = "medium")]
    pub device: Option<String>,
    /// Copy the files to this folder of a TFTP server, and print the server's settings
    #[arg(long, value_name = "DIR", group = "medium")]
    pub netboot: Option<PathBuf>,
    /// Send the system to the loader on a board at this port, which starts it: a device, a pty, or
    /// tcp://HOST:PORT
    #[arg(long, value_name = "PORT", group = "medium",
        conflicts_with_all = ["loader", "firmware", "force", "append"])]
    pub serial: Option<String>,
    /// Command that resets the board before the system is sent to it
    #[arg(long, value_name = "COMMAND", requires = "serial")]
    pub reset: Option<String>,
    /// How the system is sent to the loader.
    #[command(flatten)]
    pub way: Serial,
    /// Write the loader for --serial to the medium, instead of a system
    #[arg(long, requires = "medium", conflicts_with = "system")]
    pub loader: bool,
    /// Words for EL2 in the file cmdline.txt on the medium: bulkhead.watchdog=1 (docs/boot.md)
    #[arg(long, value_name = "WORDS", requires = "medium")]
    pub append: Option<String>,
    /// Take firmware's files from this folder, instead of from Debian's packages
    #[arg(long, value_name = "DIR", requires = "medium")]
    pub firmware: Option<PathBuf>,
    /// With --netboot, the board's folder: its serial number, or the text of TFTP_PREFIX_STR
    #[arg(long, value_name = "NAME", requires = "netboot")]
    pub prefix: Option<String>,
    /// Write to a disk that is built in or over 256 GB, or over another system's files
    #[arg(long, requires = "medium")]
    pub force: bool,
    /// Do not ask before a disk is written
    #[arg(long, requires = "device")]
    pub yes: bool,
}

/// Writes a boot medium; without one, lists the disks and serial ports of this machine.
///
/// # Errors
/// If the system or firmware's files are not to be had, or the medium must not or cannot be
/// written.
pub fn command(options: &Options) -> Result<()> {
    if let Some(port) = &options.serial {
        return send(port, options);
    }
    let root = Root::default();
    if let Some(path) = &options.device {
        // A wrong disk is said before anything is built or fetched.
        disk::refuse(&disks::find(&root, path)?, 0, options.force)?;
    }
    let prefix = options.prefix.as_deref().map(netboot::prefix).transpose()?;
    if let Some(folder) = &options.card {
        ensure!(folder.is_dir(), "--card {}: there is no such folder", folder.display());
    }
    let own = options.netboot.as_ref().map(|root| root.join(prefix.as_deref().unwrap_or_default()));
    if let Some(folder) = options.card.as_ref().or(own.as_ref()) {
        ensure!(options.force || !is_foreign(folder), {
            let folder = folder.display();
            format!("{folder} has another system's config.txt; to write over it, add --force")
        });
    }
    if let Some(path) = &options.image {
        is_for_an_image(path)?;
    }
    let Options { card, image, device, netboot, .. } = options;
    if card.is_none() && image.is_none() && device.is_none() && netboot.is_none() {
        list(&root);
        return Ok(());
    }
    let firmware = options.firmware.as_deref();
    let append = options.append.as_deref();
    let medium = match options.loader {
        true => Medium::of_loader(&options.board, firmware, append)?,
        false => Medium::build(&options.spec(), firmware, append)?,
    };
    if let Some(folder) = card {
        medium.content.write_to(folder)?;
        ui::say(format_args!(
            "{}: {} files; unmount it before you take it out",
            folder.display(),
            medium.content.files().count()
        ));
    }
    if let Some(path) = image {
        write_image(&Image::new(&medium.content)?, path)?;
    }
    if let Some(path) = device {
        let image = Image::new(&medium.content)?;
        // It may have been changed or mounted while the image was made.
        let disk = disks::find(&root, path)?;
        disk::refuse(&disk, image.bytes().len() as u64, options.force)?;
        ui::say(&disk);
        if !options.yes {
            disk::ask(&disk)?;
        }
        write_to(&image, Path::new(&disk.path()))?;
        ui::say(format_args!("{}: written and read back; take the card out", disk.path()));
    }
    if let Some(folder) = netboot {
        serve(&medium, folder, prefix.as_deref())?;
    }
    Ok(())
}

impl Options {
    /// The library's name for the system.
    fn spec(&self) -> String {
        let is_whole = self.system.contains('/') || self.system.ends_with(".toml");
        if is_whole { self.system.clone() } else { format!("{}/{}", self.board, self.system) }
    }
}

/// Sends a system to the loader at a port.
fn send(port: &str, options: &Options) -> Result<()> {
    // A port that is missing is said before anything is built.
    let mut port = Port::open(port)?;
    match &options.reset {
        Some(command) => reset::reset(command)?,
        None => eprintln!("{}: open; switch the board on now, unless it waits", port.name),
    }
    loader::send(&mut port, &options.spec(), options.way)?;
    ui::say(format_args!(
        "the system starts; its console: cargo xtask board --load serial --port {} sends it and \
         stays",
        port.name
    ));
    Ok(())
}

/// Whether a folder has settings of firmware that are not this command's.
fn is_foreign(folder: &Path) -> bool {
    folder.join("config.txt").exists() && !folder.join(LIST).exists()
}

/// Checks that an image may be written to this path.
fn is_for_an_image(path: &Path) -> Result<()> {
    let shown = path.display();
    // Its block map is beside it.
    let is_map = path.extension().is_some_and(|extension| extension == "bmap");
    ensure!(!is_map, "--image {shown}: `.bmap` is the ending of the block map; choose another");
    let is_other = path.exists() && !path.is_file();
    ensure!(!is_other, "--image {shown}: not a file; --device writes to a disk");
    Ok(())
}

/// Prints the disks and serial ports that a board can be started with.
fn list(root: &Root) {
    let disks = disks::list(root);
    ui::say(match disks.len() {
        0 => "no removable disk: put a card in",
        _ => "removable disks, for --device:",
    });
    for disk in disks {
        ui::say(format_args!("  {}", disk.to_string().replace('\n', "\n  ")));
    }
    let ports = ports::list(root);
    ui::say(match ports.len() {
        0 => "no serial port on USB: connect an adapter",
        _ => "serial ports:",
    });
    for port in ports {
        ui::say(format_args!("  {port}"));
    }
}

/// Writes an image and its block map.
fn write_image(image: &Image, path: &Path) -> Result<()> {
    image.write_to(path)?;
    // bmap-tools looks for the image's name with `.bmap` instead of its ending.
    let map = path.with_extension("bmap");
    std::fs::write(&map, bmap::map(image))
        .with_context(|| format!("cannot write {}", map.display()))?;
    ui::say(format_args!(
        "{}: {}, of which a card needs the first {} ({})",
        path.display(),
        disks::Bytes(image.bytes().len() as u64),
        disks::Bytes(image.used().len() as u64),
        map.display()
    ));
    Ok(())
}

/// Fills the folder of a TFTP server, and prints the settings that go with it.
fn serve(medium: &Medium, folder: &Path, prefix: Option<&str>) -> Result<()> {
    let own = folder.join(prefix.unwrap_or_default());
    medium.content.write_to(&own)?;
    let root = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    ui::say(format_args!(
        "{}: {} files\n\nThe board's EEPROM (rpi-eeprom-config --edit):\n\n{}\n\
         dnsmasq beside the network's DHCP server, with the network's address instead of \
         192.168.1.0:\n\n{}",
        own.display(),
        medium.content.files().count(),
        netboot::eeprom(prefix),
        netboot::dnsmasq(&root.display().to_string(), "192.168.1.0")
    ));
    Ok(())
}
