// SPDX-License-Identifier: MIT OR Apache-2.0
//! Texts that settle a run before EL2's last line: a manifest's `pass` and `fail`, and `--until`.
//!
//! A text counts for a partition only in a line that EL2 gave that partition's name. So a guest
//! cannot pass or fail another one. The first of a partition's `fail`, its `pass` and its halt by
//! EL2 settles it.

use super::verdict::Verdict;
use console::CONTINUED;
use manifest::system::System;

/// First words of EL2's own lines.
pub const EL2: &str = "bulkhead: ";

/// The texts of a run, and which of them were seen.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    until: Option<String>,
    until_seen: bool,
    partitions: Vec<Partition>,
    /// The beginning of a line that EL2 may have broken off to print other partitions' lines.
    begun: Option<String>,
    /// Lines of several partitions may have been broken off, so it is unknown which of them
    /// continues.
    ambiguous: bool,
    /// A partition may print without its name: lines no longer show their partition.
    nameless: bool,
}

/// One partition's texts.
#[derive(Clone, Debug)]
struct Partition {
    name: String,
    pass: Option<String>,
    fail: Option<String>,
    settled: Option<Settled>,
}

/// How a partition was settled, with the line's text.
#[derive(Clone, Debug)]
enum Settled {
    Passed,
    Failed(String),
    Halted(String),
}

impl Watch {
    /// Watches for the texts of `system`'s manifest, and for `until` in any line.
    pub fn new(system: &System, until: Option<String>) -> Self {
        let partitions = system.partitions.iter().map(|partition| Partition {
            name: partition.name.clone(),
            pass: partition.pass.clone(),
            fail: partition.fail.clone(),
            settled: None,
        });
        Self { until, partitions: partitions.collect(), ..Self::default() }
    }

    /// Records that from here on a partition may print without its name.
    pub fn lose_names(&mut self) {
        self.nameless = true;
    }

    /// Takes a line that has ended; `cut` says that it ended like a broken line.
    pub fn line(&mut self, line: &str, cut: bool) {
        let whole = match (line.strip_prefix(CONTINUED), &self.begun) {
            (Some(rest), Some(begun)) if !self.ambiguous => format!("{begun}{rest}"),
            _ => line.to_string(),
        };
        if cut {
            let owner = owner(&whole);
            self.ambiguous |= matches!(&self.begun, Some(begun) if self::owner(begun) != owner);
            self.begun = Some(whole.clone());
        }
        if !self.is_settled() {
            self.unfinished(&whole);
            self.settle(&whole);
        }
    }

    /// Takes a line that has not ended: `--until` may name a prompt.
    pub fn unfinished(&mut self, line: &str) {
        let holds = |text: &String| line.contains(text.as_str());
        self.until_seen |= self.until.as_ref().is_some_and(holds);
    }

    fn settle(&mut self, line: &str) {
        if self.nameless {
            return;
        }
        let about = line.strip_prefix(EL2);
        let owner = owner(line);
        for partition in &mut self.partitions {
            if partition.settled.is_some() {
                continue;
            }
            let holds = |text: &Option<String>| {
                let text = text.as_ref().filter(|_| owner == Some(&partition.name));
                text.is_some_and(|text| said(line).contains(text.as_str()))
            };
            partition.settled = if holds(&partition.fail) {
                Some(Settled::Failed(said(line).to_string()))
            } else if holds(&partition.pass) {
                Some(Settled::Passed)
            } else {
                // A halt settles only a partition with a `pass` text; EL2's last line says how the
                // others ended.
                about
                    .filter(|_| partition.pass.is_some())
                    .and_then(|about| halt(about, &partition.name))
                    .map(|why| Settled::Halted(why.to_string()))
            };
        }
    }

    /// Whether the run can end now.
    pub fn is_settled(&self) -> bool {
        self.verdict().is_some()
    }

    /// Returns the verdict by the texts; none if the run's end has to decide.
    pub fn verdict(&self) -> Option<Verdict> {
        let failed = self.partitions.iter().find_map(|partition| {
            let name = &partition.name;
            match (&partition.settled, &partition.fail) {
                (Some(Settled::Failed(line)), Some(text)) => {
                    Some(format!("{name} printed {text:?}: {line}"))
                }
                (Some(Settled::Halted(why)), _) => Some(format!("{name}: {why}")),
                _ => None,
            }
        });
        if let Some(why) = failed {
            return Some(Verdict::Fail(why));
        }
        if let Some(text) = &self.until {
            let seen = || Verdict::Pass(format!("a line contains {text:?}"));
            return self.until_seen.then(seen);
        }
        let mut passes = self.partitions.iter().filter(|p| p.pass.is_some());
        let words: Vec<_> = passes.clone().filter_map(Partition::passed).collect();
        let all = passes.all(|partition| partition.passed().is_some());
        (all && !words.is_empty()).then(|| Verdict::Pass(words.join(", ")))
    }

    /// Returns the state to assume for `partition` if its `pass` was seen.
    pub fn passed(&self, partition: &str) -> Option<String> {
        let mut partitions = self.partitions.iter();
        partitions.find(|p| p.name == partition)?.passed()
    }

    /// Returns the text that did not come.
    pub fn missing(&self) -> Option<String> {
        if let Some(text) = self.until.as_ref().filter(|_| !self.until_seen) {
            return Some(format!("no line contained {text:?}"));
        }
        self.partitions.iter().find_map(|partition| {
            let text = partition.pass.as_ref()?;
            (partition.settled.is_none())
                .then(|| format!("{} did not print {text:?}", partition.name))
        })
    }
}

impl Partition {
    fn passed(&self) -> Option<String> {
        let text = self.pass.as_ref()?;
        matches!(self.settled, Some(Settled::Passed))
            .then(|| format!("{} printed {text:?}", self.name))
    }
}

/// Returns the partition whose name EL2 put before a line.
fn owner(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.split_once("] ")?;
    Some(name)
}

/// Returns a partition's line without its name.
fn said(line: &str) -> &str {
    line.split_once("] ").map_or(line, |(_, said)| said)
}

/// Returns EL2's reason for halting partition `name`, or that the partition gave up, if EL2's line
/// `about` says so.
pub fn halt<'a>(about: &'a str, name: &str) -> Option<&'a str> {
    let why = about.strip_prefix(name)?.strip_prefix(": ")?;
    ["halted", "reported failure"].iter().any(|word| why.contains(word)).then_some(why)
}
