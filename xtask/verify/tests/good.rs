//! Good images verify, quickly, and the verifier shares no code with the program that made them.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

#[test]
fn every_system_verifies() {
    let systems = support::systems();
    assert!(systems.len() >= 4, "duo, chaos, garbage, full");
    for good in systems {
        let start = Instant::now();
        let proof = bulkhead_verify::verify(&good.image, &good.inputs);
        assert!(proof.holds(), "{}:\n{proof}", good.name);
        println!("{}: verified in {:?}", good.name, start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn the_report_says_who_reaches_what() {
    let good = support::full();
    let proof = bulkhead_verify::verify(&good.image, &good.inputs);
    let text = proof.to_string();
    for words in [
        "alpha rw-, beta r--",
        "pages of channel both, alpha/0 to beta/0",
        "gamma rwx",
        "alpha rw- cores 1 3 4 rw- at load device uart1",
        "EL2's state of beta",
        "every core r-x",
        "the redistributor of core 7",
        "everything holds",
    ] {
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed(&text).contains(&squeezed(words)), "{words} in\n{text}");
    }
    let json = proof.json().expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let ranges = json["ranges"].as_array().expect("ranges");
    assert_eq!(ranges.len(), proof.ranges.len());
    // A range that two partitions can access is a channel, with one writer.
    for range in ranges {
        let guests = range["guests"].as_array().expect("guests");
        assert!(guests.len() <= 2);
        if guests.len() == 2 {
            let writers = guests.iter().filter(|g| g["rights"] == "rw-").count();
            let readers = guests.iter().filter(|g| g["rights"] == "r--").count();
            assert_eq!((writers, readers), (1, 1), "{range}");
        }
    }
}

/// A device that no SMMU confines is named where the manifest trusts it. It is refused where the
/// manifest does not, or where guest and physical addresses differ.
#[test]
fn devices_with_dma_are_named() {
    let good = support::trusted();
    let proof = bulkhead_verify::verify(&good.image, &good.inputs);
    let named = "device virtio0 of alpha: it writes memory by DMA and reaches all of RAM";
    assert!(proof.holds(), "{proof}");
    assert_eq!(proof.trusted, [named]);
    assert!(proof.to_string().contains("trusted, not proven: device virtio0"));
    assert!(proof.json().expect("JSON").contains(named));

    let mut inputs = good.inputs.clone();
    inputs.manifest.partition[0].dma = None;
    let refusal = bulkhead_verify::verify(&good.image, &inputs).refusal();
    assert!(refusal.contains("no SMMU that confines it"), "{refusal}");

    let mut system = good.system;
    system.partitions[0].memory[0].physical = None;
    let image = support::compile(&system, |_, _| ());
    let refusal = bulkhead_verify::verify(&image, &good.inputs).refusal();
    assert!(
        refusal.contains("device virtio0 uses guest addresses as physical addresses"),
        "{refusal}"
    );
}

/// Each file of an image is compared with its bytes.
#[test]
fn files_beside_the_program_are_compared() {
    let mut good = support::trusted();
    let program = &mut good.inputs.programs[0];
    assert_eq!(program.pieces[1].ipa, 0x5010_0000);
    program.pieces[1].bytes[3] ^= 1;
    let refusal = bulkhead_verify::verify(&good.image, &good.inputs).refusal();
    assert!(refusal.contains("byte 0x3 of its image"), "{refusal}");
    good.inputs.programs[0].pieces.pop();
    let refusal = bulkhead_verify::verify(&good.image, &good.inputs).refusal();
    assert!(refusal.contains("the manifest does not declare this load"), "{refusal}");
}

#[test]
fn a_machine_can_be_held_against_it() {
    let good = support::duo();
    let (_, expected) = bulkhead_verify::expectations(&good.image, &good.inputs);
    let expected = expected.expect("the proof holds");
    assert_eq!(expected.cores.len(), 3);
    let registers = &expected.cores[2].registers;
    let hcr = registers.iter().find(|(name, _)| *name == "HCR_EL2");
    assert_eq!(hcr.expect("HCR_EL2").1 & (1 << 19 | 1), 1 << 19 | 1);
    let plan = expected.memory.iter().find(|m| m.what == "the plan").expect("the plan");
    let inside =
        |table: &&u64| **table >= plan.base && **table < plan.base + plan.bytes.len() as u64;
    assert!(
        !expected.tables.is_empty()
            && expected.tables.iter().filter(inside).count() == expected.tables.len()
    );
    assert!(plan.place().starts_with("0x"));

    let mut image = good.image;
    let tree = support::Parts::of(&image).trees()[0].start;
    image[tree + 60] ^= 1;
    assert!(bulkhead_verify::expectations(&image, &good.inputs).1.is_none());
}

/// Returns the crates that `package` is built of, itself included, as Cargo resolves them: name,
/// and whether the crate is this project's. Crates that only its tests need are left out.
fn built_of(package: &str) -> BTreeSet<(String, bool)> {
    let cargo = std::env::var_os("CARGO").expect("tests run under cargo");
    let run = |arguments: &[&str]| {
        let output = Command::new(&cargo).args(arguments).output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let version = run(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("the host");
    let arguments = ["metadata", "--format-version=1", "--locked", "--offline"];
    let text = run(&[&arguments[..], &["--filter-platform", host]].concat());
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    let packages: BTreeMap<_, _> =
        list(&metadata["packages"]).iter().map(|p| (text_of(&p["id"]), p)).collect();
    let nodes: BTreeMap<_, _> =
        list(&metadata["resolve"]["nodes"]).iter().map(|n| (text_of(&n["id"]), n)).collect();
    let start = packages.iter().find(|(_, p)| text_of(&p["name"]) == package).expect("the package");
    let mut seen = BTreeSet::from([*start.0]);
    let mut open = vec![*start.0];
    while let Some(id) = open.pop() {
        let is_built = |kind: &Value| kind["kind"] != "dev";
        let needed = list(&nodes[id]["deps"]).iter();
        let needed = needed.filter(|dep| list(&dep["dep_kinds"]).iter().any(is_built));
        for id in needed.map(|dep| text_of(&dep["pkg"])) {
            if seen.insert(id) {
                open.push(id);
            }
        }
    }
    let named = |id| (text_of(&packages[id]["name"]).to_owned(), packages[id]["source"].is_null());
    seen.into_iter().map(named).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text_of(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// Of this project's crates the verifier uses only the plan's types: not the planner, not the
/// manifest reader. It also does not use the library that writes device trees.
#[test]
fn the_verifier_is_independent() {
    let crates = built_of("bulkhead-verify");
    let names: BTreeSet<_> = crates.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains("bulkhead-plan") && names.contains("fdt"));
    let own: Vec<_> =
        crates.iter().filter(|(_, own)| *own).map(|(name, _)| name.as_str()).collect();
    assert_eq!(own, ["bulkhead-plan", "bulkhead-verify"]);
    for other in ["bulkhead-planner", "bulkhead-manifest", "dtoolkit"] {
        assert!(!names.contains(other), "the verifier is built of {other}");
    }
    let source = include_str!("../src/lib.rs");
    assert!(source.contains("#![forbid(unsafe_code)]"));
}

/// The test above can fail: it sees the planner's crates, and those that they are built of.
#[test]
fn the_planner_is_not() {
    let crates = built_of("bulkhead-planner");
    for (name, own) in [("bulkhead-manifest", true), ("dtoolkit", false), ("toml", false)] {
        assert!(crates.contains(&(name.to_owned(), own)), "{name}");
    }
}

/// A manifest that the planner's reader knows and this one does not is refused as a whole.
#[test]
fn nothing_unknown_is_read_over() {
    let text = "board = \"qemu-virt\"\nconsole-core = 0\n[[partition]]\nname = \"a\"\n\
                vcpus = [{ core = 0, class = \"comm\" }]\nmemory = [{ size = \"2MiB\" }]\n\
                image = { raw = \"a\", load = 0x4000_0000 }\n";
    support::manifest(text).expect("a good manifest");
    for (more, words) in [
        ("secret = true\n", "unknown field `secret`"),
        ("devices = [\"disk\"]\n", "no device disk"),
        ("console = \"no\"\n", "invalid type"),
        (
            "[[channel]]\nname = \"c\"\nends = [\"a/0\", \"b/0\"]\nbytes = [0, 0]\n",
            "no vCPU \"b/0\"",
        ),
        (
            "[[channel]]\nname = \"c\"\nends = [\"a/0\", \"a/1\"]\nbytes = [0, 0]\n",
            "no vCPU \"a/1\"",
        ),
    ] {
        let error = support::manifest(&format!("{text}{more}")).expect_err(more);
        assert!(format!("{error:#}").contains(words), "{error:#}");
    }
    for (from, to, words) in [
        ("core = 0,", "core = 9,", "no core 9"),
        ("raw = \"a\", ", "", "names no file, or several"),
        ("2MiB", "2MB", "a size is a number of bytes"),
        ("\"comm\"", "\"fast\"", "unknown variant `fast`"),
        (", load = 0x4000_0000", "", "a raw file needs `load`"),
    ] {
        let error = support::manifest(&text.replacen(from, to, 1)).expect_err(to);
        assert!(format!("{error:#}").contains(words), "{error:#}");
    }
}
