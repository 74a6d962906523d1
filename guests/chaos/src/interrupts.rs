//! Attacks on the interrupt controller.

use alloc::collections::BTreeSet;
use alloc::string::String;

use rt::{Tree, interrupt, mmio, timer};

use crate::format;
use crate::probe::{Outcome, execute, msr, register};

/// Returns the SPIs of this partition: its PL011's and its channels'.
fn own_spis(tree: &Tree) -> BTreeSet<u32> {
    let channels = tree.channels().filter_map(|channel| channel.intid);
    channels.chain(tree.device_spi("arm,pl011")).collect()
}

fn gic(tree: &Tree) -> [(u64, u64); 2] {
    tree.gic().unwrap_or_else(|| rt::fail!("no GIC in the device tree"))
}

/// Reads, sets, clears and restores every word between `base` and `base + size`.
fn hammer(base: u64, size: u64) -> u64 {
    for address in (base..base + size).step_by(4) {
        // SAFETY: these are registers of the emulated GIC, which the runtime has mapped. This guest
        // does not rely on them afterwards.
        unsafe {
            let value = mmio::read32(address);
            mmio::write32(address, 0xffff_ffff);
            mmio::read32(address);
            mmio::write32(address, 0);
            mmio::write32(address, value);
        }
    }
    size / 4 * 5
}

/// GICD bitmaps (IHI 0069, 12.8): group, set-enable, set-pending, set-active; one bit per INTID.
const BITMAPS: [(&str, u64); 4] =
    [("IGROUPR", 0x080), ("ISENABLER", 0x100), ("ISPENDR", 0x200), ("ISACTIVER", 0x300)];
const IPRIORITYR: u64 = 0x400;
const IROUTER: u64 = 0x6000;

pub fn gicd(tree: &Tree) -> String {
    let [(base, size), _] = gic(tree);
    let own = own_spis(tree);
    let mut accesses = hammer(base, size);
    for intid in (32..1020).filter(|intid| !own.contains(intid)) {
        let (word, bit) = (intid as u64 / 32 * 4, 1 << (intid % 32));
        let check = |name, value: u64| {
            if value != 0 {
                rt::fail!("GICD_{name} of foreign interrupt {intid} reads {value:#x}");
            }
        };
        // SAFETY: registers of the emulated GIC, which the runtime has mapped.
        unsafe {
            for (name, offset) in BITMAPS {
                mmio::write32(base + offset + word, 0xffff_ffff);
                check(name, (mmio::read32(base + offset + word) & bit).into());
            }
            let priority = base + IPRIORITYR + intid as u64;
            mmio::write8(priority, 0xff);
            check("IPRIORITYR", mmio::read8(priority).into());
            let router = base + IROUTER + intid as u64 * 8;
            mmio::write64(router, 0xff_00ff_ffff);
            check("IROUTER", mmio::read64(router));
        }
        accesses += 12;
    }
    format!("{accesses} accesses; foreign interrupts read as zero")
}

pub fn gicr(tree: &Tree) -> String {
    let [_, (base, size)] = gic(tree);
    format!("{} accesses", hammer(base, size))
}

pub fn gicr_outside(tree: &Tree) -> String {
    let [_, (base, size)] = gic(tree);
    // SAFETY: after the last redistributor there is no memory of Rust's.
    format!("read {:#x}", unsafe { mmio::read32(base + size) })
}

/// ICC_SGI1R_EL1, ICC_ASGI1R_EL1, ICC_SGI0R_EL1 (IHI 0069, 12.2).
const SGI_REGISTERS: [u32; 3] =
    [register(3, 0, 12, 11, 5), register(3, 0, 12, 11, 6), register(3, 0, 12, 11, 7)];

/// GICD_SGIR (IHI 0048, 4.3.15).
const SGIR: u64 = 0xf00;

pub fn sgi(tree: &Tree) -> String {
    let [(base, _), _] = gic(tree);
    let (mut sent, mut refused) = (0, 0);
    let affinities = [0, 1, 2, 3, 0x7f, 0xff];
    // Every INTID, NSATT, target list and filter is written; the register is reserved on GICv3.
    for index in 0..0x8000_u32 {
        let value = (index >> 4) << 15 | index & 15;
        // SAFETY: a register of the emulated GIC, which the runtime has mapped.
        unsafe { mmio::write32(base + SGIR, value) };
        sent += 1;
    }
    for sgi_register in SGI_REGISTERS {
        for intid in 0..16_u64 {
            for low in affinities {
                for high in affinities {
                    // Target list, Aff1, Aff2, range selector and Aff3; then IRM.
                    let list = 0xffff | low << 16 | intid << 24 | high << 32 | low << 48;
                    for value in [list, list | 0xf << 44, 1 << 40 | intid << 24, u64::MAX] {
                        match execute(msr(sgi_register), [value, 0, 0, 0]) {
                            Outcome::Done(_) => sent += 1,
                            Outcome::Caught(_) => refused += 1,
                        }
                    }
                }
            }
        }
    }
    format!("{sent} written, {refused} undefined")
}

pub fn flood(_: &Tree) -> String {
    const SGI: u32 = 1;
    interrupt::enable(SGI);
    let (mut sgis, mut ticks) = (0, 0);
    let half = timer::now() + timer::milliseconds(500);
    while timer::now() < half {
        interrupt::send(SGI, 0);
        timer::arm(0);
        while let Some(intid) = interrupt::take() {
            if intid == timer::INTID { ticks += 1 } else { sgis += 1 }
        }
    }
    // The other half goes through the vector: each interrupt arrives at any instruction.
    let end = half + timer::milliseconds(500);
    while timer::now() < end {
        // SAFETY: the hook in `probe` takes interrupts, and uses nothing that this loop uses.
        unsafe { core::arch::asm!("msr daifclr, #2", options(nostack)) };
        interrupt::send(SGI, 0);
        timer::arm(0);
        // SAFETY: as above.
        unsafe { core::arch::asm!("msr daifset, #2", options(nostack)) };
    }
    if sgis == 0 || ticks == 0 {
        rt::fail!("own interrupts were lost: {sgis} SGIs and {ticks} ticks taken");
    }
    format!("took {sgis} SGIs and {ticks} ticks by polling, then as many by vector")
}
