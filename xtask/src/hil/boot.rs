// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a board gets a system and starts it: from its card, over the serial line, or over the
//! network after a command resets it.

use crate::flash::Medium;
use crate::labgrid::Place;
use crate::loader::{self, Serial};
use crate::reset;
use anyhow::{Result, ensure};
use clap::Args;
use flash::netboot;
use hil::port::Port;
use runner::ui;
use std::path::PathBuf;

/// Options of a board's start.
#[derive(Args, Clone, Debug, Default)]
pub struct Boot {
    /// The serial port: a device, a pty, or tcp://HOST:PORT; `hil` also takes `qemu`
    #[arg(long, value_name = "PORT", default_value = "", hide_default_value = true)]
    pub port: String,
    /// Take the board of this labgrid place instead: its console, and its power as --reset
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["port", "reset"])]
    pub labgrid: Option<String>,
    /// Where the board gets the system from: `card` (it is on the card already), `serial` (send it
    /// to the loader that is on the card) or `netboot=DIR` (write the files to this folder of a
    /// TFTP server)
    #[arg(long, value_name = "WAY", default_value = "card", value_parser = load)]
    pub load: Load,
    /// Command that resets the board or switches its power off and on
    #[arg(long, value_name = "COMMAND")]
    pub reset: Option<String>,
    /// With netboot=DIR, take firmware's files from this folder, instead of from Debian's packages
    #[arg(long, value_name = "DIR")]
    pub firmware: Option<PathBuf>,
    /// With netboot=DIR, the board's folder: its serial number, or the text of TFTP_PREFIX_STR
    #[arg(long, value_name = "NAME")]
    pub prefix: Option<String>,
    /// With netboot=DIR, further words for EL2 on the boot command line
    #[arg(long, value_name = "WORDS")]
    pub append: Option<String>,
    /// How the system is sent to the loader.
    #[command(flatten)]
    pub way: Serial,
}

/// Where a board gets a system from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Load {
    /// Its card has it.
    #[default]
    Card,
    /// The loader on its card, over the serial line.
    Serial,
    /// A TFTP server's folder.
    Netboot(PathBuf),
}

/// Reads a value of `--load`.
fn load(text: &str) -> Result<Load, String> {
    match text.split_once('=') {
        None if text == "card" => Ok(Load::Card),
        None if text == "serial" => Ok(Load::Serial),
        Some(("netboot", folder)) if !folder.is_empty() => Ok(Load::Netboot(folder.into())),
        _ => Err("expected `card`, `serial` or `netboot=DIR`".to_owned()),
    }
}

impl Boot {
    /// Acquires the labgrid place, if one is given, and takes its port and its power. It is
    /// released with the value that is returned.
    ///
    /// # Errors
    /// As [`Place::acquire`].
    pub fn claim(&mut self) -> Result<Option<Place>> {
        let Some(name) = &self.labgrid else { return Ok(None) };
        let place = Place::acquire(name)?;
        self.port.clone_from(&place.port);
        self.reset = Some(place.cycle());
        Ok(Some(place))
    }

    /// Checks that the options go together.
    ///
    /// # Errors
    /// If they do not.
    pub fn check(&self) -> Result<()> {
        let is_netboot = matches!(self.load, Load::Netboot(_));
        ensure!(
            !is_netboot || self.reset.is_some(),
            "--load netboot=DIR: add --reset COMMAND, because a board fetches its files only when \
             it starts"
        );
        let alone = self.firmware.is_none() && self.prefix.is_none() && self.append.is_none();
        ensure!(
            is_netboot || alone,
            "--firmware, --prefix and --append go with --load netboot=DIR"
        );
        ensure!(!self.port.is_empty(), "give --port PORT or --labgrid PLACE");
        Ok(())
    }

    /// Writes the system's files to where the board fetches them. EL2 gets `nonce`.
    ///
    /// # Errors
    /// If they cannot be built or written.
    pub fn prepare(&self, spec: &str, nonce: u64) -> Result<()> {
        let Load::Netboot(folder) = &self.load else { return Ok(()) };
        let nonce = format!("bulkhead.nonce={nonce:016x}");
        let words = match &self.append {
            Some(words) => format!("{nonce} {words}"),
            None => nonce,
        };
        let medium = Medium::build(spec, self.firmware.as_deref(), Some(&words))?;
        let prefix = self.prefix.as_deref().map(netboot::prefix).transpose()?;
        let own = folder.join(prefix.unwrap_or_default());
        medium.content.write_to(&own)?;
        ui::say(format_args!("{}: {} files", own.display(), medium.content.files().count()));
        Ok(())
    }

    /// Has the board start with the system: resets it if there is a command for that, and sends the
    /// system to its loader if it has one.
    ///
    /// # Errors
    /// If the command fails, or the system does not get there.
    pub fn start(&self, port: &mut Port, spec: &str) -> Result<()> {
        if let Some(command) = &self.reset {
            reset::reset(command)?;
        }
        if self.load == Load::Serial {
            loader::send(port, spec, self.way)?;
        }
        Ok(())
    }

    /// The nonce that EL2 prints: a card has none, so EL2 prints 0.
    pub fn nonce(&self) -> u64 {
        match self.load {
            Load::Card | Load::Serial => 0,
            Load::Netboot(_) => runner::qemu::random(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_load_are_read_and_checked() {
        assert_eq!(load("card"), Ok(Load::Card));
        assert_eq!(load("netboot=/srv/tftp"), Ok(Load::Netboot("/srv/tftp".into())));
        assert_eq!(load("serial"), Ok(Load::Serial));
        for wrong in ["", "netboot", "netboot=", "serial=1", "card=1"] {
            assert!(load(wrong).is_err(), "{wrong}");
        }
        let netboot = Boot { load: Load::Netboot("d".into()), ..Boot::default() };
        assert!(netboot.check().unwrap_err().to_string().contains("add --reset COMMAND"));
        let card = Boot { prefix: Some("x".into()), ..Boot::default() };
        assert!(card.check().unwrap_err().to_string().contains("go with --load netboot=DIR"));
    }
}
