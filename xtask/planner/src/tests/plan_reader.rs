// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a plan back from an image's bytes, as EL2 does.

use plan::{Array, Core, End, Header, Interrupt, Load, Memory, Partition};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::walker::Tables;

/// An image and the plan in it.
pub struct Plan<'a> {
    /// The whole image.
    pub image: &'a [u8],
    /// The plan's bytes.
    pub bytes: &'a [u8],
    /// Its header.
    pub header: Header,
}

impl<'a> Plan<'a> {
    /// Finds the plan by the offset at byte 64.
    pub fn read(image: &'a [u8]) -> Self {
        let offset = u64::read_from_bytes(&image[64..72]).unwrap() as usize;
        let (header, _) = Header::read_from_prefix(&image[offset..]).unwrap();
        Self { image, bytes: &image[offset..offset + header.size as usize], header }
    }

    /// An array's elements.
    pub fn array<T: FromBytes + KnownLayout + Immutable>(&self, array: Array) -> Vec<T> {
        let size = size_of::<T>();
        let at = |n| array.offset as usize + n * size;
        (0..array.count as usize)
            .map(|n| T::read_from_bytes(&self.bytes[at(n)..at(n) + size]).unwrap())
            .collect()
    }

    /// Cores.
    pub fn cores(&self) -> Vec<Core> {
        self.array(self.header.cores)
    }

    /// Partitions.
    pub fn partitions(&self) -> Vec<Partition> {
        self.array(self.header.partitions)
    }

    /// Channel ends of a core.
    pub fn ends(&self, core: &Core) -> Vec<End> {
        self.array(core.ends)
    }

    /// A partition's memory.
    pub fn memory(&self, partition: &Partition) -> Vec<Memory> {
        self.array(partition.memory)
    }

    /// A partition's loads.
    pub fn loads(&self, partition: &Partition) -> Vec<Load> {
        self.array(partition.loads)
    }

    /// A partition's interrupts.
    pub fn interrupts(&self, partition: &Partition) -> Vec<Interrupt> {
        self.array(partition.interrupts)
    }

    /// The moved image as physical memory.
    pub fn tables(&self) -> Tables<'a> {
        Tables { base: self.header.el2_base, bytes: self.image }
    }

    /// Contents of the moved image at a physical address.
    pub fn at(&self, address: u64, size: u64) -> &'a [u8] {
        let start = (address - self.header.el2_base) as usize;
        &self.image[start..start + size as usize]
    }
}
