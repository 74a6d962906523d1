//! The schema against manifests: what it must accept and what it must refuse.

use std::path::Path;

use super::root;
use crate::manifest::names;
use crate::manifest::rules::RULES;
use crate::manifest::schema::{rules, schema};

/// A validator of the generated schema.
fn validator() -> jsonschema::Validator {
    let reference =
        std::fs::read_to_string(root().join("docs/manifest.md")).expect("the reference");
    let schema = schema(&reference).unwrap_or_else(|why| panic!("{why}"));
    jsonschema::validator_for(&schema).expect("a schema")
}

/// A manifest as an editor sees it; none if it is no TOML.
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
            let errors: Vec<_> = validator
                .iter_errors(&system)
                .map(|error| error.to_string())
                .collect();
            assert!(errors.is_empty(), "{}: {errors:?}", file.display());
            count += 1;
        }
    }
    assert!(count >= 3, "{count} systems found");
}

/// A manifest that breaks a rule of the schema's is refused by it; one that breaks another rule is well-formed.
#[test]
fn the_schema_refuses_what_its_rules_refuse_and_nothing_else() {
    let validator = validator();
    let structural: Vec<_> = rules().collect();
    let mut wrong = Vec::new();
    // What is no TOML, no schema gets to see.
    for rule in RULES.iter().filter(|rule| rule.id != "syntax") {
        let file = root()
            .join("tests/manifests")
            .join(format!("{}.toml", rule.id));
        let valid = validator.is_valid(&document(&file).expect("TOML"));
        if valid == structural.contains(&rule.id) {
            wrong.push((rule.id, valid));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
