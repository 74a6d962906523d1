//! `cargo xtask draw`: a system as one SVG. It shows cores with class and owner, channels with
//! their directions, memory to scale, and devices with their owners. It is drawn from the compiled
//! system, without the details that change whenever EL2 does, so the drawing in the documentation
//! changes only with its system.

mod canvas;
mod cores;
mod memory;
#[cfg(test)]
mod tests;
mod units;

use anyhow::Result;
use canvas::{Canvas, MARGIN, width};
use manifest::system::System;
use manifest::words::count;
use planner::Design;
use runner::build::Builder;
use runner::ui;
use runner::workspace;
use std::path::Path;

/// Draws `spec`, for GIC version `gic` or its board's first, on standard output or to the file
/// `output`.
///
/// # Errors
/// If the system cannot be built, or the file cannot be written.
pub fn command(spec: &str, gic: Option<u32>, output: Option<&Path>) -> Result<()> {
    let mut builder = Builder::for_gic(gic);
    let system = builder.system(spec)?;
    let image = builder.image(&system)?;
    let drawing = draw(&system, &image.design);
    match output {
        Some(path) => workspace::write(path, drawing.as_bytes()),
        None => {
            ui::say(drawing.trim_end());
            Ok(())
        }
    }
}

/// Most letters of a system's name that its drawing shows.
const LONGEST_TITLE: usize = 40;

/// The drawing of a compiled system.
#[must_use]
pub fn draw(system: &System, design: &Design) -> String {
    let mut canvas = Canvas::new();
    let x = MARGIN;
    let mut title = system.name.clone();
    if title.chars().count() > LONGEST_TITLE {
        title = title.chars().take(LONGEST_TITLE).chain(['…']).collect();
    }
    let behind_title = x + width(&title, "title") + 24.0;
    canvas.text(x, 52.0, "title", title);
    let about = format!(
        "on {}: {} of {}, {}, {}",
        system.board.name,
        design.places.cores.len(),
        count(system.board.cores.len(), "core"),
        count(system.partitions.len(), "partition"),
        count(system.channels.len(), "channel"),
    );
    canvas.text(x, 74.0, "muted", about);
    let below = cores::draw(&mut canvas, system, design, 100.0);
    memory::draw(&mut canvas, system, design, below + 28.0);
    let legend = [
        ("comm", "comm core: neighbours may ring it"),
        ("compute", "compute core: no neighbour interrupts it"),
    ];
    let x = (canvas.width() - 290.0).max(behind_title);
    for (row, (class, words)) in legend.into_iter().enumerate() {
        let y = 38.0 + 22.0 * row as f64;
        canvas.rectangle([x, y, 22.0, 14.0], 4.0, class);
        canvas.text(x + 32.0, y + 11.0, "muted", words);
    }
    canvas.finish(&format!("{} on {}", system.name, system.board.name))
}
