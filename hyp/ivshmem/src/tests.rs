//! Configuration space and registers against the specification, the interrupt against its rules.

use super::*;
use core::sync::atomic::Ordering::Relaxed;
use proptest::prelude::*;

const VIEW: View = View {
    core: 0,
    handle: 0,
    id: 1,
    registers: 0x2010_3000,
    shared: 0x20_4000_0000,
    size: 0x10_0000,
    section: 0x4_1000,
    peer_wait: 2,
    name: *b"samples\0\0\0\0\0\0\0\0\0",
};
const FACTS: Facts = Facts { generations: [3, 0xffff], peer_state: 6 };
const INTX_DISABLE: u64 = config::command::INTX_DISABLE;

/// A function, and what the guest does with it.
struct Guest {
    state: State,
}

impl Guest {
    fn new() -> Self {
        Self { state: State::default() }
    }

    fn function(&self) -> Function<'_> {
        Function { view: &VIEW, state: &self.state }
    }

    fn config(&self, offset: u64, size: u64) -> u64 {
        self.function().read_config(offset, size)
    }

    fn configure(&self, offset: u64, size: u64, value: u64) -> u32 {
        self.function().write_config(offset, size, value)
    }

    fn register(&self, offset: u64) -> u64 {
        self.function().read_register(offset, 4, || FACTS)
    }

    fn write(&self, offset: u64, value: u64) -> u32 {
        self.function().write_register(offset, 4, value)
    }

    fn is_shown(&self) -> bool {
        self.config(config::STATUS, 2) & config::status::INTERRUPT != 0
    }
}

#[test]
fn configuration_space_after_a_reset() {
    let guest = Guest::new();
    let mut header = [0u8; 0x58];
    header[..0x10]
        .copy_from_slice(&[0x0a, 0x11, 0x06, 0x41, 0, 0, 0x10, 0, 0, 0, 0, 0xff, 0, 0, 0, 0]);
    header[0x10..0x14].copy_from_slice(&0x2010_3000u32.to_le_bytes());
    header[0x18..0x20].copy_from_slice(&0x20_4000_000cu64.to_le_bytes());
    header[0x2c..0x30].copy_from_slice(&[0x0a, 0x11, 0x48, 0x42]);
    header[0x34] = 0x40;
    header[0x3d] = 1;
    header[0x40..0x43].copy_from_slice(&[9, 0, 0x18]);
    header[0x44..0x48].copy_from_slice(&0x1000u32.to_le_bytes());
    header[0x50..0x58].copy_from_slice(&0x4_1000u64.to_le_bytes());
    for size in [1, 2, 4] {
        for offset in (0..PAGE).step_by(size) {
            let mut bytes = [0; 8];
            for (byte, at) in bytes[..size].iter_mut().zip(offset as usize..) {
                *byte = header.get(at).copied().unwrap_or(0);
            }
            let read = guest.config(offset, size as u64);
            assert_eq!(read, u64::from_le_bytes(bytes), "{offset:#x}, {size}");
        }
    }
}

#[test]
fn accesses_of_other_sizes_and_misaligned_ones_have_no_effect() {
    let guest = Guest::new();
    for (offset, size, read) in [(4, 8, u64::MAX), (5, 2, 0xffff), (6, 4, 0xffff_ffff)] {
        assert_eq!(guest.configure(offset, size, u64::MAX), 0);
        assert_eq!(guest.config(offset, size), read);
    }
    assert_eq!(guest.state.control.load(Relaxed), 0);
    for size in [1, 2, 8] {
        for offset in [registers::INTERRUPT_CONTROL, registers::DOORBELL, registers::STATE] {
            assert_eq!(guest.function().write_register(offset, size, 1), 0);
            assert_eq!(guest.function().read_register(offset, size, || FACTS), 0);
        }
    }
    assert_eq!(guest.register(registers::ID + 2), 0);
    assert_eq!(guest.state.control.load(Relaxed), 0);
    assert_eq!(guest.state.state.load(Relaxed), 0);
    assert_eq!(config::absent(2), 0xffff);
}

#[test]
fn bars_tell_their_sizes_and_stay_where_they_are() {
    let guest = Guest::new();
    let read = || [config::BAR0, 0x14, config::BAR2, config::BAR3].map(|bar| guest.config(bar, 4));
    let planned = [0x2010_3000, 0, 0x4000_000c, 0x20];
    assert_eq!(read(), planned);
    for bar in [config::BAR0, 0x14, config::BAR2, config::BAR3] {
        guest.configure(bar, 4, 0xffff_ffff);
    }
    assert_eq!(read(), [0xffff_f000, 0, 0xfff0_000c, 0xffff_ffff]);
    for (bar, value) in [(config::BAR0, 0xdead_0000), (config::BAR2, 0), (config::BAR3, 0x7f)] {
        guest.configure(bar, 4, value);
    }
    assert_eq!(read(), planned);
    // Less than the whole register.
    guest.configure(config::BAR0, 4, 0xffff_ffff);
    guest.configure(config::BAR0, 2, 0xffff);
    assert_eq!(read(), planned);
    // Without the type bits, as some systems write it.
    guest.configure(config::BAR2, 4, 0xffff_fff0);
    assert_eq!(guest.config(config::BAR2, 4), 0xfff0_000c);
}

