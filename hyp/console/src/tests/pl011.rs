//! Tests of the registers a guest's driver uses (DDI 0183G, chapter 3).

use super::*;
use proptest::prelude::*;
use std::vec;

pub const DR: u64 = 0x00;
const RSR: u64 = 0x04;
pub const FR: u64 = 0x18;
pub const LCR_H: u64 = 0x2c;
pub const IFLS: u64 = 0x34;
pub const IMSC: u64 = 0x38;
pub const RIS: u64 = 0x3c;
pub const MIS: u64 = 0x40;
pub const ICR: u64 = 0x44;

/// A PL011 with its partition's rings.
pub struct Device {
    uart: Pl011,
    pub output: &'static Output,
    pub input: &'static Ring,
}

impl Device {
    pub fn new() -> Self {
        Self { uart: Pl011::default(), output: output(), input: ring() }
    }

    pub fn read(&self, offset: u64) -> u32 {
        self.uart.read(offset, self.output, self.input)
    }

    /// Writes as EL2 does.
    pub fn write(&mut self, offset: u64, value: u32) {
        let before = self.level();
        if offset == DR {
            let used = self.uart.send(value as u8, self.output);
            let changed = used.is_none_or(|used| self.uart.changed_by(used, self.output));
            assert!(changed || self.level() == before, "the line changed unseen");
        } else {
            self.uart.write(offset, value, self.output, self.input);
        }
    }

    pub fn level(&self) -> bool {
        self.uart.line(self.output, self.input).0
    }

    pub fn lost(&self) -> u32 {
        self.uart.lost(self.output, false)
    }

    pub fn waits_for_room(&self) -> bool {
        self.uart.line(self.output, self.input).1
    }

    fn receive(&self, count: usize) {
        for _ in 0..count {
            assert!(self.input.put(b'.'));
        }
    }
}

#[test]
fn registers() {
    let mut d = Device::new();
    let reset: Vec<(u64, u32)> = (0..0x50)
        .step_by(4)
        .map(|offset| (offset, d.read(offset)))
        .filter(|(_, value)| *value != 0)
        .collect();
    assert_eq!(reset, vec![(0x18, 0x90), (0x30, 0x300), (0x34, 0x12)]);
    for (offset, bits) in [
        (0x20, 0xff),
        (0x24, 0xffff),
        (0x28, 0x3f),
        (0x2c, 0xff),
        (0x30, 0xff87),
        (0x34, 0x3f),
        (0x38, 0x7ff),
        (0x48, 7),
    ] {
        for value in [u32::MAX, 0x1a5, 0] {
            d.write(offset, value);
            assert_eq!(d.read(offset), value & bits, "{offset:#x}");
        }
    }
    let ids: Vec<u32> = (0xfe0..0x1000).step_by(4).map(|offset| d.read(offset)).collect();
    assert_eq!(ids, [0x11, 0x10, 0x34, 0, 0x0d, 0xf0, 0x05, 0xb1]);
    // A byte access to the second byte of a register.
    d.write(0x24, 0x1234);
    assert_eq!(d.read(0x25) & 0xff, 0x12);
    // Read-only and absent registers.
    for offset in [0x04, 0x18, 0x3c, 0x40, 0x100, 0xfe0, 0x1000, u64::MAX] {
        let before = d.read(offset);
        d.write(offset, !0);
        assert_eq!(d.read(offset), before, "{offset:#x}");
    }
    assert_eq!(d.output.used(), 0);
}

#[test]
fn it_sends_and_interrupts() {
    let mut d = Device::new();
    assert!(!d.level());
    d.write(IMSC, 0x20);
    assert!(!d.level(), "nothing sent yet");
    d.write(DR, 0x1_00 | 'h' as u32);
    assert!(d.level());
    assert_eq!((d.read(RIS), d.read(MIS)), (0x20, 0x20));
    d.write(ICR, 0x20);
    assert!(!d.level());
    for _ in 0..5000 {
        d.write(DR, '\n' as u32);
    }
    assert_eq!(d.read(FR), 0x38, "full, busy, nothing received");
    assert!(!d.level(), "no room, no interrupt");
    assert_eq!(printed(d.output).iter().filter(|&&b| b == b'h').count(), 1);
    assert_eq!(d.read(FR), 0x90);
    assert!(d.level(), "room again");
    d.write(IMSC, 0);
    assert!(!d.level());
    assert_eq!((d.read(RIS), d.read(MIS)), (0x20, 0));
}

