// SPDX-License-Identifier: MIT OR Apache-2.0
//! One slip is one error, and does not hide another.

use super::el2::el2_elf;
use super::support::{files, root};
use manifest::{Diagnostics, read, refused};
use planner::compile;

/// A system without a slip.
const GOOD: &str = r#"board = "qemu-virt"
console-core = 0

[[partition]]
name = "sensor"
vcpus = [{ core = 0, class = "comm" }]
memory = [{ size = "4MiB" }]
image = { elf = "files/program.elf" }

[[partition]]
name = "control"
vcpus = [{ core = 1, class = "comm" }]
memory = [{ size = "4MiB" }]
image = { elf = "files/program.elf" }

[[channel]]
name = "samples"
ends = ["sensor/0", "control/0"]
bytes = ["64KiB", "16KiB"]
"#;

/// Returns the system after the first occurrence of each text of `slips` has been replaced.
pub fn with(slips: &[(&str, &str)]) -> String {
    let mut text = GOOD.to_owned();
    for (good, slip) in slips {
        assert!(text.contains(good), "{good}");
        text = text.replacen(good, slip, 1);
    }
    text
}

/// Returns the errors and their rules in the system with `slips`.
pub fn errors(slips: &[(&str, &str)]) -> (String, Vec<&'static str>) {
    let text = with(slips);
    let folder = files();
    let mut guests = |_: &str| Err(anyhow::anyhow!("nothing is built here"));
    let path = folder.path().join("bad.toml");
    let findings = match read(&root(), &path, &text, &mut guests) {
        Err(findings) => findings,
        Ok((system, _)) => match compile(&system, &el2_elf()) {
            Ok(_) => return (String::new(), Vec::new()),
            Err(error) => vec![refused(&text, error.downcast_ref().expect("a misfit"))],
        },
    };
    let found = Diagnostics::new("bad.toml", text, findings);
    (found.to_string(), found.rules().collect())
}

/// Checks that the slips give exactly these errors, in the file's order.
pub fn slip(slips: &[(&str, &str)], rules: &[&str]) -> String {
    let (text, found) = errors(slips);
    assert_eq!(found, rules, "{slips:?}\n{text}");
    text
}

#[test]
fn without_a_slip_there_is_no_error() {
    slip(&[], &[]);
}

/// A line within a string that looks like a header is not a header.
#[test]
fn a_string_of_lines_is_no_table() {
    let line = "console = true\ncommand-line = \"\"\"quiet \\\n[x] y\"\"\"\n[[channel]]";
    slip(&[("[[channel]]", line)], &[]);
}

/// An entry that is not valid TOML is one error at its place; every other entry counts.
#[test]
fn an_entry_without_an_end_is_one_error() {
    let slips = [("\"comm\" }]", "\"comm\" }"), ("\"16KiB\"]", "\"5KiB\"]")];
    let text = slip(&slips, &["syntax", "channel-bytes"]);
    assert!(text.contains("bad.toml:6:38\n"), "{text}");
    assert!(text.contains("unclosed array"), "{text}");
    let lines = [("vcpus = [{ core = 0, class = \"comm\" }]", "vcpus = [\n{ core = 0 },\n")];
    slip(&lines, &["syntax"]);
    let head = [("console-core = 0", "console-core: 2"), ("qemu-virt", "qemu-vrit")];
    slip(&head, &["board-unknown", "syntax"]);
    slip(&[("name = \"sensor\"", "name = sensor")], &["syntax"]);
    // There is no room left for a 0, so the whole table is dropped.
    slip(&[("memory = [{ size = \"4MiB\" }]", "memory=")], &["syntax"]);
}

#[test]
fn one_bracket_is_one_error() {
    let lone = ("[[partition]]", "[partition]");
    let slips = [lone, ("qemu-virt", "qemu-vrit"), ("\"64KiB\"", "\"63KiB\"")];
    let text = slip(&slips, &["board-unknown", "syntax", "channel-bytes"]);
    assert!(text.contains("help: write `[[partition]]`"), "{text}");
    slip(&[lone, lone, ("[[channel]]", "[channel]")], &["syntax"; 3]);
    // The only channel is in an array of tables that is not an array.
    slip(&[("[[channel]]", "[channel]")], &["wrong-type"]);
}

/// A value that could not be read is not also reported as missing.
#[test]
fn what_cannot_be_read_is_one_error() {
    let all = GOOD.split_once("\n\n").expect("a head").1;
    slip(&[(all, "partition = { name = \"a\" }")], &["wrong-type"]);
}

#[test]
fn a_misspelt_key_is_one_error() {
    slip(&[("vcpus", "vpcus")], &["unknown-key"]);
    slip(&[("console-core", "console_core")], &["unknown-key"]);
    let text = slip(
        &[("[[partition]]", "[[partitions]]"), ("[[partition]]", "[[partitions]]")],
        &["unknown-key"],
    );
    assert!(text.contains("did you mean `partition`?"), "{text}");
}

#[test]
fn a_key_of_the_head_in_a_partition_is_one_error() {
    let head = [
        ("board = \"qemu-virt\"\n", ""),
        ("[[partition]]", "[[partition]]\nboard = \"qemu-virt\""),
    ];
    let text = slip(&head, &["unknown-key"]);
    assert!(text.contains("belongs above the first `[[partition]]`"), "{text}");
}

