//! The power state machine of one partition: PSCI 1.1 (Arm DEN 0022), only for its own vCPUs.
//!
//! Each vCPU has one state word, moved only by atomic read-modify-writes, so of two racing calls
//! exactly one wins and no core ever waits. An entry point is written while the target is *claimed*
//! and read only once it is *pending*:
//!
//! ```text
//!          CPU_ON            entry written          take_start
//!   OFF ------------> CLAIMED ------------> PENDING ------------> ON
//!    ^                                                            |
//!    +------------------------------ CPU_OFF ---------------------+      halt_all: any -> HALTED
//! ```
//!
//! vCPU 0 starts vCPU 1:
//!
//! ```
//! use bulkhead_psci::{Action, Power, Start, fid, ret};
//!
//! let power = Power::default();
//! power.start(0, Start { entry: 0x4000_0000, context: 0 });
//! assert!(power.take_start(0).is_some()); // the core of vCPU 0 enters its guest
//!
//! let in_memory = |ipa| (0x4000_0000..0x4200_0000).contains(&ipa);
//! let on = |entry| power.call(fid::CPU_ON | fid::SMC64, [1, entry, 7], 0, 2, in_memory);
//! assert_eq!(on(0x1000), Action::Return(ret::INVALID_ADDRESS));
//! assert_eq!(on(0x4000_1000), Action::Wake { vcpu: 1 });
//! assert_eq!(on(0x4000_1000), Action::Return(ret::ALREADY_ON));
//! // On its own core:
//! assert_eq!(power.take_start(1), Some(Start { entry: 0x4000_1000, context: 7 }));
//! assert_eq!(on(0x4000_1000), Action::Return(ret::ALREADY_ON));
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod restart;

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Most vCPUs of one partition.
pub const MAX_VCPUS: usize = plan::MAX_VCPUS;

/// Function identifiers (DEN 0022, section 5.1). Those with addresses or affinities have an SMC64
/// form, [`fid::SMC64`] set.
pub mod fid {
    /// Bit 30: the SMC64 form of a call.
    pub const SMC64: u32 = 1 << 30;
    /// `PSCI_VERSION`.
    pub const VERSION: u32 = 0x8400_0000;
    /// `CPU_SUSPEND`.
    pub const CPU_SUSPEND: u32 = 0x8400_0001;
    /// `CPU_OFF`.
    pub const CPU_OFF: u32 = 0x8400_0002;
    /// `CPU_ON`.
    pub const CPU_ON: u32 = 0x8400_0003;
    /// `AFFINITY_INFO`.
    pub const AFFINITY_INFO: u32 = 0x8400_0004;
    /// `MIGRATE_INFO_TYPE`.
    pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
    /// `SYSTEM_OFF`.
    pub const SYSTEM_OFF: u32 = 0x8400_0008;
    /// `SYSTEM_RESET`.
    pub const SYSTEM_RESET: u32 = 0x8400_0009;
    /// `PSCI_FEATURES`.
    pub const FEATURES: u32 = 0x8400_000a;
    /// `SYSTEM_RESET2`.
    pub const SYSTEM_RESET2: u32 = 0x8400_0012;
}

/// Results (DEN 0022, section 5.2.2).
pub mod ret {
    /// `SUCCESS`.
    pub const SUCCESS: i64 = 0;
    /// `NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: i64 = -1;
    /// `INVALID_PARAMETERS`.
    pub const INVALID_PARAMETERS: i64 = -2;
    /// `DENIED`.
    pub const DENIED: i64 = -3;
    /// `ALREADY_ON`.
    pub const ALREADY_ON: i64 = -4;
    /// `INVALID_ADDRESS`.
    pub const INVALID_ADDRESS: i64 = -9;
    /// `PSCI_VERSION`: 1.1.
    pub const VERSION_1_1: i64 = 0x1_0001;
    /// `AFFINITY_INFO`: on.
    pub const AFFINITY_ON: i64 = 0;
    /// `AFFINITY_INFO`: off.
    pub const AFFINITY_OFF: i64 = 1;
    /// `AFFINITY_INFO`: switched on, has not started yet.
    pub const AFFINITY_ON_PENDING: i64 = 2;
    /// `MIGRATE_INFO_TYPE`: there is no Trusted OS that would have to migrate.
    pub const NO_TRUSTED_OS: i64 = 2;
}

/// Where a vCPU starts or resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Guest address of the first instruction.
    pub entry: u64,
    /// Value of x0 there.
    pub context: u64,
}

