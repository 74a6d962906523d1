//! One vCPU that carries out orders, one at a time, and reports what it saw.
//!
//! Orders and reports go through memory. A vCPU that waits for an order never enters EL2: it reads
//! a word, counts its reads (its beat), and yields.

use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use abi::{Reason, status};
use rt::{Tree, fail, hv, interrupt, mmio, timer};

/// The tasks of a vCPU. Numbers are those of an order's first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Task {
    /// Ends the vCPU's part.
    Quit,
    /// Calls by HVC with these x0 to x3; reports x0 to x17 after it.
    Hvc,
    /// Calls by SMC likewise.
    Smc,
    /// Takes and ends every pending interrupt; reports their INTIDs in order.
    Take,
    /// Acknowledges one interrupt and leaves it active; reports its INTID, or 1023.
    Acknowledge,
    /// Ends the interrupt with this INTID.
    End,
    /// Reads a word of a [`Place`], at this offset.
    Read,
    /// Writes this value to a word of a [`Place`], at this offset.
    Write,
    /// Writes a byte likewise.
    WriteByte,
    /// Sends the SGI with this INTID to this vCPU.
    Send,
    /// Writes `ICC_SGI1R_EL1`.
    SendRaw,
    /// Arms the virtual timer at the present, and waits until the counter has moved.
    Arm,
    /// Disarms the timer.
    Disarm,
    /// Sets the priority mask.
    Mask,
    /// Waits until an interrupt is signalled; reports 1, or 0 if none came in ten seconds.
    Await,
    /// Reports whether an interrupt is signalled.
    Signalled,
    /// Reports EL2's entries on the core of this vCPU of the caller's partition, by reason.
    Entries,
    /// Reports the counters of the channel end with this handle.
    Status,
}

impl Task {
    const ALL: [Self; 18] = [
        Self::Quit,
        Self::Hvc,
        Self::Smc,
        Self::Take,
        Self::Acknowledge,
        Self::End,
        Self::Read,
        Self::Write,
        Self::WriteByte,
        Self::Send,
        Self::SendRaw,
        Self::Arm,
        Self::Disarm,
        Self::Mask,
        Self::Await,
        Self::Signalled,
        Self::Entries,
        Self::Status,
    ];
}

/// A task with its arguments.
pub type Order = (Task, [u64; 4]);

/// The registers that an order reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Place {
    /// The distributor.
    Distributor,
    /// The registers of the actor's own SGIs and PPIs, at the distributor's offsets of GICv2.
    Private,
    /// The PL011.
    Uart,
    /// The distributor, by a load or store of x25, for which EL2 needs all registers.
    DistributorX25,
}

/// Words that the driver writes.
#[repr(C)]
pub struct Orders {
    /// Number of orders given.
    given: AtomicU64,
    words: [AtomicU64; 5],
}

/// Words that the actor writes.
#[repr(C)]
pub struct Reports {
    /// Number of orders done.
    done: AtomicU64,
    /// Number of reads for an order.
    beat: AtomicU64,
    count: AtomicU64,
    words: [AtomicU64; 48],
}

impl Orders {
    pub const fn new() -> Self {
        Self { given: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; 5] }
    }
}

impl Reports {
    pub const fn new() -> Self {
        Self {
            done: AtomicU64::new(0),
            beat: AtomicU64::new(0),
            count: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; 48],
        }
    }
}

/// Both sides of one actor's memory.
#[derive(Clone, Copy)]
pub struct Post {
    pub orders: &'static Orders,
    pub reports: &'static Reports,
}

