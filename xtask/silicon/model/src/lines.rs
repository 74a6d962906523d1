// SPDX-License-Identifier: MIT OR Apache-2.0
//! The model's state of each cache line of RAM. Pages without an access take no memory.

use std::sync::Arc;

use crate::event::SiteId;

/// Bytes of a line. Cores with other line sizes are not modelled; EL2 reads the size from
/// `CTR_EL0`.
pub const LINE: u64 = 64;
const PAGE: u64 = 4096;
const LINES: usize = (PAGE / LINE) as usize;

/// Firmware may have left the line dirty: it was not cleaned since.
pub const FIRMWARE: u8 = 1 << 0;
/// A clean to the point of coherency was issued and has no DSB yet.
pub const CLEANING: u8 = 1 << 1;
/// Written through a cache and not cleaned to the point of unification, with DSB, since.
pub const NOT_UNIFIED: u8 = 1 << 2;
/// It holds descriptors of a live translation table.
pub const TABLE: u8 = 1 << 3;
/// Instructions were executed from it.
pub const EXECUTED: u8 = 1 << 4;
/// Last written through a cache.
pub const BY_CACHE: u8 = 1 << 5;
/// It was examined before: what firmware may have left is decided.
pub const SEEN: u8 = 1 << 7;

/// One line. Times are the model's ([`crate::Model`]); 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// Bytes that a cache may hold newer than memory, one bit per byte.
    pub dirty: u64,
    /// Bytes that memory holds newer than a copy that may be in a cache, one bit per byte.
    pub newer: u64,
    /// When it was written last.
    pub written: u32,
    /// When the last write was complete at the point of unification.
    pub unified: u32,
    /// When the last invalidation of it was complete.
    pub invalidated: u32,
    /// When it was last accessed through a cache.
    pub cached: u32,
    /// When the last `IC IVAU` of it was issued, and when it was complete.
    pub ivau: (u32, u32),
    /// The instruction that wrote it last.
    pub site: SiteId,
    /// The time of that, in blocks executed.
    pub when: u32,
    /// The instruction that last made bytes newer in memory than in a cache, and the time of that,
    /// in blocks executed.
    pub past_site: SiteId,
    pub past_when: u32,
    /// Cores that accessed it, one bit per core.
    pub cores: u16,
    /// The core that wrote it last.
    pub writer: u8,
    /// The core of `past_site`.
    pub past_writer: u8,
    /// The constants above.
    pub flags: u8,
}

/// All lines of RAM.
pub struct Lines {
    base: u64,
    pages: Vec<Option<Box<[Line; LINES]>>>,
}

impl Lines {
    /// Lines of `size` bytes of RAM at `base`.
    #[must_use]
    pub fn new(base: u64, size: u64) -> Self {
        let pages = usize::try_from(size.div_ceil(PAGE)).unwrap_or(0);
        Self { base, pages: std::iter::repeat_with(|| None).take(pages).collect() }
    }

    /// The line of `pa`, or none outside RAM.
    pub fn line(&mut self, pa: u64) -> Option<&mut Line> {
        let offset = pa.wrapping_sub(self.base);
        let page = self.pages.get_mut(usize::try_from(offset / PAGE).ok()?)?;
        let lines = page.get_or_insert_with(|| Box::new([Line::default(); LINES]));
        lines.get_mut((offset % PAGE / LINE) as usize)
    }

    /// Returns the line of `pa` if there was an access to its page.
    #[must_use]
    pub fn known(&self, pa: u64) -> Option<&Line> {
        let offset = pa.wrapping_sub(self.base);
        let page = self.pages.get(usize::try_from(offset / PAGE).ok()?)?;
        page.as_ref()?.get((offset % PAGE / LINE) as usize)
    }
}

/// Returns the bits of the line's bytes that `size` bytes at `pa` take.
#[must_use]
pub fn mask(pa: u64, size: u64) -> u64 {
    let bits = if size >= LINE { !0 } else { (1 << size) - 1 };
    bits << (pa % LINE)
}

/// Ranges of physical addresses: base and size.
pub type Ranges = Arc<[(u64, u64)]>;

/// Whether one of `ranges` holds `pa`.
#[must_use]
pub fn within(ranges: &[(u64, u64)], pa: u64) -> bool {
    ranges.iter().any(|&(base, size)| pa.wrapping_sub(base) < size)
}

/// Cacheable mappings over time: a line may be in a cache if one covered it after its last
/// invalidation.
#[derive(Default)]
pub struct Mappings(Vec<Mapping>);

struct Mapping {
    ranges: Ranges,
    /// The number of mappings that cover the line now.
    users: u32,
    /// When the last of them ended.
    end: u32,
}

impl Mappings {
    /// Starts a mapping of these ranges.
    pub fn start(&mut self, ranges: &Ranges) {
        match self.0.iter_mut().find(|known| Arc::ptr_eq(&known.ranges, ranges)) {
            Some(known) => known.users += 1,
            None => self.0.push(Mapping { ranges: Arc::clone(ranges), users: 1, end: 0 }),
        }
    }

    /// Ends a mapping of these ranges.
    pub fn end(&mut self, ranges: &Ranges, now: u32) {
        let known = self.0.iter_mut().find(|known| Arc::ptr_eq(&known.ranges, ranges));
        if let Some(known) = known {
            known.users = known.users.saturating_sub(1);
            known.end = now;
        }
    }

    /// Whether some mapping of `pa` lasted until `since` or longer.
    #[must_use]
    pub fn covered(&self, pa: u64, since: u32) -> bool {
        self.0.iter().any(|mapping| {
            (mapping.users > 0 || mapping.end >= since) && within(&mapping.ranges, pa)
        })
    }
}
