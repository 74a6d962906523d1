//! Reading TOML tables key by key, so that every wrong key and value is reported and not the first alone.
//!
//! serde stops at the first error, which is why manifests are not read by derived types.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::{Finding, suggest};

/// A value and where it stands.
pub type At<T> = Spanned<T>;

/// Where findings are collected.
pub type Findings = RefCell<Vec<Finding>>;

/// A TOML value in its place.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// Parses `text`; what is no TOML is reported by rule `syntax`.
pub fn parse<'a>(text: &'a str, findings: &Findings) -> Spanned<DeTable<'a>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    findings.borrow_mut().extend(errors.iter().map(|error| {
        Finding::new(
            error.span().unwrap_or(0..0),
            "this is no TOML",
            error.message(),
        )
        .rule("syntax")
        .help("see https://toml.io for the syntax")
    }));
    table
}

/// A table being read: keys that are never asked for are unknown.
pub struct Table<'a> {
    what: &'static str,
    span: Range<usize>,
    entries: &'a DeTable<'a>,
    known: Vec<&'static str>,
    findings: &'a Findings,
}

impl<'a> Table<'a> {
    /// Starts to read `entries`, which stand at `span` and are `what` ("a partition").
    pub fn new(
        what: &'static str,
        span: Range<usize>,
        entries: &'a DeTable<'a>,
        findings: &'a Findings,
    ) -> Self {
        Table {
            what,
            span,
            entries,
            known: Vec::new(),
            findings,
        }
    }

    /// Where the table stands.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Reads `key`, if it is there and right.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Value<'a>, &'a Findings, &str) -> Option<T>,
    ) -> Option<At<T>> {
        self.known.push(key);
        let value = self.entries.get(key)?;
        Some(Spanned::new(value.span(), read(value, self.findings, key)?))
    }

    /// Reads `key` and reports its absence; `like` shows what to write.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        like: &str,
        read: impl FnOnce(&'a Value<'a>, &'a Findings, &str) -> Option<T>,
    ) -> Option<At<T>> {
        if !self.entries.contains_key(key) {
            let finding = Finding::new(
                self.span(),
                format!("{} has no `{key}`", self.what),
                format!("`{key}` is missing"),
            );
            self.report(finding.rule("missing-key").help(format!("write `{like}`")));
        }
        self.optional(key, read)
    }

    /// Reports the keys that were not asked for.
    pub fn finish(self) {
        for key in self.entries.keys() {
            let name = key.get_ref();
            if !self.known.contains(&&**name) {
                let finding = Finding::new(
                    key.span(),
                    format!("{} has no key `{name}`", self.what),
                    "unknown key",
                );
                let keys = format!("keys of {}", self.what);
                self.report(
                    finding
                        .rule("unknown-key")
                        .help(suggest(name, &keys, &self.known)),
                );
            }
        }
    }

    /// Reports a finding.
    pub fn report(&self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }
}

/// What TOML calls a value.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Reports that `key` is not `wanted`.
fn wrong_type(value: &Value<'_>, findings: &Findings, key: &str, wanted: &str) {
    let label = match value.get_ref() {
        DeValue::Integer(number) => format!("this is {number}"),
        other => format!("this is {}", kind(other)),
    };
    findings.borrow_mut().push(
        Finding::new(value.span(), format!("`{key}` must be {wanted}"), label).rule("wrong-type"),
    );
}

/// A number from 0 to 2^64 - 1.
fn unsigned(value: &DeValue<'_>) -> Option<u64> {
    match value {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// Reads a string.
pub fn string(value: &Value<'_>, findings: &Findings, key: &str) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => {
            wrong_type(value, findings, key, "a string");
            None
        }
    }
}

/// Reads an unsigned integer.
pub fn integer(value: &Value<'_>, findings: &Findings, key: &str) -> Option<u64> {
    let number = unsigned(value.get_ref());
    if number.is_none() {
        wrong_type(value, findings, key, "an integer from 0");
    }
    number
}

