// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan list` and `bhchan bind`.

use crate::Failure;
use crate::options::{Options, print};
use bhchan::{Device, Error, Function, Wait};
use std::fmt::Write;

/// Prints one line per channel.
pub fn list(options: &Options) -> Result<(), Failure> {
    let functions = Function::all(options.root())?;
    if functions.is_empty() {
        return Err(Error::NoFunction.into());
    }
    let mut text = String::from(
        "CHANNEL          ADDRESS       DRIVER           SENDS    TAKES  LIFE  PEER\n",
    );
    for function in functions {
        let address = function.address().to_owned();
        let driver = function.driver().unwrap_or_else(|| "none".into());
        let name = function.name()?;
        // Polling needs no driver.
        let (sends, takes, life, peer) = match Device::open(function, Wait::Poll) {
            Ok(device) => {
                let (sends, takes) = device.bytes();
                let state = abi::state::NAMES.get(device.peer_state() as usize);
                let open = if device.peer_entry() == 0 { ", closed" } else { ", open" };
                let lives = device.lives();
                let peer = format!("{}{open}, life {}", state.unwrap_or(&"?"), lives.peer);
                (bytes(sends), bytes(takes), lives.own.to_string(), peer)
            }
            Err(Error::Busy(_)) => {
                let unknown = || "-".to_owned();
                (unknown(), unknown(), unknown(), "in use by another process".into())
            }
            Err(error) => return Err(error.into()),
        };
        let _ = writeln!(
            text,
            "{name:<16} {address:<13} {driver:<16} {sends:>5} {takes:>8} {life:>5}  {peer}"
        );
    }
    print(&text)
}

fn bytes(count: usize) -> String {
    match count {
        _ if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{}M", count >> 20),
        _ if count.is_multiple_of(1 << 10) && count > 0 => format!("{}K", count >> 10),
        _ => count.to_string(),
    }
}

/// Binds the named channel, or every one.
pub fn bind(options: &Options) -> Result<(), Failure> {
    if let Some(name) = options.words.first() {
        return Ok(Function::named(options.root(), Some(name))?.bind()?);
    }
    let functions = Function::all(options.root())?;
    if functions.is_empty() {
        return Err(Error::NoFunction.into());
    }
    Ok(functions.iter().try_for_each(Function::bind)?)
}
