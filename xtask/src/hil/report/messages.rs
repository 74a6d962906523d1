// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sections of what depends on a size: messages, streams and copies.

use super::curves::{cumulative, shares};
use crate::page::plot::{Lines, Series, Shape};
use crate::page::{Section, Table, number};
use hil::figures::{Figures, Row};

const WAYS: [&str; 3] = ["doorbell", "wfe", "poll"];
const PATHS: [&str; 2] = ["direct", "relayed"];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
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

pub fn messages(figures: &Figures) -> Section {
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

pub fn streams(figures: &Figures) -> Section {
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

pub fn copies(figures: &Figures) -> Section {
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
