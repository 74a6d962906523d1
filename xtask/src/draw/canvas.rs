//! The elements of drawings: text, boxes, lines and arrows in a few classes of style, legible on
//! light and on dark.

use svg::node::element::{Line, Path, Rectangle, Style, Text, Title};
use svg::{Document, Node};

/// Space around everything, in user units (pixels at scale 1).
pub const MARGIN: f64 = 32.0;

/// Every class of style: fills and strokes twice, once per scheme; drawings use no other colours.
const STYLE: &str = "
text { font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 22px; font-weight: 600 }
.head { font-size: 14px; font-weight: 600 }
.mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', \
monospace; font-size: 11.5px }
.small { font-size: 11px }
.muted { fill: #5c6570 }
.over { paint-order: stroke; stroke: #fcfcfb; stroke-width: 5px; stroke-linejoin: round }
.mid { text-anchor: middle }
.end { text-anchor: end }
.page { fill: #fcfcfb }
.panel { fill: #f3f4f3; stroke: #d8dbdc }
.comm { fill: #dbe8fd; stroke: #4f83dd }
.compute { fill: #fbe6c3; stroke: #cf9433 }
.nobody { fill: none; stroke: #b7bdc4; stroke-dasharray: 4 3 }
.memory { fill: #8fa3b5 }
.channel { fill: #3a72d8 }
.el2 { fill: #4a5361 }
.kept { fill: #b9aeb4 }
.free { fill: #e9ebec }
.wire { fill: none; stroke: #3a72d8; stroke-width: 1.6 }
.drop { fill: none; stroke: #9db8e8; stroke-width: 1.6 }
.lead { fill: none; stroke: #c3c9cf }
@media (prefers-color-scheme: dark) {
text { fill: #e6e9ee }
.muted { fill: #9aa4b0 }
.over { stroke: #14171c }
.page { fill: #14171c }
.panel { fill: #1c2027; stroke: #353c46 }
.comm { fill: #1d3157; stroke: #6c9cf5 }
.compute { fill: #40300f; stroke: #dca845 }
.nobody { stroke: #59626d }
.memory { fill: #6d8296 }
.channel { fill: #6c9cf5 }
.el2 { fill: #c0c8d2 }
.kept { fill: #7d6f77 }
.free { fill: #2a3038 }
.wire { stroke: #6c9cf5 }
.drop { stroke: #3d5c96 }
.lead { stroke: #454e59 }
}
";

/// A drawing that grows to the right and downward.
pub struct Canvas {
    nodes: Vec<Box<dyn Node>>,
    width: f64,
    height: f64,
}

impl Canvas {
    /// Returns an empty canvas.
    pub fn new() -> Self {
        Self { nodes: Vec::new(), width: 0.0, height: 0.0 }
    }

    /// Returns its width so far.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// Extends the drawing to this point.
    fn reach(&mut self, x: f64, y: f64) {
        self.width = self.width.max(x);
        self.height = self.height.max(y);
    }

    /// Draws text whose baseline starts at (x, y), or is anchored there by its class.
    pub fn text(&mut self, x: f64, y: f64, class: &str, text: impl Into<String>) {
        let text = text.into();
        let long =
            if class.contains("mid") || class.contains("end") { 0.0 } else { width(&text, class) };
        self.reach(x + long, y);
        let element = Text::new(text).set("x", x).set("y", y);
        self.add(match class.trim() {
            "" => element,
            class => element.set("class", class),
        });
    }

    /// A box.
    pub fn rectangle(&mut self, [x, y, width, height]: [f64; 4], radius: f64, class: &str) {
        self.reach(x + width, y + height);
        let element = Rectangle::new()
            .set("x", x)
            .set("y", y)
            .set("width", width)
            .set("height", height)
            .set("rx", radius)
            .set("class", class);
        self.add(element);
    }

    /// A straight line.
    pub fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], class: &str) {
        let element =
            Line::new().set("x1", x1).set("y1", y1).set("x2", x2).set("y2", y2).set("class", class);
        self.add(element);
    }

    /// A line that leaves and arrives horizontally.
    pub fn curve(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], class: &str) {
        let mid = (x1 + x2) / 2.0;
        let data = format!("M{x1} {y1}C{mid} {y1} {mid} {y2} {x2} {y2}");
        self.add(Path::new().set("d", data).set("class", class));
    }

    /// A horizontal arrow with a dot at its tail.
    pub fn arrow(&mut self, x1: f64, x2: f64, y: f64) {
        let step = if x2 > x1 { 1.0 } else { -1.0 };
        self.line([x1, y], [x2 - 7.0 * step, y], "wire");
        let back = x2 - 8.0 * step;
        let (above, below) = (y - 4.5, y + 4.5);
        let head = format!("M{x2} {y}L{back} {above}L{back} {below}Z");
        self.add(Path::new().set("d", head).set("class", "channel"));
        let tail = format!("M{x1} {above}V{below}");
        self.add(Path::new().set("d", tail).set("class", "wire"));
    }

    fn add(&mut self, node: impl Into<Box<dyn Node>>) {
        self.nodes.push(node.into());
    }

    /// The drawing as one self-contained file.
    pub fn finish(self, title: &str) -> String {
        let (width, height) = ((self.width + MARGIN).ceil(), (self.height + MARGIN).ceil());
        let page = Rectangle::new()
            .set("width", width)
            .set("height", height)
            .set("rx", 10)
            .set("class", "page");
        let mut whole = Document::new()
            .set("viewBox", (0, 0, width, height))
            .set("width", width)
            .set("height", height)
            .set("role", "img")
            .add(Title::new(title))
            .add(Style::new(STYLE))
            .add(page);
        for node in self.nodes {
            whole = whole.add(node);
        }
        format!("{whole}\n")
    }
}

/// Estimates the width of text of a class.
pub fn width(text: &str, class: &str) -> f64 {
    let is_wide = |c: &char| match class {
        class if class.contains("mono") => false,
        // The title is a file's name, so it can have any letters.
        class if class.contains("title") => {
            !c.is_ascii() || "mw@%".contains(*c) || c.is_uppercase()
        }
        _ => "mwMW@%".contains(*c),
    };
    let wide = text.chars().filter(is_wide).count();
    let letters = text.chars().count() as f64 + wide as f64 * 0.9;
    letters
        * match class {
            class if class.contains("mono") => 7.0,
            class if class.contains("title") => 14.0,
            class if class.contains("head") => 8.2,
            _ => 6.4,
        }
}
