// SPDX-License-Identifier: MIT OR Apache-2.0
//! `xtask/silicon/mutants.toml`: what is known about mutants that no run kills, and the runs that
//! reach more of EL2 than the first system does.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::list::Instruction;
use runner::workspace;

/// The file.
pub const FILE: &str = "xtask/silicon/mutants.toml";

/// The system that the repository's entries are about.
pub const SYSTEM: &str = "duo";

/// What the file has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Further runs.
    #[serde(default)]
    pub run: Vec<Run>,
    /// Instructions that another one covers.
    #[serde(default)]
    pub cover: Vec<Entry>,
    /// Instructions that EL2 does not need.
    #[serde(default)]
    pub redundant: Vec<Entry>,
    /// Instructions of which a weaker form suffices.
    #[serde(default)]
    pub weaker: Vec<Entry>,
    /// Instructions whose absence only another interleaving shows.
    #[serde(default)]
    pub order: Vec<Entry>,
    /// Instructions that no run reaches, or not in the state in which they matter.
    #[serde(default)]
    pub unreached: Vec<Entry>,
}

/// A further run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// The system.
    pub system: String,
    /// A partition whose command line is replaced, and the new one.
    pub command_line: Option<(String, String)>,
    /// The GIC that it is for; both if none.
    pub gic: Option<u32>,
    /// Ends it after this number of blocks of guests.
    pub stop: Option<u64>,
    /// The reason for it.
    pub reason: String,
}

impl Run {
    /// Whether it is for this version of the GIC.
    #[must_use]
    pub fn is_for(&self, gic: u32) -> bool {
        self.gic.is_none_or(|wanted| wanted == gic)
    }
}

/// A place in EL2's code.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// A function around it.
    pub symbol: String,
    /// The instruction's text.
    pub instruction: String,
    /// Its number among those with this text and symbol, from 1; all if none.
    pub nth: Option<usize>,
}

/// An entry about the instructions at a place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// A function around it.
    pub symbol: String,
    /// The instruction's text.
    pub instruction: String,
    /// Its number among those with this text and symbol, from 1; all if none.
    pub nth: Option<usize>,
    /// The GIC that it is for; both if none.
    pub gic: Option<u32>,
    /// `cover`: the instructions that cover it.
    #[serde(default)]
    pub by: Vec<Place>,
    /// `weaker`: the mutants that suffice.
    #[serde(default)]
    pub suffices: Vec<String>,
    /// `order`: the test that shows its absence: FILE::NAME.
    pub test: Option<String>,
    /// `order`: why there is no such test.
    pub untested: Option<String>,
    /// `unreached`: the case of `cargo xtask test` that reaches it.
    pub case: Option<String>,
    /// `unreached`: when it is reached, if no case can.
    pub when: Option<String>,
    /// The reason.
    pub reason: String,
}

impl Place {
    /// Returns the instructions at this place. `ERET` is not among them.
    #[must_use]
    pub fn find<'a>(&self, all: &'a [Instruction]) -> Vec<&'a Instruction> {
        let is_it = |one: &&Instruction| {
            one.text == self.instruction && one.functions.iter().any(|name| self.is_symbol(name))
        };
        let found = all.iter().filter(is_it).enumerate();
        let chosen = found.filter(|(index, _)| self.nth.is_none_or(|nth| nth == index + 1));
        chosen.map(|(_, one)| one).collect()
    }

    /// Whether `name` is this place's symbol, which may end with a star.
    fn is_symbol(&self, name: &str) -> bool {
        match self.symbol.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == self.symbol,
        }
    }

    /// Whether it is the return to the guest.
    #[must_use]
    pub fn is_eret(&self) -> bool {
        self.instruction == "ERET"
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { symbol, instruction, nth } = self;
        match nth {
            _ if self.is_eret() => write!(f, "ERET"),
            Some(nth) => write!(f, "{instruction} {nth} in {symbol}"),
            None => write!(f, "{instruction} in {symbol}"),
        }
    }
}

impl Entry {
    /// Its place.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { symbol: self.symbol.clone(), instruction: self.instruction.clone(), nth: self.nth }
    }
}

/// Reads the file.
///
/// # Errors
/// If it cannot be read, or an entry lacks what its kind must have.
pub fn read() -> Result<File> {
    let path = workspace::root().join(FILE);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).context(FILE)
}

