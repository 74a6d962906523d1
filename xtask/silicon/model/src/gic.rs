// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interrupt controller: acknowledgement, SGIs by GICD_SGIR, and RWP.

use crate::core::{Acknowledged, HCR_VM};
use crate::event::{At, Device};
use crate::model::Model;
use crate::register::Register;
use crate::rules::{END_BEFORE_SILENT, RWP_NOT_AWAITED, SGI_BEFORE_DSB};

/// Bytes of a GICv3's distributor frame, and of each of a redistributor's two.
const FRAME: u64 = 0x1_0000;
/// `GICD_CTLR`: every group's enable bit.
const GROUPS: u64 = 7;
/// `GICD_CTLR.RWP`; in `GICR_CTLR` it is bit 3.
const GICD_RWP: u64 = 1 << 31;
const GICR_RWP: u64 = 1 << 3;
/// The virtual CPU interface's maintenance interrupt and EL2's timer (Server Base System
/// Architecture, PPI assignments).
const MAINTENANCE: u64 = 25;
const TIMER: u64 = 26;
/// INTIDs below are SGIs.
const SGIS: u64 = 16;

fn offset(range: (u64, u64), pa: u64) -> Option<u64> {
    pa.checked_sub(range.0).filter(|&offset| offset < range.1)
}

impl Model {
    /// Handles an access of EL2 to a device register.
    pub(crate) fn device(&mut self, at: At, device: Device) {
        let Device { pa, value, store } = device;
        let gic = self.config.gic.clone();
        let v3 = gic.gicr.1 != 0;
        let of_gic =
            [gic.gicd, gic.gicr, gic.gicc].iter().any(|&frame| offset(frame, pa).is_some());
        if store && !of_gic {
            let core = self.core(at.core);
            match offset(gic.gich, pa) {
                Some(_) => core.gich_store = Some(at.site),
                None => core.device_store = Some(at.site),
            }
        }
        if let Some(offset) = offset(gic.gicc, pa) {
            match (offset, store) {
                (0x0c, false) => self.acknowledge(at),
                (0x10 | 0x1000, true) => self.end_interrupt(at, value & 0x3ff),
                _ => {}
            }
        }
        if let Some(offset) = offset(gic.gicd, pa) {
            match offset {
                0xf00 if store => self.publish(at, SGI_BEFORE_DSB, true),
                0 if v3 && store => {
                    self.groups_off = value & GROUPS == 0;
                }
                0 if v3 && value & GICD_RWP == 0 => {
                    self.disabling.remove(&gic.gicd.0);
                }
                _ if v3 => self.configure(at, gic.gicd.0, offset, device),
                _ => {}
            }
            self.change_interrupts(at, offset, store);
        }
        if let Some(offset) = offset(gic.gicr, pa) {
            let frame = offset & !(FRAME - 1);
            let sgi_frame = frame & FRAME != 0;
            if sgi_frame {
                self.change_interrupts(at, offset - frame, store);
                self.configure(at, gic.gicr.0 + frame, offset - frame, device);
            } else if offset == frame && !store && value & GICR_RWP == 0 {
                self.disabling.remove(&(gic.gicr.0 + frame + FRAME));
            }
        }
    }

    /// Handles an access to a register that enables interrupts or changes their pending or active
    /// state. Before the core has a guest nobody else acts on that state.
    fn change_interrupts(&mut self, at: At, offset: u64, store: bool) {
        let core = self.core(at.core);
        if store && core.hcr & HCR_VM != 0 && (0x100..0x400).contains(&offset) {
            core.gic_store = Some(at.site);
        }
    }

    /// Handles an access to a distributor or the SGI frame of a redistributor (IHI 0069, 12.9 and
    /// 12.11).
    fn configure(&mut self, at: At, frame: u64, offset: u64, device: Device) {
        let Device { value, store, pa } = device;
        let word = |base: u64| 1u32 << (((offset - base) / 4) & 31);
        let (words, what) = match offset {
            0x100..0x180 if store => {
                *self.enabled.entry(pa + 0x80).or_insert(!0) |= value as u32;
                return;
            }
            0x180..0x200 if store => {
                // An interrupt that is already disabled does not wait for RWP. Firmware may have
                // left all of them enabled.
                let enabled = self.enabled.entry(pa).or_insert(!0);
                let newly = *enabled & value as u32;
                *enabled &= !newly;
                if newly != 0 {
                    let known = self.disabling.entry(frame).or_insert((0, at));
                    known.0 |= word(0x180);
                    known.1 = at;
                }
                return;
            }
            0x080..0x100 if store => (word(0x080), "the group"),
            0x300..0x380 if !store => (word(0x300), "the active state"),
            // One word of the others covers two words of ICFGR, and 32 IROUTERs.
            0xc00..0xd00 if store => (1 << (((offset - 0xc00) / 8) & 31), "the trigger"),
            0x6000..0x8000 if store => (1 << (((offset - 0x6000) / 256) & 31), "the route"),
            _ => return,
        };
        if self.groups_off {
            return;
        }
        let Some(&(disabled, by)) = self.disabling.get(&frame) else {
            return;
        };
        if disabled & words != 0 {
            let block = self.block;
            let verb = if store { "written" } else { "read" };
            self.broke(RWP_NOT_AWAITED, at, Some(pa), Some((by, block)), || {
                format!(
                    "ICENABLER was written, and {what} is {verb} with RWP not read as 0 in between"
                )
            });
        }
    }

    /// Handles the acknowledgement of an interrupt.
    pub(crate) fn acknowledge(&mut self, at: At) {
        self.core(at.core).acknowledged = Some(Acknowledged { site: at.site, sgi: false });
    }

    /// Checks the end of level-sensitive interrupt `intid`: writes that silence its source must
    /// have taken effect.
    fn silenced(&mut self, at: At, intid: u64) {
        let core = self.core(at.core);
        let (registers, store): (&[Register], _) = match intid {
            MAINTENANCE => (&[Register::IchHcr, Register::IchLr], core.gich_store),
            TIMER => (&[Register::CnthpCtl, Register::CnthpCval], None),
            32.. => (&[], core.device_store),
            _ => return,
        };
        let unsynced = |&register: &Register| {
            Some((core.unsynced[register as usize]?, register.name(), "ISB"))
        };
        let device = store.map(|site| (site, "a device's register", "DSB"));
        let causes: Vec<_> = registers.iter().filter_map(unsynced).chain(device).collect();
        let block = self.block;
        for (site, name, barrier) in causes {
            let cause = At { core: at.core, site };
            self.broke(END_BEFORE_SILENT, at, None, Some((cause, block)), || {
                format!("{name} was written, and no {barrier} came before the interrupt's end")
            });
        }
    }

    /// Handles the end of interrupt `intid`, which shows what was acknowledged.
    pub(crate) fn end_interrupt(&mut self, at: At, intid: u64) {
        self.silenced(at, intid);
        let core = self.core(at.core);
        core.acknowledged = core.acknowledged.filter(|_| intid < SGIS);
        if let Some(acknowledged) = &mut core.acknowledged {
            acknowledged.sgi = true;
        }
    }
}
