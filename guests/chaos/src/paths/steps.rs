//! The steps: each entry that EL2 has a fast path for, in its usual case and in the cases that the
//! path leaves to Rust.

use alloc::vec::Vec;

use abi::{call, query, smccc};
use rt::timer;
use rt::tree::ChannelNode;

use super::actor::{Order, Place, Task};
use super::orders::{
    ACKNOWLEDGE, ARM, AWAIT, CTLR, DISARM, DOORBELLS, FIRST, FLAGS, ICENABLER, ICFGR, ICPENDR,
    IPRIORITYR, IROUTER, ISACTIVER, ISENABLER, ISPENDR, ITARGETSR, POLLED, PSCI_VERSION, SECOND,
    SGIS, SIBLINGS, SIGNALLED, SLOW, SPI, STEP, TAKE, TYPER, URGENT, end, get, hvc, mask, read,
    ring, send, set, status, write, write_byte,
};
use super::{Do, Driver, Me, Peer, Sibling, Who};

fn of(who: Who, orders: impl IntoIterator<Item = Order>) -> Vec<Do> {
    orders.into_iter().map(|order| Do::One(who, order)).collect()
}

fn mine(orders: impl IntoIterator<Item = Order>) -> Vec<Do> {
    of(Me, orders)
}

/// Runs all steps.
pub fn all(driver: &mut Driver, nodes: &[ChannelNode]) {
    prepare(driver, nodes);
    order(driver);
    calls(driver);
    devices(driver);
    doorbells(driver);
    arrivals(driver, nodes);
    limits(driver);
    sgis(driver);
    timers(driver);
    spis(driver);
    both(driver);
    farewell(driver);
}

/// Enables SGIs and the interrupt of the sibling's channel.
fn prepare(driver: &mut Driver, nodes: &[ChannelNode]) {
    let sgis = write(Place::Private, ISENABLER, 0xffff);
    let mut todo = Vec::from([Do::One(Me, sgis), Do::One(Sibling, sgis)]);
    for intid in nodes.iter().filter(|node| node.vcpu == 1).filter_map(|node| node.intid) {
        let intid = u64::from(intid);
        todo.push(Do::One(Me, route(driver, intid, 1)));
        todo.push(Do::One(Me, set(ISENABLER, intid)));
    }
    driver.step("prepare", todo);
}

/// Gives every interrupt its own priority. Among equal priorities the hardware chooses by list
/// register, and the two builds choose list registers in another order.
fn order(driver: &mut Driver) {
    let mut todo = Vec::new();
    for (n, who) in (0..16).flat_map(|n| [(n, Me), (n, Sibling)]) {
        let offset = IPRIORITYR + n;
        todo.push(Do::One(who, write_byte(Place::Private, offset, URGENT + STEP * n)));
    }
    for (n, who) in (0..=SIBLINGS).flat_map(|n| [(n, Me), (n, Peer)]) {
        let offset = IPRIORITYR + DOORBELLS + n;
        let priority = URGENT + STEP * (16 + n);
        todo.push(Do::One(who, write_byte(Place::Distributor, offset, priority)));
    }
    for who in [Me, Sibling] {
        let offset = IPRIORITYR + u64::from(timer::INTID);
        todo.push(Do::One(who, write_byte(Place::Private, offset, URGENT + STEP * 22)));
    }
    let offset = IPRIORITYR + SPI;
    todo.push(Do::One(Me, write_byte(Place::Distributor, offset, URGENT + STEP * 23)));
    todo.extend(mine([read(Place::Private, IPRIORITYR), read(Place::Distributor, offset & !3)]));
    driver.step("priorities", todo);
}

fn route(driver: &Driver, intid: u64, vcpu: u64) -> Order {
    match driver.me.is_v2() {
        true => write_byte(Place::Distributor, ITARGETSR + intid, 1 << vcpu),
        false => write(Place::Distributor, IROUTER + 8 * intid, vcpu),
    }
}

