// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cores that run at once: no SGI is lost in the request word, on any of its paths.

use bulkhead_vgic::{
    Bank, Delivery, Entry, Gic, ListRegisters, Physical, Siblings, Vcpu, interface,
};
use plan::GuestGic;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use zerocopy::FromZeros;

/// One core of the thread test, whose list registers are consumed as soon as they are written. With
/// `V2` they are those of a GICv2, with senders.
struct Sink<'a, const V2: bool> {
    kicks: &'a [AtomicU32],
    seen: [u32; 16],
}

impl<const V2: bool> ListRegisters for Sink<'_, V2> {
    const SGI_SOURCES: bool = V2;

    fn count(&self) -> usize {
        4
    }
    fn read(&self, _: usize) -> u64 {
        0
    }
    fn write(&mut self, _: usize, value: u64) {
        let entry = Entry(value);
        if entry.has(Entry::PENDING) {
            self.seen[entry.intid() as usize] += 1;
        }
    }
    fn empty(&self) -> u32 {
        u32::MAX
    }
    fn control(&self) -> u32 {
        0
    }
    fn set_control(&mut self, _: u32) {}
    fn interface(&self) -> u32 {
        interface::GROUPS
    }
    fn deactivation_trap(&self) -> u32 {
        0
    }
}

impl<const V2: bool> Physical for Sink<'_, V2> {
    fn write_bank(&mut self, _: Bank, _: usize, _: u32) {}
    fn pending(&self, _: usize) -> u32 {
        0
    }
    fn deactivate(&mut self, _: u32) {}
    fn route(&mut self, _: u32, _: usize) {}
}

impl<const V2: bool> Siblings for Sink<'_, V2> {
    fn kick(&self, vcpu: usize) {
        self.kicks[vcpu].fetch_add(1, SeqCst);
    }
}

fn gic(vcpus: usize, version: u32) -> Gic {
    let gic = Gic::new_zeroed();
    let guest = GuestGic { version, intids: 288 };
    gic.init(vcpus, &guest, &[]);
    gic
}

/// Checks that SGIs are not lost: every sibling sends two of its own to vCPU 0, one right after the
/// other, and waits until both are seen there. A lost one hangs, so there is a limit.
fn siblings_send<const V2: bool>() {
    const ROUNDS: u32 = 2000;
    let gic = gic(4, if V2 { 2 } else { 3 });
    let kicks: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    let answered: Vec<AtomicU32> = (0..16).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for core in 0..4usize {
            let (gic, kicks, answered) = (&gic, &kicks, &answered);
            scope.spawn(move || {
                let mut delivery = Delivery::new_zeroed();
                let mut sink = Sink::<V2> { kicks, seen: [0; 16] };
                let mut vcpu = Vcpu::new(gic, core, &mut delivery, &mut sink);
                vcpu.reset();
                vcpu.unpark();
                if V2 {
                    vcpu.write_v2(0, 4, 1);
                    vcpu.write_v2(0x100, 4, 0xffff);
                } else {
                    vcpu.write(None, 0, 4, 3);
                    vcpu.write(Some(core), 0x1_0100, 4, 0xffff);
                }
                if core != 0 {
                    let own = [2 * core as u32, 2 * core as u32 + 1];
                    for round in 1..=ROUNDS {
                        for sgi in own {
                            if V2 {
                                assert!(vcpu.fast_send_sgi_v2(0xf00, 1 << 16 | sgi));
                            } else {
                                vcpu.send_sgi(1 | u64::from(sgi) << 24, true);
                            }
                        }
                        let start = std::time::Instant::now();
                        while own.iter().any(|&sgi| answered[sgi as usize].load(SeqCst) < round) {
                            assert!(
                                start.elapsed().as_secs() < 30,
                                "an SGI of vCPU {core} is lost"
                            );
                            std::thread::yield_now();
                        }
                    }
                    return;
                }
                let start = std::time::Instant::now();
                while sink.seen[2..8].iter().any(|&seen| seen < ROUNDS) {
                    assert!(start.elapsed().as_secs() < 60, "SGIs are lost");
                    if kicks[0].swap(0, SeqCst) != 0 {
                        let mut vcpu = Vcpu::new(gic, 0, &mut delivery, &mut sink);
                        vcpu.take_requests();
                        for (seen, answered) in sink.seen.iter().zip(answered) {
                            answered.store(*seen, SeqCst);
                        }
                    }
                    std::thread::yield_now();
                }
            });
        }
    });
}

#[test]
fn threads_lose_no_sgi() {
    siblings_send::<false>();
}

#[test]
fn threads_lose_no_sgi_with_senders() {
    siblings_send::<true>();
}