/// What EL2 has to do about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put this into X0 and continue.
    Return(i64),
    /// Wake that vCPU's core, then return [`ret::SUCCESS`]. The core finds the start in
    /// [`Power::take_start`].
    Wake {
        /// The vCPU that now has a start waiting.
        vcpu: usize,
    },
    /// The caller is off: its core waits for [`Power::take_start`].
    Off,
    /// Wait until an interrupt is pending for the caller. Then continue at `resume` with the reset
    /// state of a start, or, if it is `None` (a standby state), return [`ret::SUCCESS`] with all
    /// registers kept.
    Suspend {
        /// Where to resume from a powerdown state.
        resume: Option<Start>,
    },
    /// Stop the partition: `SYSTEM_OFF`.
    SystemOff,
    /// Stop the partition and start it again: `SYSTEM_RESET`.
    SystemReset,
}

const OFF: u32 = 0;
const CLAIMED: u32 = 1;
const PENDING: u32 = 2;
const ON: u32 = 3;
const HALTED: u32 = 4;

/// One vCPU's power state. All bytes zero means off.
#[derive(Default)]
#[repr(C)]
struct Vcpu {
    state: AtomicU32,
    entry: AtomicU64,
    context: AtomicU64,
}

impl Vcpu {
    fn moves(&self, from: u32, to: u32) -> Result<u32, u32> {
        // Sequentially consistent, so that of two vCPUs switching off at least one sees both off
        // (`Power::all_off`).
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
    }

    /// Moves from off to pending. If the vCPU was not off, the error is its state.
    fn start(&self, start: Start) -> Result<u32, u32> {
        self.moves(OFF, CLAIMED)?;
        // No core reads these before PENDING, and no other core writes them in CLAIMED.
        self.entry.store(start.entry, Ordering::Relaxed);
        self.context.store(start.context, Ordering::Relaxed);
        self.moves(CLAIMED, PENDING)
    }
}

/// Power states of a partition's vCPUs, shared by its own cores. All bytes zero is valid: every
/// vCPU off.
#[derive(Default)]
#[repr(C)]
pub struct Power {
    vcpus: [Vcpu; MAX_VCPUS],
}

impl Power {
    /// Gives a vCPU that is off its start, as `CPU_ON` would; vCPU 0 begins in this way. Returns
    /// false if it was not off.
    pub fn start(&self, vcpu: usize, start: Start) -> bool {
        self.vcpus.get(vcpu).is_some_and(|v| v.start(start).is_ok())
    }

    /// Takes the start that waits for vCPU `me`, which is then on. Only the core of `me` calls it.
    pub fn take_start(&self, me: usize) -> Option<Start> {
        let vcpu = self.vcpus.get(me)?;
        if vcpu.state.load(Ordering::Acquire) != PENDING {
            return None;
        }
        let start = Start {
            entry: vcpu.entry.load(Ordering::Relaxed),
            context: vcpu.context.load(Ordering::Relaxed),
        };
        vcpu.moves(PENDING, ON).ok().map(|_| start)
    }

    /// Returns whether every vCPU is off and none is about to start: nothing can ever run in this
    /// partition again.
    pub fn all_off(&self) -> bool {
        let off = |v: &Vcpu| matches!(v.state.load(Ordering::SeqCst), OFF | HALTED);
        self.vcpus.iter().all(off)
    }

    /// Stops the partition: from now on a vCPU never takes a start, also if a call is under way on
    /// another core.
    pub fn halt_all(&self) {
        for vcpu in &self.vcpus {
            // This is a read-modify-write, so that a claim under way on another core fails to
            // become a start.
            vcpu.state.swap(HALTED, Ordering::SeqCst);
        }
    }

