// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on channels: their ends, sizes and rates.

use std::collections::BTreeSet;

use plan::{INTIDS, MAX_ENDS, PAGE};

use crate::decode::At;
use crate::guest_machine::CHANNEL_INTIDS;
use crate::names::is_allowed;
use crate::raw::{Channel, Manifest, Partition};
use crate::report::Finding;
use crate::resolve::{FIRST_SPI, split_end};
use crate::system::Board;
use crate::words::{address, bytes, nearest, suggest};

/// Most data bytes of one direction: indices are 32 bits wide and full must differ from empty.
const LARGEST: u64 = 1 << 31;

/// Every end as written.
fn ends(m: &Manifest) -> impl Iterator<Item = &At<String>> {
    m.channels
        .iter()
        .filter_map(|channel| channel.ends.as_ref())
        .flat_map(|ends| ends.get_ref())
        .flatten()
}

/// The partition and the vCPU's number of an end whose partition exists.
fn owner<'a>(m: &'a Manifest, end: &'a At<String>) -> Option<(&'a Partition, usize)> {
    let (name, vcpu) = split_end(end.get_ref())?;
    let mut partitions = m.partitions.iter();
    Some((partitions.find(|partition| partition.label() == name)?, vcpu))
}

/// Every end whose partition exists: itself, the partition and the vCPU's number.
fn owned(m: &Manifest) -> impl Iterator<Item = (&At<String>, &Partition, usize)> {
    ends(m).filter_map(|end| {
        let (partition, vcpu) = owner(m, end)?;
        Some((end, partition, vcpu))
    })
}

/// Those of a channel's ends that take doorbells, and so need an interrupt.
fn rung(channel: &Channel) -> impl Iterator<Item = &At<String>> {
    let ends = channel.ends.iter().flat_map(|ends| ends.get_ref());
    ends.enumerate().filter_map(|(index, end)| {
        let waits = channel.waits.as_ref();
        let wait = waits.and_then(|waits| waits.get_ref().get(index)?.as_ref());
        wait.is_none_or(|wait| *wait.get_ref() == channel::wait::DOORBELL).then_some(end.as_ref()?)
    })
}

/// Returns the number of vCPUs of a partition; the largest number if they could not be read.
fn vcpus(partition: &Partition) -> usize {
    partition.vcpus.as_ref().map_or(usize::MAX, |vcpus| vcpus.get_ref().len())
}

pub(super) fn label(channel: &Channel) -> &str {
    channel.name.as_ref().map_or("?", |name| name.get_ref())
}

pub fn channel_ends_count(m: &Manifest) -> Vec<Finding> {
    let lists = m.channels.iter().filter_map(|channel| Some((channel, channel.ends.as_ref()?)));
    lists
        .filter(|(_, ends)| ends.get_ref().len() != 2)
        .map(|(channel, ends)| {
            let count = ends.get_ref().len();
            let title = format!(
                "channel {} has {count} end{}",
                label(channel),
                if count == 1 { "" } else { "s" }
            );
            Finding::new(ends.span(), title, "a channel has two ends").help(
                "write two: `ends = [\"sensor/0\", \"control/0\"]`; add channels to join more \
                 vCPUs",
            )
        })
        .collect()
}

pub fn channel_end_form(m: &Manifest) -> Vec<Finding> {
    ends(m)
        .filter(|end| split_end(end.get_ref()).is_none())
        .map(|end| {
            let title = format!("expected `partition/vcpu`, found \"{}\"", end.get_ref());
            let word = end.get_ref().trim_start();
            let word = word.split(|c| !is_allowed(c)).next().unwrap_or("");
            let names = m.partitions.iter().map(Partition::label);
            let name = nearest(word, names.clone()).or(names.clone().next());
            Finding::new(end.span(), title, "not a partition, a slash and a vCPU's number")
                .help(format!("write `\"{}/0\"`", name.unwrap_or("sensor")))
        })
        .collect()
}

pub fn channel_end_partition(m: &Manifest) -> Vec<Finding> {
    // A partition whose name could not be read may be the one that the end names.
    let Some(names) = m
        .partitions
        .iter()
        .map(|p| Some(p.name.as_ref()?.get_ref().as_str()))
        .collect::<Option<Vec<_>>>()
    else {
        return Vec::new();
    };
    ends(m)
        .filter_map(|end| Some((end, split_end(end.get_ref())?.0)))
        .filter(|(_, name)| !names.contains(name))
        .map(|(end, name)| {
            let title = format!("there is no partition \"{name}\"");
            Finding::new(end.span(), title, "unknown partition").help(suggest(
                name,
                "partitions",
                &names,
            ))
        })
        .collect()
}