fn parse(text: &str) -> Result<File> {
    let file: File = toml::from_str(text)?;
    let kinds = [
        ("cover", &file.cover, "by"),
        ("redundant", &file.redundant, ""),
        ("weaker", &file.weaker, "suffices"),
        ("order", &file.order, "test or untested"),
        ("unreached", &file.unreached, "case or when"),
    ];
    for (kind, entries, wants) in kinds {
        for entry in entries {
            let place = entry.place();
            let has = [
                ("by", !entry.by.is_empty()),
                ("suffices", !entry.suffices.is_empty()),
                ("test", entry.test.is_some()),
                ("untested", entry.untested.is_some()),
                ("case", entry.case.is_some()),
                ("when", entry.when.is_some()),
            ];
            let given: Vec<&str> =
                has.into_iter().filter(|(_, has)| *has).map(|(key, _)| key).collect();
            let fits = match given[..] {
                [] => wants.is_empty(),
                [key] => wants.split(" or ").any(|wanted| wanted == key),
                _ => false,
            };
            ensure!(fits, "the {kind} of {place} wants `{wants}`, and has {given:?}");
            ensure!(
                entry.reason.len() > 20,
                "the {kind} of {place} has no reason: write why the mutant may live"
            );
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"
        [[cover]]
        symbol = "f"
        instruction = "ISB"
        nth = 2
        by = [{ symbol = "", instruction = "ERET" }]
        reason = "made up for this test"
    "#;

    fn instruction(offset: u32, text: &str, function: &str) -> Instruction {
        Instruction {
            offset,
            word: 0,
            text: text.to_string(),
            functions: vec!["outer".to_string(), function.to_string()],
            line: None,
            follows_eret: false,
        }
    }

    #[test]
    fn a_place_is_symbol_text_and_number() {
        let entry = &parse(ONE).expect("a file").cover[0];
        let all = [
            instruction(0, "ISB", "f"),
            instruction(4, "DSB SY", "f"),
            instruction(8, "ISB", "g"),
            instruction(12, "ISB", "f"),
        ];
        let offsets = |place: &Place| place.find(&all).iter().map(|one| one.offset).collect();
        let found: Vec<u32> = offsets(&entry.place());
        assert_eq!(found, [12]);
        let found: Vec<u32> = offsets(&Place { nth: None, ..entry.place() });
        assert_eq!(found, [0, 12]);
        let found: Vec<u32> =
            offsets(&Place { symbol: "outer".to_string(), nth: None, ..entry.place() });
        assert_eq!(found, [0, 8, 12]);
        let star = |symbol: &str| Place { symbol: symbol.to_string(), nth: None, ..entry.place() };
        let found: Vec<u32> = offsets(&star("out*"));
        assert_eq!(found, [0, 8, 12]);
        let found: Vec<u32> = offsets(&star("out"));
        assert!(found.is_empty());
        assert!(entry.by[0].is_eret());
    }

    #[test]
    fn bad_entries_are_refused() {
        for (bad, words) in [
            (ONE.replace("by = ", "case = \"x\" #"), "wants `by`, and has [\"case\"]"),
            (ONE.replace("nth = 2", "test = \"x\""), "and has [\"by\", \"test\"]"),
            (ONE.replace("[[cover]]", "[[order]]"), "wants `test or untested`, and has [\"by\"]"),
            (ONE.replace("made up for this test", "because"), "has no reason"),
            (ONE.replace("nth", "number"), "unknown field"),
            (ONE.replace("symbol = \"f\"", ""), "missing field `symbol`"),
        ] {
            let error = parse(&bad).expect_err("a bad file").to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_file_of_the_repository_is_good() {
        let file = read().expect("the file");
        let cases = system_tests::cases();
        for entry in &file.unreached {
            let Some(name) = &entry.case else { continue };
            assert!(cases.iter().any(|case| case.name == name), "there is no case {name}");
        }
        for name in file.order.iter().filter_map(|entry| entry.test.as_ref()) {
            let (path, function) = name.split_once("::").expect("FILE::NAME");
            let source = std::fs::read_to_string(workspace::root().join(path)).expect(path);
            assert!(
                source.contains(&format!("#[test]\nfn {function}(")),
                "there is no test {name}"
            );
        }
    }
}
