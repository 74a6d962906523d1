// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a board gets a system and starts it: from its card, or over the network after a command
//! resets it.

use crate::flash::Medium;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use flash::netboot;
use runner::ui;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The file of firmware's that has the boot command line.
const COMMAND_LINE: &str = "cmdline.txt";

/// Options of a board's start.
#[derive(Args, Clone, Debug, Default)]
pub struct Boot {
    /// The serial port: a device, a pty, or tcp://HOST:PORT; `hil` also takes `qemu`
    #[arg(long, value_name = "PORT")]
    pub port: String,
    /// Where the board gets the system from: `card` (it is on the card already) or `netboot=DIR`
    /// (write the files to this folder of a TFTP server)
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
}

/// Where a board gets a system from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Load {
    /// Its card has it.
    #[default]
    Card,
    /// A TFTP server's folder.
    Netboot(PathBuf),
}

/// Reads a value of `--load`.
fn load(text: &str) -> Result<Load, String> {
    match text.split_once('=') {
        None if text == "card" => Ok(Load::Card),
        Some(("netboot", folder)) if !folder.is_empty() => Ok(Load::Netboot(folder.into())),
        _ => Err("expected `card` or `netboot=DIR`".to_owned()),
    }
}

impl Boot {
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
        ensure!(
            is_netboot || self.firmware.is_none() && self.prefix.is_none(),
            "--firmware and --prefix go with --load netboot=DIR"
        );
        Ok(())
    }

    /// Writes the system's files to where the board fetches them. EL2 gets `nonce`.
    ///
    /// # Errors
    /// If they cannot be built or written.
    pub fn prepare(&self, spec: &str, nonce: u64) -> Result<()> {
        let Load::Netboot(folder) = &self.load else { return Ok(()) };
        let mut medium = Medium::build(spec, self.firmware.as_deref())?;
        let line = format!("bulkhead.nonce={nonce:016x}\n");
        medium.content.add(COMMAND_LINE, line.into_bytes(), "made for this run")?;
        let prefix = self.prefix.as_deref().map(netboot::prefix).transpose()?;
        let own = folder.join(prefix.unwrap_or_default());
        medium.content.write_to(&own)?;
        ui::say(format_args!("{}: {} files", own.display(), medium.content.files().count()));
        Ok(())
    }

    /// The nonce that EL2 prints: a card has none, so EL2 prints 0.
    pub fn nonce(&self) -> u64 {
        match self.load {
            Load::Card => 0,
            Load::Netboot(_) => runner::qemu::random(),
        }
    }
}

/// Runs the command that resets the board.
///
/// # Errors
/// If it fails.
pub fn reset(command: &str) -> Result<()> {
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", command]).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("--reset: cannot start `{command}`"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("--reset: `{command}` failed ({}): {words}", output.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_load_are_read_and_checked() {
        assert_eq!(load("card"), Ok(Load::Card));
        assert_eq!(load("netboot=/srv/tftp"), Ok(Load::Netboot("/srv/tftp".into())));
        for wrong in ["", "netboot", "netboot=", "serial", "card=1"] {
            assert!(load(wrong).is_err(), "{wrong}");
        }
        let netboot = Boot { load: Load::Netboot("d".into()), ..Boot::default() };
        assert!(netboot.check().unwrap_err().to_string().contains("add --reset COMMAND"));
        let card = Boot { prefix: Some("x".into()), ..Boot::default() };
        assert!(card.check().unwrap_err().to_string().contains("go with --load netboot=DIR"));
    }

    #[test]
    fn a_reset_that_fails_says_why() {
        reset("true").expect("a command that does nothing");
        let why = reset("echo no relay >&2; exit 3").unwrap_err().to_string();
        assert!(why.contains("no relay") && why.contains('3'), "{why}");
    }
}
