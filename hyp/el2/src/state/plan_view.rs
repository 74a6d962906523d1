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

/// Most bytes of an image: a bound on what a damaged header may make EL2 read before its CRC32C is
/// known.
const IMAGE_MAX: u64 = 1 << 30;

unsafe extern "C" {
    /// The image's first byte (`boot/entry.rs`); only its address is used.
    static _image_start: u8;
    /// Bytes from there to the plan; the packer writes it.
    static _plan_offset: u64;
}

/// Returns the address of the image that this code runs in.
pub fn image_base() -> u64 {
    &raw const _image_start as u64
}

impl PlanView {
    /// Returns the plan of the image that this code runs in.
    pub fn here() -> Self {
        // SAFETY: the packer wrote the offset into the image before anything ran; nothing writes it
        // later.
        Self::at(image_base() + unsafe { _plan_offset })
    }

    /// Returns the plan at `base`: see [`PlanView::is_valid`].
    pub fn at(base: u64) -> Self {
        // SAFETY: the packer put a header at the offset, which is a multiple of a page; nothing
        // writes the plan.
        let header = unsafe { &*(base as *const Header) };
        let valid = header.magic == plan::MAGIC
            && header.version == plan::VERSION
            && header.size <= header.image_size
            && header.image_size <= IMAGE_MAX;
        let size = if valid { header.size } else { 0 };
        // SAFETY: the packer put `size` bytes there, which the loader and the move copied
        // (`image_size` covers them).
        let bytes = unsafe { core::slice::from_raw_parts(base as *const u8, size as usize) };
        Self { header, bytes }
    }

    /// Returns whether the header is one of this version, with sizes in bounds. If not, every array
    /// is empty.
    pub fn is_valid(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Carries out the board's register writes `rows` of a plan that is not damaged. The MMU is
    /// off, or this core maps the registers.
    pub fn write(&self, rows: Array) {
        for write in self.slice::<plan::Write>(rows) {
            // SAFETY: the board's data says what the write does, and the verifier saw that the
            // registers are EL2's.
            unsafe { (write.address as *mut u32).write_volatile(write.value) };
        }
    }

    /// Returns the elements of `array`, or none if it is not within the plan.
    pub fn slice<T: FromBytes + Immutable + KnownLayout>(&self, array: Array) -> &'static [T] {
        let start = array.offset as usize;
        let size = array.count as usize * size_of::<T>();
        start
            .checked_add(size)
            .and_then(|end| self.bytes.get(start..end))
            .and_then(|bytes| <[T]>::ref_from_bytes(bytes).ok())
            .unwrap_or(&[])
    }

    /// Returns the core rows.
    pub fn cores(&self) -> &'static [Core] {
        self.slice(self.header.cores)
    }

    /// Returns the partition rows.
    pub fn partitions(&self) -> &'static [Partition] {
        self.slice(self.header.partitions)
    }

    /// Returns the CRC32C of what the header's `crc` covers: equal to it unless the plan is
    /// damaged.
    pub fn crc(&self) -> u32 {
        self.bytes.get(core::mem::offset_of!(Header, size)..).map_or(0, crate::arch::crc32c::crc32c)
    }
}
