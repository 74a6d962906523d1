// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads TOML tables key by key, so that every wrong key and value is reported and not only the
//! first.
//!
//! serde stops at the first error, so manifests are not read by derived types.

use std::cell::RefCell;
use std::ops::Range;

use serde_json::{Map, Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Finding;
use super::words::{nearest, suggest};

/// Keys that are above the first table.
pub const HEAD: [&str; 7] =
    ["board", "console-core", "console-share", "at-end", "on-refusal", "mixed-clusters", "ram"];

/// A value and its place in the file.
pub type At<T> = Spanned<T>;

/// Where findings are collected.
pub type Findings = RefCell<Vec<Finding>>;

/// A TOML value in its place.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// How a value is read, and which values it may have.
pub trait Read<'a> {
    /// The type that the value is read into.
    type Value;
    /// Reads the value of `key`, or reports what is wrong with it.
    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<Self::Value>;
    /// Returns the JSON schema of the values it may have.
    fn schema(&self) -> Json;
}

/// A table that is being read or described: the code that reads a table also gives its keys.
pub struct Table<'a> {
    what: &'static str,
    span: Range<usize>,
    known: Vec<&'static str>,
    /// Missing keys, each with an example of what to write.
    missing: Vec<(&'static str, String)>,
    source: Source<'a>,
}

/// Where a table's values come from.
enum Source<'a> {
    /// A file: keys that are never asked for are unknown.
    File(&'a DeTable<'a>, &'a Findings),
    /// No file: each key is recorded when it is asked for, with whether it is required.
    Described(Map<String, Json>, Vec<&'static str>),
}

impl<'a> Table<'a> {
    /// Starts to read `entries`, which are at `span`; `what` names the table ("a partition").
    pub fn new(
        what: &'static str,
        span: Range<usize>,
        entries: &'a DeTable<'a>,
        findings: &'a Findings,
    ) -> Self {
        let source = Source::File(entries, findings);
        Table { what, span, known: Vec::new(), missing: Vec::new(), source }
    }

    /// Describes the tables that `read` reads, as a JSON schema.
    pub fn describe<T>(what: &'static str, read: impl Fn(&mut Table<'a>) -> T) -> Json {
        let mut table = Table {
            what,
            span: 0..0,
            known: Vec::new(),
            missing: Vec::new(),
            source: Source::Described(Map::new(), Vec::new()),
        };
        read(&mut table);
        let Source::Described(properties, required) = table.source else {
            return Json::Null;
        };
        let mut schema = json!({
            "title": what,
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    /// Returns the table's place in the file.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether the file gives `key`, valid or not.
    pub fn has(&self, key: &str) -> bool {
        matches!(self.source, Source::File(entries, _) if entries.contains_key(key))
    }

    /// Reads `key`, if it is present and valid.
    pub fn optional<R: Read<'a>>(&mut self, key: &'static str, read: R) -> Option<At<R::Value>> {
        self.known.push(key);
        match &mut self.source {
            Source::File(entries, findings) => {
                let value = entries.get(key)?;
                Some(Spanned::new(value.span(), read.read(value, findings, key)?))
            }
            Source::Described(properties, _) => {
                properties.insert(key.to_owned(), read.schema());
                None
            }
        }
    }

    /// Reads `key` and reports its absence; `like` shows what to write.
    pub fn required<R: Read<'a>>(
        &mut self,
        key: &'static str,
        like: &str,
        read: R,
    ) -> Option<At<R::Value>> {
        match &mut self.source {
            Source::File(entries, _) if !entries.contains_key(key) => {
                self.missing.push((key, like.to_owned()));
            }
            Source::File(..) => {}
            Source::Described(_, required) => required.push(key),
        }
        self.optional(key, read)
    }

    /// Reports the keys that were not asked for and those that are missing, except a missing key
    /// that is only misspelt. Returns the unknown ones.
    pub fn finish(self) -> Vec<String> {
        let Source::File(entries, findings) = self.source else {
            return Vec::new();
        };
        let mut findings = findings.borrow_mut();
        let mut missing = self.missing;
        let mut unknown = Vec::new();
        for key in entries.keys() {
            let name = key.get_ref();
            if self.known.contains(&&**name) {
                continue;
            }
            let title = format!("{} has no key `{name}`", self.what);
            let keys = format!("keys of {}", self.what);
            let meant = nearest(name, self.known.iter().copied());
            missing.retain(|(key, _)| Some(*key) != meant);
            let help = match HEAD.contains(&&**name) {
                true => format!("`{name}` belongs above the first `[[partition]]`"),
                false => suggest(name, &keys, &self.known),
            };
            findings.push(
                Finding::new(key.span(), title, "unknown key").rule("unknown-key").help(help),
            );
            unknown.push(name.to_string());
        }
        // A key written too far down belongs to the table above it.
        let stands_below = |key| entries.values().any(|value| has(value, key));
        missing.retain(|(key, _)| !stands_below(*key));
        for (key, like) in missing {
            let title = format!("{} has no `{key}`", self.what);
            findings.push(
                Finding::new(self.span.clone(), title, format!("`{key}` is missing"))
                    .rule("missing-key")
                    .help(format!("write `{like}`")),
            );
        }
        unknown
    }
}

/// Whether a table of an array has a key.
fn has(value: &Value<'_>, key: &str) -> bool {
    let DeValue::Array(items) = value.get_ref() else {
        return false;
    };
    let mut items = items.iter().map(Spanned::get_ref);
    items.any(|item| matches!(item, DeValue::Table(table) if table.contains_key(key)))
}
