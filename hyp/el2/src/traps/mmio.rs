//! Accesses to the emulated GIC and PL011.

use aarch64_cpu::registers::{FAR_EL2, HPFAR_EL2, Readable};
use abi::Reason;

use crate::arch::{el1_context, opaque_true};
use crate::drivers::{Gic, IS_V3, gic::GicDriver};
use crate::services::{console, vgic};
use crate::state::frame::{CALLER_SAVED, Frame};
use crate::state::percpu::PerCpu;

/// log2 of the bytes of the emulated distributor.
const GICD_SIZE: u32 = 16;
/// log2 of the bytes of one emulated redistributor: two frames of 64 KiB.
const GICR_SIZE: u32 = 17;
/// log2 of the bytes of the emulated PL011.
const UART_SIZE: u32 = 12;

/// log2 of the bytes of the emulated page that has `GICC_DIR`, the CPU interface's second page.
const GICC_DIR_SIZE: u32 = 12;

/// An emulated device.
pub enum Device {
    /// The distributor, or the redistributor of this vCPU; on GICv2 the page that has `GICC_DIR`.
    Gic(Option<usize>),
    Uart,
}

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
    let ipa = trap::fault_ipa(HPFAR_EL2.get(), FAR_EL2.get());
    let offset = ipa.wrapping_sub(cpu.partition.gic.gicd_ipa);
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
fn fast_uart(frame: &mut Frame, cpu: &mut PerCpu, access: trap::Access, ipa: u64) -> Fast {
    let base = cpu.partition.uart_ipa;
    let (offset, rt) = (ipa.wrapping_sub(base), access.rt());
    if base == 0 {
        return fast_redistributor(frame, cpu, access, ipa);
    }
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
fn fast_redistributor(frame: &mut Frame, cpu: &mut PerCpu, access: trap::Access, ipa: u64) -> Fast {
    let offset = ipa.wrapping_sub(cpu.partition.gic.gicr_ipa);
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
    let ipa = trap::fault_ipa(HPFAR_EL2.get(), FAR_EL2.get());
    let (rt, size) = (access.rt(), access.size());
    if ipa & (size - 1) != 0 || registers >> rt & 1 == 0 {
        return false;
    }
    let Some((device, offset)) = device(cpu, ipa) else {
        return false;
    };
    cpu.count(Reason::Mmio);
    if access.is_write() {
        let value = access.stored(frame.get(rt));
        match device {
            Device::Gic(part) => Gic::guest_write(vgic::vcpu(cpu), part, offset, size, value),
            Device::Uart => console::guest_write(cpu, offset, value),
        }
    } else {
        let value = match device {
            Device::Gic(part) => {
                vgic::sample(cpu);
                Gic::guest_read(vgic::vcpu(cpu), part, offset, size)
            }
            Device::Uart => access.stored(console::guest_read(cpu, offset)),
        };
        frame.set(rt, access.loaded(value));
    }
    el1_context::skip_instruction();
    true
}

/// Returns the emulated device at `ipa`, and the offset into it.
#[inline(always)]
pub fn device(cpu: &PerCpu, ipa: u64) -> Option<(Device, u64)> {
    let partition = cpu.partition;
    let distributor = ipa.wrapping_sub(partition.gic.gicd_ipa);
    if distributor >> GICD_SIZE == 0 {
        return Some((Device::Gic(None), distributor));
    }
    let redistributors = ipa.wrapping_sub(partition.gic.gicr_ipa);
    let vcpu = redistributors >> GICR_SIZE;
    if IS_V3 && vcpu < partition.vcpus.count.into() {
        let offset = redistributors & ((1 << GICR_SIZE) - 1);
        return Some((Device::Gic(Some(vcpu as usize)), offset));
    }
    let dir = redistributors.wrapping_sub(1 << GICC_DIR_SIZE);
    if !IS_V3 && dir >> GICC_DIR_SIZE == 0 {
        return Some((Device::Gic(Some(0)), dir));
    }
    let uart = ipa.wrapping_sub(partition.uart_ipa);
    (partition.uart_ipa != 0 && uart >> UART_SIZE == 0).then_some((Device::Uart, uart))
}
