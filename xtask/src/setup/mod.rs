//! `cargo xtask setup` installs what is missing, and `cargo xtask doctor` lists what is there and
//! what is not.
//!
//! If everything is there, neither changes anything or uses the network.

mod apt;
mod needs;
mod sources;
#[cfg(test)]
mod tests;

pub use needs::Scope;

use anyhow::{Context, Result, bail};
use needs::{Fix, Manager, NEEDS, Need, Package, missing, on_path};
use runner::ui;
use std::process::Command;

/// Installs missing needs of `scope`; prints nothing if none is missing.
///
/// # Errors
/// If something cannot be installed from here; the text says what to type instead.
pub fn ensure(scope: Scope) -> Result<()> {
    let wanted = missing(scope);
    if wanted.is_empty() {
        return Ok(());
    }
    let packages: Vec<Package> = wanted.iter().filter_map(|need| package(need)).collect();
    for need in &wanted {
        if let Fix::Rustup(arguments) = need.fix {
            rustup(need, arguments)?;
        }
    }
    if !packages.is_empty() {
        match Manager::find() {
            Some(Manager::Apt) => {
                let names: Vec<_> = packages.iter().map(|package| package.apt).collect();
                apt::install(&names)?;
            }
            Some(manager) => {
                bail!("packages are missing; please run: {}", manager.command(&packages))
            }
            None => {
                let names: Vec<_> = packages.iter().map(|package| package.dnf).collect();
                bail!("please install these packages (their names on Fedora): {}", names.join(" "));
            }
        }
    }
    let left: Vec<_> = missing(scope).iter().map(|need| need.name).collect();
    if !left.is_empty() {
        bail!(
            "still missing after the setup: {}; `cargo xtask doctor` gives details",
            left.join(", ")
        );
    }
    Ok(())
}

fn package(need: &Need) -> Option<Package> {
    match need.fix {
        Fix::Package(package) => Some(package),
        Fix::Rustup(_) => None,
    }
}

fn rustup(need: &Need, arguments: &[&str]) -> Result<()> {
    let shown = format!("rustup {}", arguments.join(" "));
    if !on_path("rustup") {
        bail!(
            "{} is missing, and there is no rustup to add it: install rustup, then run: {shown}",
            need.name
        );
    }
    let mut command = Command::new("rustup");
    command.args(arguments).current_dir(runner::workspace::root());
    ui::run(&format!("adding {} to the Rust toolchain", need.name), &mut command).with_context(
        || format!("{} is missing; where there is a network, run: {shown}", need.name),
    )?;
    Ok(())
}

/// `cargo xtask setup`.
///
/// # Errors
/// As [`ensure`].
pub fn command() -> Result<bool> {
    ensure(Scope::Test)?;
    if needs::miri() == Some(false) {
        let mut command = Command::new("rustup");
        command.args(needs::ADD_MIRI);
        // If it cannot be added, the check is skipped and counted, and the setup does not fail.
        if let Err(error) = ui::run("adding Miri to the nightly toolchain", &mut command) {
            ui::say(format_args!("Miri was not added: {error:#}"));
        }
    }
    Ok(doctor())
}

/// Whether the check `host/miri` can run here; if not, the command to type.
///
/// # Errors
/// The text says what is missing.
pub fn miri() -> Result<(), &'static str> {
    match needs::miri() {
        Some(true) => Ok(()),
        Some(false) => Err("Miri is missing: cargo xtask setup"),
        None => Err("Miri is missing: rustup toolchain install nightly, then cargo xtask setup"),
    }
}

/// `cargo xtask doctor`: prints a line per need. Returns whether all are met.
pub fn doctor() -> bool {
    let manager = Manager::find();
    let mut well = true;
    for need in &NEEDS {
        let (mark, text) = match (need.probe)() {
            Ok(version) => ("ok", version),
            Err(why) => {
                well = false;
                ("MISSING", format!("{why}; fix it with: {}", need.advice(manager)))
            }
        };
        ui::say(format_args!("{mark:<8} {:<12} {text}", need.name));
    }
    // Miri is optional: without it one check is skipped.
    let (mark, text) = match miri() {
        Ok(()) => ("ok", "nightly toolchain with miri and rust-src"),
        Err(why) => ("optional", why),
    };
    ui::say(format_args!("{mark:<8} {:<12} {text}", "Miri"));
    well
}
