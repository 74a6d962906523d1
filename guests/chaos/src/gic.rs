//! Uses of a GIC that are rare: split ends, levels that are withdrawn, groups of which one is off.

use alloc::string::String;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use rt::{Tree, fail, hv, interrupt, mmio, smp, timer};

use crate::format;
use crate::probe::{Outcome, execute, mrs, msr, register};

/// Edge-triggered SPIs that `tests/systems/gic.toml` gives, and a level-sensitive one after them.
/// No device raises them.
const SPIS: core::ops::Range<u32> = 208..215;
const LEVEL_SPI: u32 = 215;

/// Registers of one bit per interrupt, and those of one byte (IHI 0069, 12.8; IHI 0048, 4.3).
const IGROUPR: u64 = 0x080;
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ISPENDR: u64 = 0x200;
const ISACTIVER: u64 = 0x300;
const IPRIORITYR: u64 = 0x400;
const ITARGETSR: u64 = 0x800;
const IROUTER: u64 = 0x6000;
/// GICv2: GICC_CTLR, GICC_DIR.
const GICC_CTLR: u64 = 0;
const GICC_DIR: u64 = 0x1000;

const ICC_DIR: u32 = register(3, 0, 12, 11, 1);
const ICC_CTLR: u32 = register(3, 0, 12, 12, 4);
const ICC_IAR0: u32 = register(3, 0, 12, 8, 0);
const ICC_EOIR0: u32 = register(3, 0, 12, 8, 1);
const ICC_IGRPEN0: u32 = register(3, 0, 12, 12, 6);

/// The GIC as the tree names it.
#[derive(Clone, Copy)]
struct Gic {
    is_v2: bool,
    gicd: u64,
    /// Redistributors, or the CPU interface.
    second: u64,
}

impl Gic {
    fn new(tree: &Tree) -> Self {
        let node = tree.gic_node().unwrap_or_else(|| fail!("no GIC"));
        let [(gicd, _), (second, _)] = node.regs;
        Self { is_v2: node.version == 2, gicd, second }
    }

    /// Returns the frame with the registers of `intid`: vCPU 0's redistributor on GICv3, if it is
    /// private, else the distributor.
    fn frame(self, intid: u32) -> u64 {
        match (self.is_v2, intid) {
            (false, 0..32) => self.second + 0x1_0000,
            _ => self.gicd,
        }
    }

    fn write(self, register: u64, intid: u32) {
        let address = self.frame(intid) + register + u64::from(intid) / 32 * 4;
        // SAFETY: a register of the emulated GIC, which the runtime has mapped.
        unsafe { mmio::write32(address, 1 << (intid % 32)) };
    }

    fn read(self, register: u64, intid: u32) -> bool {
        let address = self.frame(intid) + register + u64::from(intid) / 32 * 4;
        // SAFETY: as above.
        unsafe { mmio::read32(address) >> (intid % 32) & 1 != 0 }
    }

    fn set_priority(self, intid: u32, priority: u8) {
        // SAFETY: as above.
        unsafe { mmio::write8(self.frame(intid) + IPRIORITYR + u64::from(intid), priority) };
    }

    fn leave_group1(self, intid: u32, leaves: bool) {
        let address = self.frame(intid) + IGROUPR + u64::from(intid) / 32 * 4;
        let bit = 1 << (intid % 32);
        // SAFETY: as above.
        unsafe {
            let others = mmio::read32(address) & !bit;
            mmio::write32(address, if leaves { others } else { others | bit });
        }
    }

    fn route(self, intid: u32, vcpu: u64) {
        let intid = u64::from(intid);
        let (targets, router) = (self.gicd + ITARGETSR + intid, self.gicd + IROUTER + 8 * intid);
        match self.is_v2 {
            // SAFETY: as above.
            true => unsafe { mmio::write8(targets, 1 << vcpu) },
            // SAFETY: as above.
            false => unsafe { mmio::write64(router, vcpu) },
        }
    }

