//! The registers of the physical GIC that several cores may use at once, because no write there touches a bit that is not
//! meant: set and clear registers, and whole `IROUTER`s (IHI 0069, 12.9 and 12.11).

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::ReadWrite;

register_structs! {
    /// The distributor, and by the same layout the SGI frame of a redistributor, whose words are those of index 0.
    pub Words {
        (0x0000 => _reserved0),
        (0x0100 => isenabler: [ReadWrite<u32>; 32]),
        (0x0180 => icenabler: [ReadWrite<u32>; 32]),
        (0x0200 => ispendr: [ReadWrite<u32>; 32]),
        (0x0280 => icpendr: [ReadWrite<u32>; 32]),
        (0x0300 => isactiver: [ReadWrite<u32>; 32]),
        (0x0380 => icactiver: [ReadWrite<u32>; 32]),
        (0x0400 => _reserved1),
        (0x6000 => irouter: [ReadWrite<u64>; 1020]),
        (0x7fe0 => @END),
    }
}

/// Kinds of word register.
#[derive(Clone, Copy)]
pub enum Kind {
    /// `ISENABLER`.
    SetEnable,
    /// `ICENABLER`.
    ClearEnable,
    /// `ISPENDR`.
    SetPending,
    /// `ICPENDR`.
    ClearPending,
    /// `ISACTIVER`.
    SetActive,
    /// `ICACTIVER`.
    ClearActive,
}

impl Words {
    fn bank(&self, kind: Kind) -> &[ReadWrite<u32>; 32] {
        match kind {
            Kind::SetEnable => &self.isenabler,
            Kind::ClearEnable => &self.icenabler,
            Kind::SetPending => &self.ispendr,
            Kind::ClearPending => &self.icpendr,
            Kind::SetActive => &self.isactiver,
            Kind::ClearActive => &self.icactiver,
        }
    }

    /// Writes `mask` to word `word` of `kind`.
    #[inline]
    pub fn write(&self, kind: Kind, word: usize, mask: u32) {
        if let Some(register) = self.bank(kind).get(word) {
            register.set(mask);
        }
    }

    /// Reads word `word` of `kind`.
    #[inline]
    pub fn read(&self, kind: Kind, word: usize) -> u32 {
        self.bank(kind)
            .get(word)
            .map_or(0, |register| register.get())
    }

    /// Routes SPI `intid` to the core with these affinity fields.
    pub fn route(&self, intid: u32, mpidr: u64) {
        if let Some(register) = self.irouter.get(intid as usize) {
            register.set(mpidr);
        }
    }
}
