//! The end of the machine: power off, reset or wait, by PSCI or by the board's register writes. A
//! refused machine first gets a line on the UART that the plan or the device tree names, and the
//! board's light shows the stage that boot was in.
//!
//! Boot may wait for the UART and the light: no partition runs yet.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use console::LineBuffer;
use plan::{Array, writes};

use crate::arch::{registers, timer, unreachable_state};
use crate::drivers::pl011::Uart;
use crate::state::plan_view::PlanView;

/// Address of the PL011 for refusals, or 0: the plan's, or one of the device tree's if the plan's
/// is missing there.
pub static UART: AtomicU64 = AtomicU64::new(0);
/// Whether firmware answers PSCI by SMC. If it does not, an SMC never returns.
pub static PSCI: AtomicBool = AtomicBool::new(false);
/// Whether a hypervisor answers PSCI by HVC and the loader entered at EL1, which boot refuses.
pub static HVC: AtomicBool = AtomicBool::new(false);

/// Whether a core has refused the machine. The MMU is off, so this is only loaded and stored.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Stages of boot that are done.
static STAGES: AtomicU8 = AtomicU8::new(0);
/// The stage after which the machine fits, and the board's console is up.
const CHECKED: u8 = 1;
/// The last stage: all cores have passed their checks.
const READY: u8 = 4;
/// Time for which the light is on, and off, microseconds.
const BLINK: u64 = 200_000;

/// Notes the end of a stage of boot, if the board has writes that show it. Where EL2 itself brings
/// up the board's console, the console shows the stage's digit.
pub fn stage_done(plan: &PlanView) {
    let board = &plan.header.machine.writes;
    if board[writes::CONSOLE].count == 0 && board[writes::LIGHT_ON].count == 0 {
        return;
    }
    let stage = STAGES.load(Relaxed) + 1;
    STAGES.store(stage, Relaxed);
    match stage {
        CHECKED => {
            plan.write(board[writes::CONSOLE]);
            plan.write(board[writes::LIGHT_ON]);
        }
        READY => plan.write(board[writes::LIGHT_OFF]),
        _ => {}
    }
    if board[writes::CONSOLE].count != 0 {
        let text = [b'0' + stage, b'\r', b'\n'];
        let end = if stage == READY { 3 } else { 1 };
        print(plan.header.machine.uart.base, &text[..end]);
    }
}

/// Whether a core has refused the machine. It may have to wait, and the others add nothing.
pub fn is_refused() -> bool {
    REFUSED.load(Relaxed)
}

/// Prints `text` on the PL011 at `base`, and waits until it is sent.
fn print(base: u64, text: &[u8]) {
    // SAFETY: the device tree or the plan says a PL011 is there, the MMU is off, and no other core
    // drives it yet.
    let uart = unsafe { Uart::new(base) };
    uart.enable();
    text.iter().for_each(|&byte| uart.write(byte));
    uart.flush();
}

/// Prints `line`, then ends the machine as the plan says.
pub fn refused(line: &mut LineBuffer) -> ! {
    refused_on(UART.load(Relaxed), line)
}

/// Prints `line` on the PL011 at `base`, if there is one, then ends the machine as the plan says.
pub fn refused_on(base: u64, line: &LineBuffer) -> ! {
    REFUSED.store(true, Relaxed);
    let plan = PlanView::here();
    let machine = &plan.header.machine;
    // A damaged plan may name any address and any end, and on another board the addresses are
    // others'.
    let is_whole = plan.is_valid() && plan.crc() == plan.header.crc;
    let how = if is_whole { plan.header.on_refusal } else { plan::END_POWER_OFF };
    let board = match is_whole && base == machine.uart.base {
        true => machine.writes,
        false => [Array::default(); writes::COUNT],
    };
    let stages = STAGES.load(Relaxed);
    if base != 0 {
        if stages < CHECKED {
            plan.write(board[writes::CONSOLE]);
        }
        if stages >= CHECKED && board[writes::CONSOLE].count != 0 {
            print(base, b"\r\n");
        }
        print(base, line.as_bytes());
        print(base, b"\r\n");
    }
    let has_light = board[writes::LIGHT_ON].count != 0;
    loop {
        for _ in 0..=stages {
            if has_light {
                plan.write(board[writes::LIGHT_ON]);
                timer::wait(BLINK);
                plan.write(board[writes::LIGHT_OFF]);
                timer::wait(BLINK);
            }
        }
        end_machine(how, &plan, &board);
        if !has_light {
            unreachable_state()
        }
        timer::wait(4 * BLINK);
    }
}

/// Ends the machine as `how` says (`plan::END_*`), by firmware or by the writes of `board`. Returns
/// if it is to wait, or if neither can do it.
pub fn end_machine(how: u32, plan: &PlanView, board: &[Array; writes::COUNT]) {
    let (function, purpose) = match how {
        plan::END_POWER_OFF => (psci::fid::SYSTEM_OFF, writes::POWER_OFF),
        plan::END_RESET => (psci::fid::SYSTEM_RESET, writes::RESET),
        _ => return,
    };
    if HVC.load(Relaxed) {
        registers::hvc(function.into());
    }
    if PSCI.load(Relaxed) {
        registers::smc(function.into(), [0; 3]);
    }
    plan.write(board[purpose]);
}
