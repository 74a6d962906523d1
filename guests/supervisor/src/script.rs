// SPDX-License-Identifier: MIT OR Apache-2.0
//! The supervisor's script: every order in every state, and calls without meaning.

use abi::{Reason, call, error, state, supervise};
use rt::log::info;
use rt::{fail, hv, timer};

use crate::{PATIENCE, System};
use supervise::{RESTART, START, STOP};

/// Word of a crash record that says whose it is.
const PLACE: u64 = 5;
/// Its partition in bits 7:0, cause in 31:24 (6 is `SYSTEM_RESET`), generation in 47:32.
const PLACE_OF_LIFE: u64 = 0xffff_ff00_00ff;

/// Runs all of it. Ends by stopping its own partition.
pub fn run(system: &mut System) -> ! {
    let named = |name| match system.find(name) {
        Some(number) => number,
        None => fail!("no partition is named {name}"),
    };
    let (own, target, looper) = (named("supervisor"), named("target"), named("looper"));
    if system.get(own).generation == 1 {
        // The target and the looper are starting up. A supervisor may also restart itself.
        system.order(target, STOP);
        system.order(looper, STOP);
        system.order(own, RESTART);
        system.rest(1000);
        fail!("it was ordered to restart and did not");
    }
    refused(system, target);
    orders(system, target);
    storm(target);
    limit(system, looper);
    records(system, looper);
    if let Some(late) = system.find("late") {
        back_off(system, late);
    }
    if let Some(deputy) = system.find("deputy") {
        together(system, target, deputy);
    }
    info!("every order was carried out, {} interrupts", system.notices);
    system.order(own, STOP);
    system.rest(1000);
    fail!("it was ordered to stop and did not");
}

/// Calls without meaning are answered, and do nothing.
fn refused(system: &System, target: u64) {
    let count = system.tree.partitions().count() as u64;
    let reasons = Reason::COUNT as u64;
    let bad = error::BAD_ARGUMENT;
    for (function, arguments, wanted) in [
        (call::PARTITION, [count, 0, 0], bad),
        (call::PARTITION, [u64::MAX, 0, 0], bad),
        (call::PARTITION_ENTRIES, [count, 0, 0], bad),
        (call::PARTITION_ENTRIES, [target, 2, 0], bad),
        (call::PARTITION_ENTRIES, [target, 0, reasons], bad),
        (call::PARTITION_ENTRIES, [target, u64::MAX, u64::MAX], bad),
        (call::PARTITION_DOORBELLS, [count, 0, 0], bad),
        (call::PARTITION_DOORBELLS, [target, 2, 0], bad),
        (call::PARTITION_DOORBELLS, [target, 0, 0], error::BAD_HANDLE),
        (call::PARTITION_DOORBELLS, [target, 0, 1 << 63], error::BAD_HANDLE),
        (call::SUPERVISE, [count, STOP, 0], bad),
        (call::SUPERVISE, [u64::MAX, STOP, 0], bad),
        (call::SUPERVISE, [target, 0, 0], bad),
        (call::SUPERVISE, [target, RESTART + 1, 0], bad),
        (call::SUPERVISE, [target, u64::MAX, 0], bad),
    ] {
        let [answer, ..] = hv::hvc(function.into(), arguments);
        if answer as i64 != wanted {
            fail!("{function:#x} of {arguments:x?} was answered with {}", answer as i64);
        }
    }
}

/// Each order to a partition that runs, that has stopped, and that is being loaded.
fn orders(system: &mut System, target: u64) {
    let stopped = |now: hv::Partition| now.state == state::STOPPED;
    system.until(target, "a stop during its start", stopped);
    let before = system.get(target);
    system.order(target, STOP);
    system.rest(10);
    if system.get(target) != before {
        fail!("a stopped partition was stopped: {:?}", system.get(target));
    }
    for (order, what) in [(START, "start"), (RESTART, "restart of one that runs")] {
        let before = system.get(target).starts;
        system.order(target, order);
        let next = |now: hv::Partition| now.state == state::RUNNING && now.starts == before + 1;
        system.until(target, what, next);
    }
    let before = system.get(target);
    system.order(target, START);
    system.rest(10);
    if system.get(target) != before {
        fail!("a partition that runs was started: {:?}", system.get(target));
    }
    let entries = || hv::hvc(call::PARTITION_ENTRIES.into(), [target, 0, Reason::Hvc as u64])[0];
    for _ in 0..500 {
        if entries() >= 4 {
            break;
        }
        system.rest(10);
    }
    if entries() < 4 {
        fail!("EL2 counted {} calls of the target, which makes 4 in each life", entries());
    }
    // The target prints a line in this life.
    system.rest(300);
    // Stops while the target's cores load it: the order before it has just been taken.
    for _ in 0..60 {
        let starts = system.get(target).starts;
        system.order(target, RESTART);
        system.until(target, "its load", |now| now.state != state::RUNNING || now.starts > starts);
        system.order(target, START);
        system.order(target, STOP);
        system.until(target, "a stop during its load", stopped);
        system.order(target, RESTART);
        system.until(target, "restart of a stopped one", |now| now.state == state::RUNNING);
    }
    system.order(target, STOP);
    system.until(target, "stop", stopped);
}