#[test]
fn command_and_privileged_control_have_their_bits_only() {
    let guest = Guest::new();
    guest.configure(config::COMMAND, 2, 0xffff);
    assert_eq!(guest.config(config::COMMAND, 4), 0x0010_0406);
    // Only Command's upper byte, then Status, which is read-only.
    guest.configure(config::COMMAND + 1, 1, 0);
    guest.configure(config::STATUS, 2, 0xffff);
    assert_eq!(guest.config(config::COMMAND, 4), 0x0010_0006);
    guest.configure(config::PRIVILEGED, 1, 0xff);
    assert_eq!(guest.config(config::CAPABILITY, 4), 0x0118_0009);
    guest.configure(config::CAPABILITY, 2, 0);
    assert_eq!(guest.config(config::PRIVILEGED, 1), 1);
    guest.configure(config::CAPABILITY, 4, 0);
    assert_eq!(guest.config(config::PRIVILEGED, 1), 0);
}

#[test]
fn registers_and_what_they_ask_for() {
    let guest = Guest::new();
    let name = |at| u64::from(u32::from_le_bytes(*VIEW.name[at..].first_chunk().unwrap()));
    for (offset, value) in [
        (registers::ID, 1),
        (registers::MAXIMUM_PEERS, 2),
        (registers::INTERRUPT_CONTROL, 0),
        (registers::DOORBELL, 0),
        (registers::STATE, 0),
        (0x14, 0),
        (registers::OWN_GENERATION, 3),
        (registers::PEER_GENERATION, 0xffff),
        (registers::PEER_STATE, 6),
        (registers::PEER_WAIT, 2),
        (registers::NAME, name(0)),
        (registers::NAME + 4, name(4)),
        (registers::NAME + 12, 0),
        (registers::NAME + 16, 0),
        (PAGE - 4, 0),
    ] {
        assert_eq!(guest.register(offset), value, "{offset:#x}");
    }
    // Target 0 is the peer. There is one vector, and no third ID.
    for (value, asked) in [(0, action::RING), (1, 0), (2 << 16, 0), (0xffff << 16, 0)] {
        assert_eq!(guest.write(registers::DOORBELL, value), asked, "{value:#x}");
    }
    assert_eq!(guest.write(registers::STATE, 7), action::STATE);
    assert_eq!(guest.write(registers::STATE, 7), 0, "no change, no interrupt");
    assert_eq!(guest.register(registers::STATE), 7);
    for offset in [registers::ID, registers::MAXIMUM_PEERS, 0x14, 0x20, 0x30, PAGE - 4] {
        assert_eq!(guest.write(offset, 0xffff_ffff), 0);
    }
    assert_eq!(guest.register(registers::ID), 1);
}

#[test]
fn a_doorbell_is_one_pulse_while_interrupts_are_on() {
    let guest = Guest::new();
    assert!(!guest.function().arrive());
    assert!(!guest.is_shown(), "Interrupt Control is off");
    guest.write(registers::INTERRUPT_CONTROL, 0xffff_ffff);
    assert_eq!(guest.register(registers::INTERRUPT_CONTROL), 1);
    for _ in 0..3 {
        assert!(guest.function().arrive());
        assert!(guest.is_shown());
    }
    // Turning it on again delivers nothing: a driver that ignores Status does so each time.
    assert_eq!(guest.write(registers::INTERRUPT_CONTROL, 1), 0);
    // The own ID is a target like the peer's.
    assert_eq!(guest.write(registers::DOORBELL, 1 << 16), action::PULSE);
}

#[test]
fn setting_intx_disable_clears_the_status_and_clearing_it_delivers() {
    let guest = Guest::new();
    guest.write(registers::INTERRUPT_CONTROL, 1);
    assert!(guest.function().arrive());
    assert!(guest.is_shown() && guest.is_shown(), "reading does not clear it");
    assert_eq!(guest.configure(config::COMMAND, 2, INTX_DISABLE), 0);
    assert!(!guest.is_shown());
    // Nothing has arrived meanwhile.
    assert_eq!(guest.configure(config::COMMAND, 2, 0), 0);
    guest.configure(config::COMMAND, 2, INTX_DISABLE);
    assert!(!guest.function().arrive());
    assert!(guest.is_shown());
    // A write that leaves it set does not clear the status.
    guest.configure(config::COMMAND, 2, INTX_DISABLE | config::command::MASTER);
    guest.configure(config::COMMAND, 1, 0);
    assert!(guest.is_shown());
    assert_eq!(guest.configure(config::COMMAND, 4, 0), action::PULSE);
    assert_eq!(guest.configure(config::COMMAND, 2, 0), 0, "once");
    // The doorbell is delivered, and seen until INTx Disable is set.
    assert!(guest.is_shown());
}

