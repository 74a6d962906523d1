//! Accesses to emulated devices: the plan's rows say where they are, and a service answers each
//! kind.

use abi::Reason;
use plan::{DeviceKind, Ipa, device};

use crate::arch::{el1_context, opaque_true};
use crate::drivers::{Gic, IS_V3, gic::GicDriver};
use crate::services::{console, ivshmem, vgic};
use crate::state::frame::{CALLER_SAVED, Frame};
use crate::state::percpu::PerCpu;

/// log2 of the bytes of the emulated distributor.
const GICD_SIZE: u32 = 16;
/// log2 of the bytes of one emulated redistributor.
const GICR_SIZE: u32 = 17;

/// What [`fast`] has done.
pub enum Fast {
    /// It has done nothing: see [`emulate`].
    Nothing,
    /// It has done everything.
    All,
    /// It has done all but [`settle`], with this offset and these bits.
    Settle(u64, u32),
    /// It has done all but [`console::send`], with this byte.
    Send(u8),
}

/// Carries out the most frequent accesses without a function call: reads of the type, control and
/// enable bits of distributor and redistributors, enabling interrupts, and the PL011's flags and
/// data.
#[inline(always)]
pub fn fast(frame: &mut Frame, cpu: &mut PerCpu, esr: u64) -> Fast {
    let Some(access) = trap::access(esr) else {
        return Fast::Nothing;
    };
    let ipa = el1_context::fault_ipa();
    let offset = ipa.offset_from(cpu.gicd_ipa);
    let rt = access.rt();
    if CALLER_SAVED >> rt & 1 == 0 {
        return Fast::Nothing;
    }
    if offset >> GICD_SIZE != 0 {
        return fast_uart(frame, cpu, access, ipa);
    }
    if access.size() != 4 || offset & 3 != 0 {
        return Fast::Nothing;
    }
    let mut waits = 0;
    if access.is_write() {
        if Gic::fast_write(vgic::vcpu(cpu), offset, frame.get(rt) as u32) {
            cpu.count(Reason::Mmio);
            el1_context::skip_instruction();
            return Fast::All;
        }
        match vgic::vcpu(cpu).enable_spis(offset, frame.get(rt) as u32) {
            Some(bits) => waits = bits,
            // Without affinity routing word 0 is the distributor's too.
            None if !IS_V3 && offset == ::vgic::GICD_ISENABLER0 => {
                waits = vgic::vcpu(cpu).enable(0, frame.get(rt) as u32);
            }
            None => return Fast::Nothing,
        }
    } else {
        let vcpu = cpu.row.vcpu as usize;
        let Some(value) = Gic::guest_state(&cpu.state.gic, vcpu, offset) else {
            return Fast::Nothing;
        };
        frame.set(rt, access.loaded(value.into()));
    }
    cpu.count(Reason::Mmio);
    el1_context::skip_instruction();
    match waits {
        0 => Fast::All,
        _ => Fast::Settle(offset, waits),
    }
}

/// Does [`fast`] for the PL011: a load of its flags or a store of data, of any size.
#[inline(always)]
fn fast_uart(frame: &mut Frame, cpu: &mut PerCpu, access: trap::Access, ipa: Ipa) -> Fast {
    let (offset, rt) = (ipa.offset_from(cpu.uart_ipa), access.rt());
    // Each arm counts the entry itself: with one result for both, the code would test it once more.
    match (access.is_write(), offset) {
        (true, console::DATA) => {
            cpu.count(Reason::Mmio);
            el1_context::skip_instruction();
            Fast::Send(frame.get(rt) as u8)
        }
        (false, console::FLAGS) => {
            cpu.count(Reason::Mmio);
            el1_context::skip_instruction();
            frame.set(rt, access.loaded(console::flags(cpu)));
            Fast::All
        }
        _ => fast_redistributor(frame, cpu, access, ipa),
    }
}

/// Does [`fast`] for a redistributor: loads of its type and enable bits, and a store of enable bits
/// to the vCPU's own.
#[inline(always)]
fn fast_redistributor(frame: &mut Frame, cpu: &mut PerCpu, access: trap::Access, ipa: Ipa) -> Fast {
    let offset = ipa.offset_from(cpu.gicr_ipa);
    let (vcpu, offset) = ((offset >> GICR_SIZE) as usize, offset & ((1 << GICR_SIZE) - 1));
    if !IS_V3 || vcpu >= cpu.partition.vcpus.count as usize {
        return Fast::Nothing;
    }
    let (mut waits, rt) = (0, access.rt());
    if !access.is_write() {
        let state = cpu.state.gic.redistributor_state(vcpu, offset, access.size());
        let Some(value) = state else {
            return Fast::Nothing;
        };
        frame.set(rt, access.loaded(value));
    } else if (vcpu, offset, access.size()) == (cpu.row.vcpu as usize, ::vgic::GICR_ISENABLER0, 4) {
        waits = vgic::vcpu(cpu).enable(0, frame.get(rt) as u32);
    } else {
        return Fast::Nothing;
    }
    cpu.count(Reason::Mmio);
    el1_context::skip_instruction();
    match waits {
        0 => Fast::All,
        _ => Fast::Settle(offset, waits),
    }
}

/// Does the rest of [`fast`]. It is a separate function so that [`fast`] saves no registers for it.
/// Returns true.
#[inline(never)]
pub fn settle(cpu: &mut PerCpu, offset: u64, waits: u32) -> bool {
    vgic::vcpu(cpu).settle(offset, waits);
    opaque_true()
}

/// Carries out an access to an emulated device if its general register is one of `registers`, one
/// bit each. Returns false, with nothing done, if `esr` describes anything else.
#[inline(never)]
pub fn emulate(frame: &mut Frame, cpu: &mut PerCpu, esr: u64, registers: u32) -> bool {
    let Some(access) = trap::access(esr) else {
        return false;
    };
    let ipa = el1_context::fault_ipa();
    let (rt, size) = (access.rt(), access.size());
    if !ipa.is_aligned(size) || registers >> rt & 1 == 0 {
        return false;
    }
    let Some((device, kind, offset)) = device::find(cpu.devices, ipa) else {
        return false;
    };
    cpu.count(Reason::Mmio);
    let stored = access.stored(frame.get(rt));
    let value = if kind <= DeviceKind::GiccDir {
        let part = (kind != DeviceKind::Distributor).then_some(device.index.into());
        vgic::guest_access(cpu, part, offset, access, stored)
    } else if kind == DeviceKind::Pl011 {
        console::guest_access(cpu, offset, access, stored)
    } else {
        ivshmem::guest_access(cpu, device, offset, access, stored)
    };
    if !access.is_write() {
        frame.set(rt, access.loaded(value));
    }
    el1_context::skip_instruction();
    true
}
