// SPDX-License-Identifier: MIT OR Apache-2.0
//! What siblings do in the middle of an entry: between any two accesses to the core's hardware they
//! may send SGIs. None is lost, also when the vCPU goes off and comes back meanwhile, and none
//! comes that was not sent.

use bulkhead_vgic::{
    Bank, Delivery, Entry, Gic, ListRegisters, Physical, Siblings, Vcpu, control, interface,
};
use plan::GuestGic;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use zerocopy::FromZeros;

/// Number of vCPUs of the partition; vCPU 0 receives.
const VCPUS: usize = 3;
/// Number of SGIs that are sent: more than there are list registers.
const SGIS: usize = 3;

/// Numbers of times that each SGI was sent or taken, by SGI and sender. GICv3 does not tell
/// senders: all are 0 there.
type Counts = [[u32; VCPUS]; SGIS];

/// The state that the partition's cores share.
struct Partition {
    gic: Gic,
    /// Whether a kick of vCPU 0 is under way.
    kick: Cell<bool>,
    sent: Cell<Counts>,
}

/// Sends `sgi` from vCPU `from` to vCPU 0.
fn send<const V2: bool>(partition: &Partition, from: usize, sgi: usize) {
    let mut sent = partition.sent.get();
    sent[sgi][if V2 { from } else { 0 }] += 1;
    partition.sent.set(sent);
    let (mut delivery, mut core) = (Delivery::new_zeroed(), Core::<V2>::new(partition));
    let mut vcpu = Vcpu::new(&partition.gic, from, &mut delivery, &mut core);
    if V2 {
        assert!(vcpu.fast_send_sgi_v2(0xf00, 1 << 16 | sgi as u32));
    } else {
        vcpu.send_sgi(1 | (sgi as u64) << 24, true);
    }
}

/// A core at whose accesses something happens.
struct Core<'a, const V2: bool> {
    partition: &'a Partition,
    registers: [u64; 2],
    control: u32,
    /// SGIs that siblings send: the vCPU, the SGI, and the number of this core's future access
    /// before which it is sent.
    events: RefCell<Vec<(usize, usize, u32)>>,
}

impl<'a, const V2: bool> Core<'a, V2> {
    fn new(partition: &'a Partition) -> Self {
        Self { partition, registers: [0; 2], control: 0, events: RefCell::default() }
    }

    /// Sends the SGIs that siblings send before the next access to the hardware.
    fn access(&self) {
        let mut due = Vec::new();
        self.events.borrow_mut().retain_mut(|(from, sgi, before)| {
            let waits = *before > 0;
            *before = before.saturating_sub(1);
            if !waits {
                due.push((*from, *sgi));
            }
            waits
        });
        for (from, sgi) in due {
            send::<V2>(self.partition, from, sgi);
        }
    }

    /// Ends the entry; siblings that have not acted yet act now.
    fn leave(&self) {
        for (from, sgi, _) in self.events.take() {
            send::<V2>(self.partition, from, sgi);
        }
    }

    /// Acknowledges and ends pending SGIs as the guest; returns them by SGI and sender.
    fn acknowledge(&mut self) -> Vec<(usize, usize)> {
        let mut taken = Vec::new();
        for register in &mut self.registers {
            let entry = Entry(*register);
            if entry.has(Entry::PENDING) {
                taken.push((entry.intid() as usize, entry.source() as usize));
                *register &= !Entry::PENDING;
            }
        }
        taken.sort_unstable();
        taken
    }

    /// Whether the maintenance interrupt is signalled: the end of an entry that reports it, or
    /// nothing pending any more.
    fn maintenance(&self) -> bool {
        let pending = |register: &u64| Entry(*register).has(Entry::PENDING);
        let report = |register: &u64| Entry(*register).has(Entry::REPORT_END);
        let ended = |register: &u64| report(register) && !pending(register);
        let none = self.control & control::NPIE != 0 && !self.registers.iter().any(pending);
        none || self.registers.iter().any(ended)
    }
}

