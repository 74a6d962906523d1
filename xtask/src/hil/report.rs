// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of a measurement: sections of text, tables and plots, computed from figures.

use crate::page::plot::{Lines, Series, Shape};
use crate::page::{self, Section, Table, number};
use hil::figures::{Figures, Row};
use hil::limits::Check;

/// What an emulator's figures are worth.
const EMULATED: &str = "These times are an emulator's. QEMU translates instructions and shares \
                        the host's cores, so they say nothing about silicon. They show that the \
                        measurement works.";
/// Rows of only the lead's partition, idle and under load.
const ALONE: [&str; 10] = [
    "clock",
    "null-call",
    "psci-hvc",
    "psci-smc",
    "gicd-typer-read",
    "gicd-isenabler-read",
    "gicd-isenabler-write",
    "sgi-self",
    "timer-asleep",
    "timer-awake",
];
/// Those whose distributions are drawn under every load.
const DRAWN: [(&str, &str); 6] = [
    ("null-call", "doorbell"),
    ("sgi-self", "doorbell"),
    ("timer-asleep", "doorbell"),
    ("timer-awake", "doorbell"),
    ("doorbell-one-way", "doorbell"),
    ("doorbell-one-way", "poll"),
];
const LOADS: [&str; 4] = ["none", "memory", "tlbi", "console"];
const WAYS: [&str; 3] = ["doorbell", "wfe", "poll"];
const PATHS: [&str; 2] = ["direct", "relayed"];

/// Returns the report as Markdown.
pub fn markdown(figures: &Figures, checks: &[Check], compared: &[Check]) -> String {
    let sections = sections(figures, checks, compared);
    let texts: Vec<_> = sections.iter().map(Section::markdown).collect();
    format!("# {}\n\n{}", title(figures), texts.join("\n"))
}

/// Returns the report as one HTML page.
pub fn html(figures: &Figures, checks: &[Check], compared: &[Check]) -> String {
    page::html(&page::escaped(&title(figures)), &sections(figures, checks, compared))
}

fn title(figures: &Figures) -> String {
    let place = if figures.emulated { "QEMU in place of " } else { "" };
    format!("Bulkhead: latencies on {place}{}", figures.board)
}

/// Returns the lines for the console.
pub fn summary(figures: &Figures, checks: &[Check], compared: &[Check]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, row: Option<&Row>| {
        if let Some(row) = row {
            let ns = row.ns;
            text += &format!(
                "{name:<40} p50 {:>10}  p99 {:>10}  p99.9 {:>10}  worst {:>12} ns\n",
                number(ns.p50.round()),
                number(ns.p99.round()),
                number(ns.p999.round()),
                number(ns.max.round())
            );
        }
    };
    let find = |key: &str| figures.find(key);
    line("null call", find("null-call doorbell direct none 0"));
    line("timer, asleep", find("timer-asleep doorbell direct none 0"));
    line("doorbell, one way", find("doorbell-one-way doorbell direct none 0"));
    line("message of 64 B, direct", find("message-one-way doorbell direct none 64"));
    line("message of 64 B, relayed", find("message-one-way doorbell relayed none 64"));
    for check in checks.iter().chain(compared) {
        if let Some(why) = &check.why {
            let name = &check.name;
            text += &format!("FAILED {name}: {why}\n");
        }
    }
    let held = checks.iter().filter(|check| check.why.is_none()).count();
    text += &format!("{held} of {} limits held\n", checks.len());
    if figures.emulated {
        text += "These times are an emulator's and say nothing about silicon.\n";
    }
    text
}

fn sections(figures: &Figures, checks: &[Check], compared: &[Check]) -> Vec<Section> {
    vec![
        machine(figures),
        verdicts(checks, compared),
        alone(figures),
        loads(figures),
        doorbells(figures),
        messages(figures),
        streams(figures),
        copies(figures),
    ]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn machine(figures: &Figures) -> Section {
    let machine = &figures.machine;
    let mhz = number((machine.chain_hz as f64 / 1e6).round());
    let mut text = String::new();
    if figures.emulated {
        text += EMULATED;
        text += "\n\n";
    }
    text += &format!(
        "Values per row: {}; rows of long operations have fewer. Reports that are merged here: {}, \
         in {} attempts. Port: {}. A quantile is the upper end of its bucket, which is at most 3 % \
         wide; the worst value is exact. One tick of the counter is {} ns.",
        figures.samples,
        figures.reports,
        figures.attempts,
        figures.port,
        number(1e9 / machine.hz as f64)
    );
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        row("counter (CNTFRQ_EL0)", format!("{} Hz", number(machine.hz as f64))),
        row("core clock, by a chain of additions", format!("{mhz} MHz")),
        row("core type (MIDR_EL1)", machine.midr.clone()),
        row("vCPU that measured (MPIDR_EL1)", machine.mpidr.clone()),
        row("GIC", format!("GICv{}", machine.gic)),
        row("PMU of the guest", if machine.pmu == 0 { "hidden" } else { "visible" }.to_owned()),
        row(
            "virtual and physical counter over the same time",
            format!("{} and {} ticks", machine.virtual_ticks, machine.physical_ticks),
        ),
    ];
    let last = figures.firmware.iter().rev().take(5).rev();
    rows.extend(last.map(|line| row("firmware", line.clone())));
    let table = Table { head: words(&["machine", ""]), rows };
    Section { title: "Machine".into(), text, tables: vec![table], plots: vec![] }
}

