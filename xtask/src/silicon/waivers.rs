// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waivers: known violations that are not corrected, each with its reason. All are in
//! `xtask/silicon/waivers.toml`.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use silicon_model::rules;

use runner::workspace;

/// The waivers' file.
pub const FILE: &str = "xtask/silicon/waivers.toml";

/// A violation that is not corrected.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The rule's name.
    pub rule: String,
    /// A function around the place.
    pub symbol: String,
    /// Why the violation is right, or until when it stays.
    pub reason: String,
}

/// Reads the waivers.
///
/// # Errors
/// If the file cannot be read, or an entry has an unknown rule or no reason.
pub fn read() -> Result<Vec<Waiver>> {
    let path = workspace::root().join(FILE);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).context(FILE)
}

fn parse(text: &str) -> Result<Vec<Waiver>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        waiver: Vec<Waiver>,
    }
    let File { waiver: waivers } = toml::from_str(text)?;
    for waiver in &waivers {
        let Waiver { rule, symbol, reason } = waiver;
        ensure!(
            rules::find(rule).is_some(),
            "there is no rule `{rule}`: `cargo xtask silicon --explain all` lists them"
        );
        ensure!(
            !symbol.is_empty(),
            "the waiver of `{rule}` has no symbol: write the function that it is for"
        );
        ensure!(
            reason.len() > 20,
            "the waiver of `{rule}` in `{symbol}` has no reason: write why the violation stays"
        );
    }
    Ok(waivers)
}

/// Returns the waiver of a violation of `rule` in these functions.
#[must_use]
pub fn find<'a>(waivers: &'a [Waiver], rule: &str, functions: &[String]) -> Option<&'a Waiver> {
    let covers = |symbol: &String| functions.iter().any(|function| function == symbol);
    waivers.iter().find(|waiver| waiver.rule == rule && covers(&waiver.symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"
        [[waiver]]
        rule = "sgi-before-dsb"
        symbol = "gic::send"
        reason = "made up for this test"
    "#;

    #[test]
    fn a_waiver_covers_one_rule_in_one_function() {
        let waivers = parse(ONE).expect("waivers");
        let functions = |name: &str| vec!["outer".to_string(), name.to_string()];
        assert!(find(&waivers, "sgi-before-dsb", &functions("gic::send")).is_some());
        assert!(find(&waivers, "sgi-before-dsb", &functions("gic::sender")).is_none());
        assert!(find(&waivers, "sev-before-dsb", &functions("gic::send")).is_none());
    }

    #[test]
    fn bad_waivers_are_refused() {
        for (bad, words) in [
            (ONE.replace("sgi-", "sgl-"), "there is no rule `sgl-before-dsb`"),
            (ONE.replace("gic::send", ""), "has no symbol"),
            (ONE.replace("made up for this test", "because"), "has no reason"),
            (ONE.replace("reason", "raison"), "unknown field"),
            (ONE.replace("waiver", "weaver"), "unknown field"),
        ] {
            let error = parse(&bad).expect_err("a bad waiver").to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_waivers_of_the_repository_are_good() {
        read().expect("waivers");
    }
}
