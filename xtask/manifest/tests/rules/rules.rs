// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every rule: its bad manifest, its exact message, its line of the reference.

use std::path::{Path, PathBuf};

use super::el2::el2_elf;
use super::support::{files, root};
use manifest::catalogue::names;
use manifest::rules::RULES;
use manifest::{Diagnostics, read, refused};
use planner::compile;
use runner::linux;

/// The folder of bad manifests.
fn bad() -> PathBuf {
    root().join("tests/manifests")
}

/// Returns the errors of the manifest of `rule`, or its warnings; the files it names are in
/// `folder`.
fn findings_of(rule: &str, folder: &Path) -> Option<Diagnostics> {
    let file = bad().join(format!("{rule}.toml"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    // chaos plays a guest that does not build.
    let mut guests = |name: &str| match name {
        "chaos" => Err(anyhow::anyhow!("cargo build failed")),
        "debian:coreutils" => linux::file("coreutils", &linux::Overrides::default()),
        _ => Ok(folder.join("files/program.elf")),
    };
    let root = match rule {
        "device-quiesce" => without_quiesce(folder),
        _ => root(),
    };
    let findings = match read(&root, &folder.join("bad.toml"), &text, &mut guests) {
        Ok((system, warnings)) if warnings.is_empty() => {
            let error = compile(&system, &el2_elf()).err()?;
            vec![refused(&text, error.downcast_ref().expect("a misfit"))]
        }
        Ok((_, findings)) | Err(findings) => findings,
    };
    Some(Diagnostics::new(format!("tests/manifests/{rule}.toml"), text, findings))
}

/// Returns a root in `folder` whose board cannot silence its devices.
fn without_quiesce(folder: &Path) -> PathBuf {
    let from = root().join("boards/qemu-virt/board.toml");
    let board = std::fs::read_to_string(from).expect("the board");
    let (other, virtio0) = board.split_once("name = \"virtio0\"").expect("the device");
    let (before, rest) = virtio0.split_once("quiesce = [").expect("it can be silenced");
    let (_, after) = rest.split_once("\n]").expect("its end");
    let to = folder.join("boards/qemu-virt");
    std::fs::create_dir_all(&to).expect("the folder can be written");
    std::fs::write(to.join("board.toml"), format!("{other}name = \"virtio0\"{before}{after}"))
        .expect("a file");
    let guest = folder.join("guests/sensor");
    std::fs::create_dir_all(&guest).expect("the folder can be written");
    std::fs::write(guest.join("Cargo.toml"), "").expect("a file");
    folder.to_owned()
}

/// Every rule's bad manifest breaks that rule and gives exactly the text in the file next to it.
/// With BLESS=1 in the environment the texts are written instead; read them before you commit them.
#[test]
fn every_rule_has_its_exact_message() {
    let folder = files();
    let bless = std::env::var_os("BLESS").is_some();
    let mut failures = Vec::new();
    for rule in RULES {
        let Some(findings) = findings_of(rule.id, folder.path()) else {
            failures.push(format!("{}: the manifest is accepted", rule.id));
            continue;
        };
        if !findings.rules().any(|id| id == rule.id) {
            failures.push(format!("{}: not found, but this:\n{findings}", rule.id));
        }
        let expected = bad().join(format!("{}.txt", rule.id));
        let text = format!("{findings}\n");
        if bless {
            std::fs::write(&expected, text).expect("the folder can be written");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != text {
            failures.push(format!("{}: the message is now:\n{text}", rule.id));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_finding_names_a_rule() {
    let folder = files();
    for rule in RULES {
        for id in findings_of(rule.id, folder.path()).iter().flat_map(Diagnostics::rules) {
            assert!(RULES.iter().any(|rule| rule.id == id), "{id} is not a rule");
        }
    }
}

/// Each bad manifest belongs to a rule, and docs/manifest.md has one line per rule, in this order,
/// and no further lines.
#[test]
fn rules_files_and_reference_agree() {
    for file in names(&bad()) {
        let stem = file.trim_end_matches(".toml").trim_end_matches(".txt");
        assert!(RULES.iter().any(|rule| rule.id == stem), "tests/manifests/{file} has no rule");
    }
    let page = std::fs::read_to_string(root().join("docs/manifest.md")).expect("the reference");
    // An item may continue on the next line.
    let page = page.replace("\n  ", " ");
    let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("- `")).collect();
    let rules: Vec<String> =
        RULES.iter().map(|rule| format!("- `{}`: {}", rule.id, rule.says)).collect();
    assert_eq!(listed, rules);
}

proptest::proptest! {
    /// Every input is accepted or refused with a text; none causes a panic.
    #[test]
    fn no_manifest_panics(
        which in 0..RULES.len(),
        edits in proptest::collection::vec((proptest::num::usize::ANY, ".{0,3}"), 0..4),
    ) {
        let rule = RULES[which].id;
        let path = bad().join(format!("{rule}.toml"));
        let mut text = std::fs::read_to_string(path).expect("its manifest");
        for (place, piece) in edits {
            let chars: Vec<(usize, char)> = text.char_indices().collect();
            let (at, old) = chars[place % chars.len()];
            text.replace_range(at..at + old.len_utf8(), &piece);
        }
        let mut guests = |_: &str| Err(anyhow::anyhow!("nothing is built here"));
        if let Err(findings) = read(&root(), Path::new("absent/bad.toml"), &text, &mut guests) {
            let shown = Diagnostics::new("bad.toml", text, findings).render(true);
            proptest::prop_assert!(!shown.is_empty());
        }
    }
}

/// The example system and the example message of docs/manifest.md are the real ones.
#[test]
fn the_reference_shows_real_text() {
    let page = std::fs::read_to_string(root().join("docs/manifest.md")).expect("the reference");
    let duo =
        std::fs::read_to_string(root().join("boards/qemu-virt/systems/duo.toml")).expect("duo");
    let (_, example) = page.split_once("```toml\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    assert_eq!(without_comments(example), without_comments(&duo));

    let message = std::fs::read_to_string(bad().join("core-given-twice.txt")).expect("its message");
    let (message, _) = message.split_once("\n\n").expect("a message and a count");
    assert!(page.contains(message), "docs/manifest.md has another message than this:\n{message}");
}

/// Lines other than comments and blank ones; no string in them has a `#`.
fn without_comments(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim_end());
    lines.filter(|line| !line.is_empty()).collect()
}

/// One slip does not hide another: one run reports a syntax error in one table, and keys and rules
/// broken in others.
#[test]
fn errors_of_different_kinds_are_reported_together() {
    let text = r#"board = "qemu-virt"
console-core = 1

[[partition]]
name = "sensor"
vcpus = [{ core = 0, class = "comm" }
memory = [{ size = "32MiB" }]
image = { guest = "sensor" }

[[partition]]
name = "control"
vcpus = [{ core = 1, class = "compute" }]
memory = [{ size = "32MB" }]
image = { guest = "sensr" }

[[partition]]
name = "control"
vcpus = [{ core = 1, clas = "comm" }]
memory = [{ size = 4096, ipa = 5 }]

[[channel]]
name = "samples"
ends = ["sensor/0", "control/7"]
bytes = ["64KiB", "16KiB"]
"#;
    let mut guests = |_: &str| Err(anyhow::anyhow!("nothing is built here"));
    let findings = read(&root(), Path::new("bad.toml"), text, &mut guests).expect_err("errors");
    let mut rules: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    // There is no message on the vCPUs of `sensor`, which could not be read; its guest is built
    // like any other.
    let expected = [
        "bad-size",
        "channel-end-vcpu",
        "console-core-class",
        "core-given-twice",
        "guest-build",
        "guest-unknown",
        "memory-unaligned",
        "missing-key",
        "partition-name-twice",
        "syntax",
        "unknown-key",
    ];
    assert_eq!(rules, expected);
}
