// SPDX-License-Identifier: MIT OR Apache-2.0
//! The limits of a board's figures (`boards/NAME/hil.toml`), and the comparison with earlier ones.

use crate::figures::{Figures, Row};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::Path;

/// The limits of a board.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// What a board of this kind is; an emulator may differ.
    machine: Expected,
    /// Limits of rows.
    limit: Vec<Limit>,
    /// Percent by which a row's p50 or p99 may be larger than before.
    tolerance: Option<f64>,
}

/// What a board is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Expected {
    /// `CNTFRQ_EL0`.
    hz: Option<u64>,
    /// `MIDR_EL1` without variant and revision, hexadecimal.
    midr: Option<String>,
    /// The least and the largest clock of its cores, MHz.
    core_mhz: Option<[f64; 2]>,
}

/// The limit of each row with these words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Limit {
    row: String,
    way: Option<String>,
    path: Option<String>,
    load: Option<String>,
    bytes: Option<u64>,
    /// Whether it is one for emulators too.
    #[serde(default)]
    emulated: bool,
    p50_ns: Option<f64>,
    p99_ns: Option<f64>,
    p999_ns: Option<f64>,
    max_ns: Option<f64>,
}

/// A check of a figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Why it failed, if it did.
    pub why: Option<String>,
}

/// Percent by which a figure may grow, if the file says nothing.
const TOLERANCE: f64 = 20.0;
/// Ticks by which a figure may always grow: two readings differ by one.
const TICKS: f64 = 2.0;

