//! A figure: one number that a bench returns, with its name, its unit and its bounds. Also lists of
//! figures, in files and compared.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

pub use crate::page::number;

/// The bounds of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The same measured on Bao, if it was.
    pub bao: Option<f64>,
    /// The same measured on hvisor, if it was.
    pub hvisor: Option<f64>,
    /// The most it may be.
    pub budget: f64,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name: words with `-`, grouped by `.`.
    pub name: String,
    /// A description for people.
    pub says: String,
    /// Its unit.
    pub unit: &'static str,
    /// Its value.
    pub value: f64,
    /// Its bounds, if it has any.
    pub bounds: Option<Bounds>,
}

/// Unit of most figures.
pub const INSTRUCTIONS: &str = "instructions";
/// Unit of a change.
pub const PER_CENT: &str = "per cent";

impl Figure {
    /// Makes a figure without bounds.
    pub fn new(
        name: impl Into<String>,
        says: impl Into<String>,
        unit: &'static str,
        value: f64,
    ) -> Self {
        Self { name: name.into(), says: says.into(), unit, value, bounds: None }
    }

    /// Adds the most that the figure may be.
    #[must_use]
    pub fn at_most(self, budget: f64) -> Self {
        let bounds = Bounds { bao: None, hvisor: None, budget };
        Self { bounds: Some(bounds), ..self }
    }

    /// Whether it is within its budget; true if it has none.
    #[must_use]
    pub fn held(&self) -> bool {
        self.bounds.is_none_or(|bounds| self.value <= bounds.budget)
    }

    /// Whether it is less than either peer's; true if there are none.
    #[must_use]
    pub fn beats_peers(&self) -> bool {
        let peers = self.bounds.map_or([None; 2], |bounds| [bounds.bao, bounds.hvisor]);
        peers.into_iter().flatten().all(|peer| self.value < peer)
    }
}

/// A figure in a file: one object each, so that any tool can read them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// [`Figure::name`].
    pub name: String,
    /// [`Figure::unit`].
    pub unit: String,
    /// [`Figure::value`].
    pub value: f64,
}

/// Returns figures as a JSON array, one object per line.
#[must_use]
pub fn to_json(figures: &[Figure]) -> String {
    let lines = figures.iter().map(|figure| {
        let Figure { name, unit, value, .. } = figure;
        format!("  {}", serde_json::json!({ "name": name, "unit": unit, "value": value }))
    });
    format!("[\n{}\n]\n", lines.collect::<Vec<_>>().join(",\n"))
}

/// Reads figures from a file of [`to_json`]'s form.
///
/// # Errors
/// If it cannot be read or is not such a file.
pub fn load(path: &Path) -> Result<Vec<Stored>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{}: expected figures of a bench: an array of objects with name, unit and value",
            path.display()
        )
    })
}

/// The difference of a figure from its stored value.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// There is no stored value.
    New(f64),
    /// The figure is no longer measured.
    Gone(f64),
    /// The stored value, and the value now.
    Moved(f64, f64),
}

/// Returns the differences of these figures from stored ones, by name. Equal values are left out.
#[must_use]
pub fn compare(old: &[Stored], new: &[Figure]) -> Vec<(String, Change)> {
    let mut changes = Vec::new();
    for figure in new {
        let before = old.iter().find(|stored| stored.name == figure.name);
        let change = match before.map(|stored| stored.value) {
            None => Change::New(figure.value),
            Some(value) if value != figure.value => Change::Moved(value, figure.value),
            Some(_) => continue,
        };
        changes.push((figure.name.clone(), change));
    }
    for stored in old {
        if !new.iter().any(|figure| figure.name == stored.name) {
            changes.push((stored.name.clone(), Change::Gone(stored.value)));
        }
    }
    changes
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::New(value) => write!(f, "new: {}", number(*value)),
            Self::Gone(value) => write!(f, "removed: it was {}", number(*value)),
            Self::Moved(old, new) => {
                let percent = (new / old - 1.0) * 100.0;
                write!(f, "{} -> {} ({percent:+.1} %)", number(*old), number(*new))
            }
        }
    }
}