pub fn channel_end_vcpu(m: &Manifest) -> Vec<Finding> {
    owned(m)
        .filter(|(_, partition, vcpu)| *vcpu >= vcpus(partition))
        .map(|(end, partition, _)| {
            let number = end.get_ref().split('/').nth(1).unwrap_or_default();
            let title = format!("{} has no vCPU {number}", partition.label());
            let finding = Finding::new(end.span(), title, "unknown vCPU");
            let finding = match &partition.vcpus {
                Some(list) => {
                    finding.other(list.span(), format!("its vCPUs: {}", list.get_ref().len()))
                }
                None => finding,
            };
            finding.help("count from 0: the first vCPU of the list has number 0")
        })
        .collect()
}

pub fn channel_one_partition(m: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    for ends in m.channels.iter().filter_map(|channel| channel.ends.as_ref()) {
        if let [Some(first), Some(second)] = ends.get_ref().as_slice()
            && let (Some((a, _)), Some((b, _))) =
                (split_end(first.get_ref()), split_end(second.get_ref()))
            && a == b
            // If several partitions have that name, the ends may belong to different ones; the
            // duplicate has been reported.
            && m.named(a) == 1
        {
            let title = format!("both ends belong to {a}");
            found.push(
                Finding::new(second.span(), title, "this end")
                    .other(first.span(), "and this")
                    .help("vCPUs of one partition share its memory, so they do not need a channel"),
            );
        }
    }
    found
}

pub fn channel_end_class(m: &Manifest) -> Vec<Finding> {
    owned(m)
        .filter_map(|(end, partition, number)| {
            let vcpu = partition.vcpus.as_ref()?.get_ref().get(number)?;
            let class =
                vcpu.class.as_ref().filter(|class| *class.get_ref() == plan::CLASS_COMPUTE)?;
            let title = format!(
                "{} has the class \"compute\", so it cannot be an end of a channel",
                end.get_ref()
            );
            let comm = partition.vcpus.iter().flat_map(|vcpus| vcpus.get_ref()).position(|vcpu| {
                vcpu.class.as_ref().is_some_and(|class| *class.get_ref() == plan::CLASS_COMM)
            });
            let help = match comm {
                Some(number) => format!("use its comm core: `\"{}/{number}\"`", partition.label()),
                None => "make its class \"comm\" if doorbells may interrupt it".into(),
            };
            Some(
                Finding::new(end.span(), title, "a doorbell would interrupt a compute core")
                    .other(class.span(), "its class")
                    .help(help),
            )
        })
        .collect()
}

pub fn channel_ends_too_many(m: &Manifest) -> Vec<Finding> {
    let owned: Vec<_> = owned(m).collect();
    let mut found = Vec::new();
    for (index, (end, _, _)) in owned.iter().enumerate() {
        let before = owned[..index].iter().filter(|(other, _, _)| other.get_ref() == end.get_ref());
        // The message is given once, at the first end that is too many.
        if before.count() == MAX_ENDS {
            let count =
                owned.iter().filter(|(other, _, _)| other.get_ref() == end.get_ref()).count();
            let title = format!("{} is an end of {count} channels", end.get_ref());
            found.push(
                Finding::new(end.span(), title, format!("a vCPU has at most {MAX_ENDS} ends"))
                    .help(
                        "spread them over several vCPUs, or carry several streams in one channel",
                    ),
            );
        }
    }
    found
}

