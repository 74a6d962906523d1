// SPDX-License-Identifier: MIT OR Apache-2.0
//! A message's suggestion, followed to the letter, works.

use super::slips::{errors, slip};

/// Replacing `good` by `bad` breaks only `rule`, and the message says `suggestion`; with `followed`
/// there, the system is valid.
fn follow(good: &str, bad: &str, rule: &'static str, suggestion: &str, followed: &str) {
    let text = slip(&[(good, bad)], &[rule]);
    assert!(text.contains(suggestion), "`{suggestion}` is not in\n{text}");
    slip(&[(good, followed)], &[]);
}

const VCPUS: &str = "vcpus = [{ core = 0, class = \"comm\" }]";
const MEMORY: &str = "memory = [{ size = \"4MiB\" }]";
const IMAGE: &str = "image = { elf = \"files/program.elf\" }";

#[test]
fn sizes() {
    let size = |text: &str| format!("memory = [{{ size = {text} }}]");
    for text in ["4MB", "4M", "4mib", "4 mb", "4\\tMiB"] {
        let bad = size(&format!("\"{text}\""));
        follow(MEMORY, &bad, "bad-size", "write \"4MiB\"", MEMORY);
    }
    let plain = ["\"4194304\"", "4194304"].map(size);
    follow(MEMORY, &plain[0], "bad-size", "write 4194304 without quotes", &plain[1]);
    for text in ["\"+4MiB\"", "\"99999999999GiB\"", "\"\""] {
        let text = slip(&[(MEMORY, &size(text))], &["bad-size"]);
        assert!(text.contains("write a size such as"), "{text}");
    }
    slip(&[(MEMORY, &size("\"4 MiB\""))], &[]);
}

#[test]
fn types() {
    let cases = [
        ("core = 0", "core = \"0\"", "write 0 without quotes"),
        ("core = 0", "core = -1", "an integer from 0 to 2^64 - 1"),
        ("core = 0", "core = 99999999999999999999999", "from 0 to 2^64 - 1"),
        (IMAGE, "image = \"control\"", "an image must be a table"),
        ("bytes = [\"64KiB\", \"16KiB\"]", "bytes = \"64KiB\"", "write `bytes = [ … ]`"),
        ("image", "interrupts = [33, 40]\nimage", "an interrupt must be a table"),
        ("[[partition]]", "mixed-clusters = true\n\n[[partition]]", "text in quotes"),
    ];
    for (good, bad, suggestion) in cases {
        let (text, rules) = errors(&[(good, bad)]);
        assert!(rules.iter().all(|rule| *rule == "wrong-type"), "{text}");
        assert!(text.contains(suggestion), "`{suggestion}` is not in\n{text}");
    }
    // `[[vcpus]]` would be a table of the whole file.
    let vcpus = "vcpus = { core = 0, class = \"comm\" }";
    follow(VCPUS, vcpus, "wrong-type", "write `vcpus = [{ … }]`", VCPUS);
}

#[test]
fn channel_ends() {
    for bad in ["sensor:0", "sensor / 0", "sensor/00", "sensor/+0", "sensr", ""] {
        let bad = format!("\"{bad}\"");
        follow("\"sensor/0\"", &bad, "channel-end-form", "write `\"sensor/0\"`", "\"sensor/0\"");
    }
    let far = "\"sensor/99999999999999999999\"";
    let text = slip(&[("\"sensor/0\"", far)], &["channel-end-vcpu"]);
    assert!(text.contains("sensor has no vCPU 99999999999999999999"), "{text}");
}

