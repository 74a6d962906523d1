//! What threads do to the mail: no SGI is lost between cores that really run at once.

use bulkhead_vgic::{Bank, Delivery, Entry, Gic, ListRegisters, Physical, Siblings, Vcpu};
use plan::GuestGic;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use zerocopy::FromZeros;

/// One core of the thread test: every list register is consumed as soon as it is written.
struct Sink<'a> {
    kicks: &'a [AtomicU32],
    seen: [u32; 16],
}

impl ListRegisters for Sink<'_> {
    const SGI_SOURCES: bool = false;

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
    fn split_deactivation(&self) -> bool {
        false
    }
}

impl Physical for Sink<'_> {
    fn write_bank(&mut self, _: Bank, _: usize, _: u32) {}
    fn pending(&self, _: usize) -> u32 {
        0
    }
    fn route(&mut self, _: u32, _: usize) {}
}

impl Siblings for Sink<'_> {
    fn kick(&self, vcpu: usize) {
        self.kicks[vcpu].fetch_add(1, SeqCst);
    }
}

#[test]
fn threads_lose_no_sgi() {
    const ROUNDS: u32 = 2000;
    let gic = Gic::new_zeroed();
    gic.init(
        4,
        &GuestGic {
            version: 3,
            intids: 288,
            gicd_ipa: 0,
            gicr_ipa: 0,
        },
        &[],
    );
    let kicks: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    let answered: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for core in 0..4usize {
            let (gic, kicks, answered) = (&gic, &kicks, &answered);
            scope.spawn(move || {
                let mut delivery = Delivery::new_zeroed();
                let mut sink = Sink {
                    kicks,
                    seen: [0; 16],
                };
                let mut vcpu = Vcpu::new(gic, core, &mut delivery, &mut sink);
                vcpu.reset();
                vcpu.unpark();
                vcpu.write(None, 0, 4, 3);
                vcpu.write(Some(core), 0x1_0100, 4, 0xffff);
                if core != 0 {
                    // Each sends its own SGI to vCPU 0 and waits until it is seen there: a lost one hangs, so there is a limit.
                    for round in 1..=ROUNDS {
                        vcpu.send_sgi(1 | (core as u64) << 24, true);
                        let start = std::time::Instant::now();
                        while answered[core].load(SeqCst) < round {
                            assert!(start.elapsed().as_secs() < 30, "SGI {core} is lost");
                            std::thread::yield_now();
                        }
                    }
                    return;
                }
                let start = std::time::Instant::now();
                loop {
                    assert!(start.elapsed().as_secs() < 60, "SGIs are lost");
                    if kicks[0].swap(0, SeqCst) != 0 {
                        Vcpu::new(gic, 0, &mut delivery, &mut sink).inbox();
                        for (seen, answered) in sink.seen.iter().zip(answered) {
                            answered.store(*seen, SeqCst);
                        }
                    }
                    if (1..4).all(|from| sink.seen[from] >= ROUNDS) {
                        return;
                    }
                    std::thread::yield_now();
                }
            });
        }
    });
}
