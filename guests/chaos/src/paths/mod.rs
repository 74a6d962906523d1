//! The effects, visible to a guest, of the entries that EL2 has fast paths for: one sequence of
//! steps, printed so that the runs of two builds of EL2 can be compared line by line.
//!
//! A step is a list of orders to three vCPUs: this one, a sibling and a peer at the other end of
//! channels. Its lines have each order's report, and the entries that EL2 counted on each core for
//! each reason; the calls that ask for the counts are among these. The lines do not depend on how
//! many instructions EL2 takes. A step waits until all cores are at rest, and orders that must
//! arrive together are sent while no other core runs, which the beats of the others show.

mod actor;
mod orders;
mod steps;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use abi::Reason;
use rt::tree::ChannelNode;
use rt::{Tree, fail, interrupt, mmu, smp};

use self::actor::{Actor, Order, Orders, Post, Reports, Task, mark, pause};
use crate::format;

/// Number of beats of every other core after which all of them are at rest.
const REST: u64 = 16;

/// Columns after which a line ends.
const WIDTH: usize = 120;

/// The vCPU that gets an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Me,
    Sibling,
    Peer,
}
use Who::{Me, Peer, Sibling};

/// The next action in a step.
enum Do {
    /// An order, and then rest.
    One(Who, Order),
    /// Orders to this vCPU in a row, while no other core runs, and then rest.
    Burst(Vec<Order>),
    /// An order to the peer, one to this vCPU before the sibling runs again, and then rest.
    Pair(Order, Order),
}

/// The vCPU that gives the orders.
struct Driver {
    me: Actor,
    sibling: Post,
    peer: Post,
    /// Whether the peer takes orders, so that its core counts.
    peer_runs: bool,
    steps: usize,
    lines: Vec<String>,
}

/// Entries of the three cores, by reason.
type Counts = [Vec<u64>; 3];

impl Driver {
    fn ask(&self, who: Who, order: Order) -> Vec<u64> {
        match who {
            Me => self.me.perform(order),
            Sibling => self.sibling.ask(order),
            Peer => self.peer.ask(order),
        }
    }

    fn beats(&self) -> [u64; 2] {
        [self.sibling.beat(), self.peer.beat()]
    }

    /// Waits until every other core has looked for orders for a while.
    fn rest(&self) {
        let [sibling, peer] = self.beats();
        while self.sibling.beat() < sibling + REST
            || self.peer_runs && self.peer.beat() < peer + REST
        {
            pause();
        }
    }

    fn counts(&self) -> Counts {
        let peer = match self.peer_runs {
            true => self.ask(Peer, (Task::Entries, [0; 4])),
            false => Vec::new(),
        };
        let sibling = self.ask(Me, (Task::Entries, [1, 0, 0, 0]));
        [self.ask(Me, (Task::Entries, [0; 4])), sibling, peer]
    }

    /// Runs the step `name`, and records the reports.
    fn step(&mut self, name: &str, todo: Vec<Do>) {
        self.steps += 1;
        self.rest();
        let before = self.counts();
        self.note(format!("{name}:"));
        for what in todo {
            match what {
                Do::One(who, order) => {
                    let seen = self.ask(who, order);
                    self.saw(who, order.0, &seen);
                }
                Do::Burst(orders) => {
                    let beats = self.beats();
                    let seen: Vec<_> = orders.iter().map(|order| self.me.perform(*order)).collect();
                    if self.beats() != beats {
                        fail!("{name}: another core ran in between");
                    }
                    for (order, seen) in orders.iter().zip(&seen) {
                        self.saw(Me, order.0, seen);
                    }
                }
                Do::Pair(theirs, own) => {
                    let seen = self.ask(Peer, theirs);
                    let beat = self.sibling.beat();
                    let own_seen = self.me.perform(own);
                    if self.sibling.beat() != beat {
                        fail!("{name}: the sibling ran in between");
                    }
                    self.saw(Peer, theirs.0, &seen);
                    self.saw(Me, own.0, &own_seen);
                }
            }
            self.rest();
        }
        let after = self.counts();
        for ((who, before), after) in ["own", "sibling", "peer"].iter().zip(&before).zip(&after) {
            let mut text = format!("  EL2 of {who}:");
            for (reason, (before, after)) in before.iter().zip(after).enumerate() {
                if before != after {
                    let _ = write!(text, " {} {}", Reason::NAMES[reason], after - before);
                }
            }
            self.note(text);
        }
    }

    fn note(&mut self, line: String) {
        self.lines.push(line);
    }

    /// Records an order's report.
    fn saw(&mut self, who: Who, task: Task, seen: &[u64]) {
        if seen.is_empty() && task != Task::Take {
            return;
        }
        let mut text = format!("  {who:?} {task:?}");
        let is_call = matches!(task, Task::Hvc | Task::Smc);
        for (n, value) in seen.iter().enumerate() {
            match is_call {
                true if n >= 4 && *value == mark(n) => {}
                true => {
                    let _ = write!(text, " x{n}={value:#x}");
                }
                false => {
                    let _ = write!(text, " {value:#x}");
                }
            }
        }
        // Several reports share a line, so that the console has less to do.
        match self.lines.last_mut() {
            Some(line) if line.starts_with(' ') && line.len() + text.len() < WIDTH => {
                line.push_str(&text);
            }
            _ => self.note(text),
        }
    }
}

static SIBLING: (Orders, Reports) = (Orders::new(), Reports::new());

/// Returns the channel ends of this partition, with the interrupts of vCPU 0's enabled; the pages
/// that carry orders are mapped.
fn open(tree: &Tree) -> Vec<ChannelNode> {
    let nodes: Vec<_> = tree.channels().collect();
    for intid in nodes.iter().filter(|node| node.vcpu == 0).filter_map(|node| node.intid) {
        interrupt::enable(intid);
    }
    let first = nodes.first().unwrap_or_else(|| fail!("no channel"));
    for (address, size) in [first.own, first.peer] {
        mmu::map(address, size, mmu::Kind::Shared);
    }
    nodes
}

/// Returns the post with orders in the pages at `orders` and reports in those at `reports`.
fn post(orders: u64, reports: u64) -> Post {
    // SAFETY: these are pages of Normal memory that the device tree gives this end, never unmapped,
    // zero at the start, and used by both ends only as these atomics. Each end only loads from the
    // pages that it may not write.
    unsafe { Post { orders: &*(orders as *const Orders), reports: &*(reports as *const Reports) } }
}

/// Runs the sequence.
pub fn drive(tree: &Tree) -> String {
    let nodes = open(tree);
    let sibling = Post { orders: &SIBLING.0, reports: &SIBLING.1 };
    let actor = Actor::new(tree, 1);
    if let Err(error) = smp::start(1, move || sibling.serve(&actor)) {
        fail!("vCPU 1 does not start: {error}");
    }
    let peer = post(nodes[0].own.0, nodes[0].peer.0);
    let me = Actor::new(tree, 0);
    let mut driver = Driver { me, sibling, peer, peer_runs: true, steps: 0, lines: Vec::new() };
    steps::all(&mut driver, &nodes);
    for line in &driver.lines {
        rt::println!("{line}");
    }
    format!("{} steps", driver.steps)
}

/// Runs the other end: carries out orders until it is told to stop.
pub fn answer(tree: &Tree) -> String {
    let nodes = open(tree);
    post(nodes[0].peer.0, nodes[0].own.0).serve(&Actor::new(tree, 0));
    String::from("all orders")
}
