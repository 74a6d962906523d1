//! What the vGIC model asks of this core: its list registers, the physical interrupts of its partition, its siblings.

use aarch64_cpu::asm::barrier;
use plan::MAX_VCPUS;
use vgic::{Bank, Physical, Siblings, Vcpu};

use super::physical::{Words, distributor};
use super::{DOORBELL, driver, send, sgi};
use crate::cpu::core::Core;
use crate::planned::Plan;

/// This core's hardware, as [`vgic::Hardware`].
pub struct Lists {
    /// Number of list registers; the driver of the GIC at hand reads and writes them.
    pub(super) count: usize,
    /// See [`vgic::ListRegisters::deactivation_trap`].
    pub(super) deactivation_trap: u32,
    gicd: &'static Words,
    /// Where word 0, this core's own, is.
    pub private: &'static Words,
    /// By vCPU: its core's affinity fields, and what kicks it.
    siblings: [(u64, u64); MAX_VCPUS],
}

impl Lists {
    /// The hardware of the core with this row, in a partition with cores `vcpus`.
    pub fn new(row: &plan::Core, vcpus: &[u32], plan: &Plan) -> Self {
        let mut siblings = [(0, 0); MAX_VCPUS];
        for (sibling, &index) in siblings.iter_mut().zip(vcpus) {
            let mpidr = plan
                .cores()
                .get(index as usize)
                .map_or(0, |core| core.mpidr);
            *sibling = (mpidr, sgi(mpidr, DOORBELL));
        }
        Self {
            count: driver::list_register_count() as usize,
            deactivation_trap: driver::deactivation_trap(),
            gicd: distributor(plan.header.machine.gicd.base),
            private: driver::private_words(row, plan),
            siblings,
        }
    }

    /// Where word `word` is.
    fn words(&self, word: usize) -> &'static Words {
        if word == 0 { self.private } else { self.gicd }
    }
}

impl Physical for Lists {
    fn write_bank(&mut self, bank: Bank, word: usize, mask: u32) {
        self.words(word).write(bank, word, mask);
        // The model reads its own words again once hardware has it.
        barrier::dsb(barrier::SY);
    }

    fn pending(&self, word: usize) -> u32 {
        self.words(word).read(Bank::SetPending, word)
    }

    fn deactivate(&mut self, intid: u32) {
        driver::deactivate(intid);
    }

    fn route(&mut self, intid: u32, vcpu: usize) {
        if let Some(&(mpidr, _)) = self.siblings.get(vcpu) {
            driver::route(self.gicd, intid, mpidr);
        }
    }
}

impl Siblings for Lists {
    fn kick(&self, vcpu: usize) {
        if let Some(&(_, kick)) = self.siblings.get(vcpu) {
            send(kick);
        }
    }
}

impl Core {
    /// See [`Vcpu::sample`]: what every entry does but those that the vectors answer themselves, doorbells and the commonest traps.
    #[inline(never)]
    pub fn sample(&mut self) {
        self.vgic().sample();
    }

    /// This core's vCPU in its partition's vGIC.
    #[inline(always)]
    pub fn vgic(&mut self) -> Vcpu<'_, Lists> {
        Vcpu::new(
            &self.state.gic,
            self.row.vcpu as usize,
            &mut self.delivery,
            &mut self.lists,
        )
    }
}