fn calls(driver: &mut Driver) {
    let functions =
        [call::VERSION, PSCI_VERSION, smccc::VERSION, smccc::VENDOR_UID, smccc::TRNG_VERSION];
    for function in functions {
        driver.step("by HVC", mine([hvc(function, 1, 2)]));
        driver.step("by SMC", mine([(Task::Smc, [function.into(), 1, 2, 0])]));
    }
    // A function number is 32 bits wide.
    for high in [1 << 32, 1 << 63, 0xffff_ffff << 32] {
        let wide = |function: u32| (Task::Hvc, [high | u64::from(function), FIRST, 0, 0]);
        let mut todo = mine([wide(call::VERSION), wide(call::QUERY), wide(call::RING)]);
        todo.extend(of(Peer, [TAKE]));
        driver.step("wide", todo);
    }
    let unknown = [0, call::VERSION - 1, call::WATCHDOG + 1, call::VERSION | 0xff, u32::MAX];
    driver.step("unknown", mine(unknown.map(|function| hvc(function, 3, 4))));
    driver.step(
        "queries",
        mine((query::VCPU..=query::PARTITION + 1).map(|n| hvc(call::QUERY, n, 0))),
    );
    for function in [call::RING, call::CHANNEL, call::MASK, call::STATUS, call::PEER] {
        let foreign = [POLLED + 1, SIBLINGS, 64, 1 << 32, 1 << 63, u64::MAX];
        driver.step("foreign handle", mine(foreign.map(|handle| hvc(function, handle, 0))));
    }
    let misfits = [
        hvc(call::MASK, FIRST, 2),
        hvc(call::STATUS, FIRST, 5),
        hvc(call::ENTRIES, 2, 0),
        hvc(call::ENTRIES, 0, 13),
    ];
    driver.step("no such item", mine(misfits));
    driver.step("no doorbells", mine([ring(POLLED), status(POLLED)]));
}

/// Accesses registers of emulated devices that EL2 answers early, from a register that it has saved
/// by then and from one that it has not.
fn devices(driver: &mut Driver) {
    for place in [Place::Distributor, Place::DistributorX25] {
        let reads = [CTLR, TYPER, ISENABLER + 4, ISENABLER + 24, IPRIORITYR + SPI, ICFGR + SPI / 4];
        driver.step("distributor", mine(reads.map(|offset| read(place, offset))));
        let foreign = write(place, ISENABLER + 4, u64::MAX);
        driver.step("foreign SPIs", mine([foreign, read(place, ISENABLER + 4)]));
        let own = write(place, ISENABLER + SPI / 32 * 4, u64::MAX);
        driver.step("own SPIs", mine([own, read(place, ISENABLER + SPI / 32 * 4)]));
    }
    let private = [ISENABLER, ISPENDR, ISACTIVER, IPRIORITYR + 24, ICFGR + 4];
    driver.step("private", mine(private.map(|offset| read(Place::Private, offset))));
    driver.step("UART", mine([read(Place::Uart, FLAGS)]));
}

/// Sends doorbells from this vCPU to the peer.
fn doorbells(driver: &mut Driver) {
    let take = || of(Peer, [AWAIT, TAKE, status(FIRST)]);
    let and_take = |mut todo: Vec<Do>| {
        todo.extend(take());
        todo.extend(mine([status(FIRST)]));
        todo
    };
    driver.step("one doorbell", and_take(mine([ring(FIRST)])));
    driver.step("by SMC", and_take(mine([(Task::Smc, [call::RING.into(), FIRST, 7, 8])])));
    driver.step("two in a row", and_take(Vec::from([Do::Burst([ring(FIRST); 2].into())])));
    driver.step("two, one after the other", and_take(mine([ring(FIRST), ring(FIRST)])));
    let ends = Do::Burst([ring(SECOND), ring(FIRST)].into());
    driver.step("two ends at once", and_take(Vec::from([ends])));
    let hold = |on| Do::One(Peer, hvc(call::MASK, FIRST, on));
    let mut masked = Vec::from([hold(1)]);
    masked.extend(mine([ring(FIRST), ring(FIRST)]));
    masked.extend(of(Peer, [SIGNALLED, status(FIRST)]));
    masked.push(hold(0));
    driver.step("held", and_take(masked));
    let mut other = Vec::from([hold(1)]);
    other.push(Do::Burst([ring(FIRST), ring(SECOND)].into()));
    other.extend(of(Peer, [TAKE]));
    other.push(hold(0));
    driver.step("held beside another", and_take(other));
}

