//! The text of the report, section by section, computed from figures.

use super::table::verdict;
use crate::bench::figure::{Figure, number};
use crate::bench::growth::POINTS;
use crate::bench::stream::BY_REASON;
use crate::bench::systems::{Path, SIZES, WAITS};
use crate::page::plot::{Bars, Lines, Series, Shape};
use crate::page::{Section, Table};
use abi::Reason;

/// Figures by name.
struct Figures<'a>(&'a [Figure]);

impl Figures<'_> {
    fn figure(&self, name: &str) -> Option<&Figure> {
        self.0.iter().find(|figure| figure.name == name)
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.figure(name).map(|figure| figure.value)
    }

    fn text(&self, name: &str) -> String {
        self.value(name).map_or("?".to_string(), number)
    }

    /// Returns direct, relayed and their ratio for a figure whose name has the path at `{}`.
    fn pair(&self, name: &str) -> [String; 3] {
        let [direct, relayed] = Path::ALL.map(|path| self.value(&name.replace("{}", path.name())));
        let ratio = direct.zip(relayed).filter(|(direct, _)| *direct != 0.0);
        let ratio =
            ratio.map_or("-".to_string(), |(direct, relayed)| format!("{:.2}", relayed / direct));
        let text = |value: Option<f64>| value.map_or("?".to_string(), number);
        [text(direct), text(relayed), ratio]
    }
}

