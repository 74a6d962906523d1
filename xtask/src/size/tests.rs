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
fn test_files_are_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/size");
    let all: usize = ["mod.rs", "lines.rs", "sections.rs"]
        .iter()
        .map(|name| {
            lines::count(&std::fs::read_to_string(folder.join(name)).expect("a source file"))
        })
        .sum();
    assert_eq!(lines::count_folder(&folder).expect("this folder"), all);
}

#[test]
fn only_crates_with_a_path_are_ours() {
    let tree = "a v0.1.0 (/r/a)\nb v0.1.0 (/r/b)\nfdt v0.1.5\npastey v0.2.3 (proc-macro)\na v0.1.0 \
                (/r/a)\n";
    let names: Vec<_> = first_party(tree).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b"]);
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
