//! Target `ivshmem`: any accesses to a PCI function's configuration space and registers, with
//! doorbells in between. What the plan fixes does not change, and a model that knows only the rules
//! for the interrupt agrees about each pulse.

use arbitrary::{Arbitrary, Unstructured};
use ivshmem::{Facts, Function, State, action, config, registers};
use plan::View;

const VIEW: View = View {
    core: 1,
    handle: 2,
    id: 1,
    peer_wait: 0,
    registers: 0x2010_1000,
    shared: 0x20_0000_0000,
    size: 0x2_0000_0000,
    section: 0x8000_1000,
    name: *b"fifteen-letters\0",
};

/// What happens to the function.
#[derive(Arbitrary, Debug)]
enum Step {
    /// The peer's doorbell arrives.
    Arrive,
    /// The guest writes configuration space: offset, log2 of the size, value.
    Config(u16, u8, u64),
    /// It writes a register.
    Register(u16, u8, u64),
    /// It reads both.
    Read(u16, u8),
}

/// The interrupt by its rules.
#[derive(Default)]
struct Model {
    enabled: bool,
    disabled: bool,
    shown: bool,
    one_shot: bool,
}

impl Model {
    /// Delivers what is shown, if it may be.
    fn deliver(&mut self) -> bool {
        let delivered = self.enabled && !self.disabled && self.shown;
        self.enabled &= !(delivered && self.one_shot);
        delivered
    }

    fn arrive(&mut self) -> bool {
        self.shown |= self.enabled;
        self.enabled && self.deliver()
    }

    /// Carries out a write of the byte `value` at `offset` of configuration space.
    fn config(&mut self, offset: u64, value: u8) -> bool {
        match offset {
            0x05 => {
                let before = std::mem::replace(&mut self.disabled, value & 4 != 0);
                self.shown &= before || !self.disabled;
                before && !self.disabled && self.deliver()
            }
            0x43 => {
                self.one_shot = value & 1 != 0;
                false
            }
            _ => false,
        }
    }
}

/// Runs one input: a sequence of steps.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (state, fresh) = (State::default(), State::default());
    let function = Function { view: &VIEW, state: &state };
    let reset = Function { view: &VIEW, state: &fresh };
    let mut model = Model::default();
    while !input.is_empty() {
        let Ok(step) = input.arbitrary::<Step>() else {
            return;
        };
        match step {
            Step::Arrive => assert_eq!(function.arrive(), model.arrive()),
            Step::Config(offset, size, value) => {
                let (offset, size) = (u64::from(offset) % 0x1000, 1 << (size % 4));
                let asked = function.write_config(offset, size, value);
                let fits = size <= 4 && offset % size == 0;
                let bytes = (0..size).filter(|_| fits);
                let delivered = bytes
                    .map(|n| model.config(offset + n, (value >> (8 * n)) as u8))
                    .fold(false, |any, one| any | one);
                assert_eq!(asked, if delivered { action::PULSE } else { 0 });
            }
            Step::Register(offset, size, value) => {
                let (offset, size) = (u64::from(offset) % 0x1000, 1 << (size % 4));
                let before = function.read_register(registers::STATE, 4, Facts::default);
                let asked = function.write_register(offset, size, value);
                let word = value as u32;
                let must = match offset {
                    _ if size != 4 => 0,
                    registers::INTERRUPT_CONTROL => {
                        model.enabled = word & 1 != 0;
                        0
                    }
                    registers::DOORBELL if word == 1 << 16 => {
                        u32::from(model.arrive()) * action::PULSE
                    }
                    registers::DOORBELL if word == 0 => action::RING,
                    registers::STATE if u64::from(word) != before => action::STATE,
                    _ => 0,
                };
                assert_eq!(asked, must);
            }
            Step::Read(offset, size) => {
                let size = 1 << (size % 4);
                let read = function.read_config(offset.into(), size);
                let register = function.read_register(offset.into(), size, Facts::default);
                assert!(size == 8 || (read | register) >> (8 * size) == 0);
            }
        }
        let enabled = function.read_register(registers::INTERRUPT_CONTROL, 4, Facts::default);
        assert_eq!(enabled != 0, model.enabled);
        let status = function.read_config(config::STATUS, 2);
        assert_eq!(status & config::status::INTERRUPT != 0, model.shown);
        for offset in (0..0x60).step_by(4) {
            let (now, fixed) = (function.read_config(offset, 4), reset.read_config(offset, 4));
            let may = match offset {
                config::COMMAND => 0x0008_0406,
                config::CAPABILITY => 1 << 24,
                config::BAR0 if now == 0xffff_f000 => u64::MAX,
                config::BAR2 | config::BAR3 => u64::MAX,
                _ => 0,
            };
            assert_eq!((now ^ fixed) & !may, 0, "{offset:#x} reads as {now:#x}");
        }
        let bar =
            function.read_config(config::BAR2, 4) | function.read_config(config::BAR3, 4) << 32;
        let halves = [0x20, 0xffff_fffe];
        assert!(bar & 0xffff_ffff == 0xc && halves.contains(&(bar >> 32)), "BAR2 is {bar:#x}");
    }
}