    /// Sets EOImode of this vCPU.
    fn split(self, on: bool) {
        let bit = u64::from(on);
        match self.is_v2 {
            // SAFETY: a register of the CPU interface, which the runtime has mapped; its group
            // stays enabled.
            true => unsafe { mmio::write32(self.second + GICC_CTLR, 1 | (bit as u32) << 9) },
            false => set(ICC_CTLR, bit << 1),
        }
    }

    fn deactivate(self, intid: u32) {
        match self.is_v2 {
            // SAFETY: as above.
            true => unsafe { mmio::write32(self.second + GICC_DIR, intid) },
            false => set(ICC_DIR, intid.into()),
        }
    }

    /// Takes the interrupt with the highest priority, if one comes within five seconds, and drops
    /// its priority or ends it.
    fn take(self) -> Option<u32> {
        let end = timer::now() + timer::milliseconds(5000);
        loop {
            if let Some(taken) = interrupt::acknowledge() {
                taken.end();
                return Some(taken.intid());
            }
            if timer::now() > end {
                return None;
            }
        }
    }

    fn expect(self, intid: u32, what: &str) {
        let taken = self.take();
        if taken != Some(intid) {
            fail!("{what}: {taken:?} instead of {intid}");
        }
    }

    /// Checks a register's bit, after the vCPU that has the interrupt had time to answer.
    fn expect_bit(self, register: u64, intid: u32, on: bool, what: &str) {
        let end = timer::now() + timer::milliseconds(5000);
        while self.read(register, intid) != on {
            if timer::now() > end {
                fail!("{what}: register {register:#x} of {intid} has another value");
            }
        }
    }
}

fn set(register: u32, value: u64) {
    if let Outcome::Caught(esr) = execute(msr(register), [value, 0, 0, 0]) {
        fail!("a register of the CPU interface is undefined: {esr:#x}");
    }
}

fn get(register: u32) -> u64 {
    match execute(mrs(register), [0; 4]) {
        Outcome::Done([value, ..]) => value,
        Outcome::Caught(esr) => fail!("a register of the CPU interface is undefined: {esr:#x}"),
    }
}

fn isr() -> u64 {
    let value: u64;
    // SAFETY: reads which interrupts are pending.
    unsafe { asm!("isb", "mrs {}, isr_el1", out(reg) value, options(nostack)) };
    value & 0x80
}

/// The step that vCPU 1 has to do, or has done, in [`elsewhere`].
static STEP: AtomicU32 = AtomicU32::new(0);

fn await_step(step: u32) {
    let end = timer::now() + timer::milliseconds(20_000);
    while STEP.load(Ordering::Acquire) != step {
        if timer::now() > end {
            fail!("the other vCPU does not reach step {step}");
        }
        core::hint::spin_loop();
    }
}

/// vCPU 0 acknowledges and drops, vCPU 1 deactivates; then the other way round.
pub fn elsewhere(tree: &Tree) -> String {
    let gic = Gic::new(tree);
    let intid = SPIS.start;
    gic.split(true);
    interrupt::enable(intid);
    gic.route(intid, 0);
    let other = move || {
        gic.split_here(true);
        await_step(1);
        gic.deactivate_here(intid);
        STEP.store(2, Ordering::Release);
        gic.expect(intid, "acknowledged on vCPU 1");
        STEP.store(3, Ordering::Release);
    };
    if let Err(error) = smp::start(1, other) {
        fail!("vCPU 1 does not start: {error}");
    }
    gic.write(ISPENDR, intid);
    gic.expect(intid, "acknowledged on vCPU 0");
    gic.expect_bit(ISACTIVER, intid, true, "after the drop");
    STEP.store(1, Ordering::Release);
    await_step(2);
    gic.expect_bit(ISACTIVER, intid, false, "deactivated on vCPU 1");
    gic.write(ISPENDR, intid);
    gic.expect(intid, "after its end on vCPU 1");
    gic.deactivate(intid);
    gic.route(intid, 1);
    gic.write(ISPENDR, intid);
    await_step(3);
    gic.expect_bit(ISACTIVER, intid, true, "after the drop on vCPU 1");
    gic.deactivate(intid);
    gic.expect_bit(ISACTIVER, intid, false, "deactivated on vCPU 0");
    gic.split(false);
    String::from("ended on the other vCPU, both ways")
}