/// Orders a partition that has stopped to stop, without a pause: no more orders are taken than the
/// limit allows.
fn storm(target: u64) {
    let (burst, rate) = (u64::from(supervise::BURST), u64::from(supervise::PER_SECOND));
    let began = timer::now();
    let (mut taken, mut refused) = (0, 0);
    while timer::now() - began < timer::frequency() / 2 {
        match hv::supervise(target, STOP) {
            Ok(_) => taken += 1,
            Err(error::TOO_MANY) => refused += 1,
            Err(error) => fail!("an order was answered with {error}"),
        }
    }
    let most = burst + (rate * (timer::now() - began)).div_ceil(timer::frequency());
    info!("{taken} of {} orders taken, at most {most}", taken + refused);
    if taken > most || taken < most / 2 || refused == 0 {
        fail!("{taken} orders were taken and {refused} refused, and the limit is {most}");
    }
}

/// Starts a partition that is at its limit of restarts, which then counts anew.
fn limit(system: &mut System, looper: u64) {
    for order in [START, RESTART] {
        let before = system.get(looper).starts;
        system.order(looper, order);
        // The ordered start, and two restarts of its own.
        let at_limit = |now: hv::Partition| now.state == state::RESET && now.starts == before + 3;
        system.until(looper, "its limit", at_limit);
    }
}

/// The last crash record is that of the partition that reset itself until its limit.
fn records(system: &System, looper: u64) {
    let read = |number, word| hv::hvc(call::CRASH_RECORD.into(), [number, word, 0]);
    let wanted = looper | 6 << 24 | u64::from(system.get(looper).generation) << 32;
    // The partition has its state before the record has its number, and the number before the
    // record is written.
    let end = timer::now() + PATIENCE * timer::frequency();
    let next = loop {
        let [answer, next, ..] = read(u64::MAX, 0);
        if answer as i64 != error::BAD_HANDLE {
            fail!("record 2^64-1: {answer:#x}, the next one is {next}");
        }
        let [answer, place, ..] = read(next.wrapping_sub(1), PLACE);
        if answer == 0 && place & PLACE_OF_LIFE == wanted {
            break next;
        }
        if timer::now() > end {
            fail!("record {}: {answer:#x}, {place:#x}, expected {wanted:#x}", next.wrapping_sub(1));
        }
    };
    for (number, word, wrong) in [
        (next, 0, error::BAD_HANDLE),
        (next - 1, 80, error::BAD_ARGUMENT),
        (next - 1, u64::MAX, error::BAD_ARGUMENT),
    ] {
        let [answer, ..] = read(number, word);
        if answer as i64 != wrong {
            fail!("word {word} of record {number}: {answer:#x}, expected {wrong}");
        }
    }
    let [answer, _, second, third] = read(next - 1, 79);
    if (answer, second, third) != (0, 0, 0) {
        fail!("the last word: {answer:#x}, then {second:#x} and {third:#x}");
    }
}

/// Orders to a partition that waits a minute for its next start.
fn back_off(system: &mut System, late: u64) {
    let waits =
        |starts| move |now: hv::Partition| now.state == state::RESTARTING && now.starts == starts;
    system.until(late, "its first delay", waits(1));
    system.order(late, STOP);
    system.until(late, "a stop in its delay", |now| now.state == state::STOPPED);
    for (order, starts) in [(START, 2), (START, 3), (RESTART, 4)] {
        system.order(late, order);
        system.until(late, "the end of its delay", waits(starts));
    }
    system.order(late, STOP);
    system.until(late, "a stop in its delay", |now| now.state == state::STOPPED);
}

/// Two supervisors give orders to one partition.
fn together(system: &mut System, target: u64, deputy: u64) {
    system.order(deputy, START);
    let started = |now: hv::Partition| matches!(now.state, state::RUNNING | state::OFF);
    system.until(deputy, "the deputy's start", |now| now.starts == 2 && started(now));
    for round in 0..300 {
        system.order(target, STOP + round * 7 % 3);
    }
    system.until(deputy, "the deputy's end", |now| now.state == state::OFF);
    system.order(target, STOP);
    system.until(target, "the last stop", |now| now.state == state::STOPPED);
}
