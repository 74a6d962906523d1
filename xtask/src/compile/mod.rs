//! The plan compiler: a validated system and EL2's executable in, one arm64 Image out.
//!
//! In the order things are decided: what each guest sees ([`guest`], [`tree`]), where it lies in
//! RAM ([`place`]), who may reach it ([`maps`], [`tables`], [`traps`]), the plan's rows ([`rows`])
//! and the file ([`pack`]). The same input gives the same bytes. `docs/plan.md` describes the
//! result.

pub mod guest;
pub mod maps;
pub mod misfit;
pub mod pack;
pub mod place;
mod report;
pub mod rows;
pub mod tables;
pub mod traps;
pub mod tree;

#[cfg(test)]
pub(crate) mod tests;

use anyhow::{Result, bail, ensure};
use plan::PAGE;

use crate::system::System;
pub use report::report;

/// A compiled system.
#[derive(Clone, Debug)]
pub struct Image {
    /// The arm64 Image: EL2's segments, the plan, the pristine guest images.
    pub bytes: Vec<u8>,
    /// What was decided on the way, for the report.
    pub design: Design,
}

/// Everything the compiler decided.
#[derive(Clone, Debug)]
pub struct Design {
    /// EL2's executable.
    pub el2: pack::El2,
    /// What each partition's guest sees, in the system's order.
    pub guests: Vec<guest::Guest>,
    /// Pristine contents that guests are loaded from, each once.
    pub pristine: Vec<Vec<u8>>,
    /// Physical addresses.
    pub places: place::Places,
    /// Translations.
    pub maps: maps::Maps,
    /// The plan's rows: header and arrays, up to the tables.
    pub rows: usize,
    /// Bytes of the plan.
    pub plan_size: u64,
}

/// Compiles a system.
///
/// # Errors
/// When EL2's executable is not one that [`pack`] can lay out, or when the system does not fit its
/// board or itself.
pub fn compile(system: &System, el2_elf: &[u8]) -> Result<Image> {
    erring(system, el2_elf, &|_, _| ())
}

/// [`compile`] with a mistake: `mistake` alters what was decided before anything follows from it,
/// so that the image errs consistently. That is what the verifier's tests hold against the
/// manifest.
///
/// # Errors
/// As [`compile`].
pub fn erring(
    system: &System,
    el2_elf: &[u8],
    mistake: &dyn Fn(&mut place::Places, &mut Vec<guest::Guest>),
) -> Result<Image> {
    let el2 = pack::El2::parse(el2_elf)?;
    let mut pristine = Vec::new();
    let designed = guest::design(system, &mut pristine)?;

    // The plan's size moves what lies in RAM, and what lies in RAM decides how many tables the plan
    // has: start with no room and give it what it needed, until it fits what it was given.
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
    bail!("the size of the plan of {} does not settle", system.name)
}

/// Rounds up to whole pages.
#[must_use]
pub fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

/// Fails unless `range` is whole pages and no more than the address space.
fn check_pages(what: &str, base: u64, size: u64) -> Result<()> {
    ensure!(
        base.is_multiple_of(PAGE) && size.is_multiple_of(PAGE) && size > 0,
        "{what}: {base:#x} and {size:#x} must be whole pages"
    );
    ensure!(
        base.checked_add(size).is_some_and(|end| end <= 1 << 48),
        "{what}: {base:#x} and {size:#x} bytes reach beyond 48 address bits"
    );
    Ok(())
}
