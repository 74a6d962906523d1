//! GICv2 (IHI 0048): all interrupts are in Group 0, which such a guest gets as IRQ.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::mmio;

const GICD_CTLR: u64 = 0x000;
const GICD_ISENABLER: u64 = 0x100;
const GICD_IPRIORITYR: u64 = 0x400;
const GICD_SGIR: u64 = 0xf00;
const GICC_CTLR: u64 = 0x00;
const GICC_PMR: u64 = 0x04;
const GICC_IAR: u64 = 0x0c;
const GICC_EOIR: u64 = 0x10;
/// The priority of all interrupts: the middle.
const PRIORITIES: u32 = 0x8080_8080;
/// INTIDs from here on are answers, not interrupts.
const SPECIAL: u32 = 1020;

static GICD: AtomicU64 = AtomicU64::new(0);
static GICC: AtomicU64 = AtomicU64::new(0);

fn write(frame: &AtomicU64, register: u64, value: u32) {
    // SAFETY: a register of the GIC that the device tree names, mapped by `init`; none of them is
    // memory.
    unsafe { mmio::write32(frame.load(Relaxed) + register, value) };
}

pub fn init(gicd: u64, gicc: u64) {
    GICD.store(gicd, Relaxed);
    GICC.store(gicc, Relaxed);
    for intid in (32..1020).step_by(4) {
        write(&GICD, GICD_IPRIORITYR + intid, PRIORITIES);
    }
    write(&GICD, GICD_CTLR, 1);
}

pub fn init_vcpu() {
    for intid in (0..32).step_by(4) {
        write(&GICD, GICD_IPRIORITYR + intid, PRIORITIES);
    }
    write(&GICC, GICC_PMR, 0xff);
    write(&GICC, GICC_CTLR, 1);
}

pub fn enable(intid: u32) {
    assert!(intid < SPECIAL, "an interrupt number");
    let register = GICD_ISENABLER + u64::from(intid) / 32 * 4;
    write(&GICD, register, 1 << (intid % 32));
}

pub fn send(intid: u32, vcpu: usize) {
    assert!(intid < 16 && vcpu < 8, "an SGI");
    write(&GICD, GICD_SGIR, 1 << (16 + vcpu) | intid);
}

/// Returns the whole of IAR, which the write that ends the interrupt needs.
#[inline]
pub fn acknowledge() -> Option<u32> {
    // SAFETY: as in `write`.
    let iar = unsafe { mmio::read32(GICC.load(Relaxed) + GICC_IAR) };
    (iar & 0x3ff < SPECIAL).then_some(iar)
}

#[inline]
pub fn end(iar: u32) {
    write(&GICC, GICC_EOIR, iar);
}
