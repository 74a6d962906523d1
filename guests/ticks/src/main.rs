//! Guest that takes many interrupts of each kind that is linked to hardware, and counts: each
//! raised interrupt comes once, and no other comes.
//!
//! The tests depend on when the source is raised again: half of the time that is before the guest
//! ends the interrupt, which a GIC must not lose. The command line gives the number (`ticks=N` of
//! the timer, a tenth of it of the others), and the sources in addition to the timers: `uart=1` the
//! board's second PL011, `edge=INTID` and `level=INTID` SPIs that only their pending bit raises.
#![no_std]
#![no_main]

use core::arch::asm;

use aarch64_cpu::asm::{self, barrier};
use aarch64_cpu::registers::{CNTP_CTL_EL0, CNTP_CVAL_EL0, Writeable};
use rt::interrupt::Taken;
use rt::{Tree, fail, interrupt, mmio, mmu, println, timer};

rt::main!(main);

/// The physical EL1 timer's interrupt.
const CNTP: u32 = 30;
/// The board's second PL011: registers and interrupt.
const UART: (u64, u32) = (0x0904_0000, 40);
const UARTDR: u64 = 0x00;
const UARTIMSC: u64 = 0x38;
const UARTICR: u64 = 0x44;
const UART_TX: u32 = 1 << 5;
/// `GICD_ISPENDR0`.
const ISPENDR: u64 = 0x200;
/// Number of checks for a pending interrupt before it counts as lost.
const LOOKS: u32 = 2_000_000;
/// Number of checks for an interrupt that should not come.
const QUIET_LOOKS: u32 = 1000;
/// The guest sleeps for one of this number of a timer's ticks.
const SLEEPS: u64 = 128;

/// The source of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The virtual timer: a level.
    Virtual,
    /// The physical timer: a level.
    Physical,
    /// The transmit interrupt of a PL011 that is passed through: a level.
    Uart,
    /// The pending bit of an SPI without a device.
    Pending(u32),
}

impl Source {
    fn intid(self) -> u32 {
        match self {
            Self::Virtual => timer::INTID,
            Self::Physical => CNTP,
            Self::Uart => UART.1,
            Self::Pending(intid) => intid,
        }
    }

    /// Sets a timer; both count the same, since CNTVOFF is 0.
    fn arm(self, deadline: u64) {
        match self {
            Self::Physical => {
                CNTP_CVAL_EL0.set(deadline);
                CNTP_CTL_EL0.set(1);
            }
            _ => timer::arm(deadline),
        }
        barrier::isb(barrier::SY);
    }

    fn raise(self, gicd: u64) {
        match self {
            // The deadline is in the past: the line rises with the write.
            Self::Virtual | Self::Physical => self.arm(0),
            Self::Uart => uart(UARTDR, 0),
            Self::Pending(intid) => {
                let register = gicd + ISPENDR + u64::from(intid) / 32 * 4;
                // SAFETY: the distributor of the device tree, which the runtime has mapped.
                unsafe { mmio::write32(register, 1 << (intid % 32)) };
            }
        }
    }

    /// Lowers the line. The acknowledgement has already cleared a pending bit.
    fn lower(self) {
        match self {
            Self::Virtual => timer::disarm(),
            Self::Physical => CNTP_CTL_EL0.set(0),
            Self::Uart => uart(UARTICR, UART_TX),
            Self::Pending(_) => {}
        }
        barrier::dsb(barrier::SY);
        barrier::isb(barrier::SY);
    }

    fn is_timer(self) -> bool {
        matches!(self, Self::Virtual | Self::Physical)
    }
}

fn uart(register: u64, value: u32) {
    // SAFETY: the PL011 that the system passes through; its registers are not memory.
    unsafe { mmio::write32(UART.0 + register, value) };
}

/// Ends interrupts in one step or, with EOImode = 1, in two: the priority drops first.
struct Ends {
    is_v2: bool,
    /// GICC of a GICv2.
    gicc: u64,
    is_split: bool,
}

impl Ends {
    /// `GICC_CTLR` and `GICC_DIR`.
    const CTLR: u64 = 0x0000;
    const DIR: u64 = 0x1000;