/// Lets another core run; under the instruction clock this is the only way.
pub fn pause() {
    // SAFETY: the instruction is a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

impl Post {
    /// Gives `order`, and waits until it is done; returns the report.
    pub fn ask(self, (task, arguments): Order) -> Vec<u64> {
        let (first, rest) = self.orders.words.split_at(1);
        first[0].store(task as u64, Relaxed);
        for (word, argument) in rest.iter().zip(arguments) {
            word.store(argument, Relaxed);
        }
        let given = self.orders.given.load(Relaxed) + 1;
        self.orders.given.store(given, Release);
        while self.reports.done.load(Acquire) != given {
            pause();
        }
        let count = self.reports.count.load(Relaxed) as usize;
        self.reports.words.iter().take(count).map(|word| word.load(Relaxed)).collect()
    }

    /// Returns how often the actor has looked for an order.
    pub fn beat(self) -> u64 {
        self.reports.beat.load(Relaxed)
    }

    /// Carries out orders, until [`Task::Quit`].
    pub fn serve(self, actor: &Actor) {
        for number in 1.. {
            while self.orders.given.load(Acquire) != number {
                self.reports.beat.fetch_add(1, Relaxed);
                pause();
            }
            let words: [u64; 5] = core::array::from_fn(|n| self.orders.words[n].load(Relaxed));
            let [task, arguments @ ..] = words;
            let task = Task::ALL.get(task as usize).copied().unwrap_or(Task::Quit);
            let seen = actor.perform((task, arguments));
            for (word, value) in self.reports.words.iter().zip(&seen) {
                word.store(*value, Relaxed);
            }
            self.reports.count.store(seen.len() as u64, Relaxed);
            self.reports.done.store(number, Release);
            if task == Task::Quit {
                return;
            }
        }
    }
}

/// The calling vCPU.
#[derive(Clone, Copy)]
pub struct Actor {
    is_v2: bool,
    gicd: u64,
    /// Address of the CPU interface, in which a GICv2 has its priority mask.
    gicc: u64,
    private: u64,
    uart: u64,
}

impl Actor {
    /// Makes the actor of vCPU `vcpu` of this partition.
    pub fn new(tree: &Tree, vcpu: u64) -> Self {
        let node = tree.gic_node().unwrap_or_else(|| fail!("no GIC"));
        let [(gicd, _), (second, _)] = node.regs;
        let is_v2 = node.version == 2;
        let frame = second + vcpu * 0x2_0000 + 0x1_0000;
        let (uart, _) = tree.device("arm,pl011").unwrap_or_else(|| fail!("no UART"));
        Self { is_v2, gicd, gicc: second, private: if is_v2 { gicd } else { frame }, uart }
    }

    /// Whether the GIC is a GICv2.
    pub fn is_v2(&self) -> bool {
        self.is_v2
    }

    /// Carries out one order; returns what it saw.
    pub fn perform(&self, (task, [a, b, c, d]): Order) -> Vec<u64> {
        match task {
            Task::Quit => Vec::new(),
            Task::Hvc | Task::Smc => call(task == Task::Smc, [a, b, c, d]).to_vec(),
            Task::Take => {
                // The number is limited, so that an interrupt that comes without end shows.
                core::iter::from_fn(interrupt::take).take(40).map(u64::from).collect()
            }
            Task::Acknowledge => {
                let taken = interrupt::acknowledge();
                Vec::from([taken.map_or(1023, |taken| taken.intid().into())])
            }
            Task::End => {
                self.end(a);
                Vec::new()
            }
            Task::Read => Vec::from([self.read(a, b)]),
            Task::Write | Task::WriteByte => {
                self.write(task == Task::WriteByte, a, b, c as u32);
                Vec::new()
            }
            Task::Send => {
                interrupt::send(a as u32, b as usize);
                Vec::new()
            }
            Task::SendRaw => {
                // SAFETY: sends SGIs to vCPUs of this partition, which poll for them.
                unsafe { asm!("msr S3_0_C12_C11_5, {}", "isb", in(reg) a, options(nostack)) };
                Vec::new()
            }
            Task::Arm => {
                let now = timer::now();
                timer::arm(now);
                while timer::now() <= now {
                    pause();
                }
                Vec::new()
            }
            Task::Disarm => {
                timer::disarm();
                Vec::new()
            }
            Task::Mask => {
                self.mask(a);
                Vec::new()
            }
            Task::Await => {
                let end = timer::now() + timer::milliseconds(10_000);
                while !is_signalled() && timer::now() < end {
                    pause();
                }
                Vec::from([u64::from(is_signalled())])
            }
            Task::Signalled => Vec::from([u64::from(is_signalled())]),
            Task::Entries => {
                (0..Reason::COUNT).map(|reason| hv::entries(a, reason).unwrap_or(!0)).collect()
            }
            Task::Status => (status::PENDING..=status::RECEIVED)
                .map(|item| hv::status(a, item).unwrap_or(!0))
                .collect(),
        }
    }

    fn address(&self, place: u64, offset: u64) -> u64 {
        let base = match place {
            1 => self.private,
            2 => self.uart,
            _ => self.gicd,
        };
        base + offset
    }

    fn read(&self, place: u64, offset: u64) -> u64 {
        let address = self.address(place, offset);
        let value: u32;
        // SAFETY: registers of emulated devices, which the runtime has mapped.
        unsafe {
            if place == Place::DistributorX25 as u64 {
                asm!("ldr w25, [{}]", in(reg) address, out("x25") value, options(nostack));
            } else {
                asm!("ldr w1, [{}]", in(reg) address, out("x1") value, options(nostack));
            }
        }
        value.into()
    }

    fn write(&self, is_byte: bool, place: u64, offset: u64, value: u32) {
        let address = self.address(place, offset);
        // SAFETY: as above.
        unsafe {
            if is_byte {
                mmio::write8(address, value as u8);
            } else if place == Place::DistributorX25 as u64 {
                asm!("str w25, [{}]", in(reg) address, in("x25") value, options(nostack));
            } else {
                asm!("str w1, [{}]", in(reg) address, in("x1") value, options(nostack));
            }
        }
    }

    fn end(&self, intid: u64) {
        // SAFETY: ends an interrupt that this vCPU has acknowledged.
        unsafe {
            match self.is_v2 {
                true => mmio::write32(self.gicc + 0x10, intid as u32),
                false => asm!("msr S3_0_C12_C12_1, {}", "isb", in(reg) intid, options(nostack)),
            }
        }
    }

    fn mask(&self, priority: u64) {
        // SAFETY: the write only sets which priorities this vCPU lets through; it polls.
        unsafe {
            match self.is_v2 {
                true => mmio::write32(self.gicc + 0x04, priority as u32),
                false => asm!("msr S3_0_C4_C6_0, {}", "isb", in(reg) priority, options(nostack)),
            }
        }
    }
}

/// Whether an interrupt is signalled to this vCPU (`ISR_EL1.I`), which EL2 does not trap.
fn is_signalled() -> bool {
    let value: u64;
    // SAFETY: reads which interrupts are pending.
    unsafe { asm!("isb", "mrs {}, isr_el1", out(reg) value, options(nostack)) };
    value & 0x80 != 0
}

/// Makes a call with a mark in each register that the call must not change; returns x0 to x17 after
/// it.
fn call(is_smc: bool, arguments: [u64; 4]) -> [u64; 18] {
    let mut x: [u64; 18] = core::array::from_fn(mark);
    x[..4].copy_from_slice(&arguments);
    macro_rules! conduit {
        ($instruction:literal) => {
            // SAFETY: DEN 0028: a call changes no more than the registers named here, and EL2
            // writes no memory of the guest.
            unsafe {
                asm!(
                    $instruction,
                    inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3],
                    inout("x4") x[4], inout("x5") x[5], inout("x6") x[6], inout("x7") x[7],
                    inout("x8") x[8], inout("x9") x[9], inout("x10") x[10], inout("x11") x[11],
                    inout("x12") x[12], inout("x13") x[13], inout("x14") x[14],
                    inout("x15") x[15], inout("x16") x[16], inout("x17") x[17],
                    options(nostack),
                );
            }
        };
    }
    match is_smc {
        true => conduit!("smc #0"),
        false => conduit!("hvc #0"),
    }
    x
}

/// Returns the value of register `xN` before a call, if it is not an argument.
pub fn mark(n: usize) -> u64 {
    0x5a5a_0000_0000_0000 | n as u64
}