/// All sections.
pub fn sections(figures: &[Figure]) -> Vec<Section> {
    let figures = Figures(figures);
    vec![
        operations(&figures),
        pings(&figures),
        streams(&figures),
        relay_wins(&figures),
        reasons(&figures),
        growth(&figures),
        flood(&figures),
    ]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn operations(figures: &Figures) -> Section {
    let mut table = Table {
        head: words(&[
            "operation",
            "Bulkhead",
            "budget",
            "Bao",
            "hvisor",
            "",
            "GICv2",
            "",
            "HW = 0",
        ]),
        rows: Vec::new(),
    };
    for figure in figures.0 {
        let shown = figure.name.starts_with("el2.") || figure.name.starts_with("size.");
        if !shown {
            continue;
        }
        let text = |value: Option<f64>| value.map_or("-".to_string(), number);
        let bounds = figure.bounds;
        let of = |prefix: &str| {
            let name = figure.name.strip_prefix("el2.")?;
            figures.figure(&format!("{prefix}.{name}"))
        };
        let gicv2 = of("gicv2");
        table.rows.push(vec![
            figure.says.clone(),
            number(figure.value),
            text(bounds.map(|bounds| bounds.budget)),
            text(bounds.and_then(|bounds| bounds.bao)),
            text(bounds.and_then(|bounds| bounds.hvisor)),
            bounds.map_or(String::new(), |_| verdict(figure).to_string()),
            gicv2.map_or(String::new(), |figure| number(figure.value)),
            gicv2.map_or(String::new(), |figure| verdict(figure).to_string()),
            of("gicv2-hw0").map_or(String::new(), |figure| number(figure.value)),
        ]);
    }
    Section {
        title: "EL2's operations".into(),
        text: "EL2 instructions of each operation, from vector to ERET, on the shipped release \
               binary; bytes and source lines in the last rows. The peers were measured the \
               same way, with a GICv3. With a GICv2 the bound is the better peer's figure; \
               operations from trap to handler count all of both cores there. HW = 0: the extra \
               cost of a GICv2 that is not a GIC-400, such as QEMU's."
            .into(),
        tables: vec![table],
        plots: Vec::new(),
    }
}

/// Returns a table per way of waiting: sizes down, direct, relayed and their ratio across.
fn by_wait(figures: &Figures, kind: &str, columns: &[(&str, &str)]) -> Vec<Table> {
    WAITS
        .iter()
        .map(|wait| {
            let mut head = vec![format!("bytes, by {wait}")];
            for (_, says) in columns {
                head.extend([format!("{says}: direct"), "relayed".into(), "ratio".into()]);
            }
            let rows = SIZES.iter().map(|size| {
                let cells = columns.iter().flat_map(|(what, _)| {
                    figures.pair(&format!("{kind}.{{}}.{wait}.{size}.{what}"))
                });
                std::iter::once(number(*size as f64)).chain(cells).collect()
            });
            Table { head, rows: rows.collect() }
        })
        .collect()
}

/// Formats a size in few letters.
fn bytes(size: u64) -> String {
    match size {
        0x10_0000.. => format!("{} Mi", size >> 20),
        0x400.. => format!("{} Ki", size >> 10),
        _ => size.to_string(),
    }
}

/// Returns a plot per way of waiting: a figure over the size, direct and relayed.
fn plots(figures: &Figures, kind: &str, what: &str, says: &str) -> Vec<String> {
    let plot = |wait: &&str| {
        let series = Path::ALL.map(|path| Series {
            name: path.name().to_string(),
            points: SIZES
                .iter()
                .filter_map(|size| {
                    let name = format!("{kind}.{}.{wait}.{size}.{what}", path.name());
                    Some((*size as f64, figures.value(&name)?))
                })
                .collect(),
        });
        Lines {
            title: format!("{says}, by {wait}"),
            x: "bytes of a message".into(),
            marks: SIZES.map(|size| (size as f64, bytes(size))).to_vec(),
            // Throughput is bounded by copying; instructions grow with the size.
            logarithmic: kind == "ping",
            series: series.to_vec(),
            shape: Shape::LineWithDots,
        }
        .svg()
    };
    WAITS.iter().map(plot).collect()
}

fn pings(figures: &Figures) -> Section {
    let bells = |what: &str| figures.pair(&format!("bells.{{}}.{what}"));
    let [direct, relayed, ratio] = bells("round-trip");
    let [el2_direct, el2_relayed, _] = bells("el2");
    let columns = [
        ("round-trip", "round trip"),
        ("one-way", "one way"),
        ("el2", "of EL2"),
        ("entries", "EL2 entries"),
    ];
    Section {
        title: "There and back, one message at a time".into(),
        text: format!(
            "Instructions of all cores, one after the other: each side sleeps or looks while the \
             other works, so this is the path from the sender's first instruction until the \
             message, or its answer of the same size, has been copied out. It includes the way to \
             sleep after ringing. EL2's share and its entries are those of a round trip, all \
             cores.\n\
             \nA doorbell there and back without a message: {direct} instructions direct, \
             {relayed} relayed ({ratio} times), of them {el2_direct} and {el2_relayed} of EL2."
        ),
        tables: by_wait(figures, "ping", &columns),
        plots: plots(figures, "ping", "round-trip", "Instructions for a round trip"),
    }
}

fn streams(figures: &Figures) -> Section {
    let columns = [
        ("instructions", "instructions"),
        ("busiest", "busiest core"),
        ("el2", "of EL2"),
        ("entries", "EL2 entries"),
        ("doorbells", "doorbells"),
    ];
    let rates = [
        ("bytes", "bytes per thousand instructions"),
        ("pipelined", "bytes per thousand of the busiest core"),
    ];
    let mut tables = by_wait(figures, "stream", &columns);
    tables.extend(by_wait(figures, "stream", &rates));
    let mut plots_ =
        plots(figures, "stream", "bytes", "Bytes per thousand instructions, all cores");
    plots_.extend(plots(
        figures,
        "stream",
        "pipelined",
        "Bytes per thousand instructions of the busiest core",
    ));
    Section {
        title: "In a stream".into(),
        text: "Sixty messages per batch, in a ring with room for two. Per message: instructions \
               of all cores; those of the busiest core, which bounds the throughput when all cores \
               work at once; EL2's share; EL2 entries; doorbells."
            .into(),
        tables,
        plots: plots_,
    }
}

/// Returns the section on cases where the relay needs no more than the direct path.
fn relay_wins(figures: &Figures) -> Section {
    let costs = [
        ("ping", "round-trip", "round trip"),
        ("ping", "one-way", "one way"),
        ("stream", "instructions", "instructions per message"),
        ("stream", "busiest", "instructions of the busiest core"),
        ("stream", "entries", "EL2 entries per message"),
        ("stream", "doorbells", "doorbells per message"),
    ];
    let mut table =
        Table { head: words(&["what", "wait", "bytes", "direct", "relayed"]), rows: Vec::new() };
    let (mut compared, mut less) = (0, 0);
    for (kind, what, says) in costs {
        for wait in WAITS {
            for size in SIZES {
                let [direct, relayed] = Path::ALL.map(|path| {
                    figures.value(&format!("{kind}.{}.{wait}.{size}.{what}", path.name()))
                });
                let Some((direct, relayed)) = direct.zip(relayed) else {
                    continue;
                };
                compared += 1;
                // A way of waiting that costs nothing on either path is left out.
                if relayed > direct || direct == 0.0 {
                    continue;
                }
                less += usize::from(relayed < direct);
                let cells = [number(size as f64), number(direct), number(relayed)];
                let row = words(&[says, wait]).into_iter().chain(cells);
                table.rows.push(row.collect());
            }
        }
    }
    let same = table.rows.len() - less;
    Section {
        title: "Where the relay does not need more".into(),
        text: format!(
            "Of {compared} comparisons above, the relayed path needs less in {less} and the same \
             in {same}. With a core of its own the relay works while source and sink do: where one \
             of these has more to do than the relay, messages flow as fast through it as without, \
             although each takes longer and all cores together do more."
        ),
        tables: match table.rows.len() {
            0 => Vec::new(),
            _ => vec![table],
        },
        plots: Vec::new(),
    }
}

fn reasons(figures: &Figures) -> Section {
    let mut table = Table { head: words(&["reason", "direct", "relayed"]), rows: Vec::new() };
    let mut bars = Bars {
        title: format!("EL2 entries of a round trip of {BY_REASON} bytes, by doorbell"),
        groups: Vec::new(),
    };
    for reason in Reason::NAMES {
        let values = Path::ALL.map(|path| {
            figures.value(&format!("ping.{}.doorbell.{BY_REASON}.entries.{reason}", path.name()))
        });
        if values.iter().all(Option::is_none) {
            continue;
        }
        let [direct, relayed] = values.map(|value| value.unwrap_or(0.0));
        table.rows.push(vec![reason.to_string(), number(direct), number(relayed)]);
        bars.groups.push((
            reason.to_string(),
            vec![("direct".into(), direct), ("relayed".into(), relayed)],
        ));
    }
    Section {
        title: "Why EL2 is entered".into(),
        text: format!(
            "Entries of a round trip of {BY_REASON} bytes that waits by doorbells, all cores. By \
             WFE and by polling there are none."
        ),
        tables: vec![table],
        plots: vec![bars.svg()],
    }
}

fn growth(figures: &Figures) -> Section {
    let mut table =
        Table { head: words(&["partitions", "channels", "sender", "receiver"]), rows: Vec::new() };
    let value = |(partitions, channels): (usize, usize), side: &str| {
        format!("growth.{partitions}-partitions.{channels}-channels.{side}")
    };
    for point in POINTS {
        let cells = ["sender", "receiver"].map(|side| figures.text(&value(point, side)));
        let mut row = vec![point.0.to_string(), point.1.to_string()];
        row.extend(cells);
        table.rows.push(row);
    }
    let curve = |title: &str, x: &str, points: Vec<(f64, (usize, usize))>| {
        let series = ["sender", "receiver"].map(|side| Series {
            name: side.to_string(),
            points: points
                .iter()
                .filter_map(|(x, point)| Some((*x, figures.value(&value(*point, side))?)))
                .collect(),
        });
        Lines {
            title: title.into(),
            x: x.into(),
            marks: points.iter().map(|(x, _)| (*x, number(*x))).collect(),
            logarithmic: false,
            series: series.to_vec(),
            shape: Shape::LineWithDots,
        }
        .svg()
    };
    let one = POINTS.iter().filter(|(_, channels)| *channels == 1);
    let two = POINTS.iter().filter(|(partitions, _)| *partitions == 2);
    let title = "EL2 instructions of a doorbell";
    Section {
        title: "How a doorbell's cost grows".into(),
        text: "EL2 instructions of a doorbell on each side. The bench fails if it is not the same \
               everywhere."
            .into(),
        tables: vec![table],
        plots: vec![
            curve(title, "partitions", one.map(|point| (point.0 as f64, *point)).collect()),
            curve(
                title,
                "channels between the two",
                two.map(|point| (point.1 as f64, *point)).collect(),
            ),
        ],
    }
}

fn flood(figures: &Figures) -> Section {
    let text = |name: &str| figures.text(&format!("flood.{name}"));
    Section {
        title: "Compute cores beside full channels".into(),
        text: format!(
            "{} messages went over four channels between the comm cores of two partitions. During \
             this time their two compute cores took {} own interrupts, and EL2 entered them {} \
             times because of a neighbour.",
            text("messages"),
            text("own-interrupts"),
            text("foreign-entries")
        ),
        tables: Vec::new(),
        plots: Vec::new(),
    }
}
