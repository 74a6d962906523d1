//! The console: the PL011 that the device tree names (Arm DDI 0183), one line a call.

use core::fmt::{self, Write};

use spin::Mutex;

use crate::{Tree, mmio, mmu};

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const FR_TXFF: u32 = 1 << 5;

/// The UART's address, or 0 where the guest has none: then nothing is printed.
struct Pl011(u64);

static CONSOLE: Mutex<Pl011> = Mutex::new(Pl011(0));

pub(crate) fn init(tree: &Tree) {
    if let Some((base, size)) = tree.device("arm,pl011") {
        mmu::map(base, size, mmu::Kind::Device);
        CONSOLE.lock().0 = base;
    }
}

impl Write for Pl011 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0 == 0 {
            return Ok(());
        }
        for byte in text.bytes() {
            // SAFETY: `init` mapped the PL011 that the device tree names; its registers are no memory.
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

/// Prints without other vCPUs of the partition coming in between. Use [`crate::println!`].
pub fn print(text: fmt::Arguments) {
    // `Pl011` never answers with an error.
    let _ = CONSOLE.lock().write_fmt(text);
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
