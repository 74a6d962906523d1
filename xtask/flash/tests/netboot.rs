// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder from which a board boots over the network, by the requests that a board makes.

mod support;

use bulkhead_flash::content::Content;
use bulkhead_flash::netboot;
use std::fs;

/// What a Raspberry Pi 4 asks for, in its order, below its prefix: first the EEPROM's loader, then
/// start4.elf. The files with `true` must be there; the others are settings that this project does
/// not use, and the board continues without them.
const REQUESTS: &[(&str, bool)] = &[
    ("start4.elf", true),
    ("config.txt", true),
    ("pieeprom.sig", false),
    ("recover4.elf", false),
    ("recovery.elf", false),
    ("fixup4.dat", true),
    ("dt-blob.bin", false),
    ("bootcfg.txt", false),
    ("bcm2711-rpi-4-b.dtb", true),
    ("overlays/overlay_map.dtb", false),
    ("overlays/disable-bt.dtbo", true),
    ("cmdline.txt", false),
    ("armstub8-gic.bin", false),
    ("kernel8.img", true),
];

#[test]
fn every_request_is_answered_from_the_boards_folder() {
    let server = tempfile::tempdir().expect("a folder");
    let prefix = netboot::prefix("10000000ABCD1234").expect("a serial number");
    assert_eq!(prefix, "abcd1234");
    let content = support::content();
    content.write_to(&server.path().join(&prefix)).expect("it can be written");
    for (path, is_needed) in REQUESTS {
        let file = server.path().join(&prefix).join(path);
        assert_eq!(fs::read(file).ok().as_deref(), content.get(path), "{path}");
        assert_eq!(content.get(path).is_some(), *is_needed, "{path}");
    }
    // Written again, it is the same; other files stay.
    fs::write(server.path().join(&prefix).join("cmdline.txt"), "x").expect("it can be written");
    content.write_to(&server.path().join(&prefix)).expect("it can be written");
    assert!(server.path().join(&prefix).join("cmdline.txt").is_file());
}

#[test]
fn prefixes_are_serial_numbers_or_names() {
    assert_eq!(netboot::prefix("ABCD1234").expect("a serial number"), "abcd1234");
    assert_eq!(netboot::prefix("lab-3").expect("a name"), "lab-3");
    for wrong in ["", "..", "a/b", "a b", "ä", &"x".repeat(32)] {
        let error = netboot::prefix(wrong).expect_err(wrong).to_string();
        assert!(error.contains("expected the serial number"), "{error}");
    }
    let serial = netboot::eeprom(Some("abcd1234"));
    assert_eq!(netboot::eeprom(None), serial);
    assert!(serial.contains("\nTFTP_PREFIX=0\n") && serial.contains("\nBOOT_ORDER=0xf2\n"));
    let name = netboot::eeprom(Some("lab-3"));
    assert!(name.contains("\nTFTP_PREFIX=1\nTFTP_PREFIX_STR=lab-3/\n"), "{name}");
    let server = netboot::dnsmasq("/srv/tftp", "192.168.1.0");
    assert!(server.contains("\ntftp-root=/srv/tftp\n"), "{server}");
    assert!(server.contains("\ndhcp-range=192.168.1.0,proxy\n"), "{server}");
}

#[test]
fn the_list_is_the_same_every_time_and_names_origins() {
    let list = |origin: &str| {
        let mut content = Content::default();
        content.add("b.txt", vec![1], origin).expect("the first");
        content.add("a.txt", vec![], "made here").expect("another");
        content.add_list("system x for y").expect("no such file");
        String::from_utf8(content.get("bulkhead.txt").expect("it").to_vec()).expect("text")
    };
    assert_eq!(
        list("package 1.2"),
        "# system x for y\n\
         # Check with: sha256sum -c bulkhead.txt\n\
         #\n\
         # a.txt: made here\n\
         # b.txt: package 1.2\n\
         #\n\
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.txt\n\
         4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a  b.txt\n"
    );
}