impl<const V2: bool> ListRegisters for Core<'_, V2> {
    const SGI_SOURCES: bool = V2;

    fn count(&self) -> usize {
        self.registers.len()
    }
    fn read(&self, index: usize) -> u64 {
        self.access();
        self.registers.get(index).copied().unwrap_or(0)
    }
    fn write(&mut self, index: usize, value: u64) {
        self.access();
        self.registers[index] = value;
    }
    fn empty(&self) -> u32 {
        self.access();
        let used = [Entry::PENDING, Entry::ACTIVE, Entry::REPORT_END];
        let is_free = |index: &usize| {
            let entry = Entry(self.registers[*index]);
            !used.iter().any(|&bit| entry.has(bit))
        };
        let free = (0..self.registers.len()).filter(is_free);
        free.map(|index| 1 << index).sum()
    }
    fn control(&self) -> u32 {
        self.access();
        self.control
    }
    fn set_control(&mut self, value: u32) {
        self.access();
        self.control = value;
    }
    fn interface(&self) -> u32 {
        interface::GROUPS
    }
    fn deactivation_trap(&self) -> u32 {
        0
    }
}

impl<const V2: bool> Physical for Core<'_, V2> {
    fn write_bank(&mut self, _: Bank, _: usize, _: u32) {
        self.access();
    }
    fn pending(&self, _: usize) -> u32 {
        self.access();
        0
    }
    fn deactivate(&mut self, _: u32) {
        self.access();
    }
    fn route(&mut self, _: u32, _: usize) {}
}

impl<const V2: bool> Siblings for Core<'_, V2> {
    fn kick(&self, vcpu: usize) {
        if vcpu == 0 {
            self.partition.kick.set(true);
        }
    }
}

/// vCPU 0, and the SGIs that its guest has taken.
struct Receiver<'a, const V2: bool> {
    partition: &'a Partition,
    delivery: Delivery,
    core: Core<'a, V2>,
    on: bool,
    taken: Counts,
}

impl<'a, const V2: bool> Receiver<'a, V2> {
    /// Returns a receiver that is ready for SGIs.
    fn new(partition: &'a Partition) -> Self {
        let guest = GuestGic { version: if V2 { 2 } else { 3 }, intids: 64 };
        partition.gic.init(VCPUS, &guest, &[]);
        let mut new = Self {
            partition,
            delivery: Delivery::new_zeroed(),
            core: Core::new(partition),
            on: true,
            taken: Counts::default(),
        };
        let mut vcpu = new.vcpu();
        vcpu.reset();
        vcpu.unpark();
        if V2 {
            vcpu.write_v2(0, 4, 1);
        } else {
            vcpu.write(None, 0, 4, 3);
        }
        new.enable(0xffff, true);
        new.vcpu().take_requests();
        new.core.leave();
        new
    }

    fn vcpu(&mut self) -> Vcpu<'_, Core<'a, V2>> {
        Vcpu::new(&self.partition.gic, 0, &mut self.delivery, &mut self.core)
    }

    /// Enables or disables SGIs as the guest.
    fn enable(&mut self, sgis: u64, on: bool) {
        let offset = if on { 0x100 } else { 0x180 };
        let mut vcpu = self.vcpu();
        if V2 {
            vcpu.write_v2(offset, 4, sgis);
        } else {
            vcpu.write(Some(0), 0x1_0000 + offset, 4, sgis);
        }
        self.core.leave();
    }

    /// Turns the guest off or on, if it is not so already.
    fn power(&mut self, on: bool) {
        if self.on != on {
            match on {
                true => self.vcpu().unpark(),
                false => self.vcpu().park(),
            }
            self.on = on;
            self.core.leave();
        }
    }

    /// Enters EL2 on vCPU 0 for a kick or the maintenance interrupt. Returns whether there was one.
    fn enter(&mut self) -> bool {
        if self.partition.kick.take() {
            self.vcpu().take_requests();
        } else if self.core.maintenance() {
            self.vcpu().sync();
        } else {
            return false;
        }
        self.core.leave();
        true
    }

    /// Takes pending SGIs as the guest.
    fn acknowledge(&mut self) -> Vec<(usize, usize)> {
        let taken = self.core.acknowledge();
        for &(sgi, source) in &taken {
            self.taken[sgi][source] += 1;
        }
        taken
    }
}

