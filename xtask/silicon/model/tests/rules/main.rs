// SPDX-License-Identifier: MIT OR Apache-2.0
//! One bad event list per rule, which breaks only that rule, and a good one like it, which breaks
//! none.

mod lists;
mod support;
mod ways;

use lists::LISTS;
use silicon_model::rules::RULES;
use support::{rules, two};

#[test]
fn each_bad_list_breaks_its_rule_and_no_other() {
    for (rule, list) in LISTS {
        let mut machine = two();
        list(&mut machine, true);
        assert_eq!(rules(&machine), [*rule]);
        let warns = silicon_model::rules::find(rule).is_some_and(|rule| rule.warns);
        assert_eq!(machine.model.failed(), !warns, "{rule}");
    }
}

#[test]
fn each_good_list_breaks_none() {
    for (rule, list) in LISTS {
        let mut machine = two();
        list(&mut machine, false);
        let violations: Vec<_> = machine.model.violations().collect();
        assert!(violations.is_empty(), "{rule}: {violations:#?}");
    }
}

#[test]
fn every_rule_has_its_lists_and_its_words() {
    let listed: Vec<_> = LISTS.iter().map(|(rule, _)| *rule).collect();
    let rules: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(listed, rules);
    for rule in RULES {
        assert!(
            rule.says.ends_with('.') && rule.why.ends_with('.') && rule.why.len() > 40,
            "{}",
            rule.id
        );
        let sources = ["DDI 0487", "IHI 0069", "DEN 0022"];
        assert!(sources.iter().any(|source| rule.section.contains(source)), "{}", rule.id);
    }
}
