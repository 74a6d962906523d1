//! The image's bytes as EL2 reads them: headers, rows, physical memory. Every array is
//! bounds-checked, and bytes that belong to no header, row, table or content must be zero.

use std::cell::RefCell;
use std::mem::offset_of;
use std::ops::Range as Span;

use crc::{CRC_32_ISCSI, Crc, Table};
use plan::{
    Array, Core, EmulatedDevice, End, Header, Interrupt, Load, MAGIC, MAX_CORES, MAX_ENDS,
    MAX_VCPUS, MAX_VIEWS, Memory, Midr, PAGE, Partition, Range, VERSION, View, Write, writes,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::finding::{Claim, Findings};

/// The plan's checksum, sixteen bytes per step: the tests compute it a hundred thousand times.
const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
/// Name of a table that accounts for bytes.
const TABLE: &str = "a translation table";
/// Most rows of the arrays that have no other bound.
const MAX_ROWS: usize = 4096;
/// The words of the image's first bytes (Linux, `Documentation/arch/arm64/booting.rst`) that the
/// packer fills in.
pub(crate) const FILLED: [Span<usize>; 2] = [16..32, 64..80];

/// An image, with its plan's rows.
pub struct Image<'a> {
    /// The file.
    pub bytes: &'a [u8],
    /// Offset of the plan: bytes of EL2's segments.
    pub plan_offset: usize,
    /// The plan: header, rows, tables.
    pub plan: &'a [u8],
    /// Its header.
    pub header: Header,
    /// Ranges of RAM that the machine must have.
    pub ram: Vec<Range>,
    /// Core types.
    pub midrs: Vec<Midr>,
    /// Register writes for each purpose of `plan::writes`.
    pub writes: [Vec<Write>; writes::COUNT],
    /// Ranges that the boot tree may reserve.
    pub reclaimed: Vec<Range>,
    /// Core rows, each with its channel ends.
    pub cores: Vec<CoreRow>,
    /// Partition rows, each with its arrays.
    pub partitions: Vec<PartitionRow>,
    /// The accounted bytes of the plan, by offset, with their owner.
    used: RefCell<Vec<(Span<usize>, String)>>,
}

/// A core with its channel ends.
pub struct CoreRow {
    /// The row.
    pub row: Core,
    /// Channel ends by handle.
    pub ends: Vec<End>,
}

/// A partition with its arrays.
pub struct PartitionRow {
    /// The row.
    pub row: Partition,
    /// Core index of each vCPU.
    pub vcpus: Vec<u32>,
    /// Memory.
    pub memory: Vec<Memory>,
    /// Copies at the start.
    pub loads: Vec<Load>,
    /// Interrupts.
    pub interrupts: Vec<Interrupt>,
    /// Channel pages cleared at the start.
    pub clears: Vec<Range>,
    /// Devices that EL2 emulates for it.
    pub devices: Vec<EmulatedDevice>,
    /// Writes that silence its devices.
    pub quiesce: Vec<Write>,
    /// Channel ends that its guest sees as PCI functions, by device number.
    pub views: Vec<View>,
}

