//! Tests of the manifest reader: shipped systems, programs, and one bad manifest a rule.

use std::path::{Path, PathBuf};

use super::*;
use crate::system::Range;

/// An ELF file for `machine`; each segment has 16 bytes of file at its address and fills the given size there.
fn elf(machine: u16, segments: &[(u64, u64)]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, values: &[u16]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    let word = |file: &mut Vec<u8>, values: &[u64]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    // ET_EXEC, version 1; entry, program headers at 64, no sections; flags 0; sizes and numbers of headers.
    half(&mut file, &[2, machine, 1, 0]);
    word(&mut file, &[segments.first().map_or(0, |(address, _)| *address), 64, 0]);
    half(&mut file, &[0, 0, 64, 56, segments.len() as u16, 0, 0, 0]);
    let data = 64 + 56 * segments.len() as u64;
    for (address, size) in segments {
        // PT_LOAD, R+X; offset, virtual and physical address, sizes in file and memory, alignment.
        half(&mut file, &[1, 0, 5, 0]);
        word(&mut file, &[data, *address, *address, 16, *size, 16]);
    }
    file.extend(*b"sixteen bytes...");
    file
}

/// An arm64 Image of 64 bytes with the given flags, which fills 1 MiB from 0 bytes behind a multiple of 2 MiB.
fn kernel(flags: u64) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[16..24].copy_from_slice(&(1u64 << 20).to_le_bytes());
    file[24..32].copy_from_slice(&flags.to_le_bytes());
    file[56..60].copy_from_slice(b"ARM\x64");
    file
}

/// Writes the files that the bad manifests name, and answers the folder a manifest would lie in.
fn files(name: &str) -> PathBuf {
    let folder = scratch(name);
    let program = elf(183, &[(0x4008_0000, 32)]);
    let mut narrow = program.clone();
    narrow[4] = 1;
    let mut zboot = b"MZ\0\0zimg".to_vec();
    zboot.resize(64, 0);
    std::fs::create_dir_all(folder.join("files")).expect("the temporary folder can be written");
    for (file, bytes) in [
        ("program.elf", program.clone()),
        ("32-bit.elf", narrow),
        ("x86-64.elf", elf(62, &[(0x4008_0000, 32)])),
        ("cut.elf", program[..130].to_vec()),
        ("no-segment.elf", elf(183, &[])),
        ("bss-64MiB.elf", elf(183, &[(0x4008_0000, 32), (0x4100_0000, 64 << 20)])),
        ("overlap.elf", elf(183, &[(0x4008_0000, 4096), (0x4008_0800, 16)])),
        ("program.bin", vec![0x1f; 4096]),
        ("64KiB.bin", vec![0; 65536]),
        ("empty.bin", Vec::new()),
        ("Image", kernel(0)),
        ("Image.be", kernel(1)),
        ("Image.gz", b"\x1f\x8b\x08".to_vec()),
        ("vmlinuz.efi", zboot),
    ] {
        let written = std::fs::write(folder.join("files").join(file), bytes);
        written.expect("the temporary folder can be written");
    }
    folder
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
        .to_owned()
}

/// A folder for this test's files.
fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("bulkhead-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder
}

