//! Tests of apt's source formats, as Debian and Ubuntu ship them and as administrators write them;
//! of apt's output; of advice.

use super::apt::{candidate_in, codename};
use super::needs::{Manager, NEEDS, major};
use super::sources::{backports, suites};

const DEB822: &str = "\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/key.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://mirror.example/off
Suites: bookworm-backports
Components: main
";

const CLASSIC: &str = "\
# deb http://mirror.example/debian bookworm-backports main
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/a/key.gpg]  http://mirror.example/debian   bookworm main contrib
deb http://mirror.example/security bookworm-security main
";

#[test]
fn a_backports_source_keeps_all_but_the_suite() {
    assert_eq!(suites(DEB822, true), ["bookworm", "bookworm-updates", "bookworm-security"]);
    let source = backports(DEB822, true, "bookworm").expect("the release is there");
    assert_eq!(source.extension, "sources");
    assert_eq!(
        source.text,
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\n\
         Components: main contrib\n\
         Signed-By: /usr/share/keyrings/key.gpg\n"
    );
    assert_eq!(suites(&source.text, true), ["bookworm-backports"]);
    assert_eq!(backports(DEB822, true, "trixie"), None);
}

#[test]
fn a_key_inside_a_stanza_survives() {
    let file = "Types: deb\nURIs: http://a.example\nSuites: noble\nComponents: main\nSigned-By:\n\
                \x20-----BEGIN\n .\n abc\n -----END\n";
    let source = backports(file, true, "noble").expect("the release is there");
    assert!(
        source.text.ends_with("Signed-By: \n -----BEGIN\n .\n abc\n -----END\n"),
        "{}",
        source.text
    );
}

#[test]
fn the_classic_format_too() {
    assert_eq!(suites(CLASSIC, false), ["bookworm", "bookworm", "bookworm-security"]);
    let source = backports(CLASSIC, false, "bookworm").expect("the release is there");
    assert_eq!(source.extension, "list");
    assert_eq!(
        source.text,
        "deb [arch=amd64 signed-by=/a/key.gpg]  http://mirror.example/debian   bookworm-backports \
         main contrib\n"
    );
    assert_eq!(backports("deb http://a.example\n# deb x bookworm main\n", false, "bookworm"), None);
}

#[test]
fn what_apt_and_the_system_say() {
    assert_eq!(
        candidate_in("qemu-system-arm:\n  Installed: (none)\n  Candidate: 1:10.0.2+ds-2~bpo12+1\n"),
        Some(10)
    );
    assert_eq!(candidate_in("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
    assert_eq!(candidate_in("gcc:\n  Candidate: 12.2.0-3\n"), Some(12));
    assert_eq!(candidate_in(""), None);
    assert_eq!(major("9.2.0-rc1"), Some(9));
    assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
    assert_eq!(
        codename("VERSION_CODENAME=wilma\nUBUNTU_CODENAME=\"noble\"\n").as_deref(),
        Some("noble")
    );
    assert_eq!(codename("ID=x\n"), None);
}

#[test]
fn every_need_has_advice_everywhere() {
    for need in &NEEDS {
        for manager in [
            None,
            Some(Manager::Apt),
            Some(Manager::Dnf),
            Some(Manager::Pacman),
            Some(Manager::Brew),
        ] {
            assert!(need.advice(manager).len() > 10, "{}", need.name);
        }
    }
    let qemu = NEEDS.iter().find(|need| need.name == "QEMU").expect("a row");
    assert_eq!(qemu.advice(Some(Manager::Brew)), "brew install qemu");
    assert_eq!(qemu.advice(Some(Manager::Pacman)), "sudo pacman -S qemu-system-aarch64");
}
