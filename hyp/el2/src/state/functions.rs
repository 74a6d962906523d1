//! Channel ends that their guests see as PCI functions, found by their device numbers.

use ivshmem::{FUNCTIONS, Function};
use plan::{End, MAX_VIEWS, View};

use super::percpu::PerCpu;

const _: () = assert!(MAX_VIEWS == FUNCTIONS);

/// A function of this core's partition, with its channel end.
pub struct Found {
    /// Its row.
    pub view: &'static View,
    /// The function.
    pub function: Function<'static>,
    /// The end.
    pub end: &'static End,
}

/// Returns the function with this device number, if there is one.
pub fn find(cpu: &PerCpu, device: usize) -> Option<Found> {
    let view = cpu.plan.slice::<View>(cpu.partition.views).get(device)?;
    let state = cpu.state.functions.get(device)?;
    let core = cpu.cores.get(view.core as usize)?;
    let end = cpu.plan.slice::<End>(core.ends).get(view.handle as usize)?;
    Some(Found { view, function: Function { view, state }, end })
}