#[test]
fn guest_addresses() {
    let memory = |more: &str| format!("memory = [{{ size = \"4MiB\" }}, {more}]");
    let on = memory("{ size = \"1MiB\", ipa = 0x0800_0000 }");
    let free = memory("{ size = \"1MiB\", ipa = 0x4040_0000 }");
    let after = "`ipa = 0x4040_0000` is after all of them";
    follow(MEMORY, &on, "memory-on-device", after, &free);

    let over =
        memory("{ size = \"1MiB\", ipa = 0x4010_0000 }, { size = \"1MiB\", ipa = 0x4020_0000 }");
    let apart =
        memory("{ size = \"1MiB\", ipa = 0x4040_0000 }, { size = \"1MiB\", ipa = 0x4060_0000 }");
    let text = slip(&[(MEMORY, &over)], &["memory-overlap"; 2]);
    assert!(text.contains(after) && text.contains("`ipa = 0x4060_0000`"), "{text}");
    slip(&[(MEMORY, &apart)], &[]);

    let none = memory("{ size = \"1MiB\" }, { size = \"1MiB\" }");
    let text = slip(&[(MEMORY, &none)], &["missing-key"; 2]);
    assert!(text.contains("`ipa = 0x4040_0000`") && text.contains("`ipa = 0x4060_0000`"), "{text}");

    let (text, _) =
        errors(&[(MEMORY, "memory = [{ size = \"4MiB\", ipa = 0xffff_ffff_ffff_ffff }]")]);
    assert!(text.contains("round it down: `ipa = 0xffff_ffff_ffff_f000`"), "{text}");
}

/// The memory that a partition needs is counted with its device tree.
#[test]
fn room() {
    let raw = |size: &str| {
        format!(
            "memory = [{{ size = \"{size}\" }}]\nimage = {{ raw = \"files/64KiB.bin\", load = \
             0x4000_0000 }}"
        )
    };
    let both = format!("{MEMORY}\n{IMAGE}");
    follow(
        &both,
        &raw("60KiB"),
        "image-outside-memory",
        "give sensor at least 1 MiB",
        &raw("1MiB"),
    );
    let disk = |size| format!("{}\ninitrd = \"files/64KiB.bin\"", raw(size));
    follow(&both, &disk("96KiB"), "initrd-room", "give sensor at least 1 MiB", &disk("1MiB"));
}

/// A file loaded next to the program has its own place.
#[test]
fn files_beside_the_program() {
    let image = |load: &str| {
        format!(
            "image = {{ elf = \"files/program.elf\", files = [{{ path = \"files/64KiB.bin\", load \
             = {load} }}] }}"
        )
    };
    let far = slip(&[(IMAGE, &image("0x5000_0000"))], &["image-outside-memory"]);
    assert!(far.contains("^^^^^^^^^^^ the file is 0x5000_0000"), "{far}");
    let over = slip(&[(IMAGE, &image("0x4008_0000"))], &["image-overlap"]);
    assert!(over.contains("^^^^^^^^^^^ segment 0 is 0x4008_0000"), "{over}");
    assert!(over.contains("help: load it at an address that is free"), "{over}");
    slip(&[(IMAGE, &image("0x4010_0000"))], &[]);
    let empty = image("0x4010_0000").replace("64KiB", "empty");
    slip(&[(IMAGE, &empty)], &["image-file"]);
}

/// A program that does not fit is reported once, and not when the memory itself is wrong.
#[test]
fn memory_that_is_wrong() {
    slip(&[(MEMORY, "memory = [{ size = 32 }]")], &["memory-unaligned"]);
    slip(&[(MEMORY, "memory = [{ size = 0 }]")], &["memory-empty"]);
    let far = "memory = [{ size = \"4MiB\", ipa = 0x5000_0000 }]";
    slip(&[(MEMORY, far)], &["image-outside-memory"]);
}

#[test]
fn files_that_are_no_manifests() {
    let folder = super::support::scratch();
    let file = folder.path().join("latin.toml");
    std::fs::write(&file, b"board = \"qemu-virt\"\n# caf\xe9\n")
        .expect("the folder can be written");
    let mut none = |_: &str| -> anyhow::Result<std::path::PathBuf> { unreachable!("no guest") };
    let mut told = |spec: &str| {
        let errors = manifest::load(&super::support::root(), spec, &mut none);
        errors.expect_err("an error").to_string()
    };
    let text = told(file.to_str().expect("UTF-8"));
    assert!(text.contains("is not UTF-8 from line 2, byte 25"), "{text}");
    for spec in ["duo.toml", "boards/qemu-virt/systems/duo", "dou"] {
        let text = told(spec);
        assert!(text.contains("help: did you mean `duo`?"), "{text}");
    }
}