/// Sends doorbells from the peer to this vCPU, in unusual states of the interrupt.
fn arrivals(driver: &mut Driver, nodes: &[ChannelNode]) {
    let rung = |handle| Do::One(Peer, ring(handle));
    let own = |order| Do::One(Me, order);
    let intid = u64::from(nodes[0].intid.unwrap_or(0));
    driver.step("arrival", Vec::from([rung(FIRST), own(SIGNALLED), own(TAKE)]));
    let three = [rung(FIRST), rung(SECOND), rung(FIRST), own(TAKE)];
    driver.step("three arrivals", three.into());
    let masked = [own(mask(0)), rung(FIRST), own(SIGNALLED), own(mask(0xff)), own(TAKE)];
    driver.step("arrival, priority masked", masked.into());
    let disabled = [
        own(set(ICENABLER, intid)),
        rung(FIRST),
        own(SIGNALLED),
        own(get(ISPENDR, intid)),
        own(set(ISENABLER, intid)),
        own(TAKE),
    ];
    driver.step("arrival, disabled", disabled.into());
    let cleared = [
        own(set(ICENABLER, intid)),
        rung(FIRST),
        own(set(ICPENDR, intid)),
        own(set(ISENABLER, intid)),
        own(TAKE),
    ];
    driver.step("arrival, cleared", cleared.into());
    let active = [
        rung(FIRST),
        own(ACKNOWLEDGE),
        rung(FIRST),
        own(get(ISACTIVER, intid)),
        own(get(ISPENDR, intid)),
        own(end(intid)),
        own(TAKE),
    ];
    driver.step("arrival while active", active.into());
    let routed = [
        own(route(driver, intid, 1)),
        rung(FIRST),
        own(SIGNALLED),
        Do::One(Sibling, TAKE),
        own(route(driver, intid, 0)),
        rung(FIRST),
        own(TAKE),
        rung(FIRST),
        own(TAKE),
    ];
    driver.step("arrival, routed to the sibling and back", routed.into());
    // Interrupts are taken here only after the list registers are full.
    let mut full: Vec<_> = SGIS.map(|sgi| Do::One(Sibling, send(sgi, 0))).collect();
    full.extend([rung(FIRST), rung(SECOND), own(get(ISPENDR, intid)), own(TAKE)]);
    driver.step("arrival, list registers full", full);
    let mixed = |n: u64| match n % 2 {
        0 => Do::One(Sibling, send(n, 0)),
        _ => rung([FIRST, SECOND, POLLED, FIRST][n as usize / 2]),
    };
    driver.step("each of seven, twice", again(Me, mixed));
    driver.step("own doorbells", mine([status(FIRST), status(SECOND)]));
}

/// Sends doorbells over the rate limit.
fn limits(driver: &mut Driver) {
    let mut todo = Vec::new();
    for _ in 0..2 {
        todo.extend([Do::One(Me, ring(SLOW)), Do::One(Peer, TAKE)]);
    }
    todo.extend(mine([ring(SLOW), ring(SLOW)]));
    todo.extend(of(Peer, [SIGNALLED, AWAIT, TAKE, status(SLOW)]));
    todo.extend(mine([status(SLOW)]));
    driver.step("over the limit", todo);
}

/// Sends SGIs between the two vCPUs, and to this one.
fn sgis(driver: &mut Driver) {
    let taken = |mut todo: Vec<Do>| {
        todo.extend(of(Sibling, [SIGNALLED, TAKE]));
        todo
    };
    driver.step("one SGI", taken(mine([send(5, 1)])));
    driver.step("twice the same", taken(mine([send(5, 1), send(5, 1)])));
    driver.step("three, one after the other", taken(mine([9, 2, 4].map(|sgi| send(sgi, 1)))));
    let burst = |sgis: &[u64]| Do::Burst(sgis.iter().map(|sgi| send(*sgi, 1)).collect());
    driver.step("three at once", taken(Vec::from([burst(&[9, 2, 4])])));
    driver.step("eight at once", taken(Vec::from([burst(&SGIS.collect::<Vec<_>>())])));
    driver.step("eight, one after the other", taken(mine(SGIS.map(|sgi| send(sgi, 1)))));
    driver.step("each of eight, twice", again(Sibling, |sgi| Do::One(Me, send(sgi, 1))));
    driver.step("to itself", mine([send(3, 0), SIGNALLED, TAKE]));
    let back = [Do::One(Sibling, send(6, 0)), Do::One(Me, SIGNALLED), Do::One(Me, TAKE)];
    driver.step("from the sibling", back.into());
    let mut off = of(Sibling, [set(ICENABLER, 5)]);
    off.extend(mine([send(5, 1)]));
    off.extend(of(Sibling, [SIGNALLED, get(ISPENDR, 5), set(ISENABLER, 5)]));
    driver.step("SGI, disabled", taken(off));
    let mut active = mine([send(5, 1)]);
    active.extend(of(Sibling, [ACKNOWLEDGE]));
    active.extend(mine([send(5, 1)]));
    active.extend(of(Sibling, [end(5)]));
    driver.step("SGI while active", taken(active));
    if driver.me.is_v2() {
        return;
    }
    // INTID in 27:24, all but this one in 40, affinity 2 in 39:32, target list in 15:0.
    let odd = [1 << 40 | 7 << 24, 0xffff | 8 << 24, 2 | 1 << 32 | 9 << 24, 4 | 10 << 24, 0];
    for value in odd {
        let mut todo = taken(mine([(Task::SendRaw, [value, 0, 0, 0])]));
        todo.extend(mine([TAKE]));
        driver.step("ICC_SGI1R", todo);
    }
}