fn verdicts(checks: &[Check], compared: &[Check]) -> Section {
    let failed = |checks: &[Check]| checks.iter().filter(|check| check.why.is_some()).count();
    let mut text = format!("{} of {} limits held.", checks.len() - failed(checks), checks.len());
    if !compared.is_empty() {
        text += &format!(
            " {} of {} figures are slower than before by more than the tolerance, or gone.",
            failed(compared),
            compared.len()
        );
    }
    let rows = checks.iter().chain(compared).filter_map(|check| {
        let why = check.why.as_ref()?;
        Some(vec![check.name.clone(), format!("FAILED: {why}")])
    });
    let rows: Vec<_> = rows.collect();
    let table = Table { head: words(&["limit", "verdict"]), rows };
    let tables = if table.rows.is_empty() { vec![] } else { vec![table] };
    Section { title: "Limits".into(), text, tables, plots: vec![] }
}

/// Heads of a distribution's columns, and the columns.
const COLUMNS: [&str; 7] = ["values", "least", "p50", "p99", "p99.9", "worst", "p50 in cycles"];

fn columns(row: &Row, figures: &Figures) -> Vec<String> {
    let ns = row.ns;
    let cycles = ns.p50 * figures.machine.chain_hz as f64 / 1e9;
    let times = [ns.min, ns.p50, ns.p99, ns.p999, ns.max, cycles];
    let times = times.map(|time| number(time.round()));
    std::iter::once(number(row.count as f64)).chain(times).collect()
}

/// A table of rows with the words that tell them apart.
fn table<'a>(
    figures: &Figures,
    head: &[&str],
    rows: impl Iterator<Item = (Vec<String>, &'a Row)>,
) -> Table {
    let head = [head, &COLUMNS].concat();
    let rows = rows.map(|(words, row)| [words, columns(row, figures)].concat());
    Table { head: words(&head), rows: rows.collect() }
}

fn alone(figures: &Figures) -> Section {
    let rows = ALONE.into_iter().filter_map(|name| {
        let row = figures.find(&format!("{name} doorbell direct none 0"))?;
        Some((vec![name.to_owned()], row))
    });
    Section {
        title: "Calls, registers, own interrupts".into(),
        text:
            "Nanoseconds, with the other cores asleep. `clock` is two readings of the counter in \
               a row: every other row has that time too."
                .into(),
        tables: vec![table(figures, &["row"], rows)],
        plots: vec![],
    }
}

fn loads(figures: &Figures) -> Section {
    let row =
        |name: &str, way: &str, load: &str| figures.find(&format!("{name} {way} direct {load} 0"));
    let rows = DRAWN.into_iter().flat_map(|(name, way)| {
        LOADS.into_iter().filter_map(move |load| {
            let words = vec![format!("{name}, {way}"), load.to_owned()];
            Some((words, row(name, way, load)?))
        })
    });
    let plots = DRAWN.into_iter().map(|(name, way)| {
        let series = LOADS.into_iter().filter_map(|load| {
            Some(Series { name: load.into(), points: counts(row(name, way, load)?, figures) })
        });
        distribution(&format!("{name}, {way}, by load"), series.collect())
    });
    Section {
        title: "Under load".into(),
        text: "Nanoseconds. The two other partitions' cores copy memory that no cache holds \
               (`memory`), invalidate TLB entries on all cores (`tlbi`), or print without end \
               (`console`). Plots have the number of values over the time, both logarithmic."
            .into(),
        tables: vec![table(figures, &["row", "load"], rows)],
        plots: plots.collect(),
    }
}

