// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on vCPUs, their cores and classes, and on the board.

use crate::decode::At;
use crate::raw::{Manifest, Partition, Vcpu};
use crate::report::Finding;
use crate::system::Board;

/// A vCPU whose core is known: its partition, its number, itself and its core.
pub(super) type Placed<'a> = (&'a Partition, usize, &'a Vcpu, &'a At<u64>);

/// Every such vCPU.
pub(super) fn vcpus(m: &Manifest) -> impl Iterator<Item = Placed<'_>> {
    m.partitions.iter().flat_map(|partition| {
        let vcpus = partition.vcpus.iter().flat_map(|vcpus| vcpus.get_ref()).enumerate();
        vcpus.filter_map(move |(number, vcpu)| Some((partition, number, vcpu, vcpu.core.as_ref()?)))
    })
}

/// Numbers for people.
pub(super) fn join(numbers: impl Iterator<Item = u64>) -> String {
    let words: Vec<String> = numbers.map(|number| number.to_string()).collect();
    words.join(", ")
}

/// Lists the cores that no partition has, for a message.
fn free_cores(m: &Manifest, board: &Board) -> String {
    let free = (0..board.cores.len() as u64)
        .filter(|core| vcpus(m).all(|(_, _, _, taken)| taken.get_ref() != core));
    match join(free) {
        none if none.is_empty() => format!("all cores of {} are taken", board.name),
        free => format!("free cores of {}: {free}", board.name),
    }
}

pub fn vcpus_none(m: &Manifest) -> Vec<Finding> {
    let lists =
        m.partitions.iter().filter_map(|partition| Some((partition, partition.vcpus.as_ref()?)));
    lists
        .filter(|(_, vcpus)| vcpus.get_ref().is_empty())
        .map(|(partition, vcpus)| {
            let title = format!("{} has no vCPU", partition.label());
            Finding::new(vcpus.span(), title, "this is empty")
                .help("write at least one: `vcpus = [{ core = 0, class = \"comm\" }]`")
        })
        .collect()
}

pub fn vcpus_too_many(m: &Manifest) -> Vec<Finding> {
    let lists =
        m.partitions.iter().filter_map(|partition| Some((partition, partition.vcpus.as_ref()?)));
    lists
        .filter(|(_, vcpus)| vcpus.get_ref().len() > plan::MAX_VCPUS)
        .map(|(partition, vcpus)| {
            let title = format!("{} has {} vCPUs", partition.label(), vcpus.get_ref().len());
            Finding::new(
                vcpus.span(),
                title,
                format!("a partition has at most {}", plan::MAX_VCPUS),
            )
            .help("remove some: Bulkhead does not use more cores than that")
        })
        .collect()
}

pub fn cores_too_many(m: &Manifest) -> Vec<Finding> {
    let lists: Vec<_> = m.partitions.iter().filter_map(|p| Some((p, p.vcpus.as_ref()?))).collect();
    let count: usize = lists.iter().map(|(_, vcpus)| vcpus.get_ref().len()).sum();
    let alone = lists.iter().any(|(_, vcpus)| vcpus.get_ref().len() > plan::MAX_VCPUS);
    let Some(((_, last), rest)) = lists.split_last() else {
        return Vec::new();
    };
    if count <= plan::MAX_CORES || alone {
        return Vec::new();
    }
    let label = |count: usize| format!("{count} here");
    let title = format!("the system uses {count} cores");
    let finding = Finding::new(last.span(), title, label(last.get_ref().len()));
    let finding = rest.iter().fold(finding, |finding, (_, vcpus)| {
        finding.other(vcpus.span(), label(vcpus.get_ref().len()))
    });
    vec![finding.help(format!("a system uses at most {} cores", plan::MAX_CORES))]
}

pub fn core_unknown(m: &Manifest, board: &Board) -> Vec<Finding> {
    vcpus(m)
        .filter(|(_, _, _, core)| *core.get_ref() >= board.cores.len() as u64)
        .map(|(_, _, _, core)| {
            let title = format!("{} has no core {}", board.name, core.get_ref());
            let label = format!("its cores are 0 to {}", board.cores.len().saturating_sub(1));
            Finding::new(core.span(), title, label).help(free_cores(m, board))
        })
        .collect()
}

pub fn core_given_twice(m: &Manifest, board: &Board) -> Vec<Finding> {
    let all: Vec<_> = vcpus(m).collect();
    let mut found = Vec::new();
    for (index, (partition, number, _, core)) in all.iter().enumerate() {
        let first = all[..index].iter().find(|(_, _, _, first)| first.get_ref() == core.get_ref());
        if let Some((owner, owner_number, _, first)) = first {
            let title = format!("core {} is given twice", core.get_ref());
            found.push(
                Finding::new(core.span(), title, format!("to {}/{number} here", partition.label()))
                    .other(first.span(), format!("to {}/{owner_number} here", owner.label()))
                    .help(free_cores(m, board)),
            );
        }
    }
    found
}

