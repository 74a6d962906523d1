// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks as JUnit XML, which CI systems show.

use crate::page::escaped;
use hil::figures::Figures;
use hil::limits::Check;

/// Returns the XML: a case for the report, and one per check. On an emulator a comparison decides
/// nothing, so it has no cases.
pub fn xml(figures: &Figures, checks: &[Check], compared: &[Check]) -> String {
    let suite = format!("hil.{}", figures.board);
    let compared = if figures.emulated { &[] } else { compared };
    let mut cases = vec![case(&suite, "report", None)];
    for check in checks.iter().chain(compared) {
        cases.push(case(&suite, &check.name, check.why.as_deref()));
    }
    let failures = checks.iter().chain(compared).filter(|check| check.why.is_some()).count();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"{}\" \
         tests=\"{}\" failures=\"{failures}\">\n{}</testsuite>\n</testsuites>\n",
        escaped(&suite),
        cases.len(),
        cases.concat()
    )
}

fn case(suite: &str, name: &str, why: Option<&str>) -> String {
    let (suite, name) = (escaped(suite), escaped(name));
    match why {
        None => format!("<testcase classname=\"{suite}\" name=\"{name}\"/>\n"),
        Some(why) => format!(
            "<testcase classname=\"{suite}\" name=\"{name}\"><failure message=\"{}\"/>\
             </testcase>\n",
            escaped(why)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_a_case_and_the_xml_is_well_formed() {
        let figures = Figures { board: "a<b".into(), ..Figures::default() };
        let check =
            |why: Option<&str>| Check { name: "x & \"y\"".into(), why: why.map(Into::into) };
        let text = xml(&figures, &[check(None), check(Some("2 > 1"))], &[check(Some("slow"))]);
        let tree = roxmltree::Document::parse(&text).expect("XML");
        let of = |name: &str| tree.descendants().filter(|n| n.has_tag_name(name)).count();
        assert_eq!((of("testcase"), of("failure")), (4, 2));
        let suite = tree.descendants().find(|n| n.has_tag_name("testsuite")).expect("a suite");
        assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("4"), Some("2")));
        let emulated = Figures { emulated: true, ..figures };
        let text = xml(&emulated, &[], &[check(Some("slow"))]);
        assert!(!text.contains("failure message"), "{text}");
    }
}