fn doorbells(figures: &Figures) -> Section {
    let cases: Vec<_> =
        WAYS.map(|way| (way, "direct")).into_iter().chain([("doorbell", "relayed")]).collect();
    let row = |name: &str, (way, path): (&str, &str)| {
        figures.find(&format!("{name} {way} {path} none 0"))
    };
    let both = ["doorbell-one-way", "doorbell-there-back"];
    let rows = both.into_iter().flat_map(|name| {
        cases.iter().filter_map(move |&case| {
            let words = vec![name.to_owned(), case.0.to_owned(), case.1.to_owned()];
            Some((words, row(name, case)?))
        })
    });
    let plots = both.into_iter().map(|name| {
        let series = cases.iter().filter_map(|&case| {
            let label = if case.1 == "relayed" { "relayed" } else { case.0 };
            Some(Series { name: label.into(), points: shares(row(name, case)?, figures) })
        });
        cumulative(&format!("{name}, by way of waiting"), series.collect())
    });
    Section {
        title: "Doorbells".into(),
        text: "Nanoseconds from the sender's reading of the counter to the receiver's first \
               instruction, and until the answer is seen. `wfe` and `poll` use no doorbell: they \
               watch a word in the channel's pages. Plots have the share of values up to a time."
            .into(),
        tables: vec![table(figures, &["row", "way", "path"], rows)],
        plots: plots.collect(),
    }
}

/// Sizes for which there is a row of this kind.
fn sizes(figures: &Figures, name: &str, way: &str) -> Vec<u64> {
    let rows = figures.rows.iter();
    let mine = rows.filter(|row| {
        row.name == name && row.way == way && row.load == "none" && row.path == "direct"
    });
    mine.map(|row| row.bytes).collect()
}

fn size(bytes: u64) -> String {
    match bytes {
        1_048_576.. => format!("{} MiB", bytes >> 20),
        1024.. => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

fn messages(figures: &Figures) -> Section {
    let name = "message-one-way";
    let pair = |way: &str, bytes: u64| {
        let rows = PATHS.map(|path| figures.find(&format!("{name} {way} {path} none {bytes}")));
        Some((rows[0]?, rows[1]?))
    };
    let mut table = Table {
        head: words(&[
            "message",
            "way",
            "direct p50",
            "relayed p50",
            "ratio",
            "direct p99",
            "relayed p99",
            "direct worst",
            "relayed worst",
        ]),
        rows: vec![],
    };
    for way in WAYS {
        for bytes in sizes(figures, name, way) {
            let Some((direct, relayed)) = pair(way, bytes) else { continue };
            let ratio = format!("{:.2}", relayed.ns.p50 / direct.ns.p50);
            let [a, b, c, d, e, f] = [
                direct.ns.p50,
                relayed.ns.p50,
                direct.ns.p99,
                relayed.ns.p99,
                direct.ns.max,
                relayed.ns.max,
            ]
            .map(|time| number(time.round()));
            table.rows.push(vec![size(bytes), way.to_owned(), a, b, ratio, c, d, e, f]);
        }
    }
    let by_size = WAYS.into_iter().map(|way| {
        let sizes = sizes(figures, name, way);
        let series = PATHS.into_iter().enumerate().map(|(index, path)| {
            let points = sizes.iter().filter_map(|&bytes| {
                let (direct, relayed) = pair(way, bytes)?;
                Some((bytes as f64, [direct, relayed][index].ns.p50))
            });
            Series { name: path.into(), points: points.collect() }
        });
        Lines {
            title: format!("One way, p50, by {way}"),
            x: "bytes of a message".into(),
            marks: sizes.iter().map(|&bytes| (bytes as f64, size(bytes))).collect(),
            logarithmic: true,
            shape: Shape::LineWithDots,
            series: series.collect(),
        }
        .svg()
    });
    let shares = WAYS.into_iter().filter_map(|way| {
        let (direct, relayed) = pair(way, 64)?;
        let series = [("direct", direct), ("relayed", relayed)]
            .map(|(name, row)| Series { name: name.into(), points: shares(row, figures) });
        Some(cumulative(&format!("64 B, one way, by {way}"), series.to_vec()))
    });
    Section {
        title: "Messages: direct and relayed".into(),
        text: "Nanoseconds from the sender's first step to the receiver having the whole message, \
               over one channel, and over two with a relay between them that checks and copies."
            .into(),
        tables: vec![table],
        plots: by_size.chain(shares).collect(),
    }
}

fn streams(figures: &Figures) -> Section {
    let rate = |way: &str, path: &str, bytes: u64| {
        figures.find(&format!("stream {way} {path} none {bytes}"))?.megabytes_per_second()
    };
    let mut table = Table {
        head: words(&["message", "way", "direct MB/s", "relayed MB/s", "ratio"]),
        rows: vec![],
    };
    for way in WAYS {
        for bytes in sizes(figures, "stream", way) {
            let rates = PATHS.map(|path| rate(way, path, bytes));
            let [Some(direct), Some(relayed)] = rates else { continue };
            let ratio = format!("{:.2}", direct / relayed);
            let cells = [number(direct.round()), number(relayed.round()), ratio];
            table.rows.push([vec![size(bytes), way.to_owned()], cells.to_vec()].concat());
        }
    }
    let sizes = sizes(figures, "stream", "doorbell");
    let series = PATHS.map(|path| {
        let points = sizes.iter();
        let points =
            points.filter_map(|&bytes| Some((bytes as f64, rate("doorbell", path, bytes)?)));
        Series { name: path.into(), points: points.collect() }
    });
    let plot = Lines {
        title: "MB/s, by doorbell".into(),
        x: "bytes of a message".into(),
        marks: sizes.iter().map(|&bytes| (bytes as f64, size(bytes))).collect(),
        logarithmic: true,
        shape: Shape::LineWithDots,
        series: series.to_vec(),
    };
    Section {
        title: "Throughput: direct and relayed".into(),
        text: "Several messages are sent one after the other, each published at once; the rate is \
               their bytes over the mean time until the receiver has the last one."
            .into(),
        tables: vec![table],
        plots: vec![plot.svg()],
    }
}

fn copies(figures: &Figures) -> Section {
    let mut table = Table {
        head: words(&[
            "bytes",
            "plain p50",
            "channel p50",
            "channel / plain",
            "plain MB/s",
            "channel MB/s",
        ]),
        rows: vec![],
    };
    for bytes in sizes(figures, "copy-plain", "doorbell") {
        let row = |name: &str| figures.find(&format!("{name} doorbell direct none {bytes}"));
        let (Some(plain), Some(channel)) = (row("copy-plain"), row("copy-channel")) else {
            continue;
        };
        let rate = |row: &Row| number(row.megabytes_per_second().unwrap_or(0.0).round());
        table.rows.push(vec![
            size(bytes),
            number(plain.ns.p50.round()),
            number(channel.ns.p50.round()),
            format!("{:.2}", channel.ns.p50 / plain.ns.p50),
            rate(plain),
            rate(channel),
        ]);
    }
    Section {
        title: "Copies".into(),
        text: "Nanoseconds of a copy within the sender's own memory, and of a message's copy into \
               a ring."
            .into(),
        tables: vec![table],
        plots: vec![],
    }
}

/// Places of a row's buckets in nanoseconds, with their counts.
fn places<'a>(row: &'a Row, figures: &Figures) -> impl Iterator<Item = (f64, f64)> + 'a {
    let tick = 1e9 / figures.machine.hz as f64;
    let buckets = row.buckets.iter();
    // The axis is logarithmic: a time below half a tick is drawn there.
    buckets
        .map(move |&(low, high, count)| (((low + high) as f64 / 2.0).max(0.5) * tick, count as f64))
}

