// SPDX-License-Identifier: MIT OR Apache-2.0
//! Test guest, in several roles. `role=supervisor` stops and starts the other partitions in every
//! state that they may be in, and checks each answer. `role=keeper` restarts one partition again
//! and again. `role=medic` tries to start one on whose core EL2 has failed. `role=deputy` gives
//! orders at the same time as the first supervisor. `role=target` does what it is told,
//! `role=looper` resets itself at once, `role=storm` rings without a pause, and `role=victim`
//! counts what that costs it.
#![no_std]
#![no_main]

mod script;
mod storm;

use abi::{call, error, state, supervise};
use rt::log::info;
use rt::{Tree, fail, hv, interrupt, psci, timer};

/// Seconds that an order may take.
const PATIENCE: u64 = 60;

rt::main!(main);

fn main(tree: &'static Tree) {
    match tree.option("role") {
        Some("supervisor") => script::run(&mut System::new(tree)),
        Some("keeper") => keeper(tree, &mut System::new(tree)),
        Some("medic") => medic(&mut System::new(tree)),
        Some("deputy") => deputy(&System::new(tree)),
        Some("target") => target(),
        Some("looper") => psci_reset(),
        Some("storm") => storm::storm(tree),
        Some("victim") => storm::victim(tree),
        role => fail!("no such role: {role:?}"),
    }
}

fn psci_reset() -> ! {
    hv::hvc(psci::SYSTEM_RESET.into(), [0; 3]);
    fail!("SYSTEM_RESET returned")
}

/// What a supervisor's device tree says of the system.
struct System {
    tree: &'static Tree,
    intid: u32,
    /// Interrupts taken so far.
    notices: u64,
}

impl System {
    fn new(tree: &'static Tree) -> Self {
        let Some(intid) = tree.device_spi(channel::tree::SUPERVISOR) else {
            fail!("the device tree has no supervisor's node")
        };
        interrupt::enable(intid);
        Self { tree, intid, notices: 0 }
    }

    /// Returns the number of the partition of this name, if there is one.
    fn find(&self, name: &str) -> Option<u64> {
        self.tree.partitions().position(|other| other == name).map(|number| number as u64)
    }

    fn get(&self, partition: u64) -> hv::Partition {
        match hv::partition(partition) {
            Ok(found) => found,
            Err(error) => fail!("PARTITION {partition} answered {error}"),
        }
    }

    /// Gives an order, as soon as the limit allows.
    fn order(&self, partition: u64, order: u64) {
        loop {
            match hv::supervise(partition, order) {
                Ok(_) => return,
                Err(error::TOO_MANY) => {}
                Err(error) => fail!("order {order} to {partition} was answered with {error}"),
            }
        }
    }

    /// Sleeps until the supervisor's interrupt, and looks again at each, until the partition is as
    /// wanted. So a lost interrupt is found: nothing else ends the sleep.
    fn until(&mut self, partition: u64, what: &str, is: impl Fn(hv::Partition) -> bool) {
        let end = timer::now() + PATIENCE * timer::frequency();
        while !is(self.get(partition)) {
            match interrupt::wait_until(end) {
                Some(intid) if intid == self.intid => self.notices += 1,
                Some(_) => {}
                None => fail!("{what}: {partition} is {:?}", self.get(partition)),
            }
        }
    }

    /// Sleeps for a time in which nothing is to happen.
    fn rest(&mut self, milliseconds: u64) {
        let end = timer::now() + timer::milliseconds(milliseconds);
        while interrupt::wait_until(end).is_some() {}
    }
}

/// Restarts the partition `target=` whenever it has run for a while, up to its life `lives=`; it
/// ends some of its lives itself. Ends with it.
fn keeper(tree: &'static Tree, system: &mut System) {
    let name = tree.option("target").unwrap_or("target");
    let lives = tree.option("lives").and_then(|lives| lives.parse().ok()).unwrap_or(5);
    let Some(target) = system.find(name) else { fail!("no partition is named {name}") };
    let mut ordered = 0;
    loop {
        let seen = system.get(target);
        match seen.state {
            state::RUNNING if seen.generation < lives => {
                system.rest(30);
                if system.get(target) == seen {
                    system.order(target, supervise::RESTART);
                    ordered += 1;
                    system.until(target, "restart", |now| now.starts > seen.starts);
                }
            }
            state::OFF => break,
            _ => system.until(target, "the next life", |now| now != seen),
        }
    }
    info!("{name} was ordered to restart {ordered} times, {} interrupts", system.notices);
}

/// Orders a partition on whose core EL2 has failed to start: it never does.
fn medic(system: &mut System) {
    let Some(target) = system.find("target") else { fail!("no partition is named target") };
    system.until(target, "EL2's failure", |now| now.state == state::HALTED);
    let before = system.get(target);
    for order in [supervise::START, supervise::RESTART] {
        let answer = hv::supervise(target, order);
        if answer != Err(error::DAMAGED) {
            fail!("order {order} was answered with {answer:?}");
        }
    }
    system.order(target, supervise::STOP);
    system.rest(50);
    if system.get(target) != before {
        fail!("it changed: {:?}", system.get(target));
    }
    info!("the target stays halted");
}

/// In its second life, gives orders to the partition `target` as fast as it can.
fn deputy(system: &System) {
    let (Some(own), Some(target)) = (system.find("deputy"), system.find("target")) else {
        fail!("there is no deputy, or no target")
    };
    if system.get(own).generation == 1 {
        return;
    }
    for round in 0..300 {
        system.order(target, supervise::STOP + round % 3);
    }
    info!("300 orders given");
}

/// Runs on, and has no right to supervise.
fn target() -> ! {
    for function in call::CRASH_RECORD..=call::SUPERVISE {
        let [answer, ..] = hv::hvc(function.into(), [0, 1, 0]);
        if answer as i64 != error::NOT_SUPPORTED {
            fail!("call {function:#x} was answered with {:#x}", answer);
        }
    }
    info!("no call of a supervisor was answered");
    loop {
        interrupt::wait();
    }
}
