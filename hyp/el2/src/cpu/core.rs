//! A core's own state, and its partition's: where they lie, who may touch them.

use ::core::sync::atomic::{AtomicU8, AtomicU32};
use ::core::{array, ptr};

use aarch64_cpu::registers::{TPIDR_EL2, Writeable};
use abi::Reason;
use console::{Keys, Mux, Pace, Pl011};
use doorbell::{Bucket, Deferred, Line};
use plan::{INTIDS, Interrupt, MAX_ENDS, PRIVATE_SIZE, PRIVATE_STATE, STATE_SIZE};
use psci::{Power, Start};
use vgic::{Delivery, Gic};
use zerocopy::FromZeros;

use super::timer;
use crate::exits::Given;
use crate::gic::{self, lists::Lists};
use crate::planned::Plan;
use crate::shared::{PerCore, Shared, Terminal};
use crate::uart::Uart;

/// What belongs to one core alone. `TPIDR_EL2` points to it; the vectors hand it out as an exclusive borrow, once an entry.
/// First what the vectors themselves read.
#[repr(C, align(64))]
pub struct Core {
    /// The part of the shared region that is this core's.
    pub mine: &'static PerCore,
    /// Zero as long as what [`Delivery`] keeps ready holds and no sibling wants anything.
    pub mail: &'static AtomicU32,
    /// Number of its channel ends.
    pub bell_count: u64,
    /// Who holds each SPI, and what says that this core does: [`Gic::holders`].
    pub holders: &'static [AtomicU8; INTIDS - 32],
    /// See there.
    pub holder: u32,
    /// Which interrupt is in which list register.
    pub delivery: Delivery,
    /// Its channel ends, by handle.
    pub bells: [Bell; MAX_ENDS],
    /// This core's index in the plan.
    pub index: usize,
    /// Its row.
    pub row: &'static plan::Core,
    /// Its partition's row.
    pub partition: &'static plan::Partition,
    /// The shared region.
    pub shared: Shared,
    /// What its partition's cores share.
    pub state: &'static State,
    /// What the vGIC needs of this core's hardware.
    pub lists: Lists,
    /// Doorbells put off by the rate limit.
    pub deferred: Deferred,
    /// When to drain the console next, on the console core.
    pub drain_at: u64,
    /// When to look at its partition's PL011 again.
    pub look_at: u64,
    /// The last abort its guest took from EL2.
    pub given: Given,
    /// Its partition has stopped.
    pub stopped: bool,
    /// The console's UART, on the console core.
    pub uart: Option<Uart>,
    /// The console core's place in all rings; unused elsewhere.
    pub mux: Mux,
    /// What was typed before, and which partition gets what is typed, on the console core.
    pub keys: Keys,
    pub listener: usize,
    /// Whether the last drain looked for what was typed first.
    pub listens: bool,
    /// What draining takes there.
    pub pace: Pace,
    /// Its partition's rings.
    pub terminal: &'static Terminal,
    /// The plan.
    pub plan: Plan,
    /// Its core rows.
    pub cores: &'static [plan::Core],
    /// Indices there of its partition's vCPUs.
    pub vcpus: &'static [u32],
}

const _: () = assert!(size_of::<Core>() as u64 <= PRIVATE_STATE);

/// One of a core's channel ends: all that ringing and being rung need.
#[derive(Default)]
#[repr(C)]
pub struct Bell {
    /// Rate limit and counters.
    pub end: doorbell::End,
    /// The peer core's pending word, or none if that end takes no doorbells.
    pub line: Option<&'static Line>,
    /// The peer's bit there.
    pub bit: u64,
    /// What sends the doorbell SGI to the peer's core ([`gic::send`]).
    pub sgi: u64,
    /// State of the peer's partition; of an end, always something, and never running where no doorbells are taken.
    pub peer: Option<&'static AtomicU32>,
    /// The virtual interrupt of a doorbell at this end.
    pub intid: u32,
    /// The peer's handle: the number of [`Bell::bit`].
    pub handle: u32,
}

const _: () = assert!(size_of::<Bell>() == 96, "the vectors index them");

impl Bell {
    fn new(end: &plan::End, cores: &[plan::Core], shared: &Shared) -> Self {
        let mut bell = Self::default();
        bell.end.bucket = Bucket::new(timer::frequency(), end.rate, end.burst);
        bell.intid = end.intid;
        // `plan::NO_CORE` is no core's index.
        let index = end.peer_core as usize;
        let peer = cores.get(index).zip(shared.core(index));
        let partition = peer.map_or(usize::MAX, |_| end.peer_partition as usize);
        bell.peer = Some(shared.state_word(partition));
        if let Some((row, theirs)) = peer {
            bell.line = Some(&theirs.line);
            bell.bit = 1 << (end.peer_handle & 63);
            bell.handle = end.peer_handle;
            bell.sgi = gic::sgi(row.mpidr, gic::DOORBELL);
        }
        bell
    }
}