fn partition() -> Partition {
    Partition { gic: Gic::new_zeroed(), kick: Cell::new(false), sent: Cell::default() }
}

/// The next event at vCPU 0.
#[derive(Clone, Debug)]
enum Step {
    /// The send of a sibling.
    Send(usize, usize),
    /// The send of a sibling in the middle of vCPU 0's next entry: before the access of this
    /// number.
    SendDuring(usize, usize, u32),
    /// The entry of vCPU 0 to EL2 for a waiting kick or maintenance interrupt.
    Enter,
    /// The guest's acknowledgement of all pending SGIs.
    Acknowledge,
    /// The guest's enable or disable of some SGIs.
    Enable(u64, bool),
    /// The guest's CPU_OFF or CPU_ON.
    Power(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..VCPUS, 0..SGIS).prop_map(|(from, sgi)| Step::Send(from, sgi)),
        3 => (1..VCPUS, 0..SGIS, 0..6u32)
            .prop_map(|(from, sgi, before)| Step::SendDuring(from, sgi, before)),
        3 => Just(Step::Enter),
        2 => Just(Step::Acknowledge),
        1 => (0..8u64, any::<bool>()).prop_map(|(sgis, on)| Step::Enable(sgis, on)),
        1 => any::<bool>().prop_map(Step::Power),
    ]
}

/// Checks that the guest takes every SGI that was sent, not more often than it was sent, and at
/// least once after the last send.
fn nothing_is_lost<const V2: bool>(steps: &[Step]) {
    let partition = partition();
    let mut receiver = Receiver::<V2>::new(&partition);
    // What was sent before the guest last took anything of it, to see that it takes it once more.
    let mut owed = Counts::default();
    let mut seen = Counts::default();
    let mut account = |receiver: &mut Receiver<V2>| {
        let sent = partition.sent.get();
        for sgi in 0..SGIS {
            for from in 0..VCPUS {
                if sent[sgi][from] > seen[sgi][from] {
                    owed[sgi][from] = 1;
                }
            }
        }
        seen = sent;
        for (sgi, from) in receiver.acknowledge() {
            owed[sgi][from] = 0;
        }
        owed
    };
    for step in steps {
        match *step {
            Step::Send(from, sgi) => send::<V2>(&partition, from, sgi),
            Step::SendDuring(from, sgi, before) => {
                receiver.core.events.borrow_mut().push((from, sgi, before));
            }
            Step::Enter => {
                receiver.enter();
            }
            Step::Acknowledge => {
                account(&mut receiver);
            }
            // A guest that is off does nothing.
            Step::Enable(sgis, on) if receiver.on => receiver.enable(sgis, on),
            Step::Enable(..) => {}
            Step::Power(on) => receiver.power(on),
        }
    }
    receiver.core.leave();
    receiver.power(true);
    receiver.enable(0xffff, true);
    for _ in 0..100 {
        let entered = receiver.enter();
        if account(&mut receiver) == Counts::default() && !entered {
            break;
        }
    }
    assert_eq!(account(&mut receiver), Counts::default(), "an SGI is lost");
    let sent = partition.sent.get();
    for (taken, sent) in receiver.taken.iter().flatten().zip(sent.iter().flatten()) {
        assert!(taken <= sent, "an SGI came more often than it was sent");
    }
}

proptest! {
    #[test]
    fn gicv2_loses_no_sgi(steps in prop::collection::vec(step(), 1..60)) {
        nothing_is_lost::<true>(&steps);
    }

    #[test]
    fn gicv3_loses_no_sgi(steps in prop::collection::vec(step(), 1..60)) {
        nothing_is_lost::<false>(&steps);
    }
}

/// Checks that a kick has no effect if an earlier one brought its SGI along.
#[test]
fn a_kick_without_a_sender_brings_no_sgi() {
    let partition = partition();
    let mut receiver = Receiver::<true>::new(&partition);
    send::<true>(&partition, 1, 2);
    // Between the request and its sender.
    receiver.core.events.borrow_mut().push((1, 2, 0));
    assert!(receiver.enter());
    assert_eq!(receiver.acknowledge(), [(2, 1)]);
    assert!(partition.kick.get());
    assert!(receiver.enter());
    assert_eq!(receiver.acknowledge(), []);
}
