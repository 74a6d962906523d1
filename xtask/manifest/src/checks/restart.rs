// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on what follows when a partition stops.

use crate::decode::At;
use crate::raw::{Manifest, Partition, Restart};
use crate::report::Finding;
use crate::system::{Board, Policy};

/// Each partition with a restart policy of its own.
fn policies(m: &Manifest) -> impl Iterator<Item = (&Partition, &At<Restart>)> {
    m.partitions.iter().filter_map(|partition| Some((partition, partition.restart.as_ref()?)))
}

/// Whether anything restarts the partition.
fn restarts(partition: &Partition) -> bool {
    partition.on.all().contains(&plan::ACTION_RESTART)
}

pub fn restart_limit(m: &Manifest) -> Vec<Finding> {
    let limits =
        policies(m).filter_map(|(partition, at)| Some((partition, at.get_ref().limit.as_ref()?)));
    limits
        .filter(|(_, limit)| !(1..=1000).contains(limit.get_ref()))
        .map(|(partition, limit)| {
            let title = format!("{} may restart {} times", partition.label(), limit.get_ref());
            Finding::new(limit.span(), title, "expected 1 to 1000").help(match limit.get_ref() {
                0 => {
                    "write `on-fault = \"halt\"` and `on-reset = \"halt\"` for a partition that \
                      never restarts"
                }
                _ => "write a limit that a fault which comes back soon reaches",
            })
        })
        .collect()
}

pub fn restart_back_off(m: &Manifest) -> Vec<Finding> {
    let factors = policies(m)
        .filter_map(|(partition, at)| Some((partition, at.get_ref().back_off.as_ref()?)));
    factors
        .filter(|(_, factor)| !(1..=10).contains(factor.get_ref()))
        .map(|(partition, factor)| {
            let title = format!("{}'s delay would grow by {}", partition.label(), factor.get_ref());
            Finding::new(factor.span(), title, "expected 1 to 10")
                .help("write 1 for a delay that stays the same, or 2 to double it each time")
        })
        .collect()
}

pub fn restart_window(m: &Manifest) -> Vec<Finding> {
    let default = Policy::default();
    let windows = policies(m).filter_map(|(partition, at)| {
        let restart = at.get_ref();
        let value = |key: &Option<At<u64>>, or: u64| key.as_ref().map_or(or, |at| *at.get_ref());
        let within = value(&restart.within, default.within);
        let factor = value(&restart.back_off, default.back_off.into());
        let limit = value(&restart.limit, default.limit.into());
        // The time of the last restart that the limit allows, counted from the first stop.
        let mut delay = value(&restart.delay, default.delay);
        let mut last = 0_u64;
        let mut number = 0;
        while number < limit && last < within {
            last = last.saturating_add(delay);
            delay = delay.saturating_mul(factor);
            number += 1;
        }
        (last >= within).then_some((partition, at, number))
    });
    windows
        .map(|(partition, at, number)| {
            let restart = at.get_ref();
            let title = format!("{}'s limit of restarts is never reached", partition.label());
            let place = restart.within.as_ref().map_or(at.span(), At::span);
            let label = format!("restart {number} would come after it");
            let finding = Finding::new(place, title, label);
            let others = [&restart.limit, &restart.back_off].into_iter().flatten();
            let finding = others.fold(finding, |found, at| found.other(at.span(), "with this"));
            let finding = match &restart.delay {
                Some(delay) => finding.other(delay.span(), "with this delay"),
                None => finding,
            };
            finding.help(
                "write a longer `within`, or a smaller `limit`, `delay` or `back-off`: a restart \
                 outside the window begins another one",
            )
        })
        .collect()
}

pub fn restart_unused(m: &Manifest) -> Vec<Finding> {
    policies(m)
        .filter(|(partition, _)| !restarts(partition))
        .map(|(partition, at)| {
            let title = format!("nothing restarts {}", partition.label());
            let on = &partition.on;
            let places = [&on.fault, &on.reset, &on.off].into_iter().flatten();
            let finding = Finding::new(at.span(), title, "this has no effect");
            places
                .fold(finding, |finding, on| finding.other(on.span(), "does not restart it"))
                .help("leave it out, or write `on-fault = \"restart\"`")
        })
        .collect()
}

pub fn watchdog_first(m: &Manifest) -> Vec<Finding> {
    let watchdogs = m.partitions.iter().filter_map(|partition| {
        Some((partition, partition.watchdog.as_ref()?.get_ref().first.as_ref()?))
    });
    watchdogs
        .filter(|(_, first)| *first.get_ref() == 0)
        .map(|(partition, first)| {
            let title = format!("{} would miss its watchdog at once", partition.label());
            Finding::new(first.span(), title, "this is not a time")
                .help("write the longest time that its start may take, such as \"10s\"")
        })
        .collect()
}

pub fn device_quiesce(m: &Manifest, board: &Board) -> Vec<Finding> {
    let devices = m.partitions.iter().filter(|partition| restarts(partition)).flat_map(|owner| {
        owner.devices.iter().filter_map(move |name| {
            let device = board.devices.iter().find(|device| device.name == *name.get_ref())?;
            (device.dma && device.quiesce.is_empty()).then_some((owner, name))
        })
    });
    devices
        .map(|(partition, name)| {
            let title =
                format!("{} cannot restart with device {}", partition.label(), name.get_ref());
            Finding::new(
                name.span(),
                title,
                "it may write memory while the partition is loaded again",
            )
            .note(format!(
                "boards/{}/board.toml has no `quiesce` for it: no register writes that silence it",
                board.name
            ))
            .help("write `on-fault = \"halt\"` and `on-reset = \"halt\"`, or leave the device out")
        })
        .collect()
}