    /// Answers PSCI call `fid` with X1 to X3 in `args`, from vCPU `me` of a partition of `vcpus`
    /// vCPUs.
    ///
    /// `entry_ok` says whether a guest address is in the partition's memory. This function never
    /// waits and never fails: any other call than the PSCI calls of this partition gets
    /// [`ret::NOT_SUPPORTED`].
    pub fn call(
        &self,
        fid: u32,
        args: [u64; 3],
        me: usize,
        vcpus: usize,
        entry_ok: impl Fn(u64) -> bool,
    ) -> Action {
        let own = self.vcpus.get(..vcpus).unwrap_or(&self.vcpus);
        let Some(function) = function(fid) else {
            return Action::Return(ret::NOT_SUPPORTED);
        };
        // An SMC32 call has W registers for arguments; the bits above them are not part of the call
        // (DEN 0028, 3.1).
        let width = u64::MAX >> if fid & fid::SMC64 == 0 { 32 } else { 0 };
        let [a, b, c] = args.map(|arg| arg & width);
        // Bits 1:0 of an entry point: AArch64 instructions are aligned, and there is no Thumb here.
        let start = |entry: u64, context: u64| {
            (entry & 3 == 0 && entry_ok(entry)).then_some(Start { entry, context })
        };
        let result = match function {
            fid::VERSION => ret::VERSION_1_1,
            fid::CPU_SUSPEND => return suspend(a, start(b, c)),
            fid::CPU_OFF => {
                if let Some(vcpu) = own.get(me) {
                    // This fails only if the partition was halted meanwhile; the core then waits in
                    // EL2 too.
                    let _ = vcpu.moves(ON, OFF);
                }
                return Action::Off;
            }
            fid::CPU_ON => return cpu_on(own, a, start(b, c)),
            fid::AFFINITY_INFO => affinity_info(own, a, b),
            fid::MIGRATE_INFO_TYPE => ret::NO_TRUSTED_OS,
            fid::SYSTEM_OFF => return Action::SystemOff,
            fid::SYSTEM_RESET => return Action::SystemReset,
            // Type 0 is `SYSTEM_WARM_RESET`; those with bit 31 are a vendor's (5.13).
            fid::SYSTEM_RESET2 if a as u32 == 0 => return Action::SystemReset,
            fid::SYSTEM_RESET2 => ret::INVALID_PARAMETERS,
            // The argument is W1; the bits above it are ignored. CPU_SUSPEND's flags are zero too:
            // original StateID format, no OS-initiated mode.
            _ => match a as u32 {
                SMCCC_VERSION => ret::SUCCESS,
                asked => self::function(asked).map_or(ret::NOT_SUPPORTED, |_| ret::SUCCESS),
            },
        };
        Action::Return(result)
    }
}

/// `SMCCC_VERSION` (DEN 0028): a caller learns from `PSCI_FEATURES` that it may call it.
const SMCCC_VERSION: u32 = 0x8000_0000;

/// Returns the SMC32 identifier of the function that `fid` names in either form, if the partition
/// has it.
#[inline(always)]
pub fn function(fid: u32) -> Option<u32> {
    let smc32 = fid & !fid::SMC64;
    let number = smc32.wrapping_sub(fid::VERSION);
    // Each bit is a function's number, as `fid` lists them.
    let there = if fid == smc32 { 0x4_075f } else { 0x4_001a };
    (number < 32 && there >> number & 1 != 0).then_some(smc32)
}

/// Answers `CPU_SUSPEND` (5.4), with `power_state` in the original format: StateType in bit 16,
/// PowerLevel in 25:24, StateID in 15:0.
///
/// A vCPU has one standby and one powerdown state, both of the core's level; the StateID is
/// ignored.
fn suspend(power_state: u64, resume: Option<Start>) -> Action {
    const STATE_ID: u64 = 0xffff;
    const POWERDOWN: u64 = 1 << 16;
    match power_state & !STATE_ID {
        0 => Action::Suspend { resume: None },
        POWERDOWN if resume.is_none() => Action::Return(ret::INVALID_ADDRESS),
        POWERDOWN => Action::Suspend { resume },
        _ => Action::Return(ret::INVALID_PARAMETERS),
    }
}

/// Answers `CPU_ON` (5.6). vCPU n has affinity 0.0.0.n, so the target affinity is the index, and a
/// foreign one has no row.
fn cpu_on(vcpus: &[Vcpu], target: u64, start: Option<Start>) -> Action {
    let vcpu = target as usize;
    let result = match (vcpus.get(vcpu), start) {
        (None, _) => ret::INVALID_PARAMETERS,
        (_, None) => ret::INVALID_ADDRESS,
        (Some(target), Some(start)) => match target.start(start) {
            Ok(_) => return Action::Wake { vcpu },
            // The loser of a race gets this answer in each of these states: KVM and Xen have no
            // `ON_PENDING`, and software written for them takes any error but `ALREADY_ON` for a
            // fault (kvm-unit-tests' cpu-on, EDK2's ArmPsciMpServices).
            Err(CLAIMED | PENDING | ON) => ret::ALREADY_ON,
            // The partition stops, and the caller is about to stop.
            Err(_) => ret::DENIED,
        },
    };
    Action::Return(result)
}

/// Answers `AFFINITY_INFO` (5.7) for one vCPU: PSCI 1.0 and later leave the levels above to the
/// implementation.
fn affinity_info(vcpus: &[Vcpu], target: u64, level: u64) -> i64 {
    match vcpus.get(target as usize) {
        Some(vcpu) if level == 0 => match vcpu.state.load(Ordering::Acquire) {
            ON => ret::AFFINITY_ON,
            CLAIMED | PENDING => ret::AFFINITY_ON_PENDING,
            _ => ret::AFFINITY_OFF,
        },
        _ => ret::INVALID_PARAMETERS,
    }
}
