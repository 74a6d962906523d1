//! Channel ends that their guests see as PCI functions: accesses to configuration space and
//! registers, and the state tables. `services/doorbell.rs` delivers their doorbells.
//!
//! Any vCPU of the partition may access a function. What an access asks for is done on the core of
//! the function's channel end, which alone rings for that end, writes its word of the state table
//! and makes its interrupt pending: another core leaves a request and sends the control SGI.

use core::sync::atomic::Ordering::Acquire;

use aarch64_cpu::asm::barrier;
use ivshmem::{Facts, PAGE, action, config};
use plan::{DeviceKind, EmulatedDevice, End, NO_VIEW};
use trap::Access;

use super::{doorbell, ipi, vgic};
use crate::arch::cache;
use crate::state::functions::{Found, find};
use crate::state::percpu::PerCpu;
use crate::state::shared::control;

/// Carries out a guest's access to configuration space or to a function's registers, as `row` says:
/// a store of `stored`, or a load, whose value it returns.
#[cold]
#[inline(never)]
pub fn guest_access(
    cpu: &mut PerCpu,
    row: &EmulatedDevice,
    offset: u64,
    access: Access,
    stored: u64,
) -> u64 {
    if row.kind == DeviceKind::Ivshmem as u16 {
        registers(cpu, row.index.into(), offset, access, stored)
    } else {
        configuration(cpu, offset, access, stored)
    }
}

/// Carries out an access to configuration space: all ones where no function is.
fn configuration(cpu: &mut PerCpu, offset: u64, access: Access, stored: u64) -> u64 {
    let size = access.size();
    // Function 0 of each device: bits 14:12 are the function, the bits above it the device.
    let device = match offset / PAGE {
        page if page % 8 == 0 => page as usize / 8,
        _ => return config::absent(size),
    };
    let Some(found) = find(cpu, device) else {
        return config::absent(size);
    };
    if !access.is_write() {
        return found.function.read_config(offset % PAGE, size);
    }
    let actions = found.function.write_config(offset % PAGE, size, stored);
    act(cpu, &found, actions);
    0
}

/// Carries out an access to the registers of function `device`.
fn registers(cpu: &mut PerCpu, device: usize, offset: u64, access: Access, stored: u64) -> u64 {
    let Some(found) = find(cpu, device) else {
        return 0;
    };
    if !access.is_write() {
        let facts = || {
            let peer = found.end.peer_partition as usize;
            // The state first: a peer that is seen to run has counted this start.
            let peer_state = cpu.shared.state(peer);
            let own = cpu.row.partition as usize;
            let generations = [own, peer].map(|index| cpu.shared.generation(index) as u32);
            Facts { generations, peer_state }
        };
        return found.function.read_register(offset, access.size(), facts);
    }
    let actions = found.function.write_register(offset, access.size(), stored);
    act(cpu, &found, actions);
    0
}

/// Does `actions` here if this core has the channel end, or asks the core that has it.
fn act(cpu: &mut PerCpu, found: &Found, actions: u32) {
    let core = found.view.core as usize;
    if core == cpu.index {
        perform(cpu, found, actions);
    } else if actions != 0 {
        found.function.request(actions);
        ipi::send_control(cpu, core, control::FUNCTION);
    }
}

/// Does `actions`, on the core of the channel end.
fn perform(cpu: &mut PerCpu, found: &Found, actions: u32) {
    if actions & action::STATE != 0 {
        write_state(found.end, found.function.state.state.load(Acquire));
    }
    if actions & (action::RING | action::STATE) != 0 {
        // A peer that is down or takes no doorbells gets none.
        let _ = doorbell::ring(cpu, found.view.handle.into());
    }
    if actions & action::PULSE != 0 {
        vgic::vcpu(cpu).inject(found.end.intid);
    }
}

/// Does what siblings have asked of this core's functions.
#[cold]
pub fn take_requests(cpu: &mut PerCpu) {
    for device in 0..cpu.partition.views.count as usize {
        if let Some(found) = find(cpu, device).filter(|found| found.view.core == cpu.index as u32) {
            let actions = found.function.take_requests();
            perform(cpu, &found, actions);
        }
    }
}

/// Clears the state tables, at boot and on the core of each channel's first end: no guest runs yet,
/// and no other core writes them before it has met this one.
pub fn init(cpu: &PerCpu) {
    for end in cpu.plan.slice::<End>(cpu.row.ends) {
        if end.state_entry != 0 && end.state_entry % PAGE == 0 {
            // What firmware left in caches must not be written back later.
            cache::clean_invalidate(end.state_entry, PAGE);
            // SAFETY: the plan gives EL2 the page, which this core maps as Normal memory.
            unsafe { core::ptr::write_bytes(end.state_entry as *mut u8, 0, PAGE as usize) };
        }
    }
}

/// Does [`show`] at boot, and rings the functions at the other ends: their guests may run already,
/// and may have seen that this partition does not.
pub fn start(cpu: &mut PerCpu) {
    show(cpu, true);
    for (handle, end) in (0..).zip(cpu.plan.slice::<End>(cpu.row.ends)) {
        if end.state_entry != 0 && end.view == NO_VIEW {
            let _ = doorbell::ring(cpu, handle);
        }
    }
}

/// Shows in the state tables that this core's partition runs, or that it has stopped. A function's
/// guest says itself when it is ready.
pub fn show(cpu: &PerCpu, runs: bool) {
    for end in cpu.plan.slice::<End>(cpu.row.ends).iter().filter(|end| end.state_entry != 0) {
        write_state(end, (runs && end.view == NO_VIEW).into());
    }
}

/// Writes an end's word of its channel's state table. Guests read it from memory.
fn write_state(end: &End, state: u32) {
    // SAFETY: the plan gives EL2 the page, which this core maps as Normal memory, not cacheable.
    // Only this core writes this word, and guests may read it at any moment.
    unsafe { (end.state_entry as *mut u32).write_volatile(state) };
    barrier::dsb(barrier::ISHST);
}
