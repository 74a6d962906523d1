//! A figure: one number that a bench answers, with its name, its unit and what it is held against.
//! And many of them, in a file and compared.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The same measured on Bao, where it was.
    pub bao: Option<f64>,
    /// The same measured on hvisor, where it was.
    pub hvisor: Option<f64>,
    /// The most it may be.
    pub budget: f64,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name: words with `-`, grouped by `.`.
    pub name: String,
    /// What it is, for people.
    pub says: String,
    /// Its unit.
    pub unit: &'static str,
    /// Its value.
    pub value: f64,
    /// What it is held against, if anything.
    pub bounds: Option<Bounds>,
}

/// Unit of most figures.
pub const INSTRUCTIONS: &str = "instructions";

impl Figure {
    /// A figure that is held against nothing.
    pub fn new(
        name: impl Into<String>,
        says: impl Into<String>,
        unit: &'static str,
        value: f64,
    ) -> Self {
        Self { name: name.into(), says: says.into(), unit, value, bounds: None }
    }

    /// The same with the most that it may be.
    #[must_use]
    pub fn at_most(self, budget: f64) -> Self {
        let bounds = Bounds { bao: None, hvisor: None, budget };
        Self { bounds: Some(bounds), ..self }
    }

    /// Whether it keeps to its budget; true where it has none.
    #[must_use]
    pub fn held(&self) -> bool {
        self.bounds.is_none_or(|bounds| self.value <= bounds.budget)
    }

    /// Whether it is less than either peer's; true where there are none.
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

/// Figures as a JSON array, one object a line.
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
/// If it cannot be read or is no such file.
pub fn load(path: &Path) -> Result<Vec<Stored>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{}: not the figures of a bench: an array of objects with name, unit and value",
            path.display()
        )
    })
}

/// How a figure differs from what it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It was not there.
    New(f64),
    /// It is not there any more.
    Gone(f64),
    /// It was the first and is the second.
    Moved(f64, f64),
}

/// What differs between stored figures and these, by name. Values that are the same are left out.
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
            Self::Gone(value) => write!(f, "gone: it was {}", number(*value)),
            Self::Moved(old, new) => {
                let percent = (new / old - 1.0) * 100.0;
                write!(f, "{} -> {} ({percent:+.1} %)", number(*old), number(*new))
            }
        }
    }
}

/// A value for people: whole where it is whole, otherwise with four digits at most.
#[must_use]
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        1000.0.. => 0,
        100.0.. => 1,
        1.0.. => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}