impl<'a> Image<'a> {
    /// Reads an image. Returns `None`, with a finding, if its plan cannot be found or an array is
    /// outside it.
    pub fn read(bytes: &'a [u8], findings: &mut Findings) -> Option<Self> {
        let mut fail = |place: String, what: String| {
            findings.add(Claim::Image, place, &["EL2"], what);
        };
        let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let plan_offset = word(64).and_then(|at| usize::try_from(at).ok());
        let header = plan_offset.and_then(|at| Header::read_from_prefix(bytes.get(at..)?).ok());
        let (Some(plan_offset), Some((header, _))) = (plan_offset, header) else {
            fail(
                "byte 64 of the image".into(),
                "the image has no plan at the offset that it gives".into(),
            );
            return None;
        };
        if header.magic != MAGIC || header.version != VERSION {
            let (magic, version) = (header.magic, header.version);
            let what = format!(
                "the plan's magic number is {magic:#x} and its version {version}, must be \
                 {MAGIC:#x} and {VERSION}"
            );
            fail(format!("byte {plan_offset:#x} of the image"), what);
            return None;
        }
        let end = usize::try_from(header.size).ok().and_then(|size| plan_offset.checked_add(size));
        let Some(plan) = end.and_then(|end| bytes.get(plan_offset..end)) else {
            let what = format!(
                "the plan has {:#x} bytes, more than the image has from {plan_offset:#x} on",
                header.size
            );
            fail("Header::size".into(), what);
            return None;
        };
        let mut image = Image {
            bytes,
            plan_offset,
            plan,
            header,
            ram: Vec::new(),
            midrs: Vec::new(),
            writes: Default::default(),
            reclaimed: Vec::new(),
            cores: Vec::new(),
            partitions: Vec::new(),
            used: RefCell::default(),
        };
        image.account(0..size_of::<Header>(), "header");
        match image.rows() {
            Ok(()) => Some(image),
            Err(what) => {
                findings.add(Claim::Image, "rows of the plan", &["EL2"], what);
                None
            }
        }
    }

    fn rows(&mut self) -> Result<(), String> {
        let header = self.header;
        self.ram = self.array("Machine::ram", header.machine.ram, MAX_ROWS)?;
        self.midrs = self.array("Machine::midrs", header.machine.midrs, MAX_ROWS)?;
        for (n, array) in header.machine.writes.into_iter().enumerate() {
            self.writes[n] = self.array(writes::KEYS[n], array, MAX_ROWS)?;
        }
        let reclaimed = header.machine.reclaimed;
        self.reclaimed = self.array("Machine::reclaimed", reclaimed, MAX_ROWS)?;
        for (n, row) in (0..).zip(self.array::<Core>("cores", header.cores, MAX_CORES)?) {
            let ends = self.array(&format!("ends of core {n}"), row.ends, MAX_ENDS)?;
            self.cores.push(CoreRow { row, ends });
        }
        let partitions = self.array::<Partition>("partitions", header.partitions, MAX_CORES)?;
        for (n, row) in (0..).zip(partitions) {
            let of = |what: &str| format!("{what} of partition {n}");
            let row = PartitionRow {
                vcpus: self.array(&of("vcpus"), row.vcpus, MAX_VCPUS)?,
                memory: self.array(&of("memory"), row.memory, MAX_ROWS)?,
                loads: self.array(&of("loads"), row.loads, MAX_ROWS)?,
                interrupts: self.array(&of("interrupts"), row.interrupts, MAX_ROWS)?,
                clears: self.array(&of("clears"), row.clears, MAX_ROWS)?,
                devices: self.array(&of("devices"), row.devices, MAX_ROWS)?,
                quiesce: self.array(&of("quiesce"), row.policy.quiesce, MAX_ROWS)?,
                views: self.array(&of("views"), row.views, MAX_VIEWS)?,
                row,
            };
            self.partitions.push(row);
        }
        Ok(())
    }

    /// Returns an array's elements, and accounts for its bytes.
    fn array<T: FromBytes + KnownLayout + Immutable + Copy>(
        &self,
        what: &str,
        array: Array,
        most: usize,
    ) -> Result<Vec<T>, String> {
        let (start, count) = (array.offset as usize, array.count as usize);
        if count > most {
            return Err(format!("{what}: {count} elements, at most {most} are allowed"));
        }
        let span = start..start.saturating_add(count * size_of::<T>());
        // EL2 refers to elements in place, so they are at their type's alignment.
        match self.plan.get(span.clone()) {
            Some(bytes) if start.is_multiple_of(align_of::<T>()) => {
                self.account(span, what);
                let elements = bytes.chunks_exact(size_of::<T>());
                Ok(elements.filter_map(|bytes| T::read_from_bytes(bytes).ok()).collect())
            }
            _ => Err(format!(
                "{what}: {count} elements at {start:#x} are not in the plan, or not aligned"
            )),
        }
    }

