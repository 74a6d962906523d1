//! The registers of the physical GIC (IHI 0069, 12.9 and 12.11). After boot several cores use them at once, and only those
//! where no write touches a bit that is not meant: set and clear registers, and whole `IROUTER`s.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite};
use vgic::Bank;

register_structs! {
    /// The distributor, and by the same layout the SGI frame of a redistributor, whose words are those of index 0.
    pub Words {
        (0x0000 => pub ctlr: ReadWrite<u32>),
        (0x0004 => pub typer: ReadOnly<u32>),
        (0x0008 => _reserved0),
        (0x0080 => pub igroupr: [ReadWrite<u32>; 32]),
        (0x0100 => banks: [[ReadWrite<u32>; 32]; 6]),
        (0x0400 => pub ipriorityr: [ReadWrite<u32>; 256]),
        (0x0800 => _reserved1),
        (0x0c00 => pub icfgr: [ReadWrite<u32>; 64]),
        (0x0d00 => _reserved2),
        (0x6000 => irouter: [ReadWrite<u64>; 1020]),
        (0x7fe0 => @END),
    }
}

impl Words {
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

    /// Boot: the 32 interrupts of `word` are Group 1, level-sensitive, of the priorities in `priorities`.
    pub fn configure(&self, word: usize, priorities: u32) {
        if let Some(group) = self.igroupr.get(word) {
            group.set(!0);
        }
        for register in self.ipriorityr.iter().skip(8 * word).take(8) {
            register.set(priorities);
        }
        // SGIs are edge-triggered whatever is written (IHI 0069, GICR_ICFGR0).
        for register in self.icfgr.iter().skip(2 * word).take(2) {
            register.set(0);
        }
    }

    /// Boot: SPI `intid` is edge-triggered.
    pub fn set_edge(&self, intid: u32) {
        if let Some(register) = self.icfgr.get(intid as usize / 16) {
            register.set(register.get() | 2 << (intid % 16 * 2));
        }
    }

    /// Routes SPI `intid` to the core with these affinity fields.
    pub fn route(&self, intid: u32, mpidr: u64) {
        if let Some(register) = self.irouter.get(intid as usize) {
            register.set(mpidr);
        }
    }
}
