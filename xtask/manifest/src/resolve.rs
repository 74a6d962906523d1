// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves the names of a manifest that keeps every rule.

use std::path::Path;

use super::decode::At;
use super::programs::Program;
use super::raw::{self, DEFAULT_RATE, Manifest};
use crate::system::{
    Board, Channel, End, Interrupt, Memory, Partition, Policy, System, Vcpu, View,
};

/// First SPI's INTID (IHI 0069, 2.2.1).
pub const FIRST_SPI: u64 = 32;

/// Makes the system; returns none if a value is missing, which has been reported.
pub fn resolve(
    path: &Path,
    manifest: Manifest,
    board: Board,
    programs: Vec<Program>,
) -> Option<System> {
    let channels = manifest
        .channels
        .iter()
        .map(|channel| channel_of(channel, &manifest))
        .collect::<Option<_>>()?;
    let partitions = manifest
        .partitions
        .into_iter()
        .zip(programs)
        .map(|(partition, program)| partition_of(partition, program, &board))
        .collect::<Option<_>>()?;
    Some(System {
        name: path.file_stem()?.to_string_lossy().into_owned(),
        path: path.to_owned(),
        board,
        partitions,
        channels,
        console_core: number(manifest.console_core)?,
        console_share: match manifest.console_share {
            Some(share) => number(Some(share))?,
            None => plan::CONSOLE_SHARE,
        },
        at_end: manifest.at_end,
        on_refusal: manifest.on_refusal,
        options: options(manifest.crash_records, manifest.supervision),
    })
}

/// The options of EL2 that a system has: all that it does not leave out.
fn options(crash_records: bool, supervision: Option<At<bool>>) -> u64 {
    use plan::options::{CRASH_RECORDS, SUPERVISION};
    let supervision = supervision.is_none_or(At::into_inner);
    let all = [(crash_records, CRASH_RECORDS), (supervision, SUPERVISION)];
    all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, option)| option).sum()
}

/// A number that a rule has bounded.
fn number(value: Option<At<u64>>) -> Option<u32> {
    u32::try_from(value?.into_inner()).ok()
}

fn partition_of(raw: raw::Partition, program: Program, board: &Board) -> Option<Partition> {
    let policy = policy_of(&raw)?;
    let devices: Vec<usize> = raw
        .devices
        .iter()
        .map(|name| board.devices.iter().position(|device| device.name == *name.get_ref()))
        .collect::<Option<_>>()?;
    let mut interrupts: Vec<Interrupt> =
        devices.iter().flat_map(|&index| board.devices[index].interrupts.clone()).collect();
    for interrupt in raw.interrupts {
        let spi = interrupt.spi?.into_inner();
        interrupts.push(Interrupt {
            intid: u32::try_from(FIRST_SPI.checked_add(spi)?).ok()?,
            edge: interrupt.edge,
        });
    }
    let memory = raw.memory?.into_inner().into_iter().map(|piece| {
        Some(Memory {
            ipa: piece.ipa?.into_inner(),
            size: piece.size?.into_inner(),
            physical: piece.physical.map(At::into_inner),
            rom: piece.rom.is_some_and(At::into_inner),
        })
    });
    let vcpus = raw
        .vcpus?
        .into_inner()
        .into_iter()
        .map(|vcpu| Some(Vcpu { core: number(vcpu.core)?, class: vcpu.class?.into_inner() }));
    Some(Partition {
        name: raw.name?.into_inner(),
        vcpus: vcpus.collect::<Option<_>>()?,
        memory: memory.collect::<Option<_>>()?,
        image: program.image?,
        command_line: raw.command_line.map(At::into_inner),
        initrd: program.initrd,
        device_tree: raw.device_tree.map(At::into_inner),
        devices,
        interrupts,
        console: raw.console,
        outside: raw.outside,
        policy,
        supervisor: raw.supervisor.is_some_and(At::into_inner),
        pass: raw.pass.map(At::into_inner),
        fail: raw.fail.map(At::into_inner),
    })
}

fn policy_of(raw: &raw::Partition) -> Option<Policy> {
    let [on_fault, on_reset, on_off] = raw.on.all();
    let default = Policy { on_fault, on_reset, on_off, ..Policy::default() };
    let restart = raw.restart.as_ref().map(At::get_ref);
    let value = |value: Option<&At<u64>>, or: u64| value.map_or(or, |at| *at.get_ref());
    let of = |key: fn(&raw::Restart) -> &Option<At<u64>>, or| {
        value(restart.and_then(|restart| key(restart).as_ref()), or)
    };
    let watchdog = raw.watchdog.as_ref().map(At::get_ref);
    Some(Policy {
        limit: u32::try_from(of(|restart| &restart.limit, default.limit.into())).ok()?,
        within: of(|restart| &restart.within, default.within),
        delay: of(|restart| &restart.delay, default.delay),
        back_off: u8::try_from(of(|restart| &restart.back_off, default.back_off.into())).ok()?,
        first: value(watchdog.and_then(|watchdog| watchdog.first.as_ref()), 0),
        ..default
    })
}

fn channel_of(raw: &raw::Channel, manifest: &Manifest) -> Option<Channel> {
    let end = |index: usize| {
        let (name, vcpu) = split_end(raw.ends.as_ref()?.get_ref().get(index)?.as_ref()?.get_ref())?;
        let named = |partition: &raw::Partition| partition.label() == name;
        let rate = match &raw.rates {
            Some(rates) => *rates.get_ref().get(index)?.as_ref()?.get_ref(),
            None => DEFAULT_RATE,
        };
        let wait = match &raw.waits {
            Some(waits) => *waits.get_ref().get(index)?.as_ref()?.get_ref(),
            None => channel::wait::DOORBELL,
        };
        let view = match &raw.views {
            Some(views) => *views.get_ref().get(index)?.as_ref()?.get_ref(),
            None => View::default(),
        };
        Some(End {
            partition: manifest.partitions.iter().position(named)?,
            vcpu,
            bytes: *raw.bytes.as_ref()?.get_ref().get(index)?.as_ref()?.get_ref(),
            wait,
            rate: u32::try_from(rate.per_second).ok()?,
            burst: u32::try_from(rate.burst).ok()?,
            view,
        })
    };
    Some(Channel { name: raw.name.as_ref()?.get_ref().clone(), ends: [end(0)?, end(1)?] })
}

/// Splits an end such as `sensor/0` into partition and vCPU number. A number that is too large
/// becomes the largest one.
pub fn split_end(end: &str) -> Option<(&str, usize)> {
    let (partition, vcpu) = end.split_once('/')?;
    let is_number = vcpu.bytes().all(|digit| digit.is_ascii_digit())
        && (vcpu == "0" || !vcpu.starts_with('0'))
        && !vcpu.is_empty();
    is_number.then(|| (partition, vcpu.parse().unwrap_or(usize::MAX)))
}
