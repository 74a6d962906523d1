//! `cargo xtask check`: reports all errors and warnings of a system at once.

use crate::verify;
use anyhow::Result;
use manifest::system::System;
use manifest::words::count;
use planner::Image;
use runner::build::Builder;
use runner::ui;
use runner::workspace::root;

/// Checks `spec`, for GIC version `gic` or its board's first, and prints the findings; returns
/// whether it may be built, and with `deny_warnings` whether it also has no warnings.
///
/// # Errors
/// If the hypervisor does not build, or the compiler finds an error that no rule does.
pub fn command(spec: &str, gic: Option<u32>, deny_warnings: bool) -> Result<bool> {
    let mut builder = Builder::for_gic(gic);
    let colour = ui::coloured(&std::io::stdout());
    match manifest::check(&root(), spec, &mut |name| builder.file(name)) {
        Err(errors) => {
            ui::say(errors.render(colour));
            Ok(false)
        }
        Ok((mut system, warnings)) => {
            builder.choose_gic(&mut system)?;
            // The planner decides what fits, and the verifier checks the rest.
            let image = match verify::image(&mut builder, &system) {
                Ok(image) => image,
                Err(error) => {
                    let misfit = error.downcast()?;
                    ui::say(manifest::misfit(&root(), spec, &misfit).render(colour));
                    return Ok(false);
                }
            };
            if warnings.is_empty() {
                ui::say(summary(&system, &image));
            } else {
                ui::say(warnings.render(colour));
                ui::say(
                    "`cargo xtask explain RULE` gives the reason; the rule is the word in brackets",
                );
            }
            Ok(warnings.is_empty() || !deny_warnings)
        }
    }
}

/// Returns one line about a system without errors.
fn summary(system: &System, image: &Image) -> String {
    format!(
        "{} on {}: {}, {}, {}, an image of {} KiB; no errors, no warnings",
        system.name,
        system.board.name,
        count(image.design.places.cores.len(), "core"),
        count(system.partitions.len(), "partition"),
        count(system.channels.len(), "channel"),
        image.bytes.len() >> 10,
    )
}
