//! The console: the PL011 that the device tree names (Arm DDI 0183). Each call prints one line;
//! console input arrives by interrupt.

use core::fmt::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};
use spin::Mutex;

use crate::{Tree, interrupt, mmio, mmu};

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const LCR_H: u64 = 0x2c;
const LCR_H_FEN: u32 = 1 << 4;
const IMSC: u64 = 0x38;
/// Receive interrupt and receive timeout interrupt.
const RECEIVE: u32 = 1 << 4 | 1 << 6;

/// The UART's address, or 0 if the guest has none and prints nothing.
struct Pl011(u64);

static CONSOLE: Mutex<Pl011> = Mutex::new(Pl011(0));

pub(crate) fn init(tree: &Tree) {
    if let Some((base, size)) = tree.device("arm,pl011") {
        mmu::map(base, size, mmu::Kind::Device);
        CONSOLE.lock().0 = base;
    }
    // Only a second logger is refused, and this runs once, at boot.
    let _ = log::set_logger(&Logger);
    log::set_max_level(LevelFilter::Info);
}

/// A guest's reports go through `log`, one per line; an error is the reason why a run fails.
struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        let mark = match record.level() {
            log::Level::Error => "FAIL: ",
            log::Level::Warn => "warning: ",
            _ => "",
        };
        print(format_args!("{mark}{}\n", record.args()));
    }

    fn flush(&self) {}
}

impl Write for Pl011 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0 == 0 {
            return Ok(());
        }
        for byte in text.bytes() {
            // SAFETY: `init` mapped the PL011 that the device tree names; its registers are not
            // memory.
            unsafe {
                while mmio::read32(self.0 + FR) & FR_TXFF != 0 {
                    core::hint::spin_loop();
                }
                mmio::write32(self.0 + DR, byte.into());
            }
        }
        Ok(())
    }
}

/// Prints without output of other vCPUs of the partition in between. Use [`crate::println!`].
pub fn print(text: fmt::Arguments) {
    // `Pl011` never returns an error.
    let _ = CONSOLE.lock().write_fmt(text);
}

/// Lets console input interrupt the calling vCPU: `interrupt::wait` then returns the UART's INTID
/// while [`read`] has a byte. Returns that INTID; `None` if the guest has no UART.
pub fn listen(tree: &Tree) -> Option<u32> {
    let intid = tree.device_spi("arm,pl011")?;
    let uart = CONSOLE.lock();
    // SAFETY: `init` mapped the PL011 that the device tree names; its registers are not memory.
    unsafe {
        mmio::write32(uart.0 + LCR_H, LCR_H_FEN);
        mmio::write32(uart.0 + IMSC, RECEIVE);
    }
    interrupt::enable(intid);
    Some(intid)
}

/// Takes the next byte of console input, if there is one.
pub fn read() -> Option<u8> {
    let uart = CONSOLE.lock();
    if uart.0 == 0 {
        return None;
    }
    // SAFETY: `init` mapped the PL011 that the device tree names; its registers are not memory.
    unsafe { (mmio::read32(uart.0 + FR) & FR_RXFE == 0).then(|| mmio::read32(uart.0 + DR) as u8) }
}

/// Prints text.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::console::print(format_args!($($arg)*)) };
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => { $crate::print!("{}\n", format_args!($($arg)*)) };
}
