//! The hardware that the vGIC uses on this core: list registers, physical interrupts of its
//! partition, kicks to siblings.

use aarch64_cpu::asm::barrier;
use plan::MAX_VCPUS;
use vgic::{Bank, Physical, Siblings};

use super::Gic;
use super::distributor::{Distributor, distributor};
use super::gic::{DOORBELL, GicDriver};
use crate::state::percpu::VgicBackend;
use crate::state::plan_view::PlanView;

impl VgicBackend {
    /// Describes the hardware of the core with this `row`.
    pub fn new(row: &plan::Core, plan: &PlanView) -> Self {
        let partition = plan.partitions().get(row.partition as usize);
        let vcpus = partition.map_or(&[][..], |partition| plan.slice::<u32>(partition.vcpus));
        let mut siblings = [(0, 0); MAX_VCPUS];
        for (sibling, &index) in siblings.iter_mut().zip(vcpus) {
            let core = plan.cores().get(index as usize);
            let mpidr = core.map_or(0, |core| core.mpidr);
            *sibling = (mpidr, Gic::sgi(mpidr, DOORBELL));
        }
        let machine = &plan.header.machine;
        let gicd = machine.gicd.base;
        Self {
            list_registers: Gic::list_register_count() as usize,
            gicd,
            gicc: machine.gicc.base,
            gich: machine.gich.base,
            private: Gic::private(row, gicd),
            siblings,
        }
    }

    /// Returns the registers that hold word `word`.
    fn words(&self, word: usize) -> &'static Distributor {
        distributor(if word == 0 { self.private } else { self.gicd })
    }
}

impl Physical for VgicBackend {
    fn write_bank(&mut self, bank: Bank, word: usize, mask: u32) {
        self.words(word).write(bank, word, mask);
        // The vGIC reads its own words again once the write has taken effect.
        barrier::dsb(barrier::SY);
    }

    fn wait_for_disable(&mut self, shared: bool) {
        Gic::wait_for_disable(shared.then(|| distributor(self.gicd)), self.private);
    }

    fn pending(&self, word: usize) -> u32 {
        self.words(word).read(Bank::SetPending, word)
    }

    fn deactivate(&mut self, intid: u32) {
        Gic::deactivate(intid);
    }

    fn route(&mut self, intid: u32, vcpu: usize) {
        if let Some(&(mpidr, _)) = self.siblings.get(vcpu) {
            Gic::route(distributor(self.gicd), intid, mpidr);
        }
    }
}

impl Siblings for VgicBackend {
    fn kick(&self, vcpu: usize) {
        if let Some(&(_, kick)) = self.siblings.get(vcpu) {
            Gic::send(kick);
        }
    }
}
