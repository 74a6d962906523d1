// SPDX-License-Identifier: MIT OR Apache-2.0
//! The values that a key may have: each kind reads itself, reports what is wrong, and describes
//! itself in the schema.

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::decode::{At, Findings, Read, Table, Value};
use super::recover::SEVERAL;
use super::report::Finding;
use super::words::suggest;

/// The TOML name of a value's type.
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

/// Reports that the value is not `wanted`; `like` shows what to write.
fn wrong_type(value: &Value<'_>, findings: &Findings, wanted: String, like: String) {
    let label = match value.get_ref() {
        DeValue::Integer(number) => format!("this is {number}"),
        other => format!("this is {}", kind(other)),
    };
    findings.borrow_mut().push(
        Finding::new(value.span(), wanted, label).rule("wrong-type").help(format!("write {like}")),
    );
}

/// A number from 0 to 2^64 - 1.
fn unsigned(value: &DeValue<'_>) -> Option<u64> {
    match value {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// Whether a text reads like an unsigned integer of TOML.
fn is_number(text: &str) -> bool {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    u64::from_str_radix(&digits.replace('_', ""), radix).is_ok() && !text.starts_with('+')
}

/// A string.
pub struct Text;

impl<'a> Read<'a> for Text {
    type Value = String;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                let wanted = format!("`{key}` must be a string");
                wrong_type(value, findings, wanted, "text in quotes: `\"…\"`".into());
                None
            }
        }
    }

    fn schema(&self) -> Json {
        json!({ "type": "string" })
    }
}

/// An unsigned integer.
pub struct Integer;

impl<'a> Read<'a> for Integer {
    type Value = u64;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<u64> {
        let number = unsigned(value.get_ref());
        if number.is_none() {
            let wanted = format!("`{key}` must be an integer from 0 to 2^64 - 1");
            let like = match value.get_ref() {
                DeValue::String(text) if is_number(text) => format!("{text} without quotes"),
                _ => "a number, such as 4 or 0x4000_0000".into(),
            };
            wrong_type(value, findings, wanted, like);
        }
        number
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": 0 })
    }
}

/// A boolean.
pub struct Boolean;

impl<'a> Read<'a> for Boolean {
    type Value = bool;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                let wanted = format!("`{key}` must be a boolean");
                wrong_type(value, findings, wanted, "`true` or `false`".into());
                None
            }
        }
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }
}

/// A size: bytes as an integer, or a string such as "64KiB".
pub struct Size;

impl<'a> Read<'a> for Size {
    type Value = u64;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<u64> {
        match value.get_ref() {
            DeValue::String(text) => {
                let size = parse_size(text);
                if size.is_none() {
                    let title = format!("`{key}`: expected a size such as \"32MiB\"");
                    let label = "not a number with KiB, MiB or GiB, or too large";
                    findings.borrow_mut().push(
                        Finding::new(value.span(), title, label)
                            .rule("bad-size")
                            .help(meant_size(text)),
                    );
                }
                size
            }
            value if unsigned(value).is_some() => unsigned(value),
            _ => {
                let wanted = format!("`{key}`: expected a size such as \"32MiB\"");
                let like = "a size such as \"32MiB\", or a number of bytes";
                wrong_type(value, findings, wanted, like.into());
                None
            }
        }
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "string", "pattern": "^[0-9]+ *(KiB|MiB|GiB)$" },
            { "type": "integer", "minimum": 0 },
        ] })
    }
}

/// Parses a size such as "32MiB" into bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let shift = match unit.trim_start_matches(' ') {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift)
}

/// Suggests a size for a text that is not one.
fn meant_size(text: &str) -> String {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = unit.trim().to_ascii_lowercase();
    let unit = ["K", "M", "G"].into_iter().find(|first| {
        let rest = unit.strip_prefix(&first.to_ascii_lowercase());
        matches!(rest, Some("" | "b" | "ib"))
    });
    match (number, unit) {
        (number, Some(unit)) if parse_size(&format!("{number}{unit}iB")).is_some() => {
            format!("write \"{number}{unit}iB\": each unit is 1024 times the smaller one")
        }
        (number, None) if digits.is_none() && number.parse::<u64>().is_ok() => {
            format!("write {number} without quotes for a number of bytes")
        }
        _ => "write a size such as \"64KiB\", \"32MiB\" or \"1GiB\"".into(),
    }
}

/// A time, in microseconds: a string such as "100ms".
pub struct Duration;

/// The units of a time, with their microseconds.
const UNITS: [(&str, u64); 4] = [("us", 1), ("ms", 1000), ("s", 1_000_000), ("min", 60_000_000)];