#[test]
fn duo_is_read_whole() {
    let file = scratch("duo").join("guest.elf");
    std::fs::write(&file, elf(183, &[(0x4008_0000, 32)])).expect("the temporary folder can be written");
    let mut built = Vec::new();
    let mut guests = |name: &str| {
        built.push(name.to_owned());
        Ok(file.clone())
    };
    let system = load(&root(), "duo", &mut guests).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(built, ["sensor", "control"]);
    assert_eq!(system.name, "duo");
    assert_eq!(system.console_core, 2);
    assert_eq!(system.at_end, plan::END_POWER_OFF);

    let board = &system.board;
    assert_eq!(board.name, "qemu-virt");
    assert_eq!(
        board.ram,
        [Range {
            base: 0x4000_0000,
            size: 1 << 30
        }]
    );
    assert_eq!((board.gic.version, board.gic.gicd.base), (3, 0x0800_0000));
    assert_eq!(
        board.uart,
        (
            Range {
                base: 0x0900_0000,
                size: 0x1000
            },
            33
        )
    );

    let [sensor, control] = system.partitions.as_slice() else {
        panic!("two partitions")
    };
    let cores: Vec<_> = sensor
        .vcpus
        .iter()
        .map(|vcpu| (vcpu.core, vcpu.class))
        .collect();
    assert_eq!(cores, [(0, plan::CLASS_COMM), (1, plan::CLASS_COMPUTE)]);
    assert_eq!(
        (control.name.as_str(), control.vcpus[0].core),
        ("control", 2)
    );
    assert_eq!(
        (control.memory[0].ipa, control.memory[0].size),
        (0x4000_0000, 32 << 20)
    );
    assert_eq!(control.image.entry, 0x4008_0000);
    let [segment] = control.image.segments.as_slice() else {
        panic!("one segment")
    };
    assert_eq!((segment.ipa, segment.clear), (0x4008_0000, 16));
    assert_eq!(segment.bytes, b"sixteen bytes...");
    assert!(control.console && control.interrupts.is_empty());

    let [channel] = system.channels.as_slice() else {
        panic!("one channel")
    };
    let ends: Vec<_> = channel
        .ends
        .iter()
        .map(|end| (end.partition, end.vcpu, end.bytes, end.rate))
        .collect();
    assert_eq!(ends, [(0, 0, 64 << 10, 10_000), (1, 0, 16 << 10, 10_000)]);
}

/// The folder of bad manifests.
fn bad() -> PathBuf {
    root().join("tests/manifests")
}

/// What is wrong with the manifest of `rule`; the files it names are in `folder`.
fn errors_of(rule: &str, folder: &Path) -> Option<Errors> {
    let file = bad().join(format!("{rule}.toml"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    // chaos stands for a guest that does not build.
    let mut guests = |name: &str| match name {
        "chaos" => Err(anyhow::anyhow!("cargo build failed")),
        _ => Ok(folder.join("files/program.elf")),
    };
    let findings = read(&root(), &folder.join("bad.toml"), &text, &mut guests).err()?;
    Some(Errors::new(format!("tests/manifests/{rule}.toml"), text, findings))
}

/// Every rule's bad manifest breaks that rule and gives exactly the text beside it.
/// With BLESS=1 in the environment the texts are written instead; read them before you commit them.
#[test]
fn every_rule_has_its_exact_message() {
    let folder = files("rules");
    let bless = std::env::var_os("BLESS").is_some();
    let mut failures = Vec::new();
    for rule in RULES {
        let Some(errors) = errors_of(rule.id, &folder) else {
            failures.push(format!("{}: the manifest is accepted", rule.id));
            continue;
        };
        if !errors.rules().any(|id| id == rule.id) {
            failures.push(format!("{}: not found, but this:\n{errors}", rule.id));
        }
        let expected = bad().join(format!("{}.txt", rule.id));
        let text = format!("{errors}\n");
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
    let folder = files("ids");
    for rule in RULES {
        for id in errors_of(rule.id, &folder).iter().flat_map(Errors::rules) {
            assert!(RULES.iter().any(|rule| rule.id == id), "{id} is no rule");
        }
    }
}

/// No bad manifest without its rule, and docs/manifest.md has each rule's line, in this order, and no other.
#[test]
fn rules_files_and_reference_agree() {
    for file in names(&bad()) {
        let stem = file.trim_end_matches(".toml").trim_end_matches(".txt");
        assert!(RULES.iter().any(|rule| rule.id == stem), "tests/manifests/{file} has no rule");
    }
    let page = std::fs::read_to_string(root().join("docs/manifest.md")).expect("the reference");
    let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("- `")).collect();
    let rules: Vec<String> =
        RULES.iter().map(|rule| format!("- `{}`: {}", rule.id, rule.says)).collect();
    assert_eq!(listed, rules);
}
