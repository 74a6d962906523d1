//! Accesses to the emulated GIC and PL011.

use aarch64_cpu::registers::{FAR_EL2, HPFAR_EL2, Readable};
use abi::Reason;

use crate::cpu::core::Core;
use crate::cpu::guest;
use crate::gic;
use crate::terminal;
use crate::vectors::{AT_FIRST, Frame};

/// log2 of the bytes of the emulated distributor.
const GICD_SIZE: u32 = 16;
/// log2 of the bytes of one emulated redistributor: two frames of 64 KiB.
const GICR_SIZE: u32 = 17;
/// log2 of the bytes of the emulated PL011.
const UART_SIZE: u32 = 12;

/// log2 of the bytes of the emulated page that has `GICC_DIR`, the second one of the CPU interface.
const GICC_DIR_SIZE: u32 = 12;

/// An emulated device.
pub enum Device {
    /// The distributor, or the redistributor of this vCPU; on GICv2 the page that has `GICC_DIR`.
    Gic(Option<usize>),
    Uart,
}

/// What [`quick`] has done.
pub enum Quick {
    /// Nothing: see [`emulate`].
    Nothing,
    /// All there was to do.
    All,
    /// All but [`settle`], with this offset and these bits.
    Settle(u64, u32),
    /// All but [`terminal::send`], with this byte.
    Send(u8),
}

/// What guests do most, without a call: reading the distributor's type and enable bits, enabling SPIs, and the PL011's flags
/// and data.
#[inline(always)]
pub fn quick(frame: &mut Frame, core: &mut Core, esr: u64) -> Quick {
    let Some(access) = trap::access(esr) else {
        return Quick::Nothing;
    };
    let ipa = trap::fault_ipa(HPFAR_EL2.get(), FAR_EL2.get());
    let offset = ipa.wrapping_sub(core.partition.gic.gicd_ipa);
    let rt = access.rt();
    if AT_FIRST >> rt & 1 == 0 {
        return Quick::Nothing;
    }
    if offset >> GICD_SIZE != 0 {
        return quick_uart(frame, core, access, ipa);
    }
    if access.size() != 4 || offset & 3 != 0 {
        return Quick::Nothing;
    }
    let mut waits = 0;
    if access.is_write() {
        if gic::quick_write(core.vgic(), offset, frame.get(rt) as u32) {
            core.count(Reason::Mmio);
            guest::skip_instruction();
            return Quick::All;
        }
        match core.vgic().enable_spis(offset, frame.get(rt) as u32) {
            Some(bits) => waits = bits,
            None => return Quick::Nothing,
        }
    } else {
        let Some(value) = gic::guest_state(&core.state.gic, offset) else {
            return Quick::Nothing;
        };
        frame.set(rt, access.loaded(value.into()));
    }
    core.count(Reason::Mmio);
    guest::skip_instruction();
    match waits {
        0 => Quick::All,
        _ => Quick::Settle(offset, waits),
    }
}

/// [`quick`] for the PL011: a load of its flags, a store of data, of any size.
#[inline(always)]
fn quick_uart(frame: &mut Frame, core: &Core, access: trap::Access, ipa: u64) -> Quick {
    let base = core.partition.uart_ipa;
    let (offset, rt) = (ipa.wrapping_sub(base), access.rt());
    let done = match access.is_write() {
        _ if base == 0 => Quick::Nothing,
        true if offset == terminal::DATA => Quick::Send(frame.get(rt) as u8),
        false if offset == terminal::FLAGS => {
            frame.set(rt, access.loaded(terminal::flags(core)));
            Quick::All
        }
        _ => Quick::Nothing,
    };
    if !matches!(done, Quick::Nothing) {
        core.count(Reason::Mmio);
        guest::skip_instruction();
    }
    done
}

/// The rest of [`quick`], outside so that this saves no registers for it. True.
#[inline(never)]
pub fn settle(core: &mut Core, offset: u64, waits: u32) -> bool {
    core.vgic().settle_spis(offset, waits);
    // Not to be seen through, so that the caller ends with this call and needs no frame either.
    core::hint::black_box(true)
}

/// Carries out an access to an emulated device whose register is one of `registers`, a bit each. False, with nothing done,
/// if `esr` is of anything else.
#[inline(never)]
pub fn emulate(frame: &mut Frame, core: &mut Core, esr: u64, registers: u32) -> bool {
    let Some(access) = trap::access(esr) else {
        return false;
    };
    let ipa = trap::fault_ipa(HPFAR_EL2.get(), FAR_EL2.get());
    let (rt, size) = (access.rt(), access.size());
    if ipa & (size - 1) != 0 || registers >> rt & 1 == 0 {
        return false;
    }
    let Some((device, offset)) = device(core, ipa) else {
        return false;
    };
    core.count(Reason::Mmio);
    if access.is_write() {
        let value = access.stored(frame.get(rt));
        match device {
            Device::Gic(part) => gic::guest_write(core.vgic(), part, offset, size, value),
            Device::Uart => terminal::guest_write(core, offset, value),
        }
    } else {
        let value = match device {
            Device::Gic(part) => {
                core.vgic().sample();
                gic::guest_read(core.vgic(), part, offset, size)
            }
            Device::Uart => access.stored(terminal::guest_read(core, offset)),
        };
        frame.set(rt, access.loaded(value));
    }
    guest::skip_instruction();
    true
}

/// The emulated device at `ipa`, and the offset into it.
#[inline(always)]
pub fn device(core: &Core, ipa: u64) -> Option<(Device, u64)> {
    let partition = core.partition;
    let distributor = ipa.wrapping_sub(partition.gic.gicd_ipa);
    if distributor >> GICD_SIZE == 0 {
        return Some((Device::Gic(None), distributor));
    }
    let redistributors = ipa.wrapping_sub(partition.gic.gicr_ipa);
    let vcpu = redistributors >> GICR_SIZE;
    if gic::IS_V3 && vcpu < partition.vcpus.count.into() {
        let offset = redistributors & ((1 << GICR_SIZE) - 1);
        return Some((Device::Gic(Some(vcpu as usize)), offset));
    }
    let dir = redistributors.wrapping_sub(1 << GICC_DIR_SIZE);
    if !gic::IS_V3 && dir >> GICC_DIR_SIZE == 0 {
        return Some((Device::Gic(Some(0)), dir));
    }
    let uart = ipa.wrapping_sub(partition.uart_ipa);
    (partition.uart_ipa != 0 && uart >> UART_SIZE == 0).then_some((Device::Uart, uart))
}
