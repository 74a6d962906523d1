//! Counts source lines: the lines of a file without blank lines, comments and tests.
//!
//! A line counts if it holds code after rustfmt with its defaults (which `cargo xtask test`
//! checks). Not counted are
//! - blank lines, and lines that are wholly part of a comment, documentation included;
//! - items under `#[cfg(test)]`, to their closing brace.
//!
//! Assembly files count by the same rules. Code for loom's builds counts, because it is between the
//! lines that run.

/// Source lines of one file.
pub fn count(text: &str) -> usize {
    let mut lines = 0;
    let mut comment = 0;
    // The closing line of a test item that is being left out.
    let mut left_out: Option<String> = None;
    let mut test_follows = false;
    for line in text.lines() {
        let code = line.trim();
        if let Some(close) = &left_out {
            if line == close {
                left_out = None;
            }
        } else if comment > 0 || code.starts_with("/*") {
            comment += code.matches("/*").count();
            comment -= code.matches("*/").count().min(comment);
        } else if code.is_empty() || code.starts_with("//") {
        } else if code == "#[cfg(test)]" {
            test_follows = true;
        } else if test_follows {
            // Further attributes of the item are left out with it.
            if code.starts_with("#[") {
                continue;
            }
            test_follows = false;
            if code.ends_with('{') {
                let indent = &line[..line.len() - line.trim_start().len()];
                left_out = Some(format!("{indent}}}"));
            }
        } else {
            lines += 1;
        }
    }
    lines
}