#[test]
fn one_shot_mode_turns_interrupts_off_at_a_delivery() {
    let guest = Guest::new();
    guest.configure(config::PRIVILEGED, 1, 1);
    guest.write(registers::INTERRUPT_CONTROL, 1);
    assert!(guest.function().arrive());
    assert_eq!(guest.register(registers::INTERRUPT_CONTROL), 0);
    assert!(!guest.function().arrive());
    guest.configure(config::COMMAND, 2, INTX_DISABLE);
    guest.write(registers::INTERRUPT_CONTROL, 1);
    // Not delivered yet, so that interrupts stay on.
    assert!(!guest.function().arrive());
    assert_eq!(guest.register(registers::INTERRUPT_CONTROL), 1);
    assert_eq!(guest.configure(config::COMMAND, 2, 0), action::PULSE);
    assert_eq!(guest.register(registers::INTERRUPT_CONTROL), 0);
    // Off by the guest itself.
    guest.configure(config::COMMAND, 2, INTX_DISABLE);
    guest.write(registers::INTERRUPT_CONTROL, 1);
    guest.function().arrive();
    guest.write(registers::INTERRUPT_CONTROL, 0);
    assert_eq!(guest.configure(config::COMMAND, 2, 0), 0);
}

#[test]
fn requests_are_taken_once() {
    let guest = Guest::new();
    guest.function().request(action::RING);
    guest.function().request(action::STATE);
    assert_eq!(guest.function().take_requests(), action::RING | action::STATE);
    assert_eq!(guest.function().take_requests(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive,
    Config(u64, u64, u64),
    Register(u64, u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop::sample::select(vec![1u64, 2, 4, 8]);
    let value = prop_oneof![Just(0), Just(1), Just(INTX_DISABLE), Just(u64::MAX), any::<u64>()];
    let offset = prop_oneof![
        prop::sample::select(vec![4u64, 0x10, 0x18, 0x1c, 0x40, 0x43, 8, 0xc]),
        0..PAGE,
        any::<u64>(),
    ];
    let access = (offset, size, value);
    let step = prop_oneof![
        Just(Step::Arrive),
        access.clone().prop_map(|(o, s, v)| Step::Config(o, s, v)),
        access.prop_map(|(o, s, v)| Step::Register(o, s, v)),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// Whatever the guest writes, the function keeps its identity, its places and its reserved
    /// bits, and asks for no more than it may.
    #[test]
    fn garbage_changes_only_what_may_change(steps in steps()) {
        let guest = Guest::new();
        let fresh = Guest::new();
        for step in steps {
            let asked = match step {
                Step::Arrive => u32::from(guest.function().arrive()) * action::PULSE,
                Step::Config(offset, size, value) => guest.configure(offset, size, value),
                Step::Register(offset, size, value) => {
                    guest.function().write_register(offset, size, value)
                }
            };
            let may = match step {
                Step::Register(..) => action::PULSE | action::RING | action::STATE,
                _ => action::PULSE,
            };
            prop_assert_eq!(asked & !may, 0);
            if let Step::Config(offset, size, _) | Step::Register(offset, size, _) = step {
                guest.config(offset, size);
                guest.function().read_register(offset, size, || FACTS);
            }
            for offset in (0..0x100).step_by(4) {
                let (now, reset) = (guest.config(offset, 4), fresh.config(offset, 4));
                match offset {
                    config::COMMAND => prop_assert_eq!((now ^ reset) & !0x0008_0406, 0),
                    config::CAPABILITY => prop_assert_eq!((now ^ reset) & !0x0100_0000, 0),
                    config::BAR0 => prop_assert!(now == reset || now == 0xffff_f000),
                    config::BAR2 => prop_assert!(now == reset || now == 0xfff0_000c),
                    config::BAR3 => prop_assert!(now == reset || now == 0xffff_ffff),
                    _ => prop_assert_eq!(now, reset),
                }
            }
        }
    }

    /// Every doorbell that arrives while interrupts are on is delivered at once, or shown by the
    /// status until it is delivered or INTx Disable is set again.
    #[test]
    fn each_doorbell_is_delivered_once_or_shown(steps in steps()) {
        let guest = Guest::new();
        for step in steps {
            let before = guest.state.control.load(Relaxed);
            let on = before & control::ENABLE != 0;
            let masked = before & control::INTX_DISABLE != 0;
            match step {
                Step::Arrive => {
                    let delivered = guest.function().arrive();
                    prop_assert_eq!(delivered, on && !masked);
                    prop_assert!(!on || guest.is_shown());
                }
                Step::Config(offset, size, value) => {
                    let delivered = guest.configure(offset, size, value) == action::PULSE;
                    let after = guest.state.control.load(Relaxed);
                    let opened = masked && after & control::INTX_DISABLE == 0;
                    let waits = before & control::STATUS != 0;
                    prop_assert_eq!(delivered, opened && waits && on);
                }
                Step::Register(offset, size, value) => {
                    guest.function().write_register(offset, size, value);
                }
            }
        }
    }
}
