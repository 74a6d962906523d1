//! Every rule that a manifest must hold: its id, what it says, and the check.
//!
//! Each has a bad manifest in tests/manifests/ID.toml with the exact message in ID.txt, and a line in docs/manifest.md.

use super::programs::Program;
use super::raw::Manifest;
use super::report::Finding;
use crate::system::Board;

/// Looks for one rule's breaches.
#[derive(Clone, Copy)]
pub enum Check {
    /// Found while files are read: by `decode`, `programs` or `image`.
    Reading,
    /// Needs the manifest alone.
    Manifest(fn(&Manifest) -> Vec<Finding>),
    /// Needs the board too.
    Board(fn(&Manifest, &Board) -> Vec<Finding>),
    /// Needs the partitions' programs too.
    Programs(fn(&Manifest, &[Program]) -> Vec<Finding>),
}

/// A rule.
pub struct Rule {
    /// Its id, which messages and file names carry.
    pub id: &'static str,
    /// What it says, in a sentence.
    pub says: &'static str,
    /// Who finds its breaches.
    pub check: Check,
}

/// Every rule.
pub const RULES: &[Rule] = &[];
