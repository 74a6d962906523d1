//! A guest starts from the files its manifest names: the copies and their addresses, vCPU 0's
//! entry, and the value of x0.

use plan::{Ipa, Load, Memory, Pa};

use super::Context;
use crate::finding::{Claim, Findings, range};
use crate::tree;

/// Checks a partition's start.
pub fn check(context: &Context<'_>, p: usize, findings: &mut Findings) {
    let mut start = Start { context, p, left: context.image.partitions[p].loads.clone(), findings };
    start.bounds();
    start.tree();
    start.program();
    for load in std::mem::take(&mut start.left) {
        start.add(&load, "the manifest does not declare this load".into());
    }
}

struct Start<'s, 'a> {
    context: &'s Context<'a>,
    p: usize,
    /// Load rows that no file accounts for yet.
    left: Vec<Load>,
    findings: &'s mut Findings,
}

impl<'a> Start<'_, 'a> {
    fn name(&self) -> &'a str {
        self.context.name(self.p)
    }

    fn add(&mut self, load: &Load, what: String) {
        let place = format!(
            "load row of partition {}: physical {}",
            self.name(),
            range(load.target, load.size.saturating_add(load.clear))
        );
        self.findings.add(Claim::Start, place, &[self.name()], what);
    }

    fn memory(&self) -> &'a [Memory] {
        &self.context.image.partitions[self.p].memory
    }

    /// Checks that every load reads pristine images and writes one piece of its partition's memory,
    /// and that loads do not overlap.
    fn bounds(&mut self) {
        let image = self.context.image;
        let pristine =
            self.context.image.header.el2_base.wrapping_add(image.pristine_offset() as u64);
        let end = image.header.el2_base.wrapping_add(image.bytes.len() as u64);
        let mut sorted = self.left.clone();
        sorted.sort_by_key(|load| load.target);
        let all = |load: &Load| load.size.saturating_add(load.clear);
        for load in &sorted {
            let inside = |m: &Memory| {
                let offset = load.target.wrapping_sub(m.base.0);
                offset < m.size && all(load) <= m.size - offset
            };
            if !self.memory().iter().any(inside) {
                self.add(load, "it is not within one piece of the partition's memory".into());
            }
            let last = load.source.checked_add(load.size);
            if load.source < pristine || last.is_none_or(|last| last > end) {
                let source = range(load.source, load.size);
                self.add(load, format!("its source {source} is not a pristine image"));
            }
        }
        for pair in sorted.windows(2) {
            if pair[0].target.saturating_add(all(&pair[0])) > pair[1].target {
                self.add(&pair[1], "it is copied over another load".into());
            }
        }
    }

    /// Returns the physical address of `size` bytes at a guest address, if they are in one piece of
    /// memory.
    fn physical(&self, ipa: Ipa, size: u64) -> Option<Pa> {
        let mut pieces = self.memory().iter();
        pieces.find_map(|m| {
            let inside = ipa.offset_from(m.ipa);
            let fits = inside < m.size && size <= m.size - inside;
            fits.then(|| Pa(m.base.0.wrapping_add(inside)))
        })
    }

    /// Takes the load that fills a guest address, and returns it with its contents.
    fn take(&mut self, ipa: Ipa, what: &str) -> Option<(Load, &'a [u8])> {
        let mut left = self.left.iter();
        let found = left.position(|load| {
            let all = load.size.saturating_add(load.clear);
            self.physical(ipa, all) == Some(Pa(load.target))
        });
        let Some(found) = found else {
            let place = format!("partition {}, IPA {ipa:#x}", self.name());
            let what = format!("its {what} is not loaded there");
            self.findings.add(Claim::Start, place, &[self.name()], what);
            return None;
        };
        let load = self.left.remove(found);
        Some((load, self.context.image.at(load.source, load.size)?))
    }

    /// Takes the load of one file or segment, which must be `bytes` and then `zero` zeros.
    fn content(&mut self, ipa: Ipa, bytes: &[u8], zero: u64, what: &str) {
        let Some((load, found)) = self.take(ipa, what) else {
            return;
        };
        if (load.size, load.clear) != (bytes.len() as u64, zero) {
            let must = bytes.len();
            let what = format!(
                "its {what} has {} bytes and {} zeros, must have {must} and {zero}",
                load.size, load.clear
            );
            self.add(&load, what);
        } else if let Some(at) = (0..found.len()).find(|&at| found[at] != bytes[at]) {
            let what = format!(
                "byte {at:#x} of its {what} is {:#04x}, its file has {:#04x}",
                found[at], bytes[at]
            );
            self.add(&load, what);
        }
    }

    fn tree(&mut self) {
        let row = &self.context.image.partitions[self.p].row;
        let declared = &self.context.manifest().partition[self.p];
        let place = format!("partition {}", self.name());
        let who = [self.name()];
        let dtb = row.dtb;
        let what = "the address of its device tree (x0 of vCPU 0)";
        let must = declared.device_tree.map_or(dtb, Ipa);
        self.findings.expect(Claim::Start, &place, &who, what, dtb, must);
        if !dtb.is_aligned(8) {
            let what = format!("its device tree is at {dtb:#x}, not at a multiple of 8");
            self.findings.add(Claim::Start, &place, &who, what);
        }
        if declared.device_tree.is_none() {
            self.first(dtb, "device tree");
        }
        let Some((load, bytes)) = self.take(dtb, "device tree") else {
            return;
        };
        let what = "the number of zeros after its device tree";
        self.findings.expect(Claim::Start, &place, &who, what, load.clear, 0);
        let place = format!("device tree of {} at IPA {dtb:#x}", self.name());
        let found = match tree::Node::read(bytes) {
            Ok(found) => found,
            Err(what) => {
                self.findings.add(Claim::DeviceTree, place, &who, what);
                return;
            }
        };
        let initrd = self.context.inputs.initrds[self.p].as_deref();
        let at = initrd.map(|bytes| {
            let chosen = found.child("chosen");
            let start = chosen.and_then(|node| node.number("linux,initrd-start"));
            (start.unwrap_or(0), bytes.len() as u64)
        });
        if let (Some((ipa, _)), Some(bytes)) = (at, initrd) {
            self.first(Ipa(ipa), "initial RAM disk");
            self.content(Ipa(ipa), bytes, 0, "initial RAM disk");
        }
        let must = tree::expected(self.context, self.p, at);
        must.compare(&found, "", &mut |path, what| {
            self.findings.add(Claim::DeviceTree, format!("{place}, {path}"), &who, what);
        });
    }

    /// Checks that an address that the planner chose is in the first piece of memory
    /// (`docs/manifest.md`, `memory`).
    fn first(&mut self, ipa: Ipa, what: &str) {
        let piece = self.memory().first();
        if piece.is_none_or(|m| ipa.offset_from(m.ipa) >= m.size) {
            let place = format!("partition {}", self.name());
            let what = format!("its {what} at {ipa:#x} is not in its first piece of memory");
            self.findings.add(Claim::Start, place, &[self.name()], what);
        }
    }

    fn program(&mut self) {
        let row = &self.context.image.partitions[self.p].row;
        let place = format!("partition {}", self.name());
        let who = [self.name()];
        let program = &self.context.inputs.programs[self.p];
        for piece in &program.pieces {
            self.content(Ipa(piece.ipa), &piece.bytes, piece.zero, "image");
        }
        let what = "the entry of vCPU 0";
        self.findings.expect(Claim::Start, &place, &who, what, row.entry, Ipa(program.entry));
    }
}

/// Checks that pristine bytes that no load reads are zero.
pub fn check_pristine(context: &Context<'_>, findings: &mut Findings) {
    let image = context.image;
    let rows = image.partitions.iter().flat_map(|row| &row.loads);
    let mut loads: Vec<_> = rows.map(|load| (load.source, load.size)).collect();
    loads.sort_unstable();
    loads.push((u64::MAX, 0));
    let first = image.header.el2_base.wrapping_add(image.pristine_offset() as u64);
    let last = image.header.el2_base.wrapping_add(image.bytes.len() as u64);
    let mut end = first;
    for (source, size) in loads {
        let gap = source.min(last).saturating_sub(end);
        let bytes = image.at(end, gap).unwrap_or(&[]);
        if let Some(at) = bytes.iter().position(|&byte| byte != 0) {
            let place = format!("physical {:#x}", end + at as u64);
            let what = "a pristine byte that no load reads is not zero";
            findings.add(Claim::Image, place, &["EL2"], what);
        }
        end = end.max(source.saturating_add(size).min(last));
    }
}
