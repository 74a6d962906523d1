//! Emulated devices: which guest addresses EL2 answers itself, and as what.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::Ipa;

/// An IPA that no access has, since addresses have at most 52 bits: where an absent device is.
pub const NOWHERE: Ipa = Ipa(1 << 63);

/// An emulated device: a range of guest addresses that stage 2 does not map, so that each access
/// enters EL2.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EmulatedDevice {
    /// First guest address, a multiple of [`PAGE`](crate::PAGE).
    pub ipa: Ipa,
    /// Bytes, a multiple of [`PAGE`](crate::PAGE).
    pub size: u32,
    /// The number of a [`DeviceKind`].
    pub kind: u16,
    /// The device's number among those of its kind, from 0. A redistributor has its vCPU's.
    pub index: u16,
}

/// What answers at the addresses of an [`EmulatedDevice`]. Zero is not a kind.
#[repr(u16)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, TryFromBytes, Immutable, KnownLayout,
)]
pub enum DeviceKind {
    /// The GIC's distributor, 64 KiB, of which a GICv2 uses the first 4 KiB.
    Distributor = 1,
    /// GICv3: one vCPU's redistributor, two frames of 64 KiB.
    Redistributor = 2,
    /// GICv2: the second page of the CPU interface, which has only `GICC_DIR`.
    GiccDir = 3,
    /// A PL011, 4 KiB.
    Pl011 = 4,
    /// Configuration space of the PCI bus on which the guest sees channel ends (ECAM), 1 MiB.
    PciConfiguration = 5,
    /// Registers of the PCI function with this device number, 4 KiB.
    Ivshmem = 6,
}

impl DeviceKind {
    /// Returns the kind of this number, if it is one.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::try_read_from_bytes(&number.to_ne_bytes()).ok()
    }
}

/// Returns the device at `ipa`, its kind and the offset into it, or `None` if nothing there answers
/// or the row's kind is unknown. The devices are sorted by address and do not overlap; if they are
/// not, the result is that of some device that is at `ipa`, or `None`.
#[must_use]
#[inline(always)]
pub fn find(devices: &[EmulatedDevice], ipa: Ipa) -> Option<(&EmulatedDevice, DeviceKind, u64)> {
    let (first, mut rest) = devices.split_first()?;
    let mut device = first;
    // The first row is a GIC's distributor, which guests access most. If it is another device, this
    // halves the rows until one is left: the last one that is not after the address, if any is.
    if ipa.offset_from(first.ipa) >= first.size.into() {
        while let (lower, upper @ [middle, ..]) = rest.split_at(rest.len() / 2)
            && !lower.is_empty()
        {
            rest = if middle.ipa <= ipa { upper } else { lower };
        }
        device = rest.first()?;
    }
    let offset = ipa.offset_from(device.ipa);
    let kind = DeviceKind::from_number(device.kind)?;
    (offset < device.size.into()).then_some((device, kind, offset))
}

/// Returns the first guest address of device 0 of `kind`, or [`NOWHERE`].
#[must_use]
pub fn first_ipa(devices: &[EmulatedDevice], kind: DeviceKind) -> Ipa {
    let is_it = |device: &&EmulatedDevice| (device.kind, device.index) == (kind as u16, 0);
    devices.iter().find(is_it).map_or(NOWHERE, |device| device.ipa)
}

const _: () = assert!(size_of::<EmulatedDevice>() == 16);
