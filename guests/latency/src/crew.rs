// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tasks from the lead to the other partitions, by words in the pages of a channel each. A
//! partition without a task sleeps.

use core::sync::atomic::Ordering;

use bench::rendezvous::Rendezvous;
use rt::{Tree, Wait, fail, hv, interrupt, psci, timer};

use crate::plan::{Kind, Load, Path, Row};

/// Words of the lead's page: the task's number, which is written last, and the task.
const NUMBER: usize = 0;
const WHAT: usize = 1;
const BYTES: usize = 2;
const COUNT: usize = 3;
/// The number of the restart that may begin.
const GO: usize = 4;
/// Words of the other's page: the number of the task that it began, and of the one it ended.
const BEGUN: usize = 1;
const ENDED: usize = 0;
/// When its life's program began.
const BORN: usize = 2;

/// A task.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// Do the row's other end.
    Serve(Row),
    /// Keep the core busy until the next task.
    Load(Load),
    /// Reset the partition.
    Restart,
    /// Switch off.
    Stop,
}

/// The first values of a word that says which task it is.
const SERVE: u64 = 0;
const LOAD: u64 = 1;
const STOP: u64 = 2;
const RESTART: u64 = 3;

impl Task {
    fn encode(self) -> [u64; 3] {
        match self {
            Self::Serve(row) => [
                SERVE | (row.kind as u64) << 8 | (row.path as u64) << 16 | (row.way as u64) << 24,
                row.bytes as u64,
                row.count,
            ],
            Self::Load(load) => [LOAD | (load as u64) << 8, 0, 0],
            Self::Restart => [RESTART, 0, 0],
            Self::Stop => [STOP, 0, 0],
        }
    }

    fn decode([what, bytes, count]: [u64; 3]) -> Option<Self> {
        let byte = |at: u64| (what >> at & 0xff) as usize;
        Some(match what & 0xff {
            SERVE => Self::Serve(Row {
                kind: *Kind::ALL.get(byte(8))?,
                path: if byte(16) == 0 { Path::Direct } else { Path::Relayed },
                way: [Wait::Doorbell, Wait::Wfe, Wait::Poll]
                    .into_iter()
                    .find(|way| *way as usize == byte(24))?,
                load: Load::None,
                bytes: bytes as usize,
                count,
            }),
            LOAD => Self::Load(*Load::ALL.get(byte(8))?),
            RESTART => Self::Restart,
            STOP => Self::Stop,
            _ => return None,
        })
    }
}

/// The lead's ends of the channels for tasks.
pub struct Crew {
    relay: Rendezvous,
    peer: Rendezvous,
    load: Rendezvous,
    /// Number of the last task.
    number: u64,
    /// The load that runs.
    running: Load,
}

impl Crew {
    /// Opens the channels.
    pub fn open(tree: &Tree) -> Self {
        let [relay, peer, load] =
            ["tasks-relay", "tasks-peer", "tasks-load"].map(|name| Rendezvous::open(tree, name));
        for end in [&relay, &peer, &load] {
            interrupt::enable(end.intid);
        }
        Self { relay, peer, load, number: 0, running: Load::None }
    }

    fn give(&mut self, to: fn(&Self) -> &Rendezvous, task: Task) {
        self.number += 1;
        let end = to(self);
        let words = task.encode();
        for (index, word) in [WHAT, BYTES, COUNT].into_iter().zip(words) {
            end.tell(index, word);
        }
        end.tell(NUMBER, self.number);
        // The other may be awake already; then the doorbell is one too many, and does no harm.
        if hv::ring(end.handle).is_err() {
            fail!("a partition stopped before its task {task:?}");
        }
        end.await_word(BEGUN, self.number);
    }

    /// Has the other cores do this until another load is given.
    pub fn load(&mut self, load: Load) {
        if load == self.running {
            return;
        }
        self.running = load;
        self.give(|crew| &crew.relay, Task::Load(load));
        self.give(|crew| &crew.load, Task::Load(load));
    }

    /// Has the peer, and for a relayed row the relay, do the other end of a row.
    pub fn serve(&mut self, row: &Row) {
        if row.path == Path::Relayed {
            self.give(|crew| &crew.relay, Task::Serve(*row));
        }
        self.give(|crew| &crew.peer, Task::Serve(*row));
    }

    /// Waits until they have done it.
    pub fn served(&self, row: &Row) {
        self.peer.await_word(ENDED, self.number);
        if row.path == Path::Relayed {
            self.relay.await_word(ENDED, self.number - 1);
        }
    }

    /// Has the partition that makes load reset itself; returns the time until its program runs
    /// again.
    pub fn restart(&mut self) -> u64 {
        self.give(|crew| &crew.load, Task::Restart);
        let start = timer::now();
        self.load.tell(GO, self.number);
        // EL2 clears the other's page, and the other then writes a time that is later.
        self.load.await_word(BORN, start);
        self.load.words(BORN).1.load(Ordering::Acquire) - start
    }

    /// Switches the other partitions off.
    pub fn stop(&mut self) {
        self.give(|crew| &crew.relay, Task::Stop);
        self.give(|crew| &crew.peer, Task::Stop);
        self.give(|crew| &crew.load, Task::Stop);
    }
}

/// Another partition's end of its channel for tasks.
pub struct Desk {
    end: Rendezvous,
    number: u64,
}

impl Desk {
    /// Opens the channel of this name.
    pub fn open(tree: &Tree, name: &str) -> Self {
        let end = Rendezvous::open(tree, name);
        interrupt::enable(end.intid);
        // In the next life the last task is the reset, which is done.
        let [number, what] = [NUMBER, WHAT].map(|word| end.words(word).1.load(Ordering::Acquire));
        Self { end, number: if what == RESTART { number } else { 0 } }
    }

    /// Says when this life's program began: from here on there may be tasks.
    pub fn born(&self, time: u64) {
        self.end.tell(BORN, time);
    }

    /// Waits until the reset may begin, and resets the partition.
    pub fn restart(&self) -> ! {
        self.end.await_word(GO, self.number);
        psci::system_reset()
    }

    /// Whether there is another task.
    pub fn is_called(&self) -> bool {
        self.end.words(NUMBER).1.load(Ordering::Acquire) > self.number
    }

    /// Sleeps until there is a task; returns it.
    pub fn next(&mut self) -> Task {
        while !self.is_called() {
            interrupt::wait();
        }
        self.number = self.end.words(NUMBER).1.load(Ordering::Acquire);
        let words =
            [WHAT, BYTES, COUNT].map(|index| self.end.words(index).1.load(Ordering::Relaxed));
        let task = Task::decode(words).unwrap_or_else(|| fail!("an unknown task {words:x?}"));
        self.end.tell(BEGUN, self.number);
        task
    }

    /// Says that the task is done.
    pub fn done(&self) {
        self.end.tell(ENDED, self.number);
    }
}
