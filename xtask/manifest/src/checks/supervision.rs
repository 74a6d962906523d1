// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on partitions that supervise the others.

use crate::decode::At;
use crate::raw::{Manifest, Partition};
use crate::report::Finding;

/// Most supervisors of a system.
const MOST: usize = 2;

/// Each supervisor, with its key.
fn supervisors(m: &Manifest) -> impl Iterator<Item = (&Partition, &At<bool>)> {
    m.partitions.iter().filter_map(|partition| {
        let key = partition.supervisor.as_ref().filter(|key| *key.get_ref())?;
        Some((partition, key))
    })
}

pub fn supervisor_count(m: &Manifest) -> Vec<Finding> {
    let all: Vec<_> = supervisors(m).collect();
    let Some((partition, key)) = all.get(MOST) else {
        return Vec::new();
    };
    let title = format!("{} would be supervisor {} of the system", partition.label(), MOST + 1);
    let finding = Finding::new(key.span(), title, "one too many");
    let others = all[..MOST].iter();
    vec![
        others
            .fold(finding, |finding, (_, key)| finding.other(key.span(), "a supervisor"))
            .help("leave it out of all partitions but one, or but two that supervise each other"),
    ]
}

pub fn supervisor_class(m: &Manifest) -> Vec<Finding> {
    let computing = supervisors(m).filter_map(|(partition, key)| {
        let class = partition.vcpus.as_ref()?.get_ref().first()?.class.as_ref()?;
        (*class.get_ref() == plan::CLASS_COMPUTE).then_some((partition, key, class))
    });
    computing
        .map(|(partition, key, class)| {
            let title = format!("vCPU 0 of supervisor {} is a compute core", partition.label());
            Finding::new(class.span(), title, "other partitions' stops would interrupt it")
                .other(key.span(), "they are announced to vCPU 0")
                .help("make its class \"comm\", or list a comm core first in `vcpus`")
        })
        .collect()
}

pub fn supervisor_option(m: &Manifest) -> Vec<Finding> {
    let Some(option) = m.supervision.as_ref().filter(|key| !*key.get_ref()) else {
        return Vec::new();
    };
    supervisors(m)
        .map(|(partition, key)| {
            let name = partition.label();
            let title = format!("supervisor {name} would have no call to supervise with");
            Finding::new(key.span(), title, "needs EL2's part for it")
                .other(option.span(), "leaves that part out of EL2")
                .help(
                    "leave `supervision = false` out of the system, or `supervisor` out of the \
                     partition",
                )
        })
        .collect()
}