impl Gic {
    /// Does [`Self::split`] on a vCPU other than 0, because only vCPU 0 uses `execute`.
    fn split_here(self, on: bool) {
        match self.is_v2 {
            true => self.split(on),
            // SAFETY: the write only sets how this vCPU ends its interrupts.
            false => unsafe {
                asm!("msr S3_0_C12_C12_4, {}", "isb", in(reg) u64::from(on) << 1, options(nostack));
            },
        }
    }

    /// Does [`Self::deactivate`] there.
    fn deactivate_here(self, intid: u32) {
        match self.is_v2 {
            true => self.deactivate(intid),
            // SAFETY: ends an interrupt that no code waits for.
            false => unsafe {
                asm!("msr S3_0_C12_C11_1, {}", "isb", in(reg) u64::from(intid), options(nostack));
            },
        }
    }
}

/// More interrupts are active than there are list registers; they are deactivated in the order of
/// their acknowledgement.
pub fn order(tree: &Tree) -> String {
    let gic = Gic::new(tree);
    gic.split(true);
    for (nth, intid) in SPIS.enumerate() {
        gic.set_priority(intid, 0xa0 - 8 * nth as u8);
        gic.route(intid, 0);
        interrupt::enable(intid);
    }
    for round in 0..3 {
        for intid in SPIS {
            gic.write(ISPENDR, intid);
            gic.expect(intid, "acknowledged");
        }
        // The order is not that of priority: the first, the last, one in the middle.
        let mut left: alloc::vec::Vec<u32> = SPIS.collect();
        while !left.is_empty() {
            let intid = left.remove([0, left.len() - 1, left.len() / 2][round]);
            gic.deactivate(intid);
            for other in SPIS {
                if gic.read(ISACTIVER, other) != left.contains(&other) {
                    fail!("the end of {intid}: active bit of {other}");
                }
            }
        }
    }
    // With EOImode = 0 a write of DIR is ignored.
    gic.split(false);
    gic.write(ISPENDR, SPIS.start);
    let taken = interrupt::acknowledge();
    gic.deactivate(SPIS.start);
    gic.expect_bit(ISACTIVER, SPIS.start, true, "DIR with EOImode 0");
    if let Some(taken) = taken {
        taken.end();
    }
    gic.expect_bit(ISACTIVER, SPIS.start, false, "EOIR with EOImode 0");
    for intid in SPIS {
        gic.write(ICENABLER, intid);
    }
    String::from("each end applied only to its own interrupt")
}

/// A level that is withdrawn before it is acknowledged.
pub fn withdrawn(tree: &Tree) -> String {
    let gic = Gic::new(tree);
    // Ways to bring the vCPU to EL2 in between: a read of the state, a call, an access to another
    // register.
    type Enter = fn(Gic);
    let entries: [(&str, Enter); 4] = [
        ("a read", |gic| {
            gic.read(ISPENDR, timer::INTID);
        }),
        ("a call", |_| {
            let _ = hv::vcpu();
        }),
        ("an SMC", |_| {
            // AFFINITY_INFO: EL2 answers PSCI_VERSION without a look at the line.
            execute(0xd400_0003, [0xc400_0004, 0, 0, 0]);
        }),
        ("a register", |gic| {
            gic.read(IGROUPR, timer::INTID);
        }),
    ];
    for (what, enter) in entries {
        for masks in [false, true] {
            timer::arm(0);
            gic.expect_bit(ISPENDR, timer::INTID, true, "the timer is due");
            // It is in a list register now. ISTATUS stays set, and the line falls.
            match masks {
                // SAFETY: masks the timer's interrupt.
                true => unsafe { asm!("msr cntv_ctl_el0, {}", "isb", in(reg) 3_u64) },
                false => timer::disarm(),
            }
            enter(gic);
            if isr() != 0 || gic.read(ISPENDR, timer::INTID) {
                fail!("withdrawn, but {what} later still pending");
            }
            if let Some(taken) = interrupt::acknowledge() {
                fail!("withdrawn, but {what} later {} came", taken.intid());
            }
        }
        // The withdrawn level leaves no state: the interrupt comes as before.
        timer::arm(0);
        gic.expect(timer::INTID, "the timer again");
        timer::disarm();
        interrupt::take();
    }
    // A level that a register write made pending has no line that it follows.
    gic.route(LEVEL_SPI, 0);
    interrupt::enable(LEVEL_SPI);
    gic.write(ISPENDR, LEVEL_SPI);
    for (_, enter) in entries {
        enter(gic);
        gic.expect_bit(ISPENDR, LEVEL_SPI, true, "pending by a write");
    }
    gic.expect(LEVEL_SPI, "pending by a write");
    gic.expect_bit(ISPENDR, LEVEL_SPI, false, "once it was taken");
    if let Some(taken) = interrupt::acknowledge() {
        fail!("{} came twice", taken.intid());
    }
    gic.write(ICENABLER, LEVEL_SPI);
    String::from("no withdrawn interrupt came")
}

