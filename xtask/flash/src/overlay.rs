// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a device tree overlay applies to a tree. Firmware prints one line on its own log if it
//! does not, and continues without it.

use anyhow::{Context, Result};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;
use dtoolkit::model::overlay::OverlayApplier;

/// Applies `overlay` to `tree`.
///
/// # Errors
/// Why it does not apply: the first name that the tree does not define, or a file that is not a
/// device tree.
pub fn check(tree: &[u8], overlay: &[u8]) -> Result<()> {
    let tree = Fdt::new(tree).context("the tree is not a device tree")?;
    let overlay = Fdt::new(overlay).context("the overlay is not a device tree")?;
    let mut tree = DeviceTree::from_fdt(&tree);
    OverlayApplier::new(&mut tree).apply_overlay(&overlay)?;
    Ok(())
}