impl<'a> Read<'a> for Duration {
    type Value = u64;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<u64> {
        let DeValue::String(text) = value.get_ref() else {
            let wanted = format!("`{key}` must be a time");
            wrong_type(value, findings, wanted, "a time such as \"100ms\" or \"5s\"".into());
            return None;
        };
        let time = parse_duration(text);
        if time.is_none() {
            let title = format!("`{key}` must be a time");
            let label = "expected a number with us, ms, s or min, of a day at most";
            findings.borrow_mut().push(
                Finding::new(value.span(), title, label)
                    .rule("bad-time")
                    .help("write a time such as \"250us\", \"100ms\", \"60s\" or \"5min\""),
            );
        }
        time
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+ *(us|ms|s|min)$" })
    }
}

/// Parses a time such as "100ms" into microseconds, at most those of a day.
pub fn parse_duration(text: &str) -> Option<u64> {
    const DAY: u64 = 24 * 60 * 60_000_000;
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(factor).filter(|time| *time <= DAY)
}

/// One word of several; each word has a value.
pub struct Word<'w, T>(&'w [(&'static str, T)]);

/// Reads one word of `words`.
pub fn word<'w, T>(words: &'w [(&'static str, T)]) -> Word<'w, T> {
    Word(words)
}

impl<'a, T: Copy> Read<'a> for Word<'_, T> {
    type Value = T;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<T> {
        let text = Text.read(value, findings, key)?;
        let found = self.0.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<&str> = self.0.iter().map(|(name, _)| *name).collect();
            let title = format!("`{key}` cannot be \"{text}\"");
            findings.borrow_mut().push(
                Finding::new(value.span(), title, format!("must be {}", names.join(" or ")))
                    .rule("unknown-word")
                    .help(suggest(&text, "accepted words", &names)),
            );
        }
        found.map(|(_, meaning)| *meaning)
    }

    fn schema(&self) -> Json {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| *name).collect();
        json!({ "type": "string", "enum": names })
    }
}

/// An array; every wrong element is reported, and is `None`.
pub struct Each<R>(pub R);

impl<'a, R: Read<'a>> Read<'a> for Each<R> {
    type Value = Vec<Option<R::Value>>;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<Self::Value> {
        match value.get_ref() {
            DeValue::Array(items) => {
                let read = |item| self.0.read(item, findings, key);
                return Some(items.iter().map(read).collect());
            }
            DeValue::Table(_) => {
                let title = format!("`{key}` must be an array");
                let like = match SEVERAL.contains(&key) {
                    true => format!("`[[{key}]]` above each, or `{key} = [{{ … }}]`"),
                    false => format!("`{key} = [{{ … }}]`"),
                };
                wrong_type(value, findings, title, like);
            }
            _ => {
                let title = format!("`{key}` must be an array");
                wrong_type(value, findings, title, format!("`{key} = [ … ]`"));
            }
        }
        None
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": self.0.schema() })
    }
}

/// An array of tables; a wrong element is replaced by a table without valid values.
pub struct List<R>(Each<R>);

/// Reads an array of tables.
pub fn list<R>(read: R) -> List<R> {
    List(Each(read))
}

impl<'a, R: Read<'a>> Read<'a> for List<R>
where
    R::Value: Default,
{
    type Value = Vec<R::Value>;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<Self::Value> {
        let items = self.0.read(value, findings, key)?.into_iter();
        Some(items.map(Option::unwrap_or_default).collect())
    }

    fn schema(&self) -> Json {
        self.0.schema()
    }
}

/// A table with its own keys.
pub struct Keys<F> {
    what: &'static str,
    read: F,
}

/// Reads a table, which is `what`.
pub fn table<'a, T, F: Fn(&mut Table<'a>) -> T>(what: &'static str, read: F) -> Keys<F> {
    Keys { what, read }
}

impl<'a, T, F: Fn(&mut Table<'a>) -> T> Read<'a> for Keys<F> {
    type Value = T;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, _: &str) -> Option<T> {
        match value.get_ref() {
            DeValue::Table(entries) => {
                let mut table = Table::new(self.what, value.span(), entries, findings);
                let result = (self.read)(&mut table);
                table.finish();
                Some(result)
            }
            _ => {
                let wanted = format!("{} must be a table", self.what);
                wrong_type(value, findings, wanted, "its keys in braces: `{ … }`".into());
                None
            }
        }
    }

    fn schema(&self) -> Json {
        Table::describe(self.what, &self.read)
    }
}

/// A value with its place.
pub struct Placed<R>(R);

/// Makes a reader keep the value's place.
pub fn at<R>(read: R) -> Placed<R> {
    Placed(read)
}

impl<'a, R: Read<'a>> Read<'a> for Placed<R> {
    type Value = At<R::Value>;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<Self::Value> {
        Some(Spanned::new(value.span(), self.0.read(value, findings, key)?))
    }

    fn schema(&self) -> Json {
        self.0.schema()
    }
}
