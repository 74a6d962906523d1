// SPDX-License-Identifier: MIT OR Apache-2.0
//! Licences and sources of every dependency against deny.toml, without cargo-deny: cargo's metadata
//! has both.

use runner::workspace::root;
use serde_json::Value;
use std::process::Command;

/// Where dependencies may come from: this repository, or one registry. cargo-deny checks which.
const REGISTRY: &str = "registry+";

/// Whether an SPDX expression (or the older form with `/` for OR) can be met with allowed licences.
fn allowed(expression: &str, licences: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let result = any(&words, &mut at, licences);
    result && at == words.len()
}

/// Parses alternatives.
fn any(words: &[&str], at: &mut usize, licences: &[String]) -> bool {
    let mut result = all(words, at, licences);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        result |= all(words, at, licences);
    }
    result
}

/// Parses licences that must be met together.
fn all(words: &[&str], at: &mut usize, licences: &[String]) -> bool {
    let mut result = one(words, at, licences);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        result &= one(words, at, licences);
    }
    result
}

/// Parses one licence, with its exception, or an expression in parentheses.
fn one(words: &[&str], at: &mut usize, licences: &[String]) -> bool {
    let Some(word) = words.get(*at) else {
        return false;
    };
    *at += 1;
    if *word == "(" {
        let result = any(words, at, licences);
        *at += 1;
        return result;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name += &format!(" WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    licences.contains(&name)
}

/// A list of strings in deny.toml's tables.
fn strings(value: &toml::Value) -> Vec<String> {
    let list = value.as_array().expect("a list");
    let texts = list.iter().map(|v| v.as_str().expect("a string").to_owned());
    texts.collect()
}

#[test]
fn every_dependency_is_allowed() {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let deny: toml::Table = toml::from_str(&text).expect("TOML");
    let licences = &deny["licenses"];
    let general = strings(&licences["allow"]);
    let exceptions = licences["exceptions"].as_array().expect("a list");
    // Only dependencies that are built are read: crates for other systems need not be downloaded.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .args(["--filter-platform", runner::build::TARGET])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let mut wrong = Vec::new();
    let mut registry = None;
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let own = exceptions.iter().filter(|e| e["crate"].as_str() == Some(name));
        let mut list = general.clone();
        list.extend(own.flat_map(|exception| strings(&exception["allow"])));
        let expression = package["license"].as_str().unwrap_or("none");
        if !allowed(expression, &list) {
            wrong.push(format!("{name}: deny.toml does not allow its licence, {expression}"));
        }
        let source = package["source"].as_str();
        if source.is_some_and(|source| {
            !source.starts_with(REGISTRY) || *registry.get_or_insert(source) != source
        }) {
            wrong.push(format!("{name}: deny.toml does not allow its source, {source:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(packages.len() > 50, "{} packages", packages.len());
}

/// These checks can fail.
#[test]
fn expressions_are_read_as_they_are_meant() {
    let list = ["MIT", "Unicode-3.0", "Apache-2.0"].map(str::to_owned);
    for good in [
        "MIT",
        "GPL-2.0 OR MIT",
        "GPL-2.0/MIT",
        "(MIT OR GPL-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR Apache-2.0",
    ] {
        assert!(allowed(good, &list), "{good}");
    }
    for bad in [
        "none",
        "",
        "GPL-2.0",
        "MIT AND GPL-2.0",
        "(MIT OR Apache-2.0) AND GPL-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "MIT garbage",
    ] {
        assert!(!allowed(bad, &list), "{bad}");
    }
}
