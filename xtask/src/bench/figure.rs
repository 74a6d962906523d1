//! A figure: one number that a bench answers, with its name, its unit and what it is held against.

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peers {
    /// The same measured on Bao, where it was.
    pub bao: Option<u64>,
    /// The same measured on hvisor, where it was.
    pub hvisor: Option<u64>,
    /// The most it may be.
    pub budget: u64,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name: lower-case words with `-`, grouped by `.`.
    pub name: String,
    /// What it is, for people.
    pub says: String,
    /// Its unit.
    pub unit: &'static str,
    /// Its value.
    pub value: f64,
    /// What it is held against, if anything.
    pub peers: Option<Peers>,
}

impl Figure {
    /// Whether it keeps to its budget; true where it has none.
    #[must_use]
    pub fn held(&self) -> bool {
        self.peers
            .is_none_or(|peers| self.value <= peers.budget as f64)
    }
}