    fn account(&self, span: Span<usize>, what: &str) {
        if !span.is_empty() {
            self.used.borrow_mut().push((span, what.to_string()));
        }
    }

    /// Physical address of the plan's first byte.
    #[must_use]
    pub fn plan_base(&self) -> u64 {
        self.header.el2_base.wrapping_add(self.plan_offset as u64)
    }

    /// Offset in the file of the first pristine content.
    #[must_use]
    pub fn pristine_offset(&self) -> usize {
        self.plan_offset + self.plan.len()
    }

    /// Contents of the moved image at a physical address.
    #[must_use]
    pub fn at(&self, address: u64, size: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(address.checked_sub(self.header.el2_base)?).ok()?;
        self.bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
    }

    /// Returns the translation table at a physical address, if it is in the plan, and accounts for
    /// it.
    pub fn table(&self, address: u64) -> Option<&'a [u8]> {
        let offset = usize::try_from(address.checked_sub(self.plan_base())?).ok()?;
        let span = offset..offset.checked_add(PAGE as usize)?;
        let table = self.plan.get(span.clone())?;
        let mut used = self.used.borrow_mut();
        let known = |(known, what): &(Span<usize>, String)| *known == span && what == TABLE;
        if !used.iter().any(known) {
            used.push((span, TABLE.into()));
        }
        Some(table)
    }

    /// Physical addresses of every table that a walk has read, ascending.
    #[must_use]
    pub fn tables(&self) -> Vec<u64> {
        let used = self.used.borrow();
        let tables = used.iter().filter(|(_, what)| what == TABLE);
        let mut tables: Vec<_> =
            tables.map(|(span, _)| self.plan_base() + span.start as u64).collect();
        tables.sort_unstable();
        tables
    }

    /// Compares the file's headers with each other and with its checksum, after everything else has
    /// been read.
    pub fn check(&self, findings: &mut Findings) {
        let word = |at: usize| self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        let word = |at: usize| word(at).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let mut expect = |place: &str, what: &str, found: u64, must: u64| {
            findings.expect(Claim::Image, place, &["EL2"], what, found, must);
        };
        let size = self.bytes.len() as u64;
        let offset = self.plan_offset as u64;
        expect("byte 16 of the image", "image_size", word(16), size);
        // Linux, booting.rst: little-endian, 4 KiB pages, loadable anywhere in memory.
        expect("byte 24 of the image", "flags", word(24), 0b1010);
        expect("byte 72 of the image", "the size of EL2's segments", word(72), offset);
        let header = &self.header;
        expect("Header::image_size", "the image's size", header.image_size, size);
        let loose = (size | offset | header.size | header.el2_base) % PAGE;
        expect("the image's parts", "the rest after whole pages", loose, 0);
        let covered = &self.plan[offset_of!(Header, size)..];
        let crc = CRC.checksum(covered);
        expect("Header::crc", "the checksum", header.crc.into(), crc.into());
        self.check_unaccounted(findings);
    }

    /// Checks that every byte of the plan belongs to one thing, or is zero.
    fn check_unaccounted(&self, findings: &mut Findings) {
        let mut used = self.used.borrow().clone();
        used.sort_by_key(|(span, _)| (span.start, span.end));
        used.push((self.plan.len()..self.plan.len(), "the plan's end".into()));
        let mut end = 0;
        let mut before = "";
        for (span, what) in &used {
            let place = || format!("plan {:#x}-{:#x}", span.start, span.end.saturating_sub(1));
            if span.start < end {
                let both = format!("{what} overlaps {before}");
                findings.add(Claim::Image, place(), &["EL2"], both);
            }
            let gap = &self.plan[end.min(span.start)..span.start];
            if let Some(at) = gap.iter().position(|&byte| byte != 0) {
                let at = end + at;
                let what =
                    format!("a byte that belongs to no part is {:#x}, must be zero", self.plan[at]);
                findings.add(Claim::Image, format!("plan {at:#x}"), &["EL2"], what);
            }
            if span.end > end {
                (end, before) = (span.end, what);
            }
        }
    }
}
