//! Replays the seeds on any toolchain without libFuzzer, and variants of them. So a target that
//! cannot fail is noticed without the engine.

use std::path::{Path, PathBuf};

use bulkhead_fuzz::TARGETS;
use bulkhead_fuzz::tree::{Answer, Checked};

fn fuzz() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A target's seeds in the order of their names.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("seeds").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        (path, bytes)
    };
    files.into_iter().map(read).collect()
}

/// Every target has seeds, and each seed passes.
#[test]
fn every_seed_passes() {
    for target in TARGETS {
        let seeds = seeds(target.name);
        assert!(seeds.len() > 2, "{} has no seeds", target.name);
        for (_, seed) in seeds {
            (target.run)(&seed);
        }
    }
}

/// Every seed that was cut short passes, and every one with a byte changed at a few places.
#[test]
fn damaged_seeds_pass() {
    for target in TARGETS {
        for (_, seed) in seeds(target.name).into_iter().take(12) {
            for part in 1..4 {
                let at = seed.len() * part / 4;
                (target.run)(&seed[..at]);
                let mut changed = seed.clone();
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= 1 << part;
                }
                (target.run)(&changed);
            }
        }
    }
}

/// A program for libFuzzer, a row of `TARGETS` and a folder of seeds go together.
#[test]
fn every_target_is_whole() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    for (folder, end) in [("fuzz_targets", ".rs"), ("seeds", "")] {
        let entries = std::fs::read_dir(fuzz().join(folder)).expect("its folder");
        let mut found: Vec<_> = entries
            .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
            .map(|name| name.trim_end_matches(end).to_owned())
            .collect();
        found.sort();
        assert_eq!(found, names, "fuzz/{folder}");
    }
}

/// EL2 reads on after the version in each seed of `plan`. With BLESS=1 in the environment the seeds
/// are written from good images instead.
#[test]
fn plans_have_todays_version() {
    let folder = fuzz().join("seeds/plan");
    if std::env::var_os("BLESS").is_some() {
        for (name, page) in bulkhead_fuzz::plan::good() {
            std::fs::write(folder.join(name), &page).expect("the folder can be written");
            std::fs::write(folder.join("header"), &page[..12]).expect("likewise");
        }
    }
    for (path, seed) in seeds("plan") {
        let version = u32::from_le_bytes(*seed[8..].first_chunk().expect("a version"));
        assert_eq!(version, plan::VERSION, "{}: run this test with BLESS=1", path.display());
    }
}

/// The scan of the boot device tree distinguishes machines: a seed that matches the plan, and seeds
/// that are refused.
#[test]
fn boot_trees_are_told_apart() {
    let answer = |name: &str| {
        let (_, seed) = seeds("tree")
            .into_iter()
            .find(|(path, _)| path.ends_with(name))
            .unwrap_or_else(|| panic!("no seed {name}"));
        bulkhead_fuzz::tree::answer(&seed)
    };
    // The second has its devices on a bus with a separate address space, and a node whose only
    // child was removed.
    for name in ["virt.dtb", "bus.dtb"] {
        assert_eq!(
            answer(name),
            Answer::Covers(Checked {
                nonce: 0x0123_4567_89ab_cdef,
                frequency: 0,
                ..Checked::default()
            }),
            "{name}"
        );
    }
    // The RAM disk is reserved twice, and in the plan's RAM.
    assert_eq!(
        answer("reserved.dtb"),
        Answer::Covers(Checked {
            nonce: 0x0123_4567_89ab_cdef,
            frequency: 62_500_000,
            ..Checked::default()
        })
    );
    for (name, word) in
        [("little-memory.dtb", "RAM: "), ("few-cores.dtb", "cores: "), ("other-gic.dtb", "GIC: ")]
    {
        let Answer::Refused(line) = answer(name) else {
            panic!("{name} is not refused");
        };
        assert!(line.contains(word), "{line}");
    }
}