/// Lists the cores that may drain the console, for a message.
fn comm_cores(m: &Manifest) -> String {
    let comm = vcpus(m)
        .filter(|(_, _, vcpu, _)| {
            vcpu.class.as_ref().is_some_and(|class| *class.get_ref() == plan::CLASS_COMM)
        })
        .map(|(_, _, _, core)| *core.get_ref());
    match join(comm) {
        none if none.is_empty() => "give one vCPU the class \"comm\"".into(),
        comm => format!("comm cores of this system: {comm}"),
    }
}

pub fn console_core_unowned(m: &Manifest) -> Vec<Finding> {
    let Some(console) = m.console_core.as_ref().filter(|_| m.knows_cores()) else {
        return Vec::new();
    };
    // A system without cores is reported by another rule first.
    if vcpus(m).next().is_none()
        || vcpus(m).any(|(_, _, _, core)| core.get_ref() == console.get_ref())
    {
        return Vec::new();
    }
    let title = format!("core {} cannot drain the console", console.get_ref());
    vec![Finding::new(console.span(), title, "no partition owns this core").help(comm_cores(m))]
}

pub fn console_core_class(m: &Manifest) -> Vec<Finding> {
    let Some(console) = &m.console_core else {
        return Vec::new();
    };
    vcpus(m)
        .filter(|(_, _, _, core)| core.get_ref() == console.get_ref())
        .filter_map(|(partition, number, vcpu, core)| {
            vcpu.class.as_ref().filter(|class| *class.get_ref() == plan::CLASS_COMPUTE)?;
            let title = format!("core {} cannot drain the console", console.get_ref());
            Some(
                Finding::new(console.span(), title, "draining would disturb a compute core")
                    .other(
                        core.span(),
                        format!("{}/{number} has the class compute", partition.label()),
                    )
                    .help(comm_cores(m)),
            )
        })
        .collect()
}

pub fn console_share(m: &Manifest) -> Vec<Finding> {
    let (least, most) = (plan::CONSOLE_SHARES.start(), plan::CONSOLE_SHARES.end());
    let allowed =
        |share: u64| u32::try_from(share).is_ok_and(|share| plan::CONSOLE_SHARES.contains(&share));
    let share = m.console_share.iter().filter(|share| !allowed(*share.get_ref()));
    share
        .map(|share| {
            let title = format!("the console cannot take {} % of its core", share.get_ref());
            Finding::new(share.span(), title, format!("the range is {least} to {most}"))
                .help(format!("leave it out to use the default, {} %", plan::CONSOLE_SHARE))
        })
        .collect()
}

pub fn mixed_clusters(m: &Manifest, board: &Board) -> Vec<Finding> {
    let Some(policy) = m.mixed_clusters.as_ref().filter(|mixed| !mixed.get_ref()) else {
        return Vec::new();
    };
    // Each cluster with the first core of each class in it.
    let mut clusters = std::collections::BTreeMap::<u32, [Option<Placed>; 2]>::new();
    for placed @ (_, _, vcpu, core) in vcpus(m) {
        let row = usize::try_from(*core.get_ref()).ok();
        let row = row.and_then(|core| board.cores.get(core));
        if let (Some(row), Some(class)) = (row, &vcpu.class) {
            let first = &mut clusters.entry(row.cluster).or_default()[*class.get_ref() as usize];
            first.get_or_insert(placed);
        }
    }
    let shared = clusters.into_iter().filter_map(|(cluster, classes)| match classes {
        [Some(compute), Some(comm)] => Some((cluster, compute, comm)),
        _ => None,
    });
    shared
        .map(|(cluster, (computes, compute, _, core), (talks, comm, _, other))| {
            let title = format!("cluster {cluster} of {} has cores of both classes", board.name);
            let label = format!("{}/{compute} has the class compute", computes.label());
            let alone = board.cores.iter().all(|row| row.cluster == cluster);
            Finding::new(core.span(), title, label)
                .other(other.span(), format!("{}/{comm} has the class comm", talks.label()))
                .other(policy.span(), "this refuses it")
                .help(match alone {
                    true => {
                        "this board has one cluster: write `mixed-clusters = \"allow\"`, or \
                             choose another board"
                    }
                    false => {
                        "move one class to cores of other clusters, or write `mixed-clusters = \
                         \"allow\"`"
                    }
                })
        })
        .collect()
}
