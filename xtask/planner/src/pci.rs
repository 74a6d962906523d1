// SPDX-License-Identifier: MIT OR Apache-2.0
//! The PCI bus on which a guest sees channel ends as functions: where it is in the guest's address
//! space.

use anyhow::{Result, ensure};
use manifest::guest_machine::PCI;
use manifest::system::Range;
use plan::PAGE;

use super::guest::{End, Function, Pci};
use super::pages::free_aligned;

/// Bytes of configuration space of one bus.
const ECAM: u64 = 1 << 20;

/// Places the bus and the BARs of all functions among `ends`, and their pages in BAR2: the state
/// table, then the output sections of both sides. Returns `None` if there is no function.
///
/// # Errors
/// If there is no room below 4 GiB, where a driver must find BAR0.
pub fn place(ends: &mut [End], taken: &[Range]) -> Result<Option<Pci>> {
    let mut functions: Vec<_> = ends.iter_mut().filter(|end| end.function.is_some()).collect();
    if functions.is_empty() {
        return Ok(None);
    }
    let size = |end: &End| (PAGE + 2 * end.tx.size).next_power_of_two();
    let mut next = PCI;
    let ecam = free_aligned(&mut next, taken, ECAM, ECAM);
    let registers = free_aligned(&mut next, taken, functions.len() as u64 * PAGE, ECAM);
    ensure!(
        registers.base + registers.size <= 1 << 32,
        "the registers of PCI functions do not fit below 4 GiB of the guest's addresses: leave \
         1 MiB free from {PCI:#x} on"
    );
    // A BAR is at a multiple of its size, and the window at a multiple of the largest.
    let mut end = 0;
    let offsets: Vec<_> = functions
        .iter()
        .map(|function| {
            let offset = u64::next_multiple_of(end, size(function));
            end = offset + size(function);
            offset
        })
        .collect();
    let largest = functions.iter().map(|function| size(function)).max().unwrap_or(PAGE);
    let shared = free_aligned(&mut next, taken, end, largest.max(ECAM));
    for (device, (end, offset)) in functions.iter_mut().zip(offsets).enumerate() {
        let bar2 = Range { base: shared.base + offset, size: size(end) };
        let bar0 = Range { base: registers.base + device as u64 * PAGE, size: PAGE };
        end.function = Some(Function { device, registers: bar0, shared: bar2 });
        let section = |side: usize| bar2.base + PAGE + side as u64 * end.tx.size;
        end.tx.base = section(end.side);
        end.rx.base = section(1 - end.side);
    }
    Ok(Some(Pci { ecam, registers, shared }))
}