/// Sends each of more interrupts than there are list registers, twice before `who` takes it. By
/// then another one is in the list register that it had last, and EL2 must find it in its present
/// place.
fn again(who: Who, arrival: impl Fn(u64) -> Do) -> Vec<Do> {
    let mut todo = Vec::new();
    for n in SGIS.chain(SGIS) {
        todo.extend([arrival(n), arrival(n), Do::One(who, TAKE)]);
    }
    todo
}

fn timers(driver: &mut Driver) {
    let intid = u64::from(timer::INTID);
    driver.step("timer", mine([ARM, SIGNALLED, TAKE]));
    driver.step("timer, twice", mine([ARM, TAKE, ARM, TAKE]));
    driver.step("timer, priority masked", mine([mask(0), ARM, SIGNALLED, mask(0xff), TAKE]));
    let disabled =
        [set(ICENABLER, intid), ARM, SIGNALLED, get(ISPENDR, intid), set(ISENABLER, intid), TAKE];
    driver.step("timer, disabled", mine(disabled));
    driver
        .step("timer, still due at its end", mine([ARM, ACKNOWLEDGE, end(intid), SIGNALLED, TAKE]));
    let withdrawn = [ARM, DISARM, hvc(call::QUERY, query::VCPU, 0), SIGNALLED, TAKE];
    driver.step("timer, withdrawn", mine(withdrawn));
    let mut full = mine(SGIS.map(|sgi| send(sgi, 1)));
    full.extend(of(Sibling, [ARM, SIGNALLED, TAKE]));
    driver.step("timer, list registers full", full);
    let mut beside = of(Sibling, [ARM, ACKNOWLEDGE]);
    beside.extend(mine([send(5, 1)]));
    beside.extend(of(Sibling, [DISARM, end(intid), TAKE]));
    driver.step("SGI while the timer is active", beside);
}

fn spis(driver: &mut Driver) {
    let raise = set(ISPENDR, SPI);
    let here = route(driver, SPI, 0);
    driver.step("SPI", mine([here, set(ISENABLER, SPI), raise, SIGNALLED, TAKE]));
    let active =
        [raise, ACKNOWLEDGE, get(ISACTIVER, SPI), raise, get(ISPENDR, SPI), end(SPI), TAKE, TAKE];
    driver.step("SPI while active", mine(active));
    let mut there = mine([route(driver, SPI, 1), raise]);
    there.extend(of(Sibling, [SIGNALLED, TAKE]));
    driver.step("SPI of the sibling", there);
    let second = u64::from(timer::INTID);
    let beside = [ARM, ACKNOWLEDGE, here, raise, DISARM, end(second), TAKE];
    driver.step("SPI while the timer is active", mine(beside));
    let mut back = mine([set(ICENABLER, SPI), raise, here, set(ISENABLER, SPI), TAKE]);
    back.extend(of(Sibling, [TAKE]));
    driver.step("SPI, disabled and brought back", back);
}

/// Sends a doorbell and an SGI that one entry of the sibling's core finds.
fn both(driver: &mut Driver) {
    let pair = || {
        let mut todo = Vec::from([Do::Pair(ring(SIBLINGS), send(5, 1))]);
        todo.extend(of(Sibling, [SIGNALLED, TAKE, status(FIRST)]));
        todo
    };
    driver.step("doorbell and SGI at once", pair());
    // The first arrival left a cached list register entry, and the second one uses it.
    driver.step("again", pair());
    let mut full: Vec<_> = SGIS.map(|sgi| Do::One(Me, send(sgi, 1))).collect();
    full.push(Do::Pair(ring(SIBLINGS), send(9, 1)));
    full.extend(of(Sibling, [TAKE, status(FIRST)]));
    driver.step("both, list registers full", full);
}

/// Stops the peer.
fn farewell(driver: &mut Driver) {
    driver.ask(Peer, (Task::Quit, [0; 4]));
    driver.peer_runs = false;
    driver.step("peer stopped", mine([AWAIT, TAKE, ring(FIRST), ring(POLLED), status(FIRST)]));
    driver.ask(Sibling, (Task::Quit, [0; 4]));
}
