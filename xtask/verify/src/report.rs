//! The proof report: the findings, and who can access every physical range.

use std::fmt;

use serde::Serialize;

use crate::finding::{Finding, range};
use crate::ownership::{Access, Reach};

/// The result of verifying an image.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Claims that do not hold; if there are none, the image is proven.
    pub findings: Vec<Finding>,
    /// Every physical range that is accessible.
    pub ranges: Vec<Reach>,
    /// Devices that the manifest trusts and that the verifier cannot prove.
    pub trusted: Vec<String>,
    /// Translation tables that were walked.
    pub tables: usize,
    /// Translations: one per partition, two per core.
    pub translations: usize,
}

impl Proof {
    /// Whether everything holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// Returns the report as JSON.
    ///
    /// # Errors
    /// None that this type can cause.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// Returns only the findings, each with what, where and who.
    #[must_use]
    pub fn refusal(&self) -> String {
        let findings: Vec<_> = self.findings.iter().map(Finding::to_string).collect();
        findings.join("\n")
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 4]> = self.ranges.iter().map(row).collect();
        let titles = ["physical", "guests", "EL2", "what"].map(str::to_string);
        let wide = |n: usize| {
            let all = rows.iter().chain([&titles]);
            all.map(|row| row[n].len()).max().unwrap_or(0)
        };
        let wide = [wide(0), wide(1), wide(2)];
        for [at, guests, el2, what] in [&titles].into_iter().chain(&rows) {
            writeln!(
                f,
                "{at:w$}  {guests:g$}  {el2:e$}  {what}",
                w = wide[0],
                g = wide[1],
                e = wide[2]
            )?;
        }
        writeln!(f)?;
        for what in &self.trusted {
            writeln!(f, "trusted, not proven: {what}")?;
        }
        if !self.findings.is_empty() {
            writeln!(f, "{}", self.refusal())?;
        }
        write!(
            f,
            "{} translations, {} tables, {} physical ranges: ",
            self.translations,
            self.tables,
            self.ranges.len()
        )?;
        match self.findings.len() {
            0 => write!(f, "everything holds"),
            n => write!(f, "{n} finding{}", if n == 1 { "" } else { "s" }),
        }
    }
}

fn row(reach: &Reach) -> [String; 4] {
    let words = |list: &[Access], suffix: &str| {
        let list = list.iter();
        let list: Vec<_> = list.map(|a| format!("{} {}{suffix}", a.who, a.rights)).collect();
        list
    };
    let mut el2 = words(&reach.el2, "");
    el2.extend(words(&reach.loading, " at load"));
    [
        range(reach.base, reach.size),
        words(&reach.guests, "").join(", "),
        el2.join(", "),
        reach.what.clone(),
    ]
}
