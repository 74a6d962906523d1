// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a core demands of the code itself: no exclusive access before the MMU is on, and not
//! the sequence of erratum 843419.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::code::Code;
use super::graph::Functions;

/// Returns whether `word` is an exclusive access or an atomic read-modify-write. On memory that is
/// not Normal Inner Shareable cacheable, as all is with the MMU off, these may abort or never
/// succeed (DDI 0487, B2.12.2 and C3.2.11).
#[must_use]
pub fn is_exclusive(word: u32) -> bool {
    let is = |mask: u32, value: u32| word & mask == value;
    // Exclusives and CASP have bit 23 clear; CAS has bits 23 and 21 set. LDAR and STLR are neither.
    let exclusive = is(0x3f80_0000, 0x0800_0000) || is(0x3fa0_0000, 0x08a0_0000);
    // LDADD to SWP. LDAPR is in the same class, and only a load.
    let atomic = is(0x3b20_0c00, 0x3820_0000) && !is(0x3fff_fc00, 0x38bf_c000);
    exclusive || atomic
}

/// Fails if a function that may run before `mapped`, the first with the MMU on, has an exclusive
/// access. `name` names addresses.
pub fn before_mmu(
    code: &Code,
    functions: &Functions,
    starts: &[u32],
    mapped: u32,
    name: &dyn Fn(u32) -> String,
) -> Result<usize> {
    let mut open = starts.to_vec();
    let mut seen: BTreeSet<u32> = open.iter().copied().collect();
    seen.insert(mapped);
    let mut count = 0;
    while let Some(at) = open.pop() {
        let Some(function) = functions.get(&at) else { continue };
        count += 1;
        let exclusive =
            function.instructions.iter().find(|at| code.word(**at).is_some_and(is_exclusive));
        ensure!(
            exclusive.is_none(),
            "{} has an exclusive access at {:#x}, and may run before the MMU is on",
            name(at),
            exclusive.copied().unwrap_or_default()
        );
        open.extend(function.edges.iter().map(|edge| edge.to).filter(|to| seen.insert(*to)));
    }
    Ok(count)
}

/// Fails if the code has the instruction that starts the sequence of erratum 843419 of the
/// Cortex-A53: ADRP in one of the last two words of a page (Software Developers Errata Notice,
/// EPM048406). The linker moves what would be executed wrongly.
pub fn sequences(code: &Code, name: &dyn Fn(u32) -> String) -> Result<()> {
    for (at, word) in code.all() {
        ensure!(
            !(word & 0x9f00_0000 == 0x9000_0000 && at & 0xff8 == 0xff8),
            "{}: ADRP at {at:#x}, in the last words of a page: erratum 843419 of the Cortex-A53; \
             link with --fix-cortex-a53-843419",
            name(at)
        );
    }
    Ok(())
}
