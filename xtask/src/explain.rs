//! `cargo xtask explain`: a rule's reason, and for one of manifests an example that breaks it.

use crate::silicon;
use anyhow::{Context, Result, bail};
use manifest::rules::{RULES, Rule};
use manifest::words::nearest;
use runner::ui;
use runner::workspace::root;
use std::fmt::Write;

/// Explains the rule `id`, or lists all rules.
///
/// # Errors
/// If there is no such rule, or its example cannot be read.
pub fn command(id: Option<&str>) -> Result<()> {
    let Some(id) = id else {
        ui::say(list().trim_end());
        return Ok(());
    };
    if let Some(text) = silicon::explain(id) {
        ui::say(text);
        return Ok(());
    }
    let Some(rule) = RULES.iter().find(|rule| rule.id == id) else {
        let silicon = silicon_model::rules::RULES.iter().map(|rule| rule.id);
        let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).chain(silicon).collect();
        match nearest(id, ids) {
            Some(near) => bail!("there is no rule `{id}`: did you mean `{near}`?"),
            None => bail!("there is no rule `{id}`: `cargo xtask explain` lists them"),
        }
    };
    ui::say(text(rule)?.trim_end());
    Ok(())
}

/// Lists every rule, one per line.
fn list() -> String {
    let width = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (title, warns) in [
        ("Errors: a system that breaks one is not built", false),
        ("Warnings: legal, but unwise", true),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{title}\n");
        for rule in RULES.iter().filter(|rule| rule.warns() == warns) {
            let _ = writeln!(text, "  {:width$}  {}", rule.id, rule.says);
        }
        let _ = writeln!(text);
    }
    let _ = writeln!(
        text,
        "Rules of `cargo xtask silicon`: silicon requires them, but QEMU does not model them\n"
    );
    text + &silicon::list()
}

/// Explains one rule: its sentence, its reason, and an example that breaks it.
fn text(rule: &Rule) -> Result<String> {
    let kind = if rule.warns() { "warning" } else { "error" };
    let example = format!("tests/manifests/{}.toml", rule.id);
    let message = root().join(&example).with_extension("txt");
    let message = std::fs::read_to_string(&message)
        .with_context(|| format!("cannot read the example {}", message.display()))?;
    Ok(format!(
        "{} ({kind})\n\n{}\n\nWhy: {}\n\nThe example {example} breaks it:\n\n{message}",
        rule.id, rule.says, rule.why
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each rule has a reason that says more than its sentence, and an example whose message names
    /// it. A test in `manifest` shows that the example gives that message.
    #[test]
    fn every_rule_has_a_reason_and_an_example() {
        for rule in RULES {
            let text = text(rule).unwrap_or_else(|error| panic!("{}: {error:#}", rule.id));
            assert!(
                rule.why.len() > 30 && rule.why != rule.says && rule.why.ends_with('.'),
                "{}",
                rule.id
            );
            let kind = if rule.warns() { "warning" } else { "error" };
            assert!(text.contains(&format!("{kind}[{}]: ", rule.id)), "{text}");
            assert!(list().contains(rule.says), "{}", rule.id);
        }
    }

    #[test]
    fn an_unknown_rule_is_answered_with_the_nearest() {
        let error = command(Some("core-given-twise")).expect_err("no such rule");
        assert!(error.to_string().contains("did you mean `core-given-twice`?"), "{error}");
    }
}
