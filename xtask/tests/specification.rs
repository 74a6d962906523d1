//! Checks docs/SPECIFICATION.md: every claim has its evidence, all evidence exists, and nothing is
//! left out.

use std::collections::BTreeSet;
use std::path::Path;

use manifest::rules::RULES;
use runner::workspace::root;

/// A numbered claim.
struct Claim {
    number: u32,
    /// The sentence.
    says: String,
    /// Its evidence: kind and name. None if it is marked as not tested.
    evidence: Option<Vec<(String, String)>>,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the claims of a page: each is an item of a numbered list, up to the next item or
/// heading.
fn claims(page: &str) -> Vec<Claim> {
    let mut items: Vec<(u32, String)> = Vec::new();
    let mut open = false;
    for line in page.lines() {
        let number = line.split_once(". ").and_then(|(n, _)| n.parse().ok());
        match number {
            Some(number) => items.push((number, String::new())),
            None if line.starts_with('#') => open = false,
            None => {}
        }
        open |= number.is_some();
        if let (true, Some((_, text))) = (open, items.last_mut()) {
            text.push_str(line.trim());
            text.push(' ');
        }
    }
    items.iter().map(|(number, text)| claim(*number, text)).collect()
}

fn claim(number: u32, text: &str) -> Claim {
    let (_, text) = text.split_once(". ").expect("an item's number");
    let (says, evidence) = match (text.split_once("Held by "), text.split_once("Not tested: ")) {
        (Some((says, list)), None) => {
            // Backticks are around every other piece.
            let names = list.split('`').skip(1).step_by(2);
            let pair = |name: &str| {
                let (kind, name) = name
                    .split_once(' ')
                    .unwrap_or_else(|| panic!("claim {number}: `{name}` has no kind"));
                (kind.to_owned(), name.to_owned())
            };
            (says, Some(names.map(pair).collect()))
        }
        (None, Some((says, reason))) => {
            assert!(reason.len() > 20, "claim {number}: not tested, and no reason");
            (says, None)
        }
        _ => panic!("claim {number}: one of `Held by` and `Not tested:`, once"),
    };
    Claim { number, says: says.trim().to_owned(), evidence }
}

fn page() -> Vec<Claim> {
    claims(&read("docs/SPECIFICATION.md"))
}

/// Names that the page gives for one kind of evidence.
fn named(kind: &str) -> BTreeSet<String> {
    let pairs = page().into_iter().filter_map(|claim| claim.evidence);
    let of_kind = pairs.flatten().filter(|(k, _)| k == kind);
    of_kind.map(|(_, name)| name).collect()
}

/// The words of the verifier's claims, from its source.
fn verifier() -> BTreeSet<String> {
    let source = read("xtask/verify/src/finding.rs");
    let (_, words) = source.split_once("fn word(").expect("its words");
    let (words, _) = words.split_once("\n    }\n").expect("their end");
    let words = words.split('"').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// Returns why a function at `FILE::NAME` is not a test, if it is not.
fn no_test(name: &str) -> Option<&'static str> {
    let Some((file, function)) = name.split_once("::") else {
        return Some("FILE::NAME is wanted");
    };
    let Ok(source) = std::fs::read_to_string(root().join(file)) else {
        return Some("there is no such file");
    };
    let Some(at) = source.find(&format!("fn {function}(")) else {
        return Some("there is no such function");
    };
    let (before, _) = source.split_at(at);
    match before.rsplit_once("#[test]") {
        Some((_, between)) if !between.contains("fn ") => None,
        _ => Some("the function is not a test"),
    }
}

#[test]
fn numbers_rise_and_sentences_are_one() {
    let claims = page();
    assert!(claims.len() >= 50, "{} claims", claims.len());
    for (claim, number) in claims.iter().zip(1..) {
        assert_eq!(claim.number, number, "claims are numbered from 1 on");
        let says = &claim.says;
        let sentences = says.matches(". ").count() + usize::from(says.ends_with('.'));
        assert_eq!(sentences, 1, "claim {number} is not one sentence: {says}");
        let evidence = claim.evidence.as_ref();
        assert!(evidence.is_none_or(|list| !list.is_empty()), "claim {number}");
    }
}

#[test]
fn what_is_named_exists() {
    let cases: BTreeSet<_> = system_tests::cases().iter().map(|case| case.name).collect();
    let checks = ["hil.rs", "host.rs", "serial.rs", "shipped.rs", "silicon.rs", "mod.rs"]
        .map(|file| read(&format!("xtask/src/test/{file}")));
    let mut missing = Vec::new();
    for claim in page() {
        for (kind, name) in claim.evidence.into_iter().flatten() {
            let lacks = match kind.as_str() {
                "verify" => {
                    (!verifier().contains(&name)).then_some("the verifier claims no such thing")
                }
                "case" => (!cases.contains(name.as_str())).then_some("there is no such case"),
                "rule" => {
                    (!RULES.iter().any(|rule| rule.id == name)).then_some("there is no such rule")
                }
                "fuzz" => (!root().join(format!("fuzz/fuzz_targets/{name}.rs")).is_file())
                    .then_some("there is no such target"),
                "check" => (!checks.iter().any(|file| file.contains(&format!("\"{name}\""))))
                    .then_some("there is no such check"),
                "test" => no_test(&name),
                _ => Some("no kind of evidence"),
            };
            missing
                .extend(lacks.map(|why| format!("claim {}: `{kind} {name}`: {why}", claim.number)));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn nothing_is_left_out() {
    let unnamed = |kind: &str, all: BTreeSet<String>| {
        let left: Vec<_> = all.difference(&named(kind)).cloned().collect();
        assert!(left.is_empty(), "no claim of docs/SPECIFICATION.md names `{kind}` {left:?}");
    };
    unnamed("verify", verifier());
    let cases: BTreeSet<_> =
        system_tests::cases().iter().map(|case| case.name.to_owned()).collect();
    unnamed("case", cases);
    let targets = std::fs::read_dir(root().join("fuzz/fuzz_targets")).expect("the targets");
    let targets: BTreeSet<_> = targets
        .filter_map(|entry| {
            let name = entry.expect("an entry").path();
            Some(name.file_stem()?.to_str()?.to_owned())
        })
        .collect();
    unnamed("fuzz", targets);
}

/// The documentation's first page links to the page.
#[test]
fn the_page_is_linked() {
    assert!(Path::new(&root().join("docs/SPECIFICATION.md")).is_file());
    assert!(read("docs/README.md").contains("(SPECIFICATION.md)"));
}

/// These tests can fail.
#[test]
fn what_is_wrong_is_seen() {
    let text = "1. A.\n   Held by `test a.rs::b`,\n   `case c`.\n\n## Other\n\nText.\n\n2. B.\n   \
                Not tested: because nobody wrote it yet.\n";
    let two = claims(text);
    assert_eq!(two.len(), 2);
    assert_eq!((two[0].says.as_str(), two[1].says.as_str()), ("A.", "B."));
    let pair = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    let evidence = vec![pair("test", "a.rs::b"), pair("case", "c")];
    assert_eq!(two[0].evidence, Some(evidence));
    assert!(two[1].evidence.is_none());
    let here = "xtask/tests/specification.rs";
    assert_eq!(no_test(&format!("{here}::the_page_is_linked")), None);
    assert!(no_test(&format!("{here}::claims")).is_some());
    assert!(no_test(&format!("{here}::absent")).is_some());
    assert!(verifier().contains("stage2") && verifier().len() > 10);
}
