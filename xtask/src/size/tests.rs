//! Tests of what counts as a source line and as a byte, on small samples and on this program.

use super::*;

#[test]
fn code_counts_comments_and_tests_do_not() {
    let text = "\
//! About.

use core::fmt; // counts
/* no
   /* nested */ no
*/
/// No.
fn code() {
    let slashes = \"// counts\";
}
#[cfg(test)]
#[derive(Debug)]
mod inline {
    fn not_counted() {
    }
}
#[cfg(test)]
mod tests;
const LAST: u32 = 1;
";
    assert_eq!(lines::count(text), 5);
    assert_eq!(lines::count(""), 0);
    assert_eq!(lines::count("a\n\n// b\nc"), 2);
}

#[test]
fn only_sources_that_were_compiled_count() {
    let rule = "/t/release/el2: /r/hyp/a/src/lib.rs /r/my\\ hyp/b/src/x/y.rs /r/hyp/a/build.rs \
                /r/linker/hyp.ld /r/hyp/a/src/lib.rs\n\n/r/hyp/other/src/lib.rs:\n";
    let found: Vec<_> = sources::files(rule).into_iter().collect();
    assert_eq!(found, ["/r/hyp/a/src/lib.rs", "/r/my hyp/b/src/x/y.rs"].map(PathBuf::from));
    assert_eq!(found.iter().map(|path| sources::crate_of(path)).collect::<Vec<_>>(), ["a", "b"]);
    assert!(sources::files("").is_empty());
}

/// Two GICs that share a file, an option that adds one and replaces one.
#[test]
fn an_option_has_what_it_adds() {
    let build = |bytes, files: &[(&str, u64)]| Build {
        bytes,
        sources: files.iter().map(|&(name, lines)| (PathBuf::from(name), lines)).collect(),
    };
    let minimal = || {
        let shared = [("a", 100), ("no", 5)];
        vec![
            build(1000, &[&shared[..], &[("v3", 30)]].concat()),
            build(1100, &[&shared[..], &[("v2", 40)]].concat()),
        ]
    };
    let with = || {
        let shared = [("a", 100), ("option", 25)];
        vec![
            build(1200, &[&shared[..], &[("v3", 30)]].concat()),
            build(1250, &[&shared[..], &[("v2", 40)]].concat()),
        ]
    };
    let sizes = Sizes { parts: vec![minimal(), with(), minimal()], all: with() };
    assert_eq!(sizes.minimal(), [1100, 175]);
    assert_eq!(sizes.all(), [1250, 195]);
    let names = options::NAMES;
    let lines = sizes.rows(1);
    assert_eq!(lines[0], ("minimal", vec![135, 145, 175], LINES));
    assert_eq!((lines[1].0, &lines[1].1), (names[0], &vec![20, 20, 20]));
    assert_eq!((lines[2].0, &lines[2].1), (names[1], &vec![0, 0, 0]));
    assert_eq!(sizes.rows(0)[1].1, [200, 150, 150]);
    assert!(sizes.within());
    let mut large = Sizes { parts: vec![minimal(), with(), minimal()], all: with() };
    large.parts[1][0].bytes = 1000 + 100 + PARTS[1].bytes + 1;
    assert!(!large.within(), "an option is over its budget");
    assert!(large.to_string().contains("OVER"));
}

#[test]
fn the_smallest_el2_stays_below_bao() {
    const { assert!(BYTES + 2_000 <= 70_654 && LINES + 100 <= 10_090) };
}

#[cfg(target_os = "linux")]
#[test]
fn constants_count_and_variables_do_not() {
    // This test's own program is an ELF file with every kind of section.
    let program = std::env::current_exe().and_then(std::fs::read).expect("its file");
    let sections = sections::read_only(&program).expect("an ELF file");
    let size =
        |wanted: &str| sections.iter().find(|(name, _)| name == wanted).map(|(_, size)| *size);
    for name in [".text", ".rodata", ".data.rel.ro"] {
        assert!(size(name).is_some_and(|size| size > 0), "{name}");
    }
    for name in [".data", ".bss", ".symtab", ".debug_info"] {
        assert_eq!(size(name), None, "{name}");
    }
}
