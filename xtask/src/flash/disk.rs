// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writing an image to a disk: refusals, the question, the progress bar.

use anyhow::{Result, bail, ensure};
use flash::disks::Disk;
use flash::image::Image;
use flash::rules;
use flash::write::{Device, Stage, write};
use runner::ui::{self, Transfer};
use std::io::{IsTerminal, stdin, stdout};
use std::path::Path;

/// Checks that an image of `size` bytes may be written to `disk`.
///
/// # Errors
/// Every reason why not.
pub fn refuse(disk: &Disk, size: u64, force: bool) -> Result<()> {
    let why = rules::refusals(disk, size, force);
    ensure!(why.is_empty(), "{}\nnothing was written:\n  {}", disk.title(), why.join("\n  "));
    Ok(())
}

/// Asks whether to write `disk`, whose description was printed.
///
/// # Errors
/// If the answer is not the disk's name, or there is nobody to ask.
pub fn ask(disk: &Disk) -> Result<()> {
    let name = &disk.name;
    ensure!(
        stdin().is_terminal() && stdout().is_terminal(),
        "nothing was written: there is no terminal to ask at; to write {}, add --yes",
        disk.path()
    );
    ui::say(format_args!("everything on it will be lost; type `{name}` to write it:"));
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    ensure!(answer.trim() == name, "nothing was written: the answer was not `{name}`");
    Ok(())
}

/// Writes an image to a disk and reads it back, with a progress bar.
///
/// # Errors
/// If the disk is in use, fails, or reads back other bytes.
pub fn write_to(image: &Image, path: &Path) -> Result<()> {
    let mut device = Device::open(path)?;
    let mut bar: Option<(Stage, Transfer)> = None;
    write(image, &mut device, &mut |stage, done| {
        if ui::interrupted() {
            bail!("interrupted");
        }
        if bar.as_ref().is_none_or(|(old, _)| *old != stage) {
            let title = match stage {
                Stage::Writing => "writing",
                Stage::Checking => "reading back",
            };
            bar = Some((stage, Transfer::start(title, image.used().len() as u64)));
        }
        if let Some((_, bar)) = &bar {
            bar.at(done as u64);
        }
        Ok(())
    })
}
