// SPDX-License-Identifier: MIT OR Apache-2.0
//! The planner: compiles a validated system and EL2's executable into one arm64 Image.
//!
//! The modules in the order of decisions: the view of each guest ([`guest`], [`guests`], [`tree`]),
//! its place in RAM ([`place`]), who may access it ([`maps`], [`tables`], [`traps`]), the plan's
//! rows ([`rows`]) and the file ([`el2`], [`pack`]). The same input gives the same bytes.
//! `docs/plan.md` describes the result.

pub mod design;
pub mod el2;
pub mod guest;
pub mod guests;
pub mod maps;
pub mod pack;
mod pages;
mod pci;
pub mod place;
mod report;
pub mod rows;
pub mod tables;
pub mod traps;
pub mod tree;

#[cfg(test)]
mod tests;

use anyhow::{Result, bail};
use manifest::system::System;

pub use design::{Design, Image};
pub use report::report;

use el2::El2;
use guest::Guest;
use pages::pages;
use place::Places;

/// Compiles a system.
///
/// # Errors
/// If [`pack`] cannot lay out EL2's executable, or if the system does not fit its board or itself.
pub fn compile(system: &System, el2_elf: &[u8]) -> Result<Image> {
    compile_with_fault(system, el2_elf, &|_, _| ())
}

/// Compiles like [`compile`], with a mistake: `mistake` alters what was decided before anything
/// follows from it, so the image is wrong in a consistent way. The verifier's tests compare such an
/// image with the manifest.
///
/// # Errors
/// As [`compile`].
pub fn compile_with_fault(
    system: &System,
    el2_elf: &[u8],
    mistake: &dyn Fn(&mut Places, &mut Vec<Guest>),
) -> Result<Image> {
    let el2 = El2::parse(el2_elf)?;
    let mut pristine = Vec::new();
    let designed = guests::design(system, &mut pristine)?;

    // The plan's size moves what is in RAM, and the places in RAM decide how many tables the plan
    // has. So the search starts with no room for the plan, and repeats with the room that it needed
    // until it fits.
    let mut plan_size = 0;
    for _ in 0..16 {
        let mut guests = designed.clone();
        let mut places = place::place(system, &guests, &pristine, el2.size(), plan_size)?;
        mistake(&mut places, &mut guests);
        let rows = rows::rows(system, &guests, &places, None)?.len();
        let base = places.plan_base(el2.size()) + pages(rows as u64);
        let maps = maps::build(system, &guests, &pristine, &el2, &places, base)?;
        let needed = pages(rows as u64) + maps.pool.bytes().len() as u64;
        if needed > plan_size {
            plan_size = needed;
            continue;
        }
        let design = Design { el2, guests, pristine, places, maps, rows, plan_size };
        let bytes = pack::image(system, &design)?;
        return Ok(Image { bytes, design });
    }
    bail!("no plan size fits the plan of {}", system.name)
}
