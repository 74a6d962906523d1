//! Tests of the manifest reader: shipped systems, programs, and one bad manifest a rule.

use std::path::{Path, PathBuf};

use super::image::Wish;
use super::*;
use crate::system::Range;

/// An ELF file for `machine`; each segment has 16 bytes of file at its address and fills the given size there.
fn elf(machine: u16, segments: &[(u64, u64)]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, values: &[u16]| {
        values
            .iter()
            .for_each(|value| file.extend(value.to_le_bytes()));
    };
    let word = |file: &mut Vec<u8>, values: &[u64]| {
        values
            .iter()
            .for_each(|value| file.extend(value.to_le_bytes()));
    };
    // ET_EXEC, version 1; entry, program headers at 64, no sections; flags 0; sizes and numbers of headers.
    half(&mut file, &[2, machine, 1, 0]);
    word(
        &mut file,
        &[segments.first().map_or(0, |(address, _)| *address), 64, 0],
    );
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
        (
            "bss-64MiB.elf",
            elf(183, &[(0x4008_0000, 32), (0x4100_0000, 64 << 20)]),
        ),
        (
            "overlap.elf",
            elf(183, &[(0x4008_0000, 4096), (0x4008_0800, 16)]),
        ),
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
    std::fs::write(&file, elf(183, &[(0x4008_0000, 32)]))
        .expect("the temporary folder can be written");
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
    Some(Errors::new(
        format!("tests/manifests/{rule}.toml"),
        text,
        findings,
    ))
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
        assert!(
            RULES.iter().any(|rule| rule.id == stem),
            "tests/manifests/{file} has no rule"
        );
    }
    let page = std::fs::read_to_string(root().join("docs/manifest.md")).expect("the reference");
    let listed: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("- `"))
        .collect();
    let rules: Vec<String> = RULES
        .iter()
        .map(|rule| format!("- `{}`: {}", rule.id, rule.says))
        .collect();
    assert_eq!(listed, rules);
}

#[test]
fn an_unknown_system_is_named_with_what_there_is() {
    let mut none = |_: &str| -> anyhow::Result<PathBuf> { unreachable!("nothing to build") };
    let errors = load(&root(), "dou", &mut none).expect_err("there is no such system");
    let text = errors.to_string();
    assert!(
        text.contains("cannot read boards/qemu-virt/systems/dou.toml"),
        "{text}"
    );
    assert!(text.contains("help: did you mean `duo`?"), "{text}");
}

#[test]
fn a_damaged_board_file_is_shown() {
    let root = scratch("board");
    let board = root.join("boards/mine");
    std::fs::create_dir_all(&board).expect("the temporary folder can be written");
    std::fs::write(board.join("board.toml"), "start = \"bios\"\n").expect("likewise");
    let path = root.join("mine.toml");
    std::fs::write(&path, "board = \"mine\"\nconsole-core = 0\n").expect("likewise");
    let mut none = |_: &str| -> anyhow::Result<PathBuf> { unreachable!("nothing to build") };
    let errors = load(&root, path.to_str().expect("UTF-8"), &mut none).expect_err("a bad board");
    assert!(errors.rules().any(|id| id == "board-file"));
    let text = errors.to_string();
    assert!(
        text.contains("boards/mine/board.toml cannot be used"),
        "{text}"
    );
    assert!(text.contains("unknown variant `bios`"), "{text}");
}

#[test]
fn every_shipped_board_is_read() {
    for name in names(&root().join("boards")) {
        let file = root().join("boards").join(&name).join("board.toml");
        let text = std::fs::read_to_string(file).expect("a board has a board.toml");
        let board = board::read(&name, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!board.cores.is_empty() && !board.ram.is_empty() && !board.midrs.is_empty());
        for range in board.reserved {
            let end = range.base + range.size;
            let held = board
                .ram
                .iter()
                .any(|ram| range.base >= ram.base && end <= ram.base + ram.size);
            assert!(held, "{name}: {range:x?} is reserved but no RAM");
        }
    }
}

#[test]
fn an_elf_goes_to_its_physical_addresses() {
    // Linked at virtual 0xffff_0000_4008_0000, loaded at 0x4008_0000: the entry follows.
    let mut file = elf(183, &[(0x4008_0000, 32)]);
    file[24..32].copy_from_slice(&0xffff_0000_4008_0010u64.to_le_bytes());
    file[80..88].copy_from_slice(&0xffff_0000_4008_0000u64.to_le_bytes());
    let image = image::read(raw::Kind::Elf, PathBuf::new(), file, Wish::default()).expect("an ELF");
    assert_eq!(
        (image.entry, image.segments[0].ipa),
        (0x4008_0010, 0x4008_0000)
    );
}

