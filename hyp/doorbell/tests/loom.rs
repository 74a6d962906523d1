//! Every interleaving of two senders and one receiver that masks, unmasks and takes. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-doorbell --release --test loom`.
#![cfg(loom)]

use bulkhead_doorbell::{Bucket, Counters, Handles, Outcome, PendingWord};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::sync::{Arc, Notify};
use loom::thread;

/// One core's word, its SGI, and for each bit the value that its sender writes before it rings.
struct Core {
    word: PendingWord,
    sgi: Notify,
    said: [AtomicU32; 2],
}

impl Core {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: PendingWord::default(),
            sgi: Notify::new(),
            said: [AtomicU32::new(0), AtomicU32::new(0)],
        })
    }

    /// Rings `bit` for each of `words`; a deferred SGI is retried at its time, before or after the
    /// next ring.
    fn send(&self, mut end: Bucket, bit: u32, words: &[u32]) -> Counters {
        let counters = Counters::default();
        let mut put_off = None;
        for word in words {
            self.said[bit as usize].store(*word, Relaxed);
            match end.ring(&counters, &self.word, bit, || 0) {
                Outcome::Notify => self.sgi.notify(),
                Outcome::Deferred(at) => put_off = Some(at),
                Outcome::Coalesced | Outcome::Held => {}
            }
        }
        if let Some(at) = put_off {
            match end.retry(&self.word, bit, at) {
                Outcome::Notify => self.sgi.notify(),
                outcome => assert_eq!(outcome, Outcome::Held),
            }
        }
        counters
    }

    /// Handles the doorbells in `bits`: what each sender wrote before it rang is visible now.
    fn handle(&self, bits: u64, heard: &mut [u32; 2], received: &mut u64) {
        for bit in Handles(bits) {
            let word = self.said[bit as usize].load(Relaxed);
            assert_ne!(word, 0, "bit {bit} was never rung");
            heard[bit as usize] = word;
            *received += 1;
        }
    }

    /// Waits for SGIs until every sender's last value was received. A lost doorbell makes it wait
    /// for ever, which loom reports.
    fn listen(&self, last: [u32; 2], heard: &mut [u32; 2], received: &mut u64) {
        while *heard != last {
            self.sgi.wait();
            self.handle(self.word.take(), heard, received);
        }
    }

    fn unmask(&self, bit: u32, heard: &mut [u32; 2], received: &mut u64) {
        if self.word.unmask(bit) {
            self.handle(1 << bit, heard, received);
        }
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn two_senders_and_a_masking_receiver() {
    explore(|| {
        let core = Core::new();
        let senders = [(0, &[1, 2][..]), (1, &[1][..])].map(|(bit, words)| {
            let core = core.clone();
            thread::spawn(move || core.send(Bucket::default(), bit, words).sent.get())
        });
        let (mut heard, mut received) = ([0; 2], 0);
        core.word.mask(0);
        core.handle(core.word.take(), &mut heard, &mut received);
        core.unmask(0, &mut heard, &mut received);
        core.listen([2, 1], &mut heard, &mut received);
        let sent: u64 = senders.into_iter().map(|s| s.join().unwrap()).sum();
        // A value may be read before its own doorbell is taken, which is then still pending.
        core.handle(core.word.take(), &mut heard, &mut received);
        assert_eq!(sent, received);
    });
}

#[test]
fn a_deferred_sgi_is_neither_lost_nor_repeated() {
    explore(|| {
        let core = Core::new();
        let sender = {
            let core = core.clone();
            thread::spawn(move || {
                let bucket = Bucket::new(1000, 1, 1);
                let counters = core.send(bucket, 0, &[1, 2]);
                assert_eq!(counters.sent.get() + counters.coalesced.get(), 2);
                counters.sent.get()
            })
        };
        let (mut heard, mut received) = ([0, 7], 0);
        core.handle(core.word.take(), &mut heard, &mut received);
        core.word.mask(0);
        core.unmask(0, &mut heard, &mut received);
        core.listen([2, 7], &mut heard, &mut received);
        let sent = sender.join().unwrap();
        core.handle(core.word.take(), &mut heard, &mut received);
        assert_eq!(sent, received);
    });
}

#[test]
fn masked_doorbells_send_no_sgi_and_wait() {
    explore(|| {
        let core = Core::new();
        core.word.mask(0);
        let sender = {
            let core = core.clone();
            thread::spawn(move || {
                core.said[0].store(1, Relaxed);
                Bucket::default().ring(&Counters::default(), &core.word, 0, || 0)
            })
        };
        assert_eq!(core.word.take(), 0);
        assert_eq!(sender.join().unwrap(), Outcome::Held);
        assert_eq!(core.word.take(), 0);
        assert!(core.word.unmask(0));
        assert!(!core.word.is_pending(0));
    });
}
