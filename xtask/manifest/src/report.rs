// SPDX-License-Identifier: MIT OR Apache-2.0
//! Findings: what is wrong or unwise, its place, other places that it concerns, and what to write
//! instead.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::words::count;

/// One broken rule, with the bytes of the file it points at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule's id, which the caller of the rule sets.
    pub rule: &'static str,
    /// Whether it is a warning.
    warns: bool,
    title: String,
    label: String,
    culprit: Range<usize>,
    others: Vec<(Range<usize>, String)>,
    notes: Vec<String>,
    help: Option<String>,
}

impl Finding {
    /// A finding at `culprit`. `title` is a complete sentence; `label` is shown under the caret.
    pub fn new(
        culprit: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> Finding {
        Finding {
            rule: "",
            warns: false,
            title: title.into(),
            label: label.into(),
            culprit,
            others: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Names the rule.
    pub fn rule(mut self, id: &'static str) -> Finding {
        self.rule = id;
        self
    }

    /// Makes it a warning.
    pub fn warning(mut self) -> Finding {
        self.warns = true;
        self
    }

    /// Whether it is about the whole file and not about a place in it.
    pub fn is_of_whole_file(&self) -> bool {
        self.culprit == (0..0)
    }

    /// Whether it points into one of `spans`.
    pub fn is_within(&self, spans: &[Range<usize>]) -> bool {
        let mut spans = spans.iter();
        spans.any(|span| span.contains(&self.culprit.start))
    }

    /// Adds another place that the culprit conflicts with.
    pub fn other(mut self, span: Range<usize>, label: impl Into<String>) -> Finding {
        self.others.push((span, label.into()));
        self
    }

    /// Adds a fact that no place in the file shows.
    pub fn note(mut self, note: impl Into<String>) -> Finding {
        self.notes.push(note.into());
        self
    }

    /// Says what to write instead.
    pub fn help(mut self, help: impl Into<String>) -> Finding {
        self.help = Some(help.into());
        self
    }
}

/// All findings on one manifest, errors or warnings, in the file's order.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    path: String,
    text: String,
    findings: Vec<Finding>,
}

impl Diagnostics {
    /// Findings in the file at `path`, whose contents are `text` (empty if it cannot be read).
    pub fn new(
        path: impl Into<String>,
        text: impl Into<String>,
        mut findings: Vec<Finding>,
    ) -> Self {
        findings.sort_by_key(|finding| (finding.culprit.start, finding.rule));
        Diagnostics { path: path.into(), text: text.into(), findings }
    }

    /// Ids of the broken rules, one per finding.
    pub fn rules(&self) -> impl Iterator<Item = &'static str> {
        self.findings.iter().map(|finding| finding.rule)
    }

    /// Whether there is no finding.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Renders the findings as text; `colour` adds terminal escapes.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for finding in &self.findings {
            let level = match finding.warns {
                true => Level::WARNING,
                false => Level::ERROR,
            };
            let title = level.primary_title(&*finding.title);
            // A finding that is not about a manifest has no rule to explain.
            let title = match finding.rule {
                "" => title,
                id => title.id(id),
            };
            let mut group = title.elements((!self.text.is_empty()).then(|| {
                let place = |kind: AnnotationKind, span: &Range<usize>, label: &str| {
                    kind.span(span.clone()).label(label.to_owned())
                };
                Snippet::source(&*self.text)
                    .path(&*self.path)
                    .annotation(place(AnnotationKind::Primary, &finding.culprit, &finding.label))
                    .annotations(
                        finding
                            .others
                            .iter()
                            .map(|(span, label)| place(AnnotationKind::Context, span, label)),
                    )
            }));
            for note in &finding.notes {
                group = group.element(Level::NOTE.message(&**note));
            }
            if let Some(help) = &finding.help {
                group = group.element(Level::HELP.message(&**help));
            }
            out += &renderer.render(&[group]);
            out += "\n\n";
        }
        let warnings = self.findings.iter().filter(|f| f.warns).count();
        let counts = [(self.findings.len() - warnings, "error"), (warnings, "warning")];
        let words: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(number, what)| count(number, what))
            .collect();
        out + &format!("{}: {}", self.path, words.join(", "))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
