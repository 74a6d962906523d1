//! The plan in memory, read through `plan`'s types: every array is bounds-checked against the
//! plan's own size.

use core::mem::size_of;

use plan::{Array, Core, Header, Partition};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The plan of this system.
#[derive(Clone, Copy)]
pub struct PlanView {
    /// Its header.
    pub header: &'static Header,
    bytes: &'static [u8],
}

/// No image is larger, bytes: a bound on what a damaged header may make EL2 read before its CRC32C
/// is known.
const IMAGE_MAX: u64 = 1 << 30;

unsafe extern "C" {
    /// The image's first byte (`boot/entry.rs`); its address alone is used.
    static _image_start: u8;
    /// Bytes from there to the plan; the packer's.
    static _plan_offset: u64;
}

/// Where the image is that this code runs in.
pub fn image_base() -> u64 {
    &raw const _image_start as u64
}

impl PlanView {
    /// The plan of the image that this code runs in.
    pub fn here() -> Self {
        // SAFETY: the packer wrote the offset into the image before anything ran; nobody writes it
        // later.
        Self::at(image_base() + unsafe { _plan_offset })
    }

    /// The plan at `base`: see [`PlanView::is_valid`].
    pub fn at(base: u64) -> Self {
        // SAFETY: the packer put a header at the offset, which is a multiple of a page; nobody
        // writes the plan.
        let header = unsafe { &*(base as *const Header) };
        let valid = header.magic == plan::MAGIC
            && header.version == plan::VERSION
            && header.size <= header.image_size
            && header.image_size <= IMAGE_MAX;
        let size = if valid { header.size } else { 0 };
        // SAFETY: the packer put `size` bytes there, which loader and move brought along
        // (`image_size` covers them).
        let bytes = unsafe { core::slice::from_raw_parts(base as *const u8, size as usize) };
        Self { header, bytes }
    }

    /// Whether the header is one of this version, with sizes in bounds. If not, every array is
    /// empty.
    pub fn is_valid(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The elements of `array`, or none if it does not lie within the plan.
    pub fn slice<T: FromBytes + Immutable + KnownLayout>(&self, array: Array) -> &'static [T] {
        let start = array.offset as usize;
        let size = array.count as usize * size_of::<T>();
        start
            .checked_add(size)
            .and_then(|end| self.bytes.get(start..end))
            .and_then(|bytes| <[T]>::ref_from_bytes(bytes).ok())
            .unwrap_or(&[])
    }

    /// Core rows.
    pub fn cores(&self) -> &'static [Core] {
        self.slice(self.header.cores)
    }

    /// Partition rows.
    pub fn partitions(&self) -> &'static [Partition] {
        self.slice(self.header.partitions)
    }

    /// CRC32C of what the header's `crc` covers: equal to it unless the plan is damaged.
    pub fn crc(&self) -> u32 {
        self.bytes.get(core::mem::offset_of!(Header, size)..).map_or(0, crate::arch::crc32c::crc32c)
    }
}
