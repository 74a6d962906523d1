//! Refusing to boot: one line that names both sides, on the UART that the plan or the device tree names, then power off.
//!
//! Boot may wait for the UART: no partition runs yet.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use console::Line;

use crate::cpu::regs;
use crate::planned::Plan;
use crate::uart::Uart;

/// The PL011 to complain on: the plan's, or the device tree's where it says another.
pub static UART: AtomicU64 = AtomicU64::new(0);
/// Whether firmware answers PSCI by SMC: where it does not, an SMC never returns.
pub static PSCI: AtomicBool = AtomicBool::new(false);

/// Prints `bulkhead: refused: ` and what `say` adds, then powers off. If `plan` turns out damaged that is said instead,
/// since nothing it claims about the machine means anything then.
pub fn refuse(plan: Option<&Plan>, say: impl FnOnce(&mut Line)) -> ! {
    if let Some(plan) = plan {
        if_damaged(plan);
    }
    let mut line = Line::new();
    line.str("bulkhead: refused: ");
    say(&mut line);
    line.str("\r\n");
    let base = UART.load(Relaxed);
    if base != 0 {
        // SAFETY: the device tree or the plan says a PL011 is there, the MMU is off, and no other core drives it yet.
        let uart = unsafe { Uart::new(base) };
        uart.enable();
        line.as_bytes()
            .iter()
            .for_each(|&byte| uart.write_blocking(byte));
        uart.flush_blocking();
    }
    if PSCI.load(Relaxed) {
        regs::smc(psci::fid::SYSTEM_OFF.into(), [0; 3]);
    }
    loop {
        aarch64_cpu::asm::wfe();
    }
}

/// Refuses an image whose plan does not have the CRC32C its header says.
pub fn if_damaged(plan: &Plan) {
    let crc = plan.crc();
    if crc != plan.header.crc {
        refuse(None, |line| {
            line.str("plan: its CRC32C is ")
                .hex(crc.into())
                .str(", its header says ")
                .hex(plan.header.crc.into());
            line.str(": the image is damaged");
        });
    }
}