impl Limits {
    /// Reads a file; no limits if there is none.
    ///
    /// # Errors
    /// If it is not such a file.
    pub fn load(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                toml::from_str(&text).with_context(|| format!("{}: no limits", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Checks figures.
    pub fn check(&self, figures: &Figures) -> Vec<Check> {
        let mut checks = self.machine(figures);
        for limit in &self.limit {
            if figures.emulated && !limit.emulated {
                continue;
            }
            let rows: Vec<_> = figures.rows.iter().filter(|row| limit.is_of(row)).collect();
            if rows.is_empty() {
                // A limit that holds nothing would never fail.
                checks.push(Check {
                    name: format!("limit of {}", limit.row),
                    why: Some("no row of the report has these words".to_owned()),
                });
            }
            checks.extend(rows.into_iter().flat_map(|row| limit.check(row)));
        }
        checks
    }

    fn machine(&self, figures: &Figures) -> Vec<Check> {
        let machine = &figures.machine;
        let (a, b) = (machine.virtual_ticks as f64, machine.physical_ticks as f64);
        let mut checks =
            vec![check("virtual and physical counter agree", (a - b).abs() > 0.01 * a, || {
                format!("{a} and {b} ticks over the same time")
            })];
        if figures.emulated {
            return checks;
        }
        if let Some(hz) = self.machine.hz {
            checks.push(check("counter frequency", hz != machine.hz, || {
                format!("CNTFRQ_EL0 is {} Hz, expected {hz} Hz", machine.hz)
            }));
        }
        if let Some(midr) = &self.machine.midr {
            let part = |text: &str| u64::from_str_radix(text, 16).map(|value| value & 0xff0f_fff0);
            checks.push(check("core type", part(midr) != part(&machine.midr), || {
                format!("MIDR_EL1 is {}, expected {midr}", machine.midr)
            }));
        }
        if let Some([low, high]) = self.machine.core_mhz {
            let mhz = machine.chain_hz as f64 / 1e6;
            checks.push(check("core clock", !(low..=high).contains(&mhz), || {
                format!(
                    "the cores run at {mhz:.0} MHz, expected {low} to {high}: force_turbo and \
                     arm_boost in config.txt, and the power supply, decide it"
                )
            }));
        }
        checks
    }

    /// Compares figures with earlier ones of the same board.
    pub fn compare(&self, old: &Figures, new: &Figures) -> Vec<Check> {
        let factor = 1.0 + self.tolerance.unwrap_or(TOLERANCE) / 100.0;
        let slack = TICKS * 1e9 / new.machine.hz.max(1) as f64;
        let mut checks = Vec::new();
        for row in &new.rows {
            let Some(before) = old.find(&row.key()) else { continue };
            let pairs = [("p50", before.ns.p50, row.ns.p50), ("p99", before.ns.p99, row.ns.p99)];
            for (what, before, now) in pairs {
                let name = format!("{} {what} against before", row.key());
                checks.push(check(&name, now > before * factor + slack, || {
                    let percent = (now / before - 1.0) * 100.0;
                    format!("{now:.0} ns, before {before:.0} ns ({percent:+.0} %)")
                }));
            }
        }
        let gone = old.rows.iter().filter(|row| new.find(&row.key()).is_none());
        checks.extend(gone.map(|row| check(&row.key(), true, || "not measured any more".into())));
        checks
    }
}

fn check(name: &str, fails: bool, why: impl FnOnce() -> String) -> Check {
    Check { name: name.to_owned(), why: fails.then(why) }
}

impl Limit {
    fn is_of(&self, row: &Row) -> bool {
        let is = |wanted: &Option<String>, word: &str| wanted.as_ref().is_none_or(|w| w == word);
        self.row == row.name
            && is(&self.way, &row.way)
            && is(&self.path, &row.path)
            && is(&self.load, &row.load)
            && self.bytes.is_none_or(|bytes| bytes == row.bytes)
    }

    fn check(&self, row: &Row) -> Vec<Check> {
        let limits = [
            ("p50", self.p50_ns, row.ns.p50),
            ("p99", self.p99_ns, row.ns.p99),
            ("p99.9", self.p999_ns, row.ns.p999),
            ("worst", self.max_ns, row.ns.max),
        ];
        let set = limits.into_iter().filter_map(|(what, most, is)| Some((what, most?, is)));
        set.map(|(what, most, is)| {
            check(&format!("{} {what}", row.key()), is > most, || {
                format!("{is:.0} ns, at most {most:.0} ns")
            })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Machine, Ns};

    fn figures(p50: f64) -> Figures {
        let row = Row {
            name: "sgi-self".into(),
            way: "doorbell".into(),
            path: "direct".into(),
            load: "none".into(),
            bytes: 0,
            burst: 1,
            count: 1,
            min: 1,
            max: 1,
            sum: 1,
            buckets: vec![(1, 1, 1)],
            ns: Ns { p50, p99: 2.0 * p50, ..Ns::default() },
        };
        let machine = Machine {
            hz: 54_000_000,
            midr: "410fd083".into(),
            chain_hz: 1_500_000_000,
            virtual_ticks: 1000,
            physical_ticks: 1001,
            ..Machine::default()
        };
        Figures { machine, rows: vec![row], ..Figures::default() }
    }

    fn failed(checks: &[Check]) -> Vec<&str> {
        let failed = checks.iter().filter(|check| check.why.is_some());
        failed.map(|check| check.name.as_str()).collect()
    }

    const TEXT: &str = "tolerance = 10\n[machine]\nhz = 54000000\nmidr = \"410fd080\"\n\
                        core-mhz = [1450, 1550]\n[[limit]]\nrow = \"sgi-self\"\np50-ns = 1000\n";

    #[test]
    fn limits_hold_or_not() {
        let limits: Limits = toml::from_str(TEXT).expect("limits");
        assert_eq!(failed(&limits.check(&figures(1000.0))), [""; 0]);
        assert_eq!(
            failed(&limits.check(&figures(1001.0))),
            ["sgi-self doorbell direct none 0 p50"]
        );
        let mut slow = figures(1.0);
        slow.machine.chain_hz = 600_000_000;
        slow.machine.hz = 1;
        slow.machine.midr = "410fd0b0".into();
        slow.machine.physical_ticks = 2000;
        let wrong =
            ["virtual and physical counter agree", "counter frequency", "core type", "core clock"];
        assert_eq!(failed(&limits.check(&slow)), wrong);
        slow.emulated = true;
        assert_eq!(failed(&limits.check(&slow)), wrong[..1], "an emulator is not the board");
        let nothing: Limits =
            toml::from_str("[[limit]]\nrow = \"sgi\"\nmax-ns = 1").expect("limits");
        assert_eq!(failed(&nothing.check(&figures(1.0))), ["limit of sgi"]);
    }

    #[test]
    fn slower_rows_are_seen_and_quicker_ones_are_not_a_fault() {
        let limits: Limits = toml::from_str(TEXT).expect("limits");
        let against = |p50: f64| failed(&limits.compare(&figures(1000.0), &figures(p50))).len();
        assert_eq!(
            (against(1000.0), against(500.0), against(1110.0), against(1200.0)),
            (0, 0, 0, 2)
        );
        let mut gone = figures(1.0);
        gone.rows.clear();
        let checks = limits.compare(&figures(1.0), &gone);
        assert_eq!(failed(&checks), ["sgi-self doorbell direct none 0"]);
    }

    #[test]
    fn a_wrong_file_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "[[limit]]\nrwo = 1\n").expect("text");
        let why = format!("{:#}", Limits::load(file.path()).unwrap_err());
        assert!(why.contains("rwo") && why.contains("line 2"), "{why}");
        assert!(Limits::load(Path::new("/no/such/file")).expect("none").limit.is_empty());
    }
}
