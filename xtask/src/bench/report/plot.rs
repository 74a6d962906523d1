//! Plots as SVG elements. Colours and letters are the page's (`page.rs`), so that they follow its light or dark scheme.

use crate::bench::figure::number;
use svg::Document;
use svg::node::element::{Circle, Group, Line, Polyline, Rectangle, Text, Title};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 280.0;
/// Room for labels: left, top, right, bottom.
const MARGIN: [f64; 4] = [64.0, 40.0, 16.0, 44.0];
/// Marks on an axis.
const MARKS: usize = 4;

/// A curve.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// Curves over one axis.
pub struct Lines {
    pub title: String,
    /// What the horizontal axis is.
    pub x: String,
    /// Whether the horizontal and the vertical axis are logarithmic; if not, they start at 0.
    pub logarithmic: [bool; 2],
    pub series: Vec<Series>,
}

/// Groups of bars, all from 0 on.
pub struct Bars {
    pub title: String,
    /// A label, and the bars' names and values.
    pub groups: Vec<(String, Vec<(String, f64)>)>,
}

/// From values to places on an axis.
struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>, logarithmic: bool, from: f64, to: f64) -> Self {
        let values: Vec<_> = values
            .filter(|value| !logarithmic || *value > 0.0)
            .collect();
        let high = values.iter().copied().fold(f64::MIN, f64::max);
        let low = match logarithmic {
            true => values.iter().copied().fold(f64::MAX, f64::min),
            false => 0.0,
        };
        // A flat curve, or none at all, still has an axis.
        let (low, high) = match logarithmic {
            true if values.is_empty() => (1.0, 10.0),
            true if low == high => (low / 2.0, high * 2.0),
            false if high <= 0.0 => (0.0, 1.0),
            false => (0.0, high * 1.1),
            true => (low, high),
        };
        Self {
            logarithmic,
            low,
            high,
            from,
            to,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let part = match self.logarithmic {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        self.from + part * (self.to - self.from)
    }

    /// Values for marks, evenly spaced.
    fn marks(&self) -> impl Iterator<Item = f64> {
        (0..=MARKS).map(|mark| {
            let part = mark as f64 / MARKS as f64;
            match self.logarithmic {
                true => self.low * (self.high / self.low).powf(part),
                false => self.low + part * (self.high - self.low),
            }
        })
    }
}

fn text(words: &str, x: f64, y: f64, class: &str) -> Text {
    Text::new(words)
        .set("x", format!("{x:.1}"))
        .set("y", format!("{y:.1}"))
        .set("class", class)
}

fn line(from: (f64, f64), to: (f64, f64), class: &str) -> Line {
    Line::new()
        .set("x1", format!("{:.1}", from.0))
        .set("y1", format!("{:.1}", from.1))
        .set("x2", format!("{:.1}", to.0))
        .set("y2", format!("{:.1}", to.1))
        .set("class", class)
}

fn document(title: &str) -> Document {
    Document::new()
        .set("viewBox", format!("0 0 {WIDTH} {HEIGHT}"))
        .set("role", "img")
        .set("aria-label", title)
        .add(text(title, WIDTH / 2.0, 16.0, "title"))
}

/// Names of curves or bars in a row, each with its colour.
fn legend(names: &[String]) -> Group {
    let mut group = Group::new();
    for (index, name) in names.iter().enumerate() {
        let x = MARGIN[0] + 90.0 * index as f64;
        let swatch = Rectangle::new()
            .set("x", x)
            .set("y", 24)
            .set("width", 10)
            .set("height", 10)
            .set("class", format!("fill{index}"));
        group = group.add(swatch).add(text(name, x + 14.0, 33.0, "left"));
    }
    group
}

/// A value in few letters: 1.2 M, 16 k.
fn brief(value: f64) -> String {
    let (value, unit) = match value.abs() {
        1e6.. => (value / 1e6, " M"),
        1e4.. => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let rounded = match value.abs() {
        10.0.. => value.round(),
        _ => (value * 10.0).round() / 10.0,
    };
    format!("{rounded}{unit}")
}

impl Lines {
    /// As an SVG element.
    pub fn svg(&self) -> String {
        let [left, top, right, bottom] = MARGIN;
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Scale::new(
            points().map(|p| p.0),
            self.logarithmic[0],
            left,
            WIDTH - right,
        );
        let y = Scale::new(
            points().map(|p| p.1),
            self.logarithmic[1],
            HEIGHT - bottom,
            top,
        );
        let mut plot = document(&self.title);
        for value in y.marks() {
            let at = y.place(value);
            plot = plot
                .add(line((left, at), (WIDTH - right, at), "grid"))
                .add(text(&brief(value), left - 6.0, at + 4.0, "right"));
        }
        for value in x.marks() {
            let label = text(
                &brief(value),
                x.place(value),
                HEIGHT - bottom + 16.0,
                "middle",
            );
            plot = plot.add(label);
        }
        plot = plot.add(text(&self.x, WIDTH / 2.0, HEIGHT - 8.0, "middle"));
        for (index, series) in self.series.iter().enumerate() {
            let places = series.points.iter().map(|&(a, b)| (x.place(a), y.place(b)));
            let places: Vec<_> = places.collect();
            let path = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}"));
            let curve = Polyline::new()
                .set("points", path.collect::<Vec<_>>().join(" "))
                .set("class", format!("line{index}"));
            plot = plot.add(curve);
            for (&(a, b), (x, y)) in series.points.iter().zip(places) {
                let says = format!("{}: {} at {}", series.name, number(b), number(a));
                let dot = Circle::new()
                    .set("cx", format!("{x:.1}"))
                    .set("cy", format!("{y:.1}"))
                    .set("r", 3)
                    .set("class", format!("fill{index}"))
                    .add(Title::new(says));
                plot = plot.add(dot);
            }
        }
        let names: Vec<_> = self
            .series
            .iter()
            .map(|series| series.name.clone())
            .collect();
        plot.add(legend(&names)).to_string()
    }
}

impl Bars {
    /// As an SVG element.
    pub fn svg(&self) -> String {
        let [left, top, right, bottom] = MARGIN;
        let values = self
            .groups
            .iter()
            .flat_map(|(_, bars)| bars.iter().map(|bar| bar.1));
        let y = Scale::new(values, false, HEIGHT - bottom, top);
        let mut plot = document(&self.title);
        for value in y.marks() {
            let at = y.place(value);
            plot = plot
                .add(line((left, at), (WIDTH - right, at), "grid"))
                .add(text(&brief(value), left - 6.0, at + 4.0, "right"));
        }
        let room = (WIDTH - left - right) / self.groups.len().max(1) as f64;
        for (index, (label, bars)) in self.groups.iter().enumerate() {
            let start = left + room * index as f64;
            let width = room * 0.7 / bars.len().max(1) as f64;
            for (number_, (name, value)) in bars.iter().enumerate() {
                let at = y.place(*value);
                let bar = Rectangle::new()
                    .set(
                        "x",
                        format!("{:.1}", start + room * 0.15 + width * number_ as f64),
                    )
                    .set("y", format!("{at:.1}"))
                    .set("width", format!("{width:.1}"))
                    .set("height", format!("{:.1}", HEIGHT - bottom - at))
                    .set("class", format!("fill{number_}"))
                    .add(Title::new(format!("{name}: {}", number(*value))));
                plot = plot.add(bar);
            }
            plot = plot.add(text(
                label,
                start + room / 2.0,
                HEIGHT - bottom + 16.0,
                "middle",
            ));
        }
        let names = self
            .groups
            .first()
            .map(|(_, bars)| bars.iter().map(|bar| bar.0.clone()));
        plot.add(legend(&names.into_iter().flatten().collect::<Vec<_>>()))
            .to_string()
    }
}
