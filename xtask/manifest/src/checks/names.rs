// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on partitions as such: their number, names and command lines.

use crate::decode::At;
use crate::names::{LONGEST, is_allowed};
use crate::raw::Manifest;
use crate::report::Finding;

/// Longest command line: Linux's `COMMAND_LINE_SIZE` on arm64 (arch/arm64/include/uapi/asm/setup.h)
/// less its final zero.
const LONGEST_LINE: usize = 2047;

pub fn partition_none(m: &Manifest) -> Vec<Finding> {
    match m.partitions.as_slice() {
        [] => vec![Finding::new(0..0, "the system has no partition", "nothing here runs").help(
            "add one: `[[partition]]` with name, vcpus, memory and image (docs/manifest.md has \
                 an example)",
        )],
        _ => Vec::new(),
    }
}

pub fn partition_name(m: &Manifest) -> Vec<Finding> {
    bad_names("partition", m.partitions.iter().map(|partition| partition.name.as_ref()))
}

pub fn partition_name_twice(m: &Manifest) -> Vec<Finding> {
    names_twice("partition", m.partitions.iter().map(|partition| partition.name.as_ref()))
}

pub fn channel_name(m: &Manifest) -> Vec<Finding> {
    bad_names("channel", m.channels.iter().map(|channel| channel.name.as_ref()))
}

pub fn channel_name_twice(m: &Manifest) -> Vec<Finding> {
    names_twice("channel", m.channels.iter().map(|channel| channel.name.as_ref()))
}

fn bad_names<'a>(what: &str, names: impl Iterator<Item = Option<&'a At<String>>>) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in names.flatten() {
        let text = name.get_ref();
        let label = if text.is_empty() {
            "this is empty".to_owned()
        } else if let Some(bad) = text.chars().find(|&c| !is_allowed(c)) {
            format!("{bad:?} is not allowed")
        } else if text.len() > LONGEST {
            format!("this has {} characters", text.len())
        } else {
            continue;
        };
        let title = format!("{text:?} cannot be a {what}'s name");
        let help = format!("write 1 to {LONGEST} characters of a-z, 0-9 and -");
        found.push(Finding::new(name.span(), title, label).help(help));
    }
    found
}

fn names_twice<'a>(
    what: &str,
    names: impl Iterator<Item = Option<&'a At<String>>>,
) -> Vec<Finding> {
    let names: Vec<_> = names.flatten().collect();
    let mut found = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = names[..index].iter().find(|first| first.get_ref() == name.get_ref()) {
            let title = format!("two {what}s are named \"{}\"", name.get_ref());
            found.push(
                Finding::new(name.span(), title, "the second")
                    .other(first.span(), "the first")
                    .help(format!("give each {what} a different name")),
            );
        }
    }
    found
}

pub fn command_line_length(m: &Manifest) -> Vec<Finding> {
    let lines = m.partitions.iter().filter_map(|partition| partition.command_line.as_ref());
    lines
        .filter(|line| line.get_ref().len() > LONGEST_LINE)
        .map(|line| {
            let title = format!("the command line has {} bytes", line.get_ref().len());
            Finding::new(line.span(), title, format!("{LONGEST_LINE} at most"))
                .help("shorten it: Linux cuts off the rest")
        })
        .collect()
}

pub fn command_line_text(m: &Manifest) -> Vec<Finding> {
    let lines = m.partitions.iter().filter_map(|partition| partition.command_line.as_ref());
    lines
        .filter_map(|line| {
            let bad = line.get_ref().chars().find(|c| c.is_control())?;
            let title = "the command line has a control character";
            Some(
                Finding::new(line.span(), title, format!("this contains {bad:?}"))
                    .help("write one line of printable characters"),
            )
        })
        .collect()
}