/// Reads a boolean.
pub fn boolean(value: &Value<'_>, findings: &Findings, key: &str) -> Option<bool> {
    match value.get_ref() {
        DeValue::Boolean(value) => Some(*value),
        _ => {
            wrong_type(value, findings, key, "`true` or `false`");
            None
        }
    }
}

/// Reads a size: bytes as an integer, or a string such as "64KiB".
pub fn size(value: &Value<'_>, findings: &Findings, key: &str) -> Option<u64> {
    match value.get_ref() {
        DeValue::String(text) => {
            let size = parse_size(text);
            if size.is_none() {
                findings.borrow_mut().push(
                    Finding::new(
                        value.span(),
                        format!("`{key}` must be a size"),
                        "not a number with KiB, MiB or GiB",
                    )
                    .rule("bad-size")
                    .help("write a size such as \"64KiB\", \"32MiB\" or \"1GiB\""),
                );
            }
            size
        }
        value if unsigned(value).is_some() => unsigned(value),
        _ => {
            wrong_type(
                value,
                findings,
                key,
                "a size such as \"32MiB\", or a number of bytes",
            );
            None
        }
    }
}

/// The bytes that "32MiB" says.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].trim_start() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift)
}

/// Reads one word of `words`; the answer is what it stands for.
pub fn word<T: Copy>(
    words: &[(&'static str, T)],
) -> impl Fn(&Value<'_>, &Findings, &str) -> Option<T> {
    move |value, findings, key| {
        let text = string(value, findings, key)?;
        let found = words
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, meaning)| *meaning);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
            findings.borrow_mut().push(
                Finding::new(
                    value.span(),
                    format!("`{key}` cannot be \"{text}\""),
                    format!("must be {}", names.join(" or ")),
                )
                .rule("unknown-word")
                .help(suggest(&text, "words known here", &names)),
            );
        }
        found
    }
}

/// Reads an array; every wrong element is reported.
pub fn list<'a, T>(
    read: impl Fn(&'a Value<'a>, &'a Findings, &str) -> Option<T>,
) -> impl FnOnce(&'a Value<'a>, &'a Findings, &str) -> Option<Vec<T>> {
    move |value, findings, key| match value.get_ref() {
        DeValue::Array(items) => {
            // First all, so that all are looked at; then none if one was wrong.
            let items: Vec<Option<T>> =
                items.iter().map(|item| read(item, findings, key)).collect();
            items.into_iter().collect()
        }
        DeValue::Table(_) => {
            let title = format!("`{key}` must be an array");
            let help = format!("write `[[{key}]]` above each, or `{key} = [{{ … }}]`");
            let finding = Finding::new(value.span(), title, "this is one table");
            findings
                .borrow_mut()
                .push(finding.rule("wrong-type").help(help));
            None
        }
        _ => {
            wrong_type(value, findings, key, "an array");
            None
        }
    }
}

/// Reads a table, which is `what`.
pub fn table<'a, T>(
    what: &'static str,
    read: impl Fn(&mut Table<'a>) -> T,
) -> impl Fn(&'a Value<'a>, &'a Findings, &str) -> Option<T> {
    move |value, findings, key| match value.get_ref() {
        DeValue::Table(entries) => {
            let mut table = Table::new(what, value.span(), entries, findings);
            let result = read(&mut table);
            table.finish();
            Some(result)
        }
        _ => {
            wrong_type(value, findings, key, "a table");
            None
        }
    }
}

/// Makes a reader keep the value's place.
pub fn at<'a, T>(
    read: impl Fn(&'a Value<'a>, &'a Findings, &str) -> Option<T>,
) -> impl Fn(&'a Value<'a>, &'a Findings, &str) -> Option<At<T>> {
    move |value, findings, key| Some(Spanned::new(value.span(), read(value, findings, key)?))
}
