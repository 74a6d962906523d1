// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of firmware's files and of folders that are written to.

use super::medium::from_folder;
use super::{is_for_an_image, is_foreign};
use flash::content::LIST;
use manifest::system::Card;
use runner::workspace::root;
use std::fs;
use std::path::Path;

fn card() -> Card {
    let board = manifest::board(&root(), "rpi4").expect("a board");
    board.card.expect("the board boots from a card")
}

/// Writes firmware's files, as far as `with` names them.
fn firmware(folder: &Path, with: &[(&str, &[u8])]) {
    for (name, bytes) in with {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        fs::write(path, bytes).expect("it can be written");
    }
}

const START: (&str, &[u8]) = ("start4.elf", b"start");
const FIXUP: (&str, &[u8]) = ("fixup4.dat", b"fixup");
const TREE: (&str, &[u8]) =
    ("bcm2711-rpi-4-b.dtb", include_bytes!("../../../fuzz/seeds/tree/bus.dtb"));

#[test]
fn missing_files_are_named() {
    let card = card();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let error = from_folder(&card, path).expect_err("it is empty").to_string();
    assert!(error.contains("it lacks start4.elf, fixup4.dat, bcm2711-rpi-4-b.dtb; "), "{error}");

    firmware(path, &[START, FIXUP, TREE]);
    let found = from_folder(&card, path).expect("what must be there is");
    assert_eq!(found["fixup4.dat"].0, b"fixup");
}

/// Firmware reads 98 characters of a line.
#[test]
fn lines_for_firmware_are_short() {
    let settings = card().settings(0x2fe2_c000, 4096) + &card().settings(0x2ef0_0000, 4096);
    let long: Vec<_> = settings.lines().filter(|line| line.len() > 98).collect();
    assert!(long.is_empty(), "{long:?}");
    // Every setting has its reason in front.
    let lines: Vec<_> = settings.lines().collect();
    assert!(lines.iter().filter(|line| line.starts_with('#')).count() >= 10);
    assert!(lines[0].starts_with('#'));
}

#[test]
fn settings_of_another_system_are_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(!is_foreign(folder.path()));
    fs::write(folder.path().join("config.txt"), "kernel=vmlinuz\n").expect("it can be written");
    assert!(is_foreign(folder.path()));
    fs::write(folder.path().join(LIST), "").expect("it can be written");
    assert!(!is_foreign(folder.path()));
}

#[test]
fn an_image_goes_to_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    is_for_an_image(&path("sd.img")).expect("a new file");
    fs::write(path("sd.img"), "").expect("it can be written");
    is_for_an_image(&path("sd.img")).expect("an old file");
    let refused = |path: &Path| is_for_an_image(path).expect_err("not for an image").to_string();
    assert!(refused(&path("sd.bmap")).contains("the block map; choose another"));
    for other in [folder.path(), "/dev/null".as_ref()] {
        assert!(refused(other).ends_with("not a file; --device writes to a disk"));
    }
}
