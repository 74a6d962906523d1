// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on the texts that a runner judges a partition by.

use crate::decode::At;
use crate::raw::{Manifest, Partition};
use crate::report::Finding;

/// Most characters of a text: EL2 breaks a line after 200 bytes, not counting the partition's name
/// in front of it.
const LONGEST: usize = 100;

/// The texts of a partition, with their keys.
fn texts(partition: &Partition) -> impl Iterator<Item = (&'static str, &At<String>)> {
    [("pass", &partition.pass), ("fail", &partition.fail)]
        .into_iter()
        .filter_map(|(key, text)| Some((key, text.as_ref()?)))
}

pub fn verdict_text(m: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, text) in m.partitions.iter().flat_map(texts) {
        let characters = text.get_ref().chars();
        let label = if text.get_ref().is_empty() {
            "every line contains this".to_owned()
        } else if let Some(bad) = characters.clone().find(|c| c.is_control()) {
            format!("this contains {bad:?}")
        } else if characters.clone().count() > LONGEST {
            format!("this has {} characters", characters.count())
        } else {
            continue;
        };
        let title = format!("this `{key}` does not identify a console line");
        let help =
            format!("write 1 to {LONGEST} printable characters that only this line contains");
        found.push(Finding::new(text.span(), title, label).help(help));
    }
    found
}

pub fn verdict_both(m: &Manifest) -> Vec<Finding> {
    let both = m.partitions.iter().filter_map(|partition| {
        let (pass, fail) = (partition.pass.as_ref()?, partition.fail.as_ref()?);
        let held = !fail.get_ref().is_empty() && pass.get_ref().contains(fail.get_ref());
        held.then(|| {
            let title = format!("{} can only fail", partition.label());
            Finding::new(pass.span(), title, "a line with this text …")
                .other(fail.span(), "… also contains this one")
                .help("write more of the failing line into `fail`")
        })
    });
    both.collect()
}

pub fn verdict_console(m: &Manifest) -> Vec<Finding> {
    let silent = m.partitions.iter().filter(|partition| !partition.console);
    let texts = silent.flat_map(|partition| texts(partition).map(move |text| (partition, text)));
    texts
        .map(|(partition, (key, text))| {
            let title = format!("{} has no console for this line", partition.label());
            Finding::new(text.span(), title, "never printed")
                .help(format!("leave out `{key}`, or `console = false`"))
        })
        .collect()
}
