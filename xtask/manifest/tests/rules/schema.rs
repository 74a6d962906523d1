// SPDX-License-Identifier: MIT OR Apache-2.0
//! The schema against manifests: which ones it must accept and which it must refuse.

use std::path::Path;

use super::slips;
use super::support::root;
use manifest::catalogue::names;
use manifest::rules::RULES;
use manifest::schema::{rules, schema};

/// A validator of the generated schema.
fn validator() -> jsonschema::Validator {
    let reference =
        std::fs::read_to_string(root().join("docs/manifest.md")).expect("the reference");
    let schema = schema(&reference).unwrap_or_else(|why| panic!("{why}"));
    jsonschema::validator_for(&schema).expect("a schema")
}

/// A manifest as an editor sees it; none if it is not valid TOML.
fn document(file: &Path) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(file).expect("a manifest");
    toml::from_str(&text).ok()
}

#[test]
fn every_shipped_system_is_valid() {
    let validator = validator();
    let mut folders = vec![root().join("tests/systems")];
    for board in names(&root().join("boards")) {
        folders.push(root().join("boards").join(board).join("systems"));
    }
    let mut count = 0;
    for folder in folders {
        for name in names(&folder).iter().filter(|name| name.ends_with(".toml")) {
            let file = folder.join(name);
            let system = document(&file).expect("TOML");
            let errors: Vec<_> =
                validator.iter_errors(&system).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", file.display());
            count += 1;
        }
    }
    assert!(count >= 3, "{count} systems found");
}

/// The schema refuses a manifest that breaks one of its rules; a manifest that breaks another rule
/// is well-formed.
#[test]
fn the_schema_refuses_what_its_rules_refuse_and_nothing_else() {
    let validator = validator();
    let structural: Vec<_> = rules().collect();
    let mut wrong = Vec::new();
    // The schema is not applied to invalid TOML.
    for rule in RULES.iter().filter(|rule| rule.id != "syntax") {
        let file = root().join("tests/manifests").join(format!("{}.toml", rule.id));
        let valid = validator.is_valid(&document(&file).expect("TOML"));
        if valid == structural.contains(&rule.id) {
            wrong.push((rule.id, valid));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Each value has one spelling, on which the reader, the schema and the verifier's reader agree.
#[test]
fn all_readers_take_the_same_spellings() {
    let validator = validator();
    let size = (
        "\"4MiB\"",
        ["\"4 MiB\"", "4194304"].as_slice(),
        ["\"+4MiB\"", "\"4\\tMiB\"", "\"4\\u00a0MiB\"", "\"4mib\"", "\" 4MiB\""].as_slice(),
    );
    let end = (
        "\"sensor/0\"",
        [].as_slice(),
        ["\"sensor/+0\"", "\"sensor/00\"", "\"sensor/ 0\"", "\"sensor\""].as_slice(),
    );
    for (good, right, wrong) in [size, end] {
        let all = right.iter().map(|text| (text, true));
        for (spelling, right) in all.chain(wrong.iter().map(|text| (text, false))) {
            let slip = [(good, *spelling)];
            let text = slips::with(&slip);
            let document: serde_json::Value = toml::from_str(&text).expect("TOML");
            let reader = slips::errors(&slip).1.is_empty();
            let verifier = verify::manifest::Manifest::read(&text).is_ok();
            let answers = [reader, validator.is_valid(&document), verifier];
            assert_eq!(answers, [right; 3], "{spelling}: reader, schema, verifier");
        }
    }
    for (spelling, right) in [
        ("\"100ms\"", true),
        ("\"5 s\"", true),
        ("\"7us\"", true),
        ("\"1min\"", true),
        ("\"1h\"", false),
        ("\"1.5s\"", false),
        ("\"-1s\"", false),
        ("\"1\"", false),
        ("\"1ms \"", false),
        ("1", false),
    ] {
        let text =
            format!("restart = {{ limit = 1, delay = {spelling}, within = \"9min\" }}\nimage");
        let slip = [("image", text.as_str())];
        let text = slips::with(&slip);
        let document: serde_json::Value = toml::from_str(&text).expect("TOML");
        let reader = slips::errors(&slip).1.is_empty();
        let verifier = verify::manifest::Manifest::read(&text).is_ok();
        let answers = [reader, validator.is_valid(&document), verifier];
        assert_eq!(answers, [right; 3], "{spelling}: reader, schema, verifier");
    }
    // Values that the verifier's reader leaves to the planner's.
    for (good, wrong) in [
        ("image", "command-line = \"a\\u0085b\"\nimage"),
        ("bytes", "rate = [{ per-second = 1, burst = 0 }, { per-second = 1, burst = 1 }]\nbytes"),
        (
            "bytes",
            "rate = [{ per-second = 5000000000, burst = 1 }, { per-second = 1, burst = 1 }]\nbytes",
        ),
    ] {
        let slip = [(good, wrong)];
        let document: serde_json::Value = toml::from_str(&slips::with(&slip)).expect("TOML");
        assert!(!validator.is_valid(&document), "{wrong}");
        assert!(!slips::errors(&slip).1.is_empty(), "{wrong}");
    }
}
