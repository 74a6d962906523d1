//! `cargo xtask image`: writes a system's image to a file, and further files that the board's
//! firmware needs next to it.

use crate::verify;
use anyhow::{Context, Result};
use runner::build::Builder;
use runner::ui;
use runner::workspace;
use std::path::PathBuf;

/// Builds `spec`, for GIC version `gic` or its board's first, verifies its image and writes it to
/// `output`, or under the name that the board's firmware looks for.
///
/// # Errors
/// If there is no such image, it cannot be written, or there is neither `output` nor a name.
pub fn command(spec: &str, gic: Option<u32>, output: Option<PathBuf>) -> Result<()> {
    let mut builder = Builder::for_gic(gic);
    let system = builder.system(spec)?;
    let card = system.board.card.as_ref();
    let output = output
        .or_else(|| Some(PathBuf::from(&card?.image)))
        .with_context(|| format!("{spec}: give a path for the image: `-o FILE`"))?;
    let image = verify::image(&mut builder, &system)?;
    workspace::write(&output, &image.bytes)?;
    ui::say(format_args!("{}: {} bytes", output.display(), image.bytes.len()));
    if let Some(card) = card {
        let files: Vec<_> = card.files.iter().map(|file| file.name.as_str()).collect();
        ui::say(format_args!(
            "`cargo xtask flash {spec}` writes a whole boot medium. By hand: copy it there as {}, \
             next to {} and this config.txt:\n\n{}",
            card.image,
            files.join(", "),
            card.settings(image.design.places.image.base, image.bytes.len() as u64).trim()
        ));
    }
    Ok(())
}
