//! What the vGIC model asks of this core: its list registers, the physical interrupts of its partition, its siblings.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ICH_HCR_EL2, ICH_VMCR_EL2, Readable, Writeable};
use plan::MAX_VCPUS;
use vgic::{Bank, ListRegisters, Physical, Siblings, Vcpu};

use super::physical::Words;
use super::{DOORBELL, list_register_count, send, sgi};
use crate::cpu::core::Core;
use crate::cpu::regs;
use crate::planned::Plan;

/// Bytes from a redistributor's base to its SGI frame (IHI 0069, 12.10).
const SGI_FRAME: u64 = 0x1_0000;
/// `ICH_VMCR_EL2.VEOIM`.
const VEOIM: u64 = 1 << 9;

/// This core's hardware, as [`vgic::Hardware`].
pub struct Lists {
    count: usize,
    gicd: &'static Words,
    /// The SGI frame of this core's redistributor: word 0 alone.
    pub gicr: &'static Words,
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
            count: list_register_count() as usize,
            // SAFETY: the machine check saw the distributor there and this core's tables map it. After boot only those
            // of its registers are used that cores may write at the same time.
            gicd: unsafe { &*(plan.header.machine.gicd.base as *const Words) },
            // SAFETY: the plan names this core's own redistributor, whose SGI frame has the same registers for word 0.
            gicr: unsafe { &*((row.gicr + SGI_FRAME) as *const Words) },
            siblings,
        }
    }

    /// Word 0 is this core's redistributor, the others the distributor's.
    fn words(&self, word: usize) -> &'static Words {
        if word == 0 { self.gicr } else { self.gicd }
    }
}

impl ListRegisters for Lists {
    fn count(&self) -> usize {
        self.count
    }

    fn read(&self, index: usize) -> u64 {
        regs::ich_lr(index)
    }

    fn write(&mut self, index: usize, value: u64) {
        regs::set_ich_lr(index, value);
        // ICH_ELRSR_EL2 follows a list register only after a context synchronisation.
        barrier::isb(barrier::SY);
    }

    fn empty(&self) -> u32 {
        regs::ich_elrsr() as u32
    }

    fn control(&self) -> u32 {
        ICH_HCR_EL2.get() as u32
    }

    fn set_control(&mut self, value: u32) {
        ICH_HCR_EL2.set(value.into());
    }

    fn split_deactivation(&self) -> bool {
        ICH_VMCR_EL2.get() & VEOIM != 0
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

    fn route(&mut self, intid: u32, vcpu: usize) {
        if let Some(&(mpidr, _)) = self.siblings.get(vcpu) {
            self.gicd.route(intid, mpidr);
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
