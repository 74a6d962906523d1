// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file that boot loaders start: an arm64 Image (Linux
//! `Documentation/arch/arm64/booting.rst`) of EL2's segments, the plan and the pristine guest
//! images.

use anyhow::{Result, ensure};
use manifest::system::System;
use plan::PAGE;

use super::design::Design;
use super::pages::pages;
use super::rows;

/// `flags` of the arm64 Image header: little-endian, 4 KiB pages, loadable anywhere in memory.
const IMAGE_FLAGS: u64 = 1 << 1 | 1 << 3;
/// Offset of the header's `image_size` and `flags`. After them come the plan's place and the size
/// of EL2's segments.
const IMAGE_SIZE: usize = 16;
const FLAGS: usize = 24;
const PLAN_OFFSET: usize = 64;
const EL2_SIZE: usize = 72;

/// Writes the image of a design.
///
/// # Errors
/// If a row does not fit its type.
pub fn image(system: &System, design: &Design) -> Result<Vec<u8>> {
    let places = &design.places;
    let mut plan = rows::rows(system, &design.guests, places, Some(design))?;
    plan.resize(pages(plan.len() as u64) as usize, 0);
    plan.extend_from_slice(&design.maps.pool.bytes());
    plan.resize(design.plan_size as usize, 0);
    rows::seal(&mut plan);

    let mut image = design.el2.bytes.clone();
    image.extend_from_slice(&plan);
    for (contents, range) in design.pristine.iter().zip(&places.pristine) {
        let start = (range.base - places.image.base) as usize;
        ensure!(start == image.len(), "the image does not match its placement");
        image.extend_from_slice(contents);
        image.resize(start + range.size as usize, 0);
    }
    for (offset, value) in [
        (IMAGE_SIZE, image.len() as u64),
        (FLAGS, IMAGE_FLAGS),
        (PLAN_OFFSET, design.el2.size()),
        (EL2_SIZE, design.el2.size()),
    ] {
        image[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
    ensure!(
        image.len() as u64 == places.image.size && image.len().is_multiple_of(PAGE as usize),
        "the image does not match its placement"
    );
    Ok(image)
}