/// A wrong element of an array does not hide the others.
#[test]
fn elements_are_read_each() {
    let bytes = [("\"64KiB\"", "\"64KB\""), ("\"16KiB\"", "\"5KiB\"")];
    slip(&bytes, &["bad-size", "channel-bytes"]);
    let ends = [("sensor/0\"", "nobody/0\""), ("\"control/0\"", "3")];
    slip(&ends, &["channel-end-partition", "wrong-type"]);
    let vcpus = [("{ core = 0, class = \"comm\" }", "{ core = 99, class = \"comm\" }, 3")];
    slip(&vcpus, &["core-unknown", "wrong-type"]);
    let memory = [("{ size = \"4MiB\" }", "{ size = 5 }, 3")];
    slip(&memory, &["memory-unaligned", "wrong-type"]);
    let devices = [("image", "devices = [\"uart9\", 5]\nimage")];
    slip(&devices, &["device-unknown", "wrong-type"]);
}

/// Each file that an image names is read, even if others cannot be.
#[test]
fn files_are_read_each() {
    let image = "image = { raw = \"no.bin\", load = 0x4000_0000, files = [\
                 { path = \"one.bin\", load = 0x4010_0000 }, { path = \"two.bin\", load = \
                 0x4020_0000 }] }";
    let good = "image = { elf = \"files/program.elf\" }";
    slip(&[(good, image)], &["image-file"; 3]);
    let outside = image.replace("no.bin", "files/64KiB.bin").replace("0x4000_0000", "0x9000_0000");
    let rules = ["image-file", "image-file", "image-outside-memory"];
    let (text, mut found) = errors(&[(good, &outside)]);
    found.sort_unstable();
    assert_eq!(found, rules, "{text}");
}

/// A name that must change is not an error in the entries that use it.
#[test]
fn a_wrong_name_is_one_error() {
    slip(&[("\"control\"", "\"Control\"")], &["partition-name"]);
    slip(&[("\"control\"", "\"sensor\""), ("control/0", "sensor/0")], &["partition-name-twice"]);
}

/// Numbers near the end of the address space are errors and do not cause a panic.
#[test]
fn numbers_overflow() {
    let spi = [(
        "image",
        "interrupts = [{ spi = 0x7fff_ffff_ffff_ffff }, { spi = 0xffff_ffff_ffff_ffff }]\nimage",
    )];
    slip(&spi, &["interrupt-range"; 2]);
    let size = "ram = [{ base = 0, size = \"17179869183GiB\" }, { base = 0, size = \
                \"17179869183GiB\" }]\n\n[[partition]]";
    let (text, found) = errors(&[("[[partition]]", size)]);
    assert!(found.contains(&"ram-overlap") && found.contains(&"ram-range"), "{text}");
    let ipa = [("{ size = \"4MiB\" }", "{ size = \"4MiB\", ipa = 0xffff_ffff_ffff_ffff }")];
    let (text, found) = errors(&ipa);
    assert!(found.contains(&"memory-unaligned"), "{text}");
}

/// Memory that the firmware keeps counts only where the system has RAM.
#[test]
fn reserved_memory_elsewhere_is_no_loss() {
    let ram = [
        ("qemu-virt", "rpi4"),
        ("[[partition]]", "ram = [{ base = 0x4000_0000, size = \"16MiB\" }]\n\n[[partition]]"),
    ];
    slip(&ram, &[]);
}

/// Errors of the planner are shown at their place in the manifest.
#[test]
fn a_misfit_has_a_place() {
    let lists: String = (0..40)
        .map(|n| {
            format!(
                "[[channel]]\nname = \"c{n}\"\nends = [\"sensor/0\", \"control/0\"]\nbytes = [0, \
                 0]\n"
            )
        })
        .collect();
    let lists = lists + "\n[[channel]]";
    let tree = [("[[channel]]", &*lists), ("image =", "device-tree = 0x403f_f000\nimage =")];
    let text = slip(&tree, &["does-not-fit"]);
    assert!(text.contains("the device tree of sensor does not fit"), "{text}");
    assert!(text.contains("^^^^^^^^^^^ this"), "{text}");
    let pages = [
        ("\"64KiB\"", "\"1GiB\""),
        (
            "board = \"qemu-virt\"",
            "board = \"qemu-virt\"\nram = [{ base = 0x4000_0000, size = \"1034MiB\" }]",
        ),
    ];
    let text = slip(&pages, &["does-not-fit"]);
    assert!(text.contains("pages of channel samples does not fit"), "{text}");
    assert!(text.contains("bytes = [\"1GiB\", \"16KiB\"]"), "{text}");
}

/// The planner does not give a doorbell the console UART's INTID: one INTID fewer is free if it is
/// in the range.
#[test]
fn the_consoles_interrupt_is_no_doorbell() {
    // Of INTIDs 128 to 287, a device has each up to 223, except the UART's.
    let taken: String = (128..224)
        .filter(|intid| *intid != 153)
        .map(|intid| format!("{{ spi = {} }}, ", intid - 32))
        .collect();
    let interrupts = format!("interrupts = [{taken}]\nimage");
    let channels: String = (0..64)
        .map(|n| {
            let vcpu = n % 2;
            format!(
                "[[channel]]\nname = \"c{n}\"\nends = [\"sensor/{vcpu}\", \"control/{vcpu}\"]\n\
                 bytes = [0, 0]\n"
            )
        })
        .collect();
    let channels = channels + "\n[[channel]]";
    let sensor = "core = 0, class = \"comm\" }, { core = 2, class = \"comm\" }";
    let control = "core = 1, class = \"comm\" }, { core = 3, class = \"comm\" }";
    let slips = [
        ("qemu-virt", "rpi4"),
        ("core = 0, class = \"comm\" }", sensor),
        ("core = 1, class = \"comm\" }", control),
        ("image", &*interrupts),
        ("[[channel]]", &*channels),
    ];
    let text = slip(&slips, &["channel-interrupts"]);
    assert!(text.contains("it has interrupts for 64"), "{text}");
}
