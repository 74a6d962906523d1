//! The registers of the physical GIC (IHI 0069, 12.9 and 12.11; IHI 0048, 4.3). After boot several
//! cores use them at once. They use only registers in which a write cannot change another
//! interrupt's bits: set and clear registers, whole `IROUTER`s, single bytes of `ITARGETSR`.

use console::LineBuffer;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use vgic::Bank;

/// The priority of every physical interrupt, four per word: the highest of the Non-secure half. A
/// list register carries the guest's own priority.
const PRIORITIES: u32 = 0x8080_8080;

register_structs! {
    /// The distributor. The SGI frame of a redistributor has the same layout and only the words of
    /// index 0.
    pub Distributor {
        (0x0000 => pub ctlr: ReadWrite<u32>),
        (0x0004 => pub typer: ReadOnly<u32>),
        (0x0008 => _reserved0),
        (0x0080 => igroupr: [ReadWrite<u32>; 32]),
        (0x0100 => banks: [[ReadWrite<u32>; 32]; 6]),
        (0x0400 => pub ipriorityr: [ReadWrite<u32>; 256]),
        /// GICv2.
        (0x0800 => pub itargetsr: [ReadWrite<u8>; 1024]),
        (0x0c00 => pub icfgr: [ReadWrite<u32>; 64]),
        (0x0d00 => _reserved1),
        /// GICv2.
        (0x0f00 => pub sgir: WriteOnly<u32>),
        (0x0f04 => _reserved2),
        /// GICv2.
        (0x0f10 => pub cpendsgir: [ReadWrite<u32>; 4]),
        (0x0f20 => _reserved3),
        (0x1000 => @END),
    }
}

/// Returns the distributor at `base`.
pub fn distributor(base: u64) -> &'static Distributor {
    // SAFETY: every caller has the address from the plan; the machine check saw the distributor
    // there, and every core's tables map it. After boot EL2 uses only registers that cores may
    // write at the same time.
    unsafe { &*(base as *const Distributor) }
}

/// Returns how many INTIDs the distributor at `gicd` has, private ones included
/// (`GICD_TYPER.ITLinesNumber`).
pub fn intids(gicd: u64) -> u32 {
    32 * distributor(gicd).count()
}

impl Distributor {
    fn word(&self, bank: Bank, word: usize) -> Option<&ReadWrite<u32>> {
        self.banks.get(bank as usize)?.get(word)
    }

    /// Writes `mask` to word `word` of `bank`.
    pub fn write(&self, bank: Bank, word: usize, mask: u32) {
        if let Some(register) = self.word(bank, word) {
            register.set(mask);
        }
    }

    /// Reads word `word` of `bank`.
    pub fn read(&self, bank: Bank, word: usize) -> u32 {
        self.word(bank, word).map_or(0, ReadWrite::get)
    }

    /// Returns how many words of 32 interrupts there are, the private one included.
    pub fn count(&self) -> u32 {
        (self.typer.get() & 0x1f) + 1
    }

    /// Disables the 32 interrupts of `word` at boot and clears their pending and active state.
    /// Makes them level-sensitive, of one priority, and in the groups `igroupr`, one bit each.
    pub fn reset(&self, word: usize, igroupr: u32) {
        self.write(Bank::ClearEnable, word, !0);
        self.write(Bank::ClearPending, word, !0);
        self.write(Bank::ClearActive, word, !0);
        for register in self.ipriorityr.iter().skip(8 * word).take(8) {
            register.set(PRIORITIES);
        }
        if let Some(register) = self.igroupr.get(word) {
            register.set(igroupr);
        }
        // SGIs stay edge-triggered: writes are ignored (IHI 0069, GICR_ICFGR0).
        for register in self.icfgr.iter().skip(2 * word).take(2) {
            register.set(0);
        }
    }

    /// Checks that the interrupts `mask` of `word` can be enabled, and leaves them disabled.
    /// Firmware may have left one to the Secure world: then its bits ignore writes (IHI 0048,
    /// 4.3.5; IHI 0069, 12.9.9), and this returns the refusal.
    pub fn check_enable(&self, word: usize, mask: u32) -> Option<LineBuffer> {
        self.write(Bank::SetEnable, word, mask);
        let kept = mask & !self.read(Bank::SetEnable, word);
        self.write(Bank::ClearEnable, word, mask);
        (kept != 0).then(|| {
            let mut line = LineBuffer::default();
            line.str("GIC: the plan needs INTID ");
            line.dec(32 * word as u64 + u64::from(kept.trailing_zeros()));
            line.str(", firmware keeps it for the Secure world");
            line
        })
    }

    /// Makes SPI `intid` edge-triggered at boot.
    pub fn set_edge(&self, intid: u32) {
        if let Some(register) = self.icfgr.get(intid as usize / 16) {
            register.set(register.get() | 2 << (intid % 16 * 2));
        }
    }
}
