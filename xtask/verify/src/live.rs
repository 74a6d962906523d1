//! The state that a running machine must have, to compare the machine with its image (`cargo xtask
//! verify --live`).

use plan::{MAIR_EL2, Range};

use crate::claims::Context;
use crate::finding::range;

/// State that does not change after the first guest runs.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Memory that is never written: EL2's text, the plan (rows and tables).
    pub memory: Vec<Constant>,
    /// Physical addresses of every translation table, 4 KiB each; all are in the plan.
    pub tables: Vec<u64>,
    /// Registers by core.
    pub cores: Vec<CoreRegisters>,
}

/// Physical memory with fixed contents.
#[derive(Clone, Debug)]
pub struct Constant {
    /// A name for messages.
    pub what: String,
    /// First physical address.
    pub base: u64,
    /// Contents.
    pub bytes: Vec<u8>,
}

impl Constant {
    /// Returns its range in words.
    #[must_use]
    pub fn place(&self) -> String {
        range(self.base, self.bytes.len() as u64)
    }
}

/// The registers of a core that runs a guest.
#[derive(Clone, Debug)]
pub struct CoreRegisters {
    /// Board core number.
    pub number: u32,
    /// `core 2 (control/0)`.
    pub name: String,
    /// Affinity fields of its `MPIDR_EL1`.
    pub mpidr: u64,
    /// Registers by name, with their values.
    pub registers: Vec<(&'static str, u64)>,
    /// Bits of `MDCR_EL2` that EL2 takes from the machine: `HPMN`.
    pub mdcr_open: u64,
    /// `TTBR0_EL2` while the core loads its partition.
    pub ttbr_load: u64,
}

/// Returns the expected state for an image whose proof holds; [`crate::verify`] has walked its
/// tables.
pub(crate) fn expected(context: &Context<'_>) -> Expected {
    let image = context.image;
    let header = &image.header;
    let mut memory = Vec::new();
    let mut constant = |what: &str, at: Range| {
        if let Some(bytes) = image.at(at.base, at.size) {
            memory.push(Constant { what: what.into(), base: at.base, bytes: bytes.to_vec() });
        }
    };
    // Rodata is left out: it has pointers, which EL2 relocates.
    for segment in context.inputs.el2.segments.iter().filter(|s| s.rights == "r-x") {
        let base = header.el2_base + segment.offset;
        let size = segment.size;
        constant("EL2's text", Range { base, size });
    }
    let size = image.plan.len() as u64;
    let base = image.plan_base();
    constant("the plan", Range { base, size });
    let vectors = context.inputs.el2.vectors;
    let cores = image.cores.iter().enumerate().map(|(index, core)| {
        let row = &core.row;
        let mut registers = vec![
            ("TTBR0_EL2", row.ttbr_run),
            ("TCR_EL2", header.tcr),
            ("MAIR_EL2", MAIR_EL2),
            ("VTTBR_EL2", row.vttbr),
            ("VTCR_EL2", row.vtcr),
            ("HCR_EL2", row.hcr),
            ("CPTR_EL2", row.cptr),
            ("MDCR_EL2", row.mdcr),
            ("HSTR_EL2", row.hstr),
            ("CNTHCTL_EL2", row.cnthctl),
            ("CNTVOFF_EL2", row.cntvoff),
            ("VMPIDR_EL2", row.vmpidr),
        ];
        registers.extend(vectors.map(|at| ("VBAR_EL2", header.el2_base + at)));
        CoreRegisters {
            number: context.cores[index],
            name: context.core_name(index),
            mpidr: row.mpidr,
            registers,
            mdcr_open: 0x1f,
            ttbr_load: row.ttbr_load,
        }
    });
    Expected { cores: cores.collect(), tables: image.tables(), memory }
}
