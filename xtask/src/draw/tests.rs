//! Tests of the contents of drawings, and that the one in the documentation is current.

#[path = "../../manifest/tests/support/mod.rs"]
mod files;
#[path = "../../planner/tests/support/mod.rs"]
mod systems;

use super::canvas::width;
use super::draw;
use files::{elf, scratch};
use manifest::system::System;
use planner::{Image, compile};
use runner::workspace::root;
use systems::{channel, duo, el2_elf, partition};

fn compiled(system: &System, el2: &[u8]) -> Image {
    compile(system, el2).expect("a system that fits")
}

/// The drawing in the documentation is current. It has only the names of EL2 and the guests, so
/// none is built here. With BLESS=1 in the environment it is drawn anew.
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
    assert!(committed == drawing, "run `cargo xtask draw duo -o docs/duo.svg`");
}

/// Returns the words of a drawing, in order, and checks that it is well-formed.
fn words(drawing: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(drawing).expect("XML");
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.filter_map(|node| Some(node.text()?.trim().to_owned())).collect()
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
        assert!(words.iter().any(|seen| seen == word), "{word} is missing: {words:?}");
    }
}

/// A text's left end, right end and baseline.
type Place = (f64, f64, f64);

/// Every text of a drawing with its place.
fn places(document: &roxmltree::Document<'_>) -> Vec<(String, Place)> {
    let texts = document.descendants();
    let texts = texts.filter(|node| node.has_tag_name("text"));
    let place = |node: roxmltree::Node<'_, '_>| {
        let number = |name| node.attribute(name)?.parse::<f64>().ok();
        let text = node.text()?.trim().to_owned();
        let class = node.attribute("class").unwrap_or_default();
        let wide = width(&text, class);
        let x = number("x")?
            - match class {
                class if class.contains("mid") => wide / 2.0,
                class if class.contains("end") => wide,
                _ => 0.0,
            };
        Some((text, (x, x + wide, number("y")?)))
    };
    texts.filter_map(place).collect()
}

/// Checks that no text overlaps another or leaves the page, and that RAM ends above the devices.
fn is_legible(system: &System) {
    let drawing = draw(system, &compiled(system, &el2_elf()).design);
    let document = roxmltree::Document::parse(&drawing).expect("XML");
    let number = |node: roxmltree::Node<'_, '_>, name| {
        let value = node.attribute(name).expect("a number");
        value.parse::<f64>().expect("a number")
    };
    let page = document.root_element();
    let (wide, high) = (number(page, "width"), number(page, "height"));
    let texts = places(&document);
    for (n, (text, (left, right, y))) in texts.iter().enumerate() {
        let inside = *left >= 0.0 && *right <= wide && *y <= high;
        assert!(inside, "{text} leaves the page of {wide} x {high}");
        for (other, (from, to, line)) in &texts[..n] {
            let apart = right <= from || to <= left || (y - line).abs() >= 10.0;
            assert!(apart, "{text} overlaps {other}");
        }
    }
    let devices = texts.iter().find(|(text, _)| text == "Devices");
    let top = devices.expect("the devices").1.2 - 14.0;
    let bar = document
        .descendants()
        .filter(|node| node.has_tag_name("rect") && node.attribute("width") == Some("40"));
    let end = bar.map(|node| number(node, "y") + number(node, "height"));
    assert!(end.fold(0.0, f64::max) <= top, "RAM ends below {top}");
}

/// The longest names, the most channels and the most partitions that are allowed.
#[test]
fn every_drawing_is_legible() {
    is_legible(&duo());

    let mut system = duo();
    system.name = "w".repeat(100);
    let names = ["flight-control-", "sensor-fusion-w"].map(str::to_owned);
    for (partition, name) in system.partitions.iter_mut().zip(names) {
        partition.name = name;
    }
    system.channels[0].name = "attitude-data-m".into();
    is_legible(&system);

    let mut system = duo();
    system.channels = (0..30).map(|n| channel(&format!("c{n}"), [4096, 4096])).collect();
    is_legible(&system);

    let partitions = 0..8;
    system.partitions = partitions
        .clone()
        .map(|n| partition(&format!("partition-{n}"), &[(n, plan::CLASS_COMM)], 4 << 20, n as u8))
        .collect();
    let pairs = partitions.flat_map(|a| (0..a).map(move |b| (a, b)));
    system.channels = pairs
        .map(|(a, b)| {
            let mut joined = channel(&format!("c{a}-{b}"), [65536, 4096]);
            for (end, partition) in joined.ends.iter_mut().zip([a, b]) {
                (end.partition, end.vcpu) = (partition as usize, 0);
            }
            joined
        })
        .collect();
    is_legible(&system);
}

/// Each class of style in use is defined for both schemes.
#[test]
fn every_class_has_its_style() {
    let system = duo();
    let drawing = draw(&system, &compiled(&system, &el2_elf()).design);
    let document = roxmltree::Document::parse(&drawing).expect("XML");
    let style = document.descendants().find(|node| node.has_tag_name("style"));
    let style = style.and_then(|node| node.text()).expect("a style");
    let (light, dark) = style.split_once("@media (prefers-color-scheme: dark)").expect("both");
    for node in document.descendants() {
        for class in
            node.attribute("class").unwrap_or_default().split(' ').filter(|c| !c.is_empty())
        {
            let rule = format!("\n.{class} ");
            assert!(light.contains(&rule), "{class} has no style");
            let light = light.split(&rule).nth(1).and_then(|rest| rest.split('}').next());
            let coloured = light.is_some_and(|rule| rule.contains('#'));
            assert!(!coloured || dark.contains(&rule), "{class} has no dark style");
        }
    }
}