/// Input that found no room sets OE in RSR and beside the next byte, and raises its interrupt.
#[test]
fn an_overrun_is_told() {
    let mut d = Device::new();
    d.write(LCR_H, 0x10);
    d.write(IMSC, 1 << 10);
    d.receive(4096);
    assert_eq!((d.read(RSR), d.level()), (0, false));
    assert!(!d.input.put(b'x'));
    assert!(d.level());
    assert_eq!((d.read(RSR), d.read(RIS), d.read(MIS)), (8, 0x450, 0x400));
    assert_eq!(d.read(DR), 0x800 | u32::from(b'.'));
    d.write(ICR, 1 << 10);
    assert_eq!((d.level(), d.read(RIS)), (false, 0x50));
    d.write(RSR, 0);
    assert_eq!((d.read(RSR), d.read(DR)), (0, b'.'.into()));
}

#[test]
fn it_receives_byte_by_byte_with_its_fifo_off() {
    let mut d = Device::new();
    assert_eq!(d.read(DR), 0, "nothing there");
    d.write(IMSC, 0x10);
    assert!(d.input.put(b'a') && d.input.put(b'b'));
    assert_eq!(d.read(FR), 0xc0, "TXFE, RXFF: one byte fills it");
    assert!(d.level());
    assert_eq!((d.read(RIS), d.read(MIS)), (0x50, 0x10));
    assert_eq!(d.read(DR), b'a'.into());
    assert!(d.level(), "one more");
    assert_eq!(d.read(DR), b'b'.into());
    assert!(!d.level());
    assert_eq!((d.read(FR), d.read(RIS)), (0x90, 0));
}

#[test]
fn its_receive_interrupt_waits_for_the_level_and_its_timeout_for_a_byte() {
    for (select, level) in [4, 8, 16, 24, 28, 28, 28, 28].into_iter().enumerate() {
        let mut d = Device::new();
        d.write(LCR_H, 0x70);
        d.write(IFLS, (select as u32) << 3);
        d.receive(level - 1);
        assert_eq!(d.read(RIS), 0x40, "{level}: only the timeout");
        assert_eq!(d.read(FR), 0x80);
        d.receive(1);
        assert_eq!(d.read(RIS), 0x50, "{level}");
        d.read(DR);
        assert_eq!(d.read(RIS), 0x40, "{level}: below again");
        d.receive(33 - level);
        assert_eq!(d.read(FR), 0xc0, "32 bytes fill it");
        d.read(DR);
        assert_eq!(d.read(FR), 0x80);
    }
}

#[test]
fn what_was_cleared_comes_back_with_the_next_byte() {
    let mut d = Device::new();
    d.write(LCR_H, 0x10);
    d.write(IMSC, 0x50);
    d.receive(20);
    assert_eq!(d.read(RIS), 0x50);
    d.write(ICR, 0x10);
    assert_eq!(d.read(RIS), 0x40, "each by itself");
    assert!(d.level());
    d.write(ICR, 0x40);
    assert!(!d.level());
    assert_eq!(d.read(FR) & 0x10, 0, "the bytes are there");
    d.receive(1);
    assert_eq!(d.read(MIS), 0x50);
    assert_eq!(take(d.input).len(), 21);
}

proptest! {
    /// Every access is answered, only DR moves bytes, and the line is high exactly while MIS is not
    /// zero.
    #[test]
    fn any_access_is_answered(
        accesses in prop::collection::vec((0u64..0x1010, any::<u32>()), 0..50),
        received in 0usize..40,
    ) {
        let mut d = Device::new();
        d.receive(received);
        let mut sends = false;
        for (offset, value) in accesses {
            sends |= offset == DR;
            let before = d.input.waiting();
            d.read(offset);
            prop_assert_eq!(before - d.input.waiting(), u32::from(offset < 4 && before > 0));
            d.write(offset, value);
            prop_assert!(d.output.used() == 0 || sends || offset == DR);
            prop_assert_eq!(d.level(), d.read(MIS) != 0);
        }
    }
}
