//! The report as one HTML page: no script, no further file, light or dark as the reader's system
//! is.

use super::section::Section;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #d5dae0;
  --over: #b3261e; --c0: #0b6bcb; --c1: #c4560a; --c2: #2e7d32; --c3: #8e24aa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --paper: #14171b; --soft: #39414b; --over: #ff8a80;
    --c0: #6cb6ff; --c1: #ffab5e; --c2: #7ed491; --c3: #e0a3f0; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 1rem 0; }
th, td { padding: 0.2rem 0.6rem; border-bottom: 1px solid var(--soft); text-align: right;
  font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
td.over { color: var(--over); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: var(--ink); }
svg .title { font-weight: 600; font-size: 13px; text-anchor: middle; }
svg .middle { text-anchor: middle; }
svg .right { text-anchor: end; }
svg .grid { stroke: var(--soft); }
svg .line0 { fill: none; stroke: var(--c0); stroke-width: 2; }
svg .line1 { fill: none; stroke: var(--c1); stroke-width: 2; stroke-dasharray: 6 3; }
svg .line2 { fill: none; stroke: var(--c2); stroke-width: 2; stroke-dasharray: 2 2; }
svg .line3 { fill: none; stroke: var(--c3); stroke-width: 2; stroke-dasharray: 8 3 2 3; }
svg .fill0 { fill: var(--c0); }
svg .fill1 { fill: var(--c1); }
svg .fill2 { fill: var(--c2); }
svg .fill3 { fill: var(--c3); }
";

/// Returns the page.
#[must_use]
pub fn render(title: &str, sections: &[Section]) -> String {
    let bodies: String = sections.iter().map(section).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{bodies}</body>\n\
         </html>\n"
    )
}

fn section(section: &Section) -> String {
    let paragraphs = section.text.split("\n\n");
    let text: String = paragraphs.map(|words| format!("<p>{}</p>\n", with_code(words))).collect();
    let plots = match section.plots.len() {
        0 => String::new(),
        _ => format!("<div class=\"plots\">\n{}\n</div>\n", section.plots.join("\n")),
    };
    let tables: String = section
        .tables
        .iter()
        .map(|table| {
            let head: String =
                table.head.iter().map(|cell| format!("<th>{}</th>", escaped(cell))).collect();
            let rows: String = table
                .rows
                .iter()
                .map(|row| {
                    let cells: String = row.iter().map(|text| cell(text)).collect();
                    format!("<tr>{cells}</tr>\n")
                })
                .collect();
            format!("<div class=\"wide\"><table>\n<tr>{head}</tr>\n{rows}</table></div>\n")
        })
        .collect();
    format!("<h2>{}</h2>\n{text}{plots}{tables}", escaped(&section.title))
}

/// Returns text as HTML; what is between backticks is code.
fn with_code(text: &str) -> String {
    let pieces = text.split('`').enumerate().map(|(index, piece)| match index % 2 {
        1 => format!("<code>{}</code>", escaped(piece)),
        _ => escaped(piece),
    });
    pieces.collect()
}

fn cell(text: &str) -> String {
    let is_bad = text.starts_with("OVER") || text.starts_with("FAILED");
    let class = if is_bad { " class=\"over\"" } else { "" };
    format!("<td{class}>{}</td>", escaped(text))
}

/// Returns text as HTML or XML, also for attributes.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
