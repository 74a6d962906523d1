// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processor, and RAM by address.

use core::fmt::Write;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTPCT_EL0, Readable};
use loader_protocol::Board;
use loader_protocol::place::Range;

use crate::uart::Uart;

unsafe extern "C" {
    #[link_name = "clean_invalidate"]
    safe fn clean_invalidate_bytes(base: u64, size: u64);
    #[link_name = "wait_for_ever"]
    safe fn wait() -> !;
    fn start_image(tree: u64, image: u64, sctlr: u64, vbar: u64) -> !;
}

/// The UART's address and clock for lines about faults, or 0. Only plain loads and stores are used:
/// with the MMU off there are no exclusive accesses.
static UART: AtomicU64 = AtomicU64::new(0);
static CLOCK: AtomicU32 = AtomicU32::new(0);

/// Records the UART, for lines about faults.
pub fn note_uart(board: &Board) {
    CLOCK.store(board.clock, Relaxed);
    UART.store(board.uart, Relaxed);
}

/// Returns the UART, if it was set up.
pub fn uart() -> Option<Uart> {
    let base = UART.load(Relaxed);
    (base != 0).then(|| Uart::at(base, CLOCK.load(Relaxed)))
}

/// Prints a line about a fault of the loader's own, and stops.
pub extern "C" fn fault(esr: u64, elr: u64, far: u64) -> ! {
    // A fault in these lines is not printed: it would be endless.
    let uart = uart();
    UART.store(0, Relaxed);
    if let Some(mut uart) = uart {
        let _ = write!(uart, "\r\nloader: fault: ESR {esr:#x} ELR {elr:#x} FAR {far:#x}\r\n");
    }
    wait_for_ever()
}

/// Stops the core.
pub fn wait_for_ever() -> ! {
    wait()
}

/// Returns the time since some moment, ticks.
pub fn now() -> u64 {
    CNTPCT_EL0.get()
}

/// Returns a time in ticks.
pub fn ticks(microseconds: u64) -> u64 {
    // Firmware that has not set the frequency: that of the Raspberry Pi 4.
    let frequency = match CNTFRQ_EL0.get() {
        0 => 54_000_000,
        frequency => frequency,
    };
    microseconds * (frequency / 1000) / 1000
}

/// Cleans and invalidates a range to the point of coherency. With the MMU off nothing of it gets
/// into a cache afterwards.
pub fn clean_invalidate(range: &Range) {
    clean_invalidate_bytes(range.base, range.size);
}

/// Returns RAM as bytes.
///
/// # Safety
///
/// The range is RAM that nothing writes while the slice is in use.
pub unsafe fn bytes(base: u64, size: u64) -> &'static [u8] {
    // SAFETY: the caller's promise; with the MMU off an address is a physical one.
    unsafe { core::slice::from_raw_parts(base as *const u8, size as usize) }
}

/// Returns RAM as bytes to write.
///
/// # Safety
///
/// The range is RAM that nothing else reads or writes while the slice is in use.
pub unsafe fn bytes_mut(base: u64, size: u64) -> &'static mut [u8] {
    // SAFETY: the caller's promise; with the MMU off an address is a physical one.
    unsafe { core::slice::from_raw_parts_mut(base as *mut u8, size as usize) }
}

/// Starts the image at `entry` in firmware's state.
pub fn start(tree: u64, entry: u64, sctlr: u64, vbar: u64) -> ! {
    // SAFETY: the image was unpacked there and its checksum holds; the loader does not continue.
    unsafe { start_image(tree, entry, sctlr, vbar) }
}
