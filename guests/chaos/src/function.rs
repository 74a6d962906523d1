//! Attacks on a channel end as a PCI function: configuration space, BARs, registers and the state
//! table, from both vCPUs. The end is on vCPU 1.

use alloc::string::String;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ivshmem::{PAGE, config, registers};
use rt::mmu::{self, Kind};
use rt::{Tree, mmio, smp, timer};

use crate::format;
use crate::probe::{Outcome, Random, execute};

/// Rounds of each vCPU.
const ROUNDS: u64 = 30_000;
const STR_W1: u32 = 0xb900_0001; // str w1, [x0]

static DONE: AtomicBool = AtomicBool::new(false);
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Where the function is.
#[derive(Clone, Copy)]
struct Place {
    ecam: u64,
    registers: u64,
    shared: u64,
    section: u64,
}

impl Place {
    fn find(tree: &Tree) -> Self {
        let Some((ecam, size)) = tree.device("pci-host-ecam-generic") else {
            rt::fail!("this attack needs a PCI function")
        };
        mmu::map(ecam, size, Kind::Device);
        let low = |offset| u64::from(read32(ecam + offset));
        let place = Self {
            ecam,
            registers: low(config::BAR0),
            shared: low(config::BAR2) & !0xf | low(config::BAR3) << 32,
            section: low(config::OUTPUT_SECTION_SIZE),
        };
        mmu::map(place.registers, PAGE, Kind::Device);
        mmu::map(place.shared, PAGE + 2 * place.section, Kind::NonCacheable);
        place
    }

    /// Checks what no write may change.
    fn check(&self) {
        let size = (PAGE + 2 * self.section).next_power_of_two();
        let bar = |offset, address: u64, bits: u64| {
            let found = u64::from(read32(self.ecam + offset));
            if found != address & 0xffff_ffff && found != bits & 0xffff_ffff {
                rt::fail!("the BAR at {offset:#x} reads as {found:#x}");
            }
        };
        bar(config::BAR0, self.registers, !(PAGE - 1));
        bar(config::BAR2, self.shared | 0xc, size.wrapping_neg() | 0xc);
        bar(config::BAR3, self.shared >> 32, size.wrapping_neg() >> 32);
        for (offset, must) in [
            (config::VENDOR, 0x4106_110a),
            (config::REVISION, 0xff00_0000),
            (config::SUBSYSTEM, 0x4248_110a),
            (config::STATE_TABLE_SIZE, 0x1000),
        ] {
            let found = read32(self.ecam + offset);
            if found != must {
                rt::fail!("configuration space reads as {found:#x} at {offset:#x}");
            }
        }
    }

    /// Writes random numbers of every size to configuration space and registers, the doorbell among
    /// them.
    fn storm(&self, seed: u64) {
        let mut random = Random(seed);
        for round in 0..ROUNDS {
            let (place, value) = (random.next(), random.next());
            // A third of the writes go to a register with an effect.
            let offset = match place % 3 {
                0 => [4, 6, 0x10, 0x18, 0x1c, 0x40, 0x43, 8][place as usize >> 8 & 7],
                _ => place >> 8 & (PAGE - 1),
            };
            let base = match place >> 40 & 7 {
                0..=2 => self.ecam,
                // Another device, or another function of this one.
                3 => self.ecam + ((place >> 44 & 0xff) << 12),
                _ => self.registers,
            };
            let at = base + offset;
            // SAFETY: addresses of emulated devices, which do not reach this program's memory.
            unsafe {
                match place >> 60 & 3 {
                    0 => mmio::write8(at, value as u8),
                    1 => mmio::write16(at & !1, value as u16),
                    2 => mmio::write32(at & !3, value as u32),
                    _ => mmio::write64(at & !7, value),
                }
                mmio::write32(self.registers + registers::DOORBELL, (value as u32 & 3) << 16);
                mmio::write32(self.registers + registers::STATE, round as u32);
            }
            WRITES.fetch_add(3, Ordering::Relaxed);
            if round % 64 == 0 {
                self.check();
            }
        }
    }
}

fn read32(address: u64) -> u32 {
    // SAFETY: an emulated device's register, or the state table; reading either has no effect.
    unsafe { mmio::read32(address) }
}

fn write32(address: u64, value: u32) {
    // SAFETY: an emulated device's register, which does not reach this program's memory.
    unsafe { mmio::write32(address, value) }
}

pub fn storm(tree: &Tree) -> String {
    let place = Place::find(tree);
    place.check();
    // Function 0 of device 0 is the only one.
    let mut found = 0;
    for function in 0..256 {
        found += u32::from(read32(place.ecam + (function << 12)) != u32::MAX);
    }
    if found != 1 {
        rt::fail!("{found} functions answer");
    }
    // BARs elsewhere: over this program, and over the other end's pages.
    for value in [0x4000_0000, 0x1000_0000, 0] {
        for bar in [config::BAR0, config::BAR2, config::BAR3] {
            write32(place.ecam + bar, value);
        }
        place.check();
    }
    let id = read32(place.registers + registers::ID);
    let peer = place.shared + PAGE + u64::from(1 - id) * place.section;
    for at in [place.shared, place.shared + 4 * u64::from(id), peer, peer + PAGE] {
        match execute(STR_W1, [at, 0x6861_766f, 0, 0]) {
            Outcome::Caught(_) => {}
            outcome => rt::fail!("a store to {at:#x}, which is read-only: {outcome:x?}"),
        }
    }
    let end = timer::now() + 60 * timer::frequency();
    let started = smp::start(1, move || {
        place.storm(0x9e37_79b9_7f4a_7c15);
        DONE.store(true, Ordering::Release);
    });
    if started.is_err() {
        rt::fail!("vCPU 1 does not start");
    }
    place.storm(0x2545_f491_4f6c_dd1d);
    while !DONE.load(Ordering::Acquire) {
        if timer::now() > end {
            rt::fail!("vCPU 1 is late");
        }
    }
    // The function still works: State is shown, and a doorbell to itself arrives once it may.
    write32(place.ecam + config::COMMAND, 0);
    write32(place.ecam + config::CAPABILITY, 0);
    write32(place.registers + registers::STATE, 0x5a);
    while read32(place.shared + 4 * u64::from(id)) != 0x5a {
        if timer::now() > end {
            rt::fail!("the state table does not show the last state");
        }
    }
    write32(place.registers + registers::INTERRUPT_CONTROL, 1);
    write32(place.registers + registers::DOORBELL, id << 16);
    let status = read32(place.ecam + config::COMMAND) >> 16;
    if u64::from(status) & config::status::INTERRUPT == 0 {
        rt::fail!("no interrupt: Status is {status:#x}");
    }
    format!("{} writes", WRITES.load(Ordering::Relaxed))
}
