//! Every interleaving of doorbells with the accesses of two vCPUs. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-ivshmem --release --test loom`.
#![cfg(loom)]

use bulkhead_ivshmem::{Function, State, action, config, registers};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use plan::View;

static VIEW: View = View {
    core: 0,
    handle: 0,
    id: 1,
    peer_wait: 0,
    registers: 0,
    shared: 0,
    size: 0x4000,
    section: 0x1000,
    name: [0; 16],
};

/// A function, and the index that its peer writes before it rings.
#[derive(Default)]
struct System {
    state: State,
    index: AtomicU32,
    pulses: AtomicU32,
}

impl System {
    fn function(&self) -> Function<'_> {
        Function { view: &VIEW, state: &self.state }
    }

    /// The peer sends, and its doorbell arrives at the end's core.
    fn send(&self) {
        self.index.fetch_add(1, Relaxed);
        if self.function().arrive() {
            self.pulses.fetch_add(1, Relaxed);
        }
    }

    fn configure(&self, command: u64) {
        if self.function().write_config(config::COMMAND, 2, command) == action::PULSE {
            self.pulses.fetch_add(1, Relaxed);
        }
    }
}

/// A guest that turns interrupts on and then looks at the index sees it, or takes a pulse.
#[test]
fn no_wake_up_is_lost_to_interrupt_control() {
    loom::model(|| {
        let system = Arc::new(System::default());
        let sender = {
            let system = system.clone();
            thread::spawn(move || system.send())
        };
        system.function().write_register(registers::INTERRUPT_CONTROL, 4, 1);
        let seen = system.index.load(Relaxed);
        sender.join().unwrap();
        assert!(seen == 1 || system.pulses.load(Relaxed) == 1);
    });
}

/// The same for a guest that has set INTx Disable in its interrupt handler, and clears it before it
/// looks.
#[test]
fn no_wake_up_is_lost_to_intx_disable() {
    loom::model(|| {
        let system = Arc::new(System::default());
        system.function().write_register(registers::INTERRUPT_CONTROL, 4, 1);
        system.configure(config::command::INTX_DISABLE);
        let sender = {
            let system = system.clone();
            thread::spawn(move || system.send())
        };
        system.configure(0);
        let seen = system.index.load(Relaxed);
        sender.join().unwrap();
        assert!(seen == 1 || system.pulses.load(Relaxed) == 1);
    });
}

/// Two vCPUs change different registers while a doorbell arrives: neither change is lost.
#[test]
fn vcpus_do_not_undo_each_other() {
    loom::model(|| {
        let system = Arc::new(System::default());
        system.function().write_register(registers::INTERRUPT_CONTROL, 4, 1);
        let threads = [
            thread::spawn({
                let system = system.clone();
                move || system.send()
            }),
            thread::spawn({
                let system = system.clone();
                move || {
                    system.function().write_config(config::PRIVILEGED, 1, 1);
                }
            }),
        ];
        system.configure(config::command::MASTER);
        for thread in threads {
            thread.join().unwrap();
        }
        let function = system.function();
        let status = function.read_config(config::STATUS, 2);
        assert_ne!(status & config::status::INTERRUPT, 0);
        assert_eq!(function.read_config(config::COMMAND, 2), config::command::MASTER);
        assert_eq!(function.read_config(config::PRIVILEGED, 1), 1);
        assert_eq!(system.pulses.load(Relaxed), 1);
    });
}

/// What a vCPU asks of the end's core is done, however often that core looks.
#[test]
fn no_request_is_lost() {
    loom::model(|| {
        let system = Arc::new(System::default());
        let asker = {
            let system = system.clone();
            thread::spawn(move || {
                let asked = system.function().write_register(registers::STATE, 4, 7);
                system.function().request(asked);
            })
        };
        let mut table = 0;
        let mut serve = || {
            if system.function().take_requests() & action::STATE != 0 {
                table = system.state.state.load(Relaxed);
            }
        };
        serve();
        asker.join().unwrap();
        serve();
        assert_eq!(table, 7);
    });
}
