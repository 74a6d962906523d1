// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU in a board's place: its console is a port.

use crate::verify;
use anyhow::Result;
use hil::port::Port;
use runner::build::Builder;
use runner::qemu::{self, Machine, Options, board};
use runner::workspace;
use std::path::PathBuf;

/// A running QEMU.
pub struct Emulator {
    machine: Option<Machine>,
    image: PathBuf,
}

impl Emulator {
    /// Builds and verifies a system, and starts it.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn start(spec: &str) -> Result<(Port, Self)> {
        let mut builder = Builder::default();
        let system = builder.system(spec)?;
        let image = verify::image(&mut builder, &system)?;
        let name = format!("hil-{}-{}.img", system.board.name, workspace::unique());
        let path = workspace::target_dir().join("images").join(name);
        workspace::write(&path, &image.bytes)?;
        let machine = qemu::start(&board(&system)?, &path, &Options::default());
        let mut machine = machine?;
        let (output, input) = machine.take_console()?;
        Ok((Port::of("qemu", output, input), Self { machine: Some(machine), image: path }))
    }

    /// Ends it; returns its error output, without its warnings.
    pub fn stop(mut self) -> String {
        let said = self.machine.take().map(Machine::stop).unwrap_or_default();
        let lines = said.lines().filter(|line| !line.contains(": warning: "));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // QEMU read it when it started; a file that stays is only in the way.
        let _ = std::fs::remove_file(&self.image);
    }
}