pub fn channel_interrupts(m: &Manifest, board: &Board) -> Vec<Finding> {
    let mut found = Vec::new();
    for partition in &m.partitions {
        let owned: Vec<_> = m
            .channels
            .iter()
            .flat_map(rung)
            .filter(|end| owner(m, end).is_some_and(|(owner, _)| std::ptr::eq(owner, partition)))
            .collect();
        let spis = partition
            .interrupts
            .iter()
            .filter_map(|line| Some(line.spi.as_ref()?.get_ref().saturating_add(FIRST_SPI)));
        let passed = partition
            .devices
            .iter()
            .filter_map(|name| board.devices.iter().find(|device| device.name == *name.get_ref()));
        let passed = passed.flat_map(|device| &device.interrupts).map(|line| u64::from(line.intid));
        // The planner also skips the INTID of the console UART.
        let taken = spis.chain(passed).chain([u64::from(board.uart.1)]);
        let window = u64::from(CHANNEL_INTIDS)..INTIDS as u64;
        let taken: BTreeSet<u64> = taken.filter(|intid| window.contains(intid)).collect();
        let notice = partition.supervisor.as_ref().is_some_and(|at| *at.get_ref());
        let others = taken.len() + usize::from(notice);
        let room = (INTIDS - CHANNEL_INTIDS as usize).saturating_sub(others);
        if let Some(end) = owned.get(room) {
            let title =
                format!("{} takes doorbells at {} channel ends", partition.label(), owned.len());
            found.push(
                Finding::new(end.span(), title, format!("it has interrupts for {room}")).help(
                    "carry several streams in one channel, or let some ends poll with `waits`",
                ),
            );
        }
    }
    found
}

pub fn channel_bytes_count(m: &Manifest) -> Vec<Finding> {
    let lists = m.channels.iter().filter_map(|channel| Some((channel, channel.bytes.as_ref()?)));
    lists
        .filter(|(_, list)| list.get_ref().len() != 2)
        .map(|(channel, list)| {
            let title = format!("channel {} needs two sizes", label(channel));
            Finding::new(list.span(), title, format!("{} here", list.get_ref().len())).help(
                "write what the first end sends, then what the second sends: `bytes = [\"64KiB\", \
                 \"4KiB\"]`",
            )
        })
        .collect()
}

pub fn channel_bytes(m: &Manifest) -> Vec<Finding> {
    let sizes = m
        .channels
        .iter()
        .filter_map(|channel| channel.bytes.as_ref())
        .flat_map(|list| list.get_ref())
        .flatten();
    sizes
        .filter(|size| {
            let size = *size.get_ref();
            size != 0 && !(size.is_power_of_two() && (PAGE..=LARGEST).contains(&size))
        })
        .map(|size| {
            let fits = size.get_ref().clamp(&PAGE, &LARGEST).next_power_of_two();
            let unit = if fits.is_multiple_of(1 << 30) {
                format!("{}GiB", fits >> 30)
            } else if fits.is_multiple_of(1 << 20) {
                format!("{}MiB", fits >> 20)
            } else {
                format!("{}KiB", fits >> 10)
            };
            let title = "a channel's data must be a power of two, from 4 KiB to 2 GiB";
            Finding::new(size.span(), title, bytes(*size.get_ref()))
                .help(format!("write \"{unit}\", or 0 if nothing is sent in this direction"))
        })
        .collect()
}

pub fn channel_waits(m: &Manifest) -> Vec<Finding> {
    let lists = m.channels.iter().filter_map(|channel| Some((channel, channel.waits.as_ref()?)));
    lists
        .filter(|(_, list)| list.get_ref().len() != 2)
        .map(|(channel, list)| {
            let title = format!("channel {} needs two ways of waiting", label(channel));
            Finding::new(list.span(), title, format!("{} here", list.get_ref().len())).help(
                "write how the first end waits, then how the second does: `waits = [\"doorbell\", \
                 \"wfe\"]`",
            )
        })
        .collect()
}

pub fn channel_rate(m: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    for list in m.channels.iter().filter_map(|channel| channel.rates.as_ref()) {
        let like =
            "`rate = [{ per-second = 10000, burst = 32 }, { per-second = 10000, burst = 32 }]`";
        if list.get_ref().len() != 2 {
            let label = format!("{} here", list.get_ref().len());
            found.push(
                Finding::new(
                    list.span(),
                    "a channel has two rates, one for each sending end",
                    label,
                )
                .help(format!("write two: {like}")),
            );
        }
        for rate in list.get_ref().iter().flatten() {
            let most = u64::from(u32::MAX);
            let label = match rate.get_ref() {
                rate if rate.burst == 0 => {
                    "a burst of 0 would never let a doorbell through".to_owned()
                }
                rate if rate.burst.max(rate.per_second) > most => {
                    format!("{} at most", address(most))
                }
                _ => continue,
            };
            found.push(
                Finding::new(rate.span(), "this rate is out of range", label)
                    .help("write a `burst` of at least 1; `per-second = 0` means no limit"),
            );
        }
    }
    found
}