    fn split(&mut self, is_split: bool) {
        self.is_split = is_split;
        if self.is_v2 {
            // EnableGrp0, and EOImode in the only view that there is (IHI 0048, 4.4.1).
            let value = 1 | u32::from(is_split) << 9;
            // SAFETY: the CPU interface of the device tree, which the runtime has mapped.
            unsafe { mmio::write32(self.gicc + Self::CTLR, value) };
        } else {
            let value = u64::from(is_split) << 1;
            // SAFETY: the write of ICC_CTLR_EL1.EOImode only sets what ending an interrupt does.
            unsafe { asm!("msr S3_0_C12_C12_4, {}", "isb", in(reg) value, options(nostack)) };
        }
    }

    fn end(&self, taken: Taken) {
        taken.end();
        if !self.is_split {
            return;
        }
        if self.is_v2 {
            // SAFETY: as above.
            unsafe { mmio::write32(self.gicc + Self::DIR, taken.intid()) };
        } else {
            let intid = u64::from(taken.intid());
            // SAFETY: ICC_DIR_EL1 deactivates the acknowledged interrupt.
            unsafe { asm!("msr S3_0_C12_C11_1, {}", in(reg) intid, options(nostack)) };
        }
        barrier::isb(barrier::SY);
    }
}

/// Returns a number that is different each time (xorshift).
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Returns the next interrupt, if one comes; `sleeps` if its time is still to come.
fn next(looks: u32, sleeps: bool) -> Option<Taken> {
    if sleeps {
        barrier::dsb(barrier::SY);
        asm::wfi();
    }
    (0..looks).find_map(|_| interrupt::acknowledge())
}

/// Raises `source` `count` times and takes each interrupt.
fn run(source: Source, count: u64, gicd: u64, ends: &Ends) {
    let intid = source.intid();
    interrupt::enable(intid);
    let soon = timer::frequency() / 20_000;
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let (mut before, mut slept) = (0u64, 0u64);
    let mut sleeps = false;
    source.raise(gicd);
    for number in 1..=count {
        let Some(taken) = next(LOOKS, sleeps) else {
            fail!(
                "{source:?}: interrupt {number} of {count} does not come, {before} were raised \
                 before an end"
            );
        };
        if taken.intid() != intid {
            fail!("{source:?}: received interrupt {}, expected {intid}", taken.intid());
        }
        source.lower();
        sleeps = false;
        let choice = random(&mut state);
        if number == count {
            ends.end(taken);
        } else if choice & 1 == 0 {
            before += 1;
            source.raise(gicd);
            ends.end(taken);
        } else if source.is_timer() && choice >> 1 & (SLEEPS / 2 - 1) == 0 {
            ends.end(taken);
            slept += 1;
            sleeps = true;
            source.arm(timer::now() + soon);
        } else {
            ends.end(taken);
            source.raise(gicd);
        }
    }
    if let Some(taken) = next(QUIET_LOOKS, false) {
        fail!("{source:?}: interrupt {} came after the last of {count}", taken.intid());
    }
    let steps = if ends.is_split { "two steps" } else { "one step" };
    println!(
        "{source:?}, ended in {steps}: {count} came, {before} raised before an end, {slept} slept \
         for"
    );
}

fn main(tree: &'static Tree) {
    let number = |name| tree.option(name).and_then(|text| text.parse::<u64>().ok());
    let ticks = number("ticks").unwrap_or(1000);
    let Some((node, [(gicd, _), (gicc, _)])) = tree.gic_node().zip(tree.gic()) else {
        fail!("the device tree has no GIC");
    };
    let mut ends = Ends { is_v2: node.version == 2, gicc, is_split: false };
    if number("uart").is_some() {
        mmu::map(UART.0, 0x1000, mmu::Kind::Device);
        uart(UARTIMSC, UART_TX);
    }
    let spi = |name| number(name).map(|intid| (Source::Pending(intid as u32), ticks / 10));
    let sources = [
        Some((Source::Virtual, ticks)),
        Some((Source::Physical, ticks / 10)),
        number("uart").map(|_| (Source::Uart, ticks / 10)),
        spi("edge"),
        spi("level"),
    ];
    for (source, count) in sources.into_iter().flatten() {
        ends.split(false);
        run(source, count, gicd, &ends);
        ends.split(true);
        run(source, count / 10, gicd, &ends);
    }
    println!("every interrupt came once");
}