/// The number of values at each time.
fn counts(row: &Row, figures: &Figures) -> Vec<(f64, f64)> {
    places(row, figures).collect()
}

/// The share of values up to each time, percent.
fn shares(row: &Row, figures: &Figures) -> Vec<(f64, f64)> {
    let mut sum = 0.0;
    let all = row.count as f64;
    let share = |(place, count)| {
        sum += count;
        (place, sum / all * 100.0)
    };
    places(row, figures).map(share).collect()
}

fn distribution(title: &str, series: Vec<Series>) -> String {
    lines(title, "number of values over ns", true, series)
}

fn cumulative(title: &str, series: Vec<Series>) -> String {
    lines(title, "percent of values up to ns", false, series)
}

fn lines(title: &str, x: &str, logarithmic: bool, series: Vec<Series>) -> String {
    let places = || series.iter().flat_map(|series| series.points.iter().map(|point| point.0));
    let low = places().fold(f64::MAX, f64::min).log10().ceil() as i32;
    let high = places().fold(1.0, f64::max).log10().floor() as i32;
    let decade = |power: i32| {
        let value = 10_f64.powi(power);
        let label = match power {
            9.. => format!("{} s", 10_f64.powi(power - 9)),
            6.. => format!("{} ms", 10_f64.powi(power - 6)),
            3.. => format!("{} µs", 10_f64.powi(power - 3)),
            _ => format!("{value} ns"),
        };
        (value, label)
    };
    Lines {
        title: title.into(),
        x: x.into(),
        marks: (low..=high).map(decade).collect(),
        logarithmic,
        shape: if logarithmic { Shape::Dots } else { Shape::Line },
        series,
    }
    .svg()
}
