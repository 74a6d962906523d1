// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that need no network: the archive, names in manifests, apt's output.

use super::*;
use std::io::Read;

/// The archive read back has the contents of guests/linux, with permission to run, and each folder
/// before its files.
#[test]
fn the_archive_holds_init_and_every_check() {
    let folder = root().join("guests/linux");
    let program = folder.join("init");
    let contents = std::fs::read(&program).expect("any file");
    let programs = [("busybox", program.clone()), ("bhchan", program)];
    let archive = initramfs::pack(&folder, &programs, &[]).expect("an archive");
    let mut rest = archive.as_slice();
    let mut found = Vec::new();
    loop {
        let mut reader = cpio::NewcReader::new(rest).expect("an entry");
        let entry = reader.entry();
        if entry.is_trailer() {
            break;
        }
        let (name, mode) = (entry.name().to_string(), entry.mode());
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("its contents");
        match mode {
            0o040_755 => assert!(read.is_empty(), "{name}"),
            0o100_755 if name.starts_with("bin/") => assert_eq!(read, contents),
            0o100_755 => {
                let source = std::fs::read(folder.join(&name)).expect("its source");
                assert_eq!(read, source, "{name}");
                let first = String::from_utf8_lossy(&read);
                assert!(first.starts_with("#!/bin/busybox sh\n"), "{name}");
            }
            _ => panic!("{name} has mode {mode:o}"),
        }
        found.push(name);
        rest = reader.finish().expect("the next entry");
    }
    let place = |wanted: &str| found.iter().position(|name| name == wanted);
    assert!(place("bin") < place("bin/busybox") && place("bin").is_some());
    assert!(place("bin/bhchan").is_some());
    assert!(place("init").is_some());
    let checks = std::fs::read_dir(folder.join("checks")).expect("checks");
    for check in checks.flatten() {
        let name = format!("checks/{}", check.file_name().display());
        assert!(place(&name) > place("checks"), "{name}");
    }
    assert_eq!(archive, initramfs::pack(&folder, &programs, &[]).expect("again"));
}

#[test]
fn packages_are_found_in_manifests() {
    assert_eq!(packages("linux"), ["linux-image-cloud-arm64", "busybox-static"]);
    assert!(packages("duo").is_empty());
    assert!(packages("no-such-system").is_empty());
}

#[test]
fn the_current_kernel_is_what_the_empty_package_depends_on() {
    let fields = |text: &str| text.lines().map(String::from).collect::<Vec<_>>();
    let empty = "Package: linux-image-cloud-arm64\nDepends: linux-image-6.1.0-56-cloud-arm64 (= \
                 6.1.192-2)\n";
    let current = fetch::dependency(&fields(empty));
    assert_eq!(current.as_deref(), Some("linux-image-6.1.0-56-cloud-arm64"));
    let itself = "Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | \
                  linux-initramfs-tool\n";
    assert_eq!(fetch::dependency(&fields(itself)), None);
    assert_eq!(fetch::dependency(&fields("Package: busybox-static\n")), None);
}

#[test]
fn files_given_instead_must_stand_for_something() {
    let kernel = || Some(root().join("README.md"));
    let given = |spec: &str, kernel, initrd| Overrides { kernel, initrd }.of(spec);
    let used = given("linux", kernel(), None).expect("linux has a kernel");
    let file = file("linux-image-cloud-arm64", &used).expect("nothing is fetched");
    assert!(file.is_absolute() && file.ends_with("README.md"));

    let error = given("duo", kernel(), None).expect_err("duo has none");
    assert!(error.to_string().starts_with("--kernel: no partition of duo uses Debian's file"));
    let error = given("linux", None, Some("absent".into())).expect_err("no such file");
    assert_eq!(error.to_string(), "--initrd: cannot read absent");
    assert!(given("duo", None, None).is_ok());
}

#[test]
fn other_packages_are_refused() {
    let error = file("coreutils", &Overrides::default()).expect_err("no kernel");
    assert!(error.to_string().contains("busybox-static"), "{error}");
    assert!(!error.is::<Unavailable>());
}

/// Both of apt's formats get the component, and only where `main` is.
#[test]
fn sources_get_one_component_more() {
    let with = |text| sources::with(text, FIRMWARE);
    let deb822 = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n\
                  Components: main\nSigned-By: /a/main/key.gpg\n";
    let expected = deb822.replace("Components: main", "Components: main non-free-firmware");
    assert_eq!(with(deb822), expected);
    assert_eq!(with(&expected), expected, "once");
    let classic = "deb [signed-by=/a/key.gpg] http://mirror.example/debian bookworm main\n";
    assert_eq!(with(classic), classic.replace(" main\n", " main non-free-firmware\n"));
    for same in ["# deb http://a.example bookworm main\n", "deb http://a.example ./\n", "main\n"] {
        assert_eq!(with(same), same);
    }
}