/// There are more urgent interrupts of a disabled group than list registers, and other interrupts
/// of the enabled group. This runs only on GICv3: a GICv2 may let the most urgent one block all
/// others, even if its group is disabled (IHI 0048, 4.4.4).
pub fn group_off(tree: &Tree) -> String {
    let gic = Gic::new(tree);
    const OWN: u32 = 8;
    let mut sgis = 0;
    for count in [1, 3, 4, 6] {
        // SAFETY: both groups in the distributor; the runtime uses Group 1.
        unsafe { mmio::write32(gic.gicd, 0x13) };
        for sgi in 0..count {
            gic.leave_group1(sgi, true);
            gic.set_priority(sgi, 0x10 + 8 * sgi as u8);
            gic.write(ISENABLER, sgi);
            gic.write(ISPENDR, sgi);
        }
        interrupt::enable(OWN);
        gic.write(ISPENDR, OWN);
        gic.expect(OWN, "an SGI beside the group that is off");
        timer::arm(0);
        gic.expect(timer::INTID, "the timer beside the group that is off");
        timer::disarm();
        interrupt::take();
        for sgi in 0..count {
            gic.expect_bit(ISPENDR, sgi, true, "the group that is off");
        }
        set(ICC_IGRPEN0, 1);
        for sgi in 0..count {
            let end = timer::now() + timer::milliseconds(5000);
            let mut taken = get(ICC_IAR0);
            while taken >= 1020 && timer::now() < end {
                taken = get(ICC_IAR0);
            }
            if taken != u64::from(sgi) {
                fail!("the group is on: {taken} instead of {sgi}");
            }
            set(ICC_EOIR0, taken);
            sgis += 1;
        }
        set(ICC_IGRPEN0, 0);
        for sgi in 0..count {
            gic.write(ICENABLER, sgi);
            gic.leave_group1(sgi, false);
        }
    }
    format!("{sgis} SGIs waited for their group and did not delay others")
}

/// ITARGETSR reads back what was written, limited to the vCPUs that exist.
pub fn targets(tree: &Tree) -> String {
    let gic = Gic::new(tree);
    if !gic.is_v2 {
        fail!("a GICv3 has no ITARGETSR");
    }
    let all = (1u32 << crate::vcpus()) - 1;
    let register = gic.gicd + ITARGETSR + u64::from(SPIS.start);
    for value in 0..=0xff_u8 {
        // SAFETY: a register of the emulated GIC, which the runtime has mapped.
        let read = unsafe {
            mmio::write8(register, value);
            mmio::read8(register)
        };
        if u32::from(read) != u32::from(value) & all {
            fail!("ITARGETSR: {value:#x} written, {read:#x} read");
        }
    }
    String::from("ITARGETSR reads back every value")
}