/// What the cores of one partition share, and no other core maps. Atomics alone; all bytes zero is valid.
#[repr(C)]
pub struct State {
    /// Distributor and banks.
    pub gic: Gic,
    /// Power states of its vCPUs.
    pub power: Power,
    /// Its emulated PL011.
    pub uart: Pl011,
}

const _: () = assert!(size_of::<State>() as u64 <= STATE_SIZE);

impl State {
    /// The state before any vCPU runs, with the start of vCPU 0 waiting. The core of vCPU 0 calls it, before the barrier.
    pub fn init(&self, partition: &plan::Partition, plan: &Plan) {
        let interrupts: &[Interrupt] = plan.slice(partition.interrupts);
        self.gic
            .init(partition.vcpus.count as usize, &partition.gic, interrupts);
        let start = Start {
            entry: partition.entry,
            context: partition.dtb,
        };
        self.power.start(0, start);
    }
}

impl Core {
    /// Makes this core's state from its row, in the private region that the plan gives it.
    ///
    /// # Safety
    /// On the core of that row, with its MMU on, once in its life: what the answer points to is the caller's alone until the
    /// core enters its guest or waits, from where the vectors alone hand it out.
    pub unsafe fn init(row: &'static plan::Core, plan: Plan) -> *mut Core {
        let header = plan.header;
        let cores = plan.cores();
        let index = cores
            .iter()
            .position(|other| ptr::eq(other, row))
            .unwrap_or(0);
        // SAFETY: the plan's shared region, mapped by every core's tables; boot cleared it.
        let shared = unsafe { Shared::new(header.shared, cores.len(), plan.partitions().len()) };
        let (Some(partition), Some(mine), Some(terminal)) = (
            plan.partitions().get(row.partition as usize),
            shared.core(index),
            shared.terminal(row.partition as usize),
        ) else {
            crate::exits::unreachable_state()
        };
        let state = partition.state.base as *mut State;
        if row.vcpu == 0 {
            // SAFETY: the plan gives the partition this region, which its cores alone map; the others of them do not look
            // at it before the barrier, and this core comes here once.
            unsafe { ptr::write_bytes(state.cast::<u8>(), 0, STATE_SIZE as usize) };
        }
        let vcpus: &[u32] = plan.slice(partition.vcpus);
        let ends: &[plan::End] = plan.slice(row.ends);
        let place = (row.private.base + PRIVATE_SIZE - PRIVATE_STATE) as *mut Core;
        // SAFETY: the plan gives this core the region, mapped by its tables alone, and the state lies above the stack. Boot comes here once, and drops this borrow when it enters the
        // guest or waits, from where the vectors alone hand the state out. `State`: as above, atomic and valid when zero.
        unsafe {
            place.write(Core {
                mine,
                mail: (*state).gic.mail(row.vcpu as usize),
                bell_count: ends.len() as u64,
                holders: (*state).gic.holders(),
                holder: row.vcpu + 1,
                delivery: Delivery::new_zeroed(),
                bells: array::from_fn(|_| Bell::default()),
                index,
                row,
                partition,
                shared,
                state: &*state,
                lists: Lists::new(row, vcpus, &plan),
                deferred: Deferred::default(),
                drain_at: timer::NEVER,
                look_at: timer::NEVER,
                given: Given::NONE,
                stopped: false,
                uart: None,
                mux: Mux::default(),
                keys: Keys::default(),
                listener: usize::MAX,
                listens: false,
                pace: Pace::default(),
                terminal,
                plan,
                cores,
                vcpus,
            });
            for (bell, end) in (*place).bells.iter_mut().zip(ends) {
                *bell = Bell::new(end, cores, &shared);
            }
        }
        TPIDR_EL2.set(place as u64);
        place
    }

    /// Counts why EL2 was entered.
    #[inline(always)]
    pub fn count(&self, reason: Reason) {
        self.mine.count(reason);
    }

    /// The channel end with this handle, if the core has it.
    pub fn bell(&mut self, handle: u64) -> Option<&mut Bell> {
        let count = self.bell_count as usize;
        self.bells
            .get_mut(..count)?
            .get_mut(usize::try_from(handle).ok()?)
    }

    /// Sets the timer for whatever comes next.
    pub fn rearm(&self) {
        let deferred = self.deferred.next().unwrap_or(timer::NEVER);
        timer::arm(deferred.min(self.drain_at).min(self.look_at));
    }
}
