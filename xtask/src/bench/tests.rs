//! Tests of reading guests' output, of computing figures, and of the reports.

use super::baseline::risen;
use super::figure::{Change, Figure, PER_CENT, Stored, compare, load, number, to_json};
use super::guest::Printed;
use super::{growth, report};
use runner::qemu::Console;

fn read(lines: &str) -> anyhow::Result<Printed> {
    let mut console = Console::new(0);
    console.feed(lines.as_bytes());
    Printed::read(&console)
}

fn figure(name: &str, value: f64) -> Figure {
    Figure::new(name, "something", "instructions", value)
}

fn stored(name: &str, value: f64) -> Stored {
    Stored { name: name.into(), unit: "instructions".into(), value }
}

#[test]
fn what_guests_print_is_read() {
    let printed = read(
        "[lead] span reading 0 0 1 126\n[lead] span hypercall 0 2 64 4734\n[other] words of its \
         own\n\
         [sink] phase ping 64 10 work 4576 hvc 10\n[drain] figure messages 7\n",
    )
    .expect("lines of bench guests");
    let span = printed.span("hypercall").expect("it was printed");
    assert_eq!(printed.each(span).expect("a reading was"), 72.0);
    assert_eq!(printed.phases[0].counts["hvc"], 10);
    assert_eq!(printed.values("messages"), [7]);
    assert!(printed.span("nothing").is_err());
}

#[test]
fn what_looks_like_it_and_is_not_is_refused() {
    for line in [
        "[lead] span hypercall 0 2 64",
        "[lead] span hypercall 0 2 64 many",
        "[sink] phase ping 64 10 work",
        "[sink] phase ping 64",
        "[drain] figure messages",
    ] {
        let error = read(&format!("{line}\n")).expect_err(line);
        assert!(format!("{error:#}").contains(line), "{error:#}");
    }
}

#[test]
fn a_span_without_the_cost_of_reading_is_no_figure() {
    let printed = read("[lead] span hypercall 0 2 64 4734\n").expect("a span");
    assert!(printed.each(&printed.spans[0]).is_err());
}

#[test]
fn figures_come_back_from_their_file() {
    let figures = [figure("a.b", 1.5), figure("c", 300_000.0)];
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let file = folder.path().join("figures.json");
    runner::workspace::write(&file, to_json(&figures).as_bytes()).expect("a file");
    let back = load(&file);
    std::fs::write(&file, "[1]").expect("a file");
    let bad = load(&file);
    assert_eq!(back.expect("figures"), [stored("a.b", 1.5), stored("c", 300_000.0)]);
    assert!(bad.is_err());
}

#[test]
fn what_moved_is_said_and_nothing_else() {
    let old = [stored("same", 1.0), stored("moved", 100.0), stored("gone", 3.0)];
    let new = [figure("same", 1.0), figure("moved", 90.0), figure("new", 4.0)];
    let changes = compare(&old, &new);
    assert_eq!(
        changes,
        [
            ("moved".to_string(), Change::Moved(100.0, 90.0)),
            ("new".to_string(), Change::New(4.0)),
            ("gone".to_string(), Change::Gone(3.0)),
        ]
    );
    assert_eq!(changes[0].1.to_string(), "100 -> 90 (-10.0 %)");
}

#[test]
fn three_percent_may_rise_and_nothing_may_vanish() {
    let old = [stored("a", 100.0)];
    assert!(risen(&old, &[figure("a", 103.0)]).is_empty());
    assert!(risen(&old, &[figure("a", 50.0)]).is_empty());
    assert_eq!(risen(&old, &[figure("a", 103.5)]).len(), 1);
    assert_eq!(risen(&old, &[figure("b", 1.0)]), ["a: not measured any more"]);
}

#[test]
fn a_change_is_held_by_its_budget() {
    let change = |value| Figure::new("a", "a change", PER_CENT, value).at_most(1.0);
    let old = [stored("a", 0.0)];
    assert!(risen(&old, &[change(1.0)]).is_empty());
    assert_eq!(risen(&old, &[change(1.1)]).len(), 1);
}

#[test]
fn a_cost_that_grows_fails() {
    let name = |partitions, side| format!("growth.{partitions}-partitions.1-channels.{side}");
    let at = |partitions, value| figure(&name(partitions, "sender"), value);
    growth::check(&[at(2, 50.0), at(7, 50.0)]).expect("the same");
    growth::check(&[at(2, 50.0), at(7, 51.0)]).expect_err("not the same");
}

#[test]
fn budgets_and_peers_are_named() {
    let held = figure("el2.held", 10.0).at_most(10.0);
    let over = figure("el2.over", 11.0).at_most(10.0);
    assert!(held.held() && !over.held());
    let summary = report::summary(&[held.clone(), over.clone()]);
    assert!(summary.contains("OVER") && summary.contains("1 of 2 budgets held"), "{summary}");
    let html = report::html(&[held, over]);
    assert!(html.contains("class=\"over\"") && !html.contains("http://www.example"));
}

#[test]
fn numbers_are_short_and_grouped() {
    let shown = [0.0, 72.0, 1_234_567.0, 0.011_25, 2.345, 123.456, 98_765.4, -1234.0].map(number);
    assert_eq!(shown, ["0", "72", "1 234 567", "0.0112", "2.35", "123.5", "98 765", "-1 234"]);
}

#[test]
fn the_page_needs_nothing_else() {
    let html = report::html(&[figure("stream.direct.poll.64.bytes", 5.0)]);
    for word in ["<script", "href=", "src=", "@import", "url("] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("<svg") && html.contains("prefers-color-scheme"));
}
