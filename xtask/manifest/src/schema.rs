// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manifest's JSON schema, for editors: the keys as `raw` reads them, their meaning from
//! docs/manifest.md, and those rules that a schema can express.

use serde_json::{Value as Json, json};

use super::decode::Table;
use super::raw::Manifest;

/// The sections of docs/manifest.md that explain each table: heading, and the table's name in
/// messages.
const SECTIONS: &[(&str, &str)] = &[
    ("## The system", "a system"),
    ("### `ram`", "a range of RAM"),
    ("## `[[partition]]`", "a partition"),
    ("### `vcpus`", "a vCPU"),
    ("### `memory`", "a piece of memory"),
    ("### `image`", "an image"),
    ("### `files`", "a file"),
    ("### `restart`", "a restart policy"),
    ("### `watchdog`", "a watchdog"),
    ("### `devices` and `interrupts`", "an interrupt"),
    ("## `[[channel]]`", "a channel"),
];

/// Names of partitions and channels.
const NAME: &str = "^[a-z0-9-]{1,15}$";
/// Texts that a console line can hold.
const VERDICT_TEXT: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]{1,100}$";

/// The additions that rules make to schemas of keys: the rule, the table, the key (or none for the
/// table itself), the addition.
fn structural() -> Vec<(&'static str, &'static str, &'static str, Json)> {
    let pair = || json!({ "minItems": 2, "maxItems": 2 });
    let kinds = ["guest", "elf", "raw", "linux"].map(|kind| json!({ "required": [kind] }));
    vec![
        (
            "partition-none",
            "a system",
            "",
            json!({ "required": ["board", "console-core", "partition"] }),
        ),
        (
            "console-share",
            "a system",
            "console-share",
            json!({
                "minimum": plan::CONSOLE_SHARES.start(),
                "maximum": plan::CONSOLE_SHARES.end(),
            }),
        ),
        ("partition-none", "a system", "partition", json!({ "minItems": 1 })),
        ("partition-name", "a partition", "name", json!({ "pattern": NAME })),
        ("vcpus-none", "a partition", "vcpus", json!({ "minItems": 1 })),
        ("vcpus-too-many", "a partition", "vcpus", json!({ "maxItems": plan::MAX_VCPUS })),
        ("memory-none", "a partition", "memory", json!({ "minItems": 1 })),
        ("image-kind", "an image", "", json!({ "oneOf": kinds })),
        (
            "command-line-text",
            "a partition",
            "command-line",
            json!({ "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" }),
        ),
        ("verdict-text", "a partition", "pass", json!({ "pattern": VERDICT_TEXT })),
        ("verdict-text", "a partition", "fail", json!({ "pattern": VERDICT_TEXT })),
        ("restart-limit", "a restart policy", "limit", json!({ "minimum": 1, "maximum": 1000 })),
        (
            "restart-back-off",
            "a restart policy",
            "back-off",
            json!({ "minimum": 1, "maximum": 10 }),
        ),
        ("interrupt-private", "an interrupt", "ppi", json!(false)),
        ("channel-name", "a channel", "name", json!({ "pattern": NAME })),
        ("channel-ends-count", "a channel", "ends", pair()),
        (
            "channel-end-form",
            "a channel",
            "ends",
            json!({ "items": { "type": "string", "pattern": "^[^/]+/(0|[1-9][0-9]*)$" } }),
        ),
        ("channel-bytes-count", "a channel", "bytes", pair()),
        ("channel-waits", "a channel", "waits", pair()),
        ("channel-views", "a channel", "views", pair()),
        ("channel-rate", "a channel", "rate", pair()),
        ("channel-rate", "a rate", "per-second", json!({ "maximum": u32::MAX })),
        ("channel-rate", "a rate", "burst", json!({ "minimum": 1, "maximum": u32::MAX })),
    ]
}

/// Rules that hold by the types of keys only.
const TYPED: &[&str] =
    &["unknown-key", "missing-key", "wrong-type", "bad-size", "bad-time", "unknown-word"];

/// Ids of the rules that the schema expresses, too.
pub fn rules() -> impl Iterator<Item = &'static str> {
    TYPED.iter().copied().chain(structural().into_iter().map(|(rule, ..)| rule))
}

/// Builds the schema; `reference` is the text of docs/manifest.md.
///
/// # Errors
/// If the reference does not explain a key, or explains one that no table has.
pub fn schema(reference: &str) -> Result<Json, String> {
    let mut schema = Table::describe("a system", Manifest::read);
    for (_, table, key, addition) in structural() {
        each_table(&mut schema, &mut |of| {
            if of["title"] == table {
                let target = if key.is_empty() { of } else { &mut of["properties"][key] };
                add(target, addition.clone());
            }
        });
    }
    let mut meanings = meanings(reference);
    let mut missing = Vec::new();
    each_table(&mut schema, &mut |of| {
        let table = of["title"].as_str().unwrap_or_default().to_owned();
        let keys = of["properties"].as_object_mut().into_iter().flatten();
        for (key, value) in keys.filter(|(_, value)| value.is_object()) {
            let at = meanings.iter().position(|row| row.table == table && row.key == *key);
            match at.map(|at| meanings.swap_remove(at)) {
                Some(row) => value["description"] = json!(row.meaning),
                // A rate's keys are explained in prose.
                None if table == "a rate" => {}
                None => {
                    missing.push(format!("docs/manifest.md does not explain `{key}` of {table}"))
                }
            }
        }
    });
    missing.extend(meanings.iter().map(|row| {
        format!("docs/manifest.md explains `{}` of {}, which nobody reads", row.key, row.table)
    }));
    if !missing.is_empty() {
        return Err(missing.join("\n"));
    }
    let mut whole = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Generated by `cargo xtask schema -o docs/system.schema.json`. \
                     docs/manifest.md is the reference.",
    });
    add(&mut whole, schema);
    whole["title"] = json!("Bulkhead system manifest");
    Ok(whole)
}

/// Calls `with` for every table's schema in `schema`.
fn each_table(schema: &mut Json, with: &mut dyn FnMut(&mut Json)) {
    if schema["properties"].is_object() {
        with(schema);
        let keys = schema["properties"].as_object_mut().into_iter().flatten();
        keys.for_each(|(_, value)| each_table(value, with));
    } else if schema["items"].is_object() {
        each_table(&mut schema["items"], with);
    }
}

/// Adds the keys of one object to another, or replaces a value that is not an object.
fn add(target: &mut Json, addition: Json) {
    match (target.as_object_mut(), addition) {
        (Some(target), Json::Object(addition)) => target.extend(addition),
        (_, addition) => *target = addition,
    }
}

/// A row of the reference: what a key means.
struct Meaning {
    table: &'static str,
    key: String,
    meaning: String,
}

/// Every row of the reference's tables of keys.
fn meanings(reference: &str) -> Vec<Meaning> {
    let mut table = None;
    let mut rows = Vec::new();
    for line in reference.lines() {
        if line.starts_with('#') {
            table = SECTIONS.iter().find(|(heading, _)| *heading == line).map(|(_, table)| *table);
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (Some(table), ["", key, _, default, meaning, ""]) = (table, cells.as_slice()) else {
            continue;
        };
        let Some(key) = key.strip_prefix('`').and_then(|key| key.strip_suffix('`')) else {
            continue;
        };
        let default = match *default {
            "" | "required" | "none" => String::new(),
            default => format!(" Default: {default}."),
        };
        rows.push(Meaning { table, key: key.to_owned(), meaning: format!("{meaning}.{default}") });
    }
    rows
}
