//! Plots as SVG elements. Colours and letters are the page's (`page.rs`), so that they follow its
//! light or dark scheme.

use super::number::number;
use svg::Document;
use svg::node::element::{Circle, Group, Line, Polyline, Rectangle, Text, Title};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 280.0;
/// Room for labels: left, top, right, bottom.
const MARGIN: [f64; 4] = [64.0, 40.0, 16.0, 44.0];
/// Most marks on a linear axis, without the one at 0.
const MARKS: f64 = 5.0;

/// A curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// How a curve's points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Joined by a line.
    Line,
    /// Joined by a line, with a dot each.
    LineWithDots,
    /// With a dot each: nothing is between them.
    Dots,
}

/// Curves over one axis.
pub struct Lines {
    /// The heading.
    pub title: String,
    /// The name of the horizontal axis, which is logarithmic.
    pub x: String,
    /// The places named on it.
    pub marks: Vec<(f64, String)>,
    /// Whether the vertical axis is logarithmic; if not, it starts at 0.
    pub logarithmic: bool,
    /// How its points are drawn.
    pub shape: Shape,
    /// The curves, at most four.
    pub series: Vec<Series>,
}

/// Groups of bars, all from 0 on.
pub struct Bars {
    /// The heading.
    pub title: String,
    /// A label, and the bars' names and values.
    pub groups: Vec<(String, Vec<(String, f64)>)>,
}

/// Converts values to places on an axis.
struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>, logarithmic: bool, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for value in values.filter(|value| !logarithmic || *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        // An axis is also drawn for a flat curve, or for none.
        let (low, high) = match logarithmic {
            true if low >= high => (1.0, 10.0),
            true => (low, high),
            false => (0.0, if high > 0.0 { high * 1.1 } else { 1.0 }),
        };
        Self { logarithmic, low, high, from, to }
    }

    /// Moves both ends to a power of ten, if it is logarithmic.
    fn whole(mut self) -> Self {
        if self.logarithmic {
            self.low = 10_f64.powf(self.low.log10().floor());
            self.high = 10_f64.powf(self.high.log10().ceil());
        }
        self
    }

    fn place(&self, value: f64) -> f64 {
        let part = match self.logarithmic {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        self.from + part * (self.to - self.from)
    }

    /// Round values for marks.
    fn marks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = self.low.log10().round() as i32..=self.high.log10().round() as i32;
            return decades.map(|decade| 10_f64.powi(decade)).collect();
        }
        let rough = (self.high - self.low) / MARKS;
        let unit = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * unit);
        let step = steps.into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let count = (self.high / step).floor() as usize;
        (0..=count).map(|mark| mark as f64 * step).collect()
    }
}

fn text(words: &str, x: f64, y: f64, class: &str) -> Text {
    Text::new(words).set("x", format!("{x:.1}")).set("y", format!("{y:.1}")).set("class", class)
}

fn line(from: (f64, f64), to: (f64, f64), class: &str) -> Line {
    Line::new()
        .set("x1", format!("{:.1}", from.0))
        .set("y1", format!("{:.1}", from.1))
        .set("x2", format!("{:.1}", to.0))
        .set("y2", format!("{:.1}", to.1))
        .set("class", class)
}

/// Begins a plot with this title: lines at the marks of `y`, with their values.
fn grid(title: &str, y: &Scale) -> Document {
    let [left, _, right, _] = MARGIN;
    y.marks().into_iter().fold(document(title), |plot, value| {
        let at = y.place(value);
        let label = text(&brief(value), left - 6.0, at + 4.0, "right");
        plot.add(line((left, at), (WIDTH - right, at), "grid")).add(label)
    })
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

/// Formats a value in few letters: 1.2 M, 16 k.
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
    /// Draws it as an SVG element.
    #[must_use]
    pub fn svg(&self) -> String {
        let [left, top, right, bottom] = MARGIN;
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = points().map(|point| point.0);
        let x = Scale::new(x, true, left, WIDTH - right - 12.0);
        let y = points().map(|point| point.1);
        let y = Scale::new(y, self.logarithmic, HEIGHT - bottom, top).whole();
        let mut plot = grid(&self.title, &y);
        for (value, label) in &self.marks {
            let y = HEIGHT - bottom + 16.0;
            plot = plot.add(text(label, x.place(*value), y, "middle"));
        }
        plot = plot.add(text(&self.x, WIDTH / 2.0, HEIGHT - 8.0, "middle"));
        for (index, series) in self.series.iter().enumerate() {
            let places = series.points.iter().map(|&(a, b)| (x.place(a), y.place(b)));
            let places: Vec<_> = places.collect();
            let path = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}"));
            if self.shape != Shape::Dots {
                let curve = Polyline::new()
                    .set("points", path.collect::<Vec<_>>().join(" "))
                    .set("class", format!("line{index}"));
                plot = plot.add(curve);
            }
            let has_dots = self.shape != Shape::Line;
            let radius = if self.shape == Shape::Dots { 2 } else { 3 };
            let dots = series.points.iter().zip(places).filter(|_| has_dots);
            for (&(a, b), (x, y)) in dots {
                let says = format!("{}: {} at {}", series.name, number(b), number(a));
                let dot = Circle::new()
                    .set("cx", format!("{x:.1}"))
                    .set("cy", format!("{y:.1}"))
                    .set("r", radius)
                    .set("class", format!("fill{index}"))
                    .add(Title::new(says));
                plot = plot.add(dot);
            }
        }
        let names: Vec<_> = self.series.iter().map(|series| series.name.clone()).collect();
        plot.add(legend(&names)).to_string()
    }
}

impl Bars {
    /// Draws it as an SVG element.
    #[must_use]
    pub fn svg(&self) -> String {
        let [left, top, right, bottom] = MARGIN;
        let values = self.groups.iter().flat_map(|(_, bars)| bars.iter().map(|bar| bar.1));
        let y = Scale::new(values, false, HEIGHT - bottom, top);
        let mut plot = grid(&self.title, &y);
        let room = (WIDTH - left - right) / self.groups.len().max(1) as f64;
        for (index, (label, bars)) in self.groups.iter().enumerate() {
            let start = left + room * index as f64;
            let width = room * 0.7 / bars.len().max(1) as f64;
            for (number_, (name, value)) in bars.iter().enumerate() {
                let at = y.place(*value);
                let bar = Rectangle::new()
                    .set("x", format!("{:.1}", start + room * 0.15 + width * number_ as f64))
                    .set("y", format!("{at:.1}"))
                    .set("width", format!("{width:.1}"))
                    .set("height", format!("{:.1}", HEIGHT - bottom - at))
                    .set("class", format!("fill{number_}"))
                    .add(Title::new(format!("{name}: {}", number(*value))));
                plot = plot.add(bar);
            }
            plot = plot.add(text(label, start + room / 2.0, HEIGHT - bottom + 16.0, "middle"));
        }
        let names = self.groups.first().map(|(_, bars)| bars.iter().map(|bar| bar.0.clone()));
        plot.add(legend(&names.into_iter().flatten().collect::<Vec<_>>())).to_string()
    }
}
