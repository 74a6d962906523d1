//! Cache and TLB maintenance (DDI 0487, D7.5 and D8.17).

use core::arch::asm;

use aarch64_cpu::asm::barrier;

unsafe extern "C" {
    /// Cleans and invalidates `size` bytes at `base` to the point of coherency, then executes DSB
    /// SY (`boot/entry.rs`): later reads with caches off see what was written with them on, and the
    /// other way round.
    pub safe fn clean_invalidate(base: u64, size: u64);
    /// Does the same for a range that the tables `with` map and this core's do not: uses those with
    /// the data cache off, then `without` again. If no other core maps the range, no core reads a
    /// line back meanwhile. Both are roots of this core's row of the plan.
    pub fn clean_invalidate_unmapped(base: u64, size: u64, with: u64, without: u64);
}

/// Writes zeros to `size` bytes at `base`: by whole blocks where the core may use DC ZVA, by stores
/// before and after them.
///
/// # Safety
/// The caller owns the range, it is mapped as Normal memory and writable, and no reference into it
/// exists.
pub unsafe fn clear_range(base: u64, size: u64) {
    let dczid: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, DCZID_EL0", out(reg) dczid, options(nomem, nostack, preserves_flags)) };
    /// DCZID_EL0.DZP: the instruction is prohibited.
    const DZP: u64 = 1 << 4;
    let block: u64 = 4 << (dczid & 0xf);
    let end = base + size;
    let (first, last) = match dczid & DZP {
        0 => (end.min(base.next_multiple_of(block)), end & !(block - 1)),
        _ => (end, end),
    };
    let zeros = |from: u64, to: u64| {
        // SAFETY: the caller says so.
        unsafe { core::ptr::write_bytes(from as *mut u8, 0, (to - from) as usize) }
    };
    zeros(base, first);
    let mut address = first;
    while address < last {
        // SAFETY: as above; the whole block is in the range.
        unsafe { asm!("dc zva, {}", in(reg) address, options(nostack, preserves_flags)) };
        address += block;
    }
    zeros(address, end);
}

/// Makes earlier writes to memory instructions for this core and others. Each core executes a
/// context synchronization event before it executes them, if only the return to its guest.
pub fn invalidate_instructions() {
    // SAFETY: drops only instruction cache contents; memory still holds them.
    unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
    barrier::dsb(barrier::ISH);
}

/// Switches this core's EL2 translation to `ttbr`.
///
/// # Safety
/// `ttbr` is one of the two roots in this core's row of the plan, and maps all that the caller uses
/// from now on.
pub unsafe fn switch_el2_tables(ttbr: u64) {
    // SAFETY: both roots map EL2's code, stack and shared data alike (the planner wrote and the
    // verifier checks them), so execution continues across the switch. They differ only in mappings
    // that the caller no longer uses, which the TLBI drops.
    unsafe {
        asm!("msr TTBR0_EL2, {}", "isb", "tlbi alle2", "dsb nsh", "isb",
            in(reg) ttbr, options(nostack, preserves_flags));
    }
}

/// Drops this core's stage-1 and stage-2 TLB entries of the VMID in `VTTBR_EL2`. The ISB comes
/// first because the core may walk EL1's tables by speculation until the registers that EL2 has
/// written take effect. The return to the guest synchronizes the end.
pub fn invalidate_guest_tlb() {
    barrier::isb(barrier::SY);
    // SAFETY: drops only TLB entries; the tables still hold them.
    unsafe { asm!("tlbi vmalls12e1", options(nostack, preserves_flags)) };
    barrier::dsb(barrier::NSH);
}

/// Waits until an interrupt is pending for this core. Physical interrupts stay masked and are taken
/// by polling.
pub fn wait_for_interrupt() {
    // SAFETY: waiting; wakes on a masked interrupt too.
    unsafe { asm!("wfi", options(nostack, preserves_flags)) };
}