#[test]
fn an_arm64_image_goes_behind_a_multiple_of_2_mib() {
    let mut file = kernel(0);
    file[8..16].copy_from_slice(&0x8_0000u64.to_le_bytes());
    let wish = Wish {
        memory: 0x4010_0000,
        ..Wish::default()
    };
    let image = image::read(raw::Kind::Linux, PathBuf::new(), file, wish).expect("a kernel");
    assert_eq!(image.entry, 0x4028_0000);
    assert_eq!(
        (image.segments[0].ipa, image.segments[0].clear),
        (0x4028_0000, (1 << 20) - 64)
    );
}

#[test]
fn raw_bytes_start_where_they_load_or_where_told() {
    let wish = Wish {
        load: Some(0x4008_0000),
        ..Wish::default()
    };
    let read = |wish| image::read(raw::Kind::Raw, PathBuf::new(), vec![1; 8], wish).expect("bytes");
    assert_eq!(read(wish).entry, 0x4008_0000);
    assert_eq!(
        read(Wish {
            entry: Some(0x4008_0004),
            ..wish
        })
        .entry,
        0x4008_0004
    );
}

#[test]
fn sizes_and_numbers_read_as_people_write_them() {
    use decode::parse_size;
    assert_eq!(parse_size("64KiB"), Some(64 << 10));
    assert_eq!(parse_size("1 GiB"), Some(1 << 30));
    for bad in [
        "",
        "KiB",
        "1",
        "1KB",
        "-1KiB",
        "1.5MiB",
        "99999999999999GiB",
        "0x10KiB",
    ] {
        assert_eq!(parse_size(bad), None, "{bad}");
    }
    use report::{address, bytes, nearest};
    assert_eq!(address(0), "0x0000");
    assert_eq!(address(0x1_2345_6789), "0x0001_2345_6789");
    assert_eq!(bytes(3 << 20), "3 MiB");
    assert_eq!(bytes((256 << 20) + (88 << 10)), "256.1 MiB");
    assert_eq!(bytes(5000), "5000 bytes");
    assert_eq!(
        nearest("consol-core", ["board", "console-core"]),
        Some("console-core")
    );
    assert_eq!(nearest("colour", ["name", "vcpus"]), None);
}

proptest::proptest! {
    /// A manifest may be anything: it is accepted or refused, with a text, and never a panic.
    #[test]
    fn no_manifest_panics(
        which in 0..RULES.len(),
        edits in proptest::collection::vec((proptest::num::usize::ANY, ".{0,3}"), 0..4),
    ) {
        let rule = RULES[which].id;
        let mut text = std::fs::read_to_string(bad().join(format!("{rule}.toml"))).expect("its manifest");
        for (place, piece) in edits {
            let chars: Vec<(usize, char)> = text.char_indices().collect();
            let (at, old) = chars[place % chars.len()];
            text.replace_range(at..at + old.len_utf8(), &piece);
        }
        let mut guests = |_: &str| Err(anyhow::anyhow!("nothing is built here"));
        if let Err(findings) = read(&root(), Path::new("absent/bad.toml"), &text, &mut guests) {
            proptest::prop_assert!(!Errors::new("bad.toml", text, findings).render(true).is_empty());
        }
    }
}

/// What docs/manifest.md shows is what there is: the example system and the example message.
#[test]
fn the_reference_shows_real_text() {
    let page = std::fs::read_to_string(root().join("docs/manifest.md")).expect("the reference");
    let duo =
        std::fs::read_to_string(root().join("boards/qemu-virt/systems/duo.toml")).expect("duo");
    let lines = duo
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim_end());
    let mut example = String::from("```toml\n");
    for (line, written) in lines.zip(duo.lines()) {
        // A comment's line goes, an empty one stays, but not two in a row.
        let gone = line.is_empty() && (!written.is_empty() || example.ends_with("\n\n"));
        if !gone && !(line.is_empty() && example.ends_with("```toml\n")) {
            example += line;
            example += "\n";
        }
    }
    assert!(
        page.contains(&example),
        "docs/manifest.md has another duo than this:\n{example}"
    );
    let message = std::fs::read_to_string(bad().join("core-given-twice.txt")).expect("its message");
    let (message, _) = message.split_once("\n\n").expect("a message and a count");
    assert!(
        page.contains(message),
        "docs/manifest.md has another message than this:\n{message}"
    );
}
