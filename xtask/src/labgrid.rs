// SPDX-License-Identifier: MIT OR Apache-2.0
//! A board in a labgrid farm: a place, which is acquired for one run, with its console and power.

use anyhow::{Context, Result, bail, ensure};
use hil::port::TCP;
use std::process::{Command, Stdio};

/// labgrid's program.
const CLIENT: &str = "labgrid-client";
/// The kind of resource that is a console.
const CONSOLE: &str = "/NetworkSerialPort/";

/// A place that this run has; it is released when this value is dropped.
pub struct Place {
    name: String,
    /// Its console, in the form of `--port`.
    pub port: String,
}

impl Place {
    /// Acquires a place.
    ///
    /// # Errors
    /// If labgrid is not installed, somebody else has the place, or it has no console.
    pub fn acquire(name: &str) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            !name.is_empty() && name.chars().all(is_plain) && !name.starts_with('-'),
            "--labgrid {name}: expected the name of a place; `{CLIENT} places` lists them"
        );
        client(name, &["acquire"])?;
        // From here on it is released.
        let mut place = Self { name: name.to_owned(), port: String::new() };
        place.port = console(&client(name, &["show"])?).with_context(|| {
            format!("--labgrid {name}: the place has no NetworkSerialPort, so no console")
        })?;
        Ok(place)
    }

    /// Returns the command that switches its power off and on.
    pub fn cycle(&self) -> String {
        format!("{CLIENT} -p {} power cycle", self.name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = client(&self.name, &["release"]) {
            eprintln!("{error:#}");
        }
    }
}

/// Runs labgrid's program for a place; returns its output.
fn client(place: &str, words: &[&str]) -> Result<String> {
    let mut command = Command::new(CLIENT);
    command.args(["-p", place]).args(words).stdin(Stdio::null());
    let output = command.output().with_context(|| {
        format!(
            "--labgrid {place}: cannot start {CLIENT}: install labgrid (pip install labgrid) and \
             set LG_COORDINATOR"
        )
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("--labgrid {place}: `{CLIENT} {}` failed: {said}", words.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Finds the console in what `labgrid-client show` prints: the resource's title, and below it its
/// parameters as Python writes them.
fn console(shown: &str) -> Option<String> {
    let (_, after) = shown.split_once(CONSOLE)?;
    let own = after.split(" resource '").next()?;
    let value = |key: &str| {
        let (_, rest) = own.split_once(key)?;
        let rest = rest.trim_start().trim_start_matches('\'');
        let end = rest.find(['\'', ',', '}'])?;
        Some(&rest[..end])
    };
    let (host, port) = (value("'host':")?, value("'port':")?);
    port.parse::<u16>().ok().map(|port| format!("{TCP}{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_of_a_place_is_found() {
        let shown = "Place 'pi':\n  acquired: host/me\n\
             Acquired resource 'power' (lab/pi/NetworkPowerPort/NetworkPowerPort):\n  \
             {'params': {'host': 'other', 'index': 1, 'port': 7}}\n\
             Acquired resource 'NetworkSerialPort' (lab/pi/NetworkSerialPort/console):\n  \
             {'acquired': 'pi',\n   'avail': True,\n   'cls': 'NetworkSerialPort',\n   \
             'params': {'extra': {'path': '/dev/ttyUSB0'},\n              \
             'host': 'lab.example',\n              'port': 39955}}\n";
        assert_eq!(console(shown).as_deref(), Some("tcp://lab.example:39955"));
        assert_eq!(console("Place 'pi':\n  acquired: None\n"), None);
        let none = shown.replace("39955", "None");
        assert_eq!(console(&none), None);
    }

    #[test]
    fn a_wrong_place_is_refused_before_anything_runs() {
        for wrong in ["", "-h", "a b", "x;reboot"] {
            let why = Place::acquire(wrong).err().expect("refused").to_string();
            assert!(why.contains("expected the name of a place"), "{why}");
        }
    }
}
