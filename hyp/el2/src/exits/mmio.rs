//! Data aborts: accesses to the emulated GIC and PL011, and everything a guest has no right to.

use aarch64_cpu::registers::{ESR_EL2, FAR_EL2, HPFAR_EL2, Readable};
use abi::Reason;
use trap::{Access, DataAbort};

use crate::cpu::core::Core;
use crate::cpu::guest;
use crate::terminal;
use crate::vectors::Frame;

/// Bytes of the emulated distributor.
const GICD_SIZE: u64 = 0x1_0000;
/// Bytes of one emulated redistributor: two frames of 64 KiB.
const GICR_SIZE: u64 = 0x2_0000;
/// Bytes of the emulated PL011.
const UART_SIZE: u64 = 0x1000;

/// An emulated device and the offset into it.
enum Device {
    Distributor(u64),
    Redistributor(u64),
    Uart(u64),
}

/// A data abort from the guest.
pub fn abort(frame: &mut Frame, core: &mut Core, abort: DataAbort) {
    let far = FAR_EL2.get();
    let ipa = trap::fault_ipa(HPFAR_EL2.get(), far);
    let Some(device) = abort.fault.ipa_known().then(|| device(core, ipa)).flatten() else {
        return super::halt(core, ESR_EL2.get());
    };
    core.count(Reason::Mmio);
    // Pairs, exclusives and cache maintenance on a device: hardware does not say what they meant, nor would a real device
    // answer them.
    let Some(access) = abort.emulable() else {
        return guest::inject_external_abort(far);
    };
    if ipa & (u64::from(access.size) - 1) != 0 {
        return guest::inject_external_abort(far);
    }
    if abort.write {
        write(core, device, access, access.stored(frame.get(access.rt)));
    } else {
        let value = read(core, device, access);
        frame.set(access.rt, access.loaded(value));
    }
    guest::skip_instruction();
}

/// The emulated device at `ipa`.
fn device(core: &Core, ipa: u64) -> Option<Device> {
    let partition = core.partition;
    let within = |base: u64, size: u64| {
        (base != 0 && ipa >= base && ipa - base < size).then_some(ipa.wrapping_sub(base))
    };
    if let Some(offset) = within(partition.gic.gicd_ipa, GICD_SIZE) {
        return Some(Device::Distributor(offset));
    }
    if let Some(offset) = within(
        partition.gic.gicr_ipa,
        GICR_SIZE * u64::from(partition.vcpus.count),
    ) {
        return Some(Device::Redistributor(offset));
    }
    within(partition.uart_ipa, UART_SIZE).map(Device::Uart)
}

fn read(core: &mut Core, device: Device, access: Access) -> u64 {
    let size = access.size.into();
    match device {
        Device::Distributor(offset) => core.vgic().gicd_read(offset, size),
        Device::Redistributor(offset) => core.vgic().gicr_read(offset, size),
        Device::Uart(offset) => terminal::guest_read(core, offset),
    }
}

fn write(core: &mut Core, device: Device, access: Access, value: u64) {
    let size = access.size.into();
    match device {
        Device::Distributor(offset) => core.vgic().gicd_write(offset, size, value),
        Device::Redistributor(offset) => core.vgic().gicr_write(offset, size, value),
        Device::Uart(offset) => terminal::guest_write(core, offset, value),
    }
}
