//! What drawings show, and that the one in the documentation shows what there is.

use super::draw;
use crate::build::root;
use crate::compile::tests::{channel, duo, el2_elf};
use crate::compile::{Image, compile};
use crate::manifest;
use crate::manifest::tests::{elf, scratch};
use crate::system::System;

fn compiled(system: &System, el2: &[u8]) -> Image {
    compile(system, el2).expect("a system that fits")
}

/// The drawing in the documentation is today's. Neither EL2 nor the guests are in it but by name, so none is built here.
/// With BLESS=1 in the environment it is drawn anew.
#[test]
fn the_committed_drawing_is_todays() {
    let folder = scratch();
    let program = folder.path().join("program.elf");
    std::fs::write(&program, elf(183, &[(0x4008_0000, 32)])).expect("the folder can be written");
    let system = manifest::load(&root(), "duo", &mut |_| Ok(program.clone()));
    let system = system.unwrap_or_else(|errors| panic!("{errors}"));
    let drawing = draw(&system, &compiled(&system, &el2_elf()).design);
    let file = root().join("docs/duo.svg");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &drawing).expect("the folder can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == drawing,
        "run `cargo xtask draw duo -o docs/duo.svg`"
    );
}

/// Words of a drawing, in order; it is well-formed then.
fn words(drawing: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(drawing).expect("XML");
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name("text"));
    texts
        .filter_map(|node| Some(node.text()?.trim().to_owned()))
        .collect()
}

#[test]
fn everything_a_system_has_is_in_its_drawing() {
    let mut system = duo();
    system.channels.push(channel("one-way", [4 << 20, 0]));
    system.channels[1].ends[1].wait = channel::wait::POLL;
    system.channels[1].ends[0].rate = 0;
    let words = words(&draw(&system, &compiled(&system, &el2_elf()).design));
    for word in [
        "sensor",
        "control",
        "core 0",
        "core 1",
        "core 2",
        "vCPU 0, comm",
        "vCPU 1, compute",
        "drains the console",
        "cores 3 4 5 6 7",
        "samples",
        "one-way",
        "64 KiB, 10000 doorbells/s",
        "4 MiB, no doorbell: poll",
        "no data, 10000 doorbells/s",
        "memory of sensor",
        "channel one-way, sensor to control",
        "uart1",
        "control rw-",
        "sensor rw-, control r--",
        "INTID 40",
    ] {
        assert!(
            words.iter().any(|seen| seen == word),
            "{word} is missing: {words:?}"
        );
    }
}

/// A class of style that is used is defined for both schemes.
#[test]
fn every_class_has_its_style() {
    let system = duo();
    let drawing = draw(&system, &compiled(&system, &el2_elf()).design);
    let document = roxmltree::Document::parse(&drawing).expect("XML");
    let style = document
        .descendants()
        .find(|node| node.has_tag_name("style"));
    let style = style.and_then(|node| node.text()).expect("a style");
    let (light, dark) = style
        .split_once("@media (prefers-color-scheme: dark)")
        .expect("both");
    for node in document.descendants() {
        for class in node
            .attribute("class")
            .unwrap_or_default()
            .split(' ')
            .filter(|c| !c.is_empty())
        {
            let rule = format!("\n.{class} ");
            assert!(light.contains(&rule), "{class} has no style");
            let light = light
                .split(&rule)
                .nth(1)
                .and_then(|rest| rest.split('}').next());
            let coloured = light.is_some_and(|rule| rule.contains('#'));
            assert!(
                !coloured || dark.contains(&rule),
                "{class} has no dark style"
            );
        }
    }
}
