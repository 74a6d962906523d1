//! The interface between guests and EL2: call numbers, results, reasons. `hyp/channel` defines the
//! interface between guests.
//!
//! Calls follow the SMC Calling Convention (Arm DEN 0028): function number in W0, arguments from
//! X1, result in X0 (negative is an error), X4 to X17 preserved. HVC and SMC reach the same calls.
//! The tables of `docs/guest-abi.md` and the C header are generated from this file by
//! `cargo xtask abi`.
//!
//! This example interprets an answer of `RING` and tests which entries a neighbour causes:
//!
//! ```
//! use bulkhead_abi::{Reason, error, ring};
//!
//! fn is_sent(x0: i64) -> Result<bool, i64> {
//!     match x0 {
//!         ring::SENT | ring::COALESCED | ring::DEFERRED => Ok(true),
//!         error::PEER_DOWN => Ok(false), // the peer has stopped: nobody waits for this message
//!         other => Err(other),
//!     }
//! }
//!
//! assert_eq!(is_sent(1), Ok(true));
//! assert_eq!(is_sent(-4), Ok(false));
//! assert_eq!(is_sent(-2), Err(error::BAD_HANDLE));
//! assert!(Reason::FOREIGN.contains(&Reason::Doorbell));
//! assert_eq!(Reason::NAMES[Reason::Doorbell as usize], "doorbell");
//! ```
#![no_std]
#![forbid(unsafe_code)]

/// Standard calls that Bulkhead answers (DEN 0028, section 7).
pub mod smccc {
    /// `SMCCC_VERSION`.
    pub const VERSION: u32 = 0x8000_0000;
    /// `SMCCC_ARCH_FEATURES`.
    pub const ARCH_FEATURES: u32 = 0x8000_0001;
    /// Call UID of the vendor-specific hypervisor service: answers [`super::UID`] in W0 to W3.
    pub const VENDOR_UID: u32 = 0x8600_ff01;
    /// Revision of the vendor-specific hypervisor service: [`super::REVISION_MAJOR`] in W0,
    /// [`super::REVISION_MINOR`] in W1.
    pub const VENDOR_REVISION: u32 = 0x8600_ff03;
    /// The watchdog of Linux's driver `arm,smc-wdt`: a command of [`super::watchdog`] in W1, its
    /// argument in W2, and a result of PSCI.
    pub const WATCHDOG: u32 = 0x8200_3d06;
    /// First function of the true random number service (DEN 0098), answered with `NOT_SUPPORTED`.
    pub const TRNG_VERSION: u32 = 0x8400_0050;
    /// `SMCCC_VERSION` result: 1.2.
    pub const VERSION_1_2: i64 = 0x1_0002;
    /// What every unknown call returns.
    pub const NOT_SUPPORTED: i64 = -1;
}

/// UID of Bulkhead's vendor-specific hypervisor service, 5f1c9bd2-62a8-4c3e-9a07-b0c4de1a7755, as
/// W0 to W3.
pub const UID: [u32; 4] = [0xd29b_1c5f, 0x3e4c_a862, 0xc4b0_079a, 0x5577_1ade];
/// Major revision of this ABI: a guest built for another does not run.
pub const REVISION_MAJOR: u32 = 2;
/// Minor revision of this ABI: calls, errors and properties may have been added since a lower one.
pub const REVISION_MINOR: u32 = 1;

/// Bulkhead's calls: fast, 64-bit, vendor-specific hypervisor service.
///
/// The lists below each call become a row of `docs/guest-abi.md`: run `cargo xtask abi` after a
/// change.
pub mod call {
    /// Returns the ABI revision. The cheapest call.
    ///
    /// - Result: major revision in bits 31:16, minor in 15:0.
    pub const VERSION: u32 = 0xc600_0000;
    /// Returns one fact about the caller.
    ///
    /// - Arguments: X1 = an item of [`super::query`].
    /// - Result: the item.
    /// - Errors: [`super::error::BAD_ARGUMENT`].
    pub const QUERY: u32 = 0xc600_0001;
    /// Returns where the pages of a channel end are. The pages that the peer writes are as large as
    /// the peer's X2.
    ///
    /// - Arguments: X1 = handle.
    /// - Result: 0; X1 = IPA and X2 = bytes of the pages the caller writes, X3 = IPA of the pages
    ///   its peer writes.
    /// - Errors: [`super::error::BAD_HANDLE`].
    pub const CHANNEL: u32 = 0xc600_0002;
    /// Sends a doorbell to the peer.
    ///
    /// - Arguments: X1 = handle.
    /// - Result: one of [`super::ring`].
    /// - Errors: [`super::error::BAD_HANDLE`], [`super::error::PEER_DOWN`],
    ///   [`super::error::NO_DOORBELL`].
    pub const RING: u32 = 0xc600_0003;
    /// Holds doorbells of this end back, or lets them through again. None is lost.
    ///
    /// - Arguments: X1 = handle, X2 = 1 hold back, 0 let through.
    /// - Result: 0.
    /// - Errors: [`super::error::BAD_HANDLE`], [`super::error::BAD_ARGUMENT`].
    pub const MASK: u32 = 0xc600_0004;
    /// Returns a counter of this end.
    ///
    /// - Arguments: X1 = handle, X2 = an item of [`super::status`].
    /// - Result: the item.
    /// - Errors: [`super::error::BAD_HANDLE`], [`super::error::BAD_ARGUMENT`].
    pub const STATUS: u32 = 0xc600_0005;
    /// Returns the state of the peer's partition, and the generations of both partitions: their
    /// starts, counted from 1 to 65535, after which 1 follows.
    ///
    /// - Arguments: X1 = handle.
    /// - Result: one of [`super::state`]; X1 = the peer's generation, that of its last life if it
    ///   does not run; X2 = the caller's own.
    /// - Errors: [`super::error::BAD_HANDLE`].
    pub const PEER: u32 = 0xc600_0006;
    /// Returns how often EL2 was entered for a reason on the core of one of the caller's vCPUs.
    ///
    /// - Arguments: X1 = vCPU, X2 = a [`super::Reason`].
    /// - Result: the count.
    /// - Errors: [`super::error::BAD_ARGUMENT`].
    pub const ENTRIES: u32 = 0xc600_0007;
    /// Gives the caller's partition up: it stops, its state is `failed`, and EL2's line on the
    /// console and the crash record have the code.
    ///
    /// - Arguments: X1 = code.
    /// - Result: does not return.
    pub const FAIL: u32 = 0xc600_0008;
    /// Returns the instructions that EL2 retired on the caller's core since it started (PMU event
    /// INST_RETIRED).
    ///
    /// - Result: the count modulo 2^32.
    /// - Errors: [`super::error::NOT_SUPPORTED`] on a core without a PMU.
    pub const EL2_INSTRUCTIONS: u32 = 0xc600_0009;
    /// Sets the watchdog of the caller's partition: without another call within the time-out the
    /// partition has a fault. Any vCPU may call; there is one watchdog.
    ///
    /// - Arguments: X1 = time-out in microseconds, at most a day's; 0 switches the watchdog off.
    /// - Result: 0.
    /// - Errors: [`super::error::BAD_ARGUMENT`], also for 0 if the manifest has `watchdog`.
    pub const WATCHDOG: u32 = 0xc600_000a;
    /// Returns three words of a crash record. This call and those after it are for supervisors.
    /// EL2 keeps the last records, and numbers them from 0 on.
    ///
    /// - Arguments: X1 = number of the record, X2 = index of the first word: below 80.
    /// - Result: 0; X1 to X3 = the words, 0 beyond the last one.
    /// - Errors: [`super::error::BAD_HANDLE`] if the record is not kept, or has its number and is
    ///   not written yet, with X1 = the number of the next record; those of `PARTITION`.
    pub const CRASH_RECORD: u32 = 0xc600_000b;
    /// Returns the state of a partition.
    ///
    /// - Arguments: X1 = partition.
    /// - Result: one of [`super::state`]; X1 = its generation, X2 = its starts since boot, X3 = its
    ///   number of vCPUs.
    /// - Errors: [`super::error::BAD_ARGUMENT`]; [`super::error::NOT_SUPPORTED`] unless the caller
    ///   is a supervisor.
    pub const PARTITION: u32 = 0xc600_000c;
    /// Returns how often EL2 was entered for a reason on the core of a partition's vCPU.
    ///
    /// - Arguments: X1 = partition, X2 = vCPU, X3 = a [`super::Reason`].
    /// - Result: the count.
    /// - Errors: those of `PARTITION`.
    pub const PARTITION_ENTRIES: u32 = 0xc600_000d;
    /// Returns the counters of a channel end of a partition's vCPU: the items of `STATUS`.
    ///
    /// - Arguments: X1 = partition, X2 = vCPU, X3 = handle.
    /// - Result: `SENT`; X1 = `COALESCED`, X2 = `DEFERRED`, X3 = `RECEIVED`.
    /// - Errors: those of `PARTITION`, [`super::error::BAD_HANDLE`].
    pub const PARTITION_DOORBELLS: u32 = 0xc600_000e;
    /// Orders a partition to stop or to start. Its own cores do so after the call has returned; an
    /// order that they have not carried out is replaced by the next one.
    ///
    /// - Arguments: X1 = partition, also the caller's own; X2 = an item of [`super::supervise`].
    /// - Result: 0.
    /// - Errors: those of `PARTITION`, [`super::error::DAMAGED`], [`super::error::TOO_MANY`].
    pub const SUPERVISE: u32 = 0xc600_000f;
}

/// Commands of [`smccc::WATCHDOG`]. Times are in seconds.
pub mod watchdog {
    /// Returns the shortest and the longest time-out in W1 and W2.
    pub const INIT: u32 = 0;
    /// Sets the time-out, W2.
    pub const SET_TIMEOUT: u32 = 1;
    /// Switches the watchdog on (W2 = 1) or off (0).
    pub const ENABLE: u32 = 2;
    /// Begins the time-out anew.
    pub const PET: u32 = 3;
    /// Returns the time that is left in W1.
    pub const GET_TIMELEFT: u32 = 4;
    /// Longest time-out: a day.
    pub const LONGEST: u64 = 24 * 60 * 60;
}

/// Errors in X0.
pub mod error {
    /// No such call.
    pub const NOT_SUPPORTED: i64 = -1;
    /// The handle is not one of the caller's.
    pub const BAD_HANDLE: i64 = -2;
    /// An argument has no meaning.
    pub const BAD_ARGUMENT: i64 = -3;
    /// The peer's partition does not run; nothing was sent.
    pub const PEER_DOWN: i64 = -4;
    /// The peer polls or waits by WFE (`channel::wait`): it takes no doorbells and needs none.
    pub const NO_DOORBELL: i64 = -5;
    /// EL2 itself failed on a core of the partition, which never starts again.
    pub const DAMAGED: i64 = -6;
    /// The caller's vCPU has given more orders than `supervise::PER_SECOND`: give it later.
    pub const TOO_MANY: i64 = -7;
}

/// Answers of `RING`.
pub mod ring {
    /// A doorbell was sent.
    pub const SENT: i64 = 0;
    /// An earlier doorbell is still pending at the peer, which will see this message with it.
    pub const COALESCED: i64 = 1;
    /// The doorbell exceeds the rate limit: EL2 sends it as soon as the limit allows.
    pub const DEFERRED: i64 = 2;
}

/// Items of `SUPERVISE`.
pub mod supervise {
    /// Stop the partition, also while it is between two lives. One that has stopped stays stopped.
    pub const STOP: u64 = 1;
    /// Start the partition if it has stopped, also at its limit of restarts; end its delay if it is
    /// between two lives. The window of restarts begins anew.
    pub const START: u64 = 2;
    /// Restart the partition if it runs; start it otherwise. The window of restarts begins anew.
    pub const RESTART: u64 = 3;
    /// Orders per second that each vCPU of a supervisor may give in the long run.
    pub const PER_SECOND: u32 = 100;
    /// Orders that it may give back to back.
    pub const BURST: u32 = 16;
}

/// Items of `QUERY`.
pub mod query {
    /// The caller's vCPU number.
    pub const VCPU: u64 = 0;
    /// Number of vCPUs of the partition.
    pub const VCPUS: u64 = 1;
    /// Class of the caller's core: 0 compute, 1 comm.
    pub const CLASS: u64 = 2;
    /// Number of channel ends (handles) of the caller.
    pub const ENDS: u64 = 3;
    /// Index of the partition in the system.
    pub const PARTITION: u64 = 4;
}

/// Items of `STATUS`.
pub mod status {
    /// 1 if a doorbell is pending at this end, held back by its mask.
    pub const PENDING: u64 = 0;
    /// Doorbells this end sent.
    pub const SENT: u64 = 1;
    /// Doorbells this end asked for while one was still pending at the peer.
    pub const COALESCED: u64 = 2;
    /// Doorbells of this end that the rate limit put off.
    pub const DEFERRED: u64 = 3;
    /// Doorbells this end received.
    pub const RECEIVED: u64 = 4;
}

/// Partition states, as `PEER` answers them and EL2's last line names them.
pub mod state {
    /// Not started yet.
    pub const LOADING: u32 = 0;
    /// Runs.
    pub const RUNNING: u32 = 1;
    /// Switched itself off (`SYSTEM_OFF`).
    pub const OFF: u32 = 2;
    /// Asked for a reset (`SYSTEM_RESET`) and stays halted by its policy.
    pub const RESET: u32 = 3;
    /// Halted by EL2 for a fault.
    pub const HALTED: u32 = 4;
    /// Gave itself up (`FAIL`).
    pub const FAILED: u32 = 5;
    /// Stopped, and starts again by its restart policy.
    pub const RESTARTING: u32 = 6;
    /// Stopped by an order, or with the whole system by another partition's policy.
    pub const STOPPED: u32 = 7;
    /// Words for the states, by number.
    pub const NAMES: [&str; 8] =
        ["loading", "running", "off", "reset", "halted", "failed", "restarting", "stopped"];
}

/// Why EL2 was entered. Each entry is counted once, per core.
///
/// [`Reason::FOREIGN`] lists the entries that a neighbour causes; a compute core never has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// HVC.
    Hvc = 0,
    /// SMC.
    Smc = 1,
    /// Trapped system register or instruction.
    Sysreg = 2,
    /// Emulated device access.
    Mmio = 3,
    /// A physical interrupt the partition owns, timers included.
    Interrupt = 4,
    /// An SGI or another kick from a sibling vCPU.
    Sibling = 5,
    /// List registers ran out earlier and have room now.
    Maintenance = 6,
    /// EL2's own timer: a doorbell put off by the rate limit.
    Deferred = 7,
    /// A doorbell of a channel.
    Doorbell = 8,
    /// Console draining, on the console core.
    Console = 9,
    /// Control: start, stop.
    Control = 10,
    /// A fault, or anything else.
    Other = 11,
    /// An access outside everything, answered by an external abort, or cache maintenance there.
    Abort = 12,
}

impl Reason {
    /// Number of reasons.
    pub const COUNT: usize = 13;
    /// Reasons that a neighbour causes.
    pub const FOREIGN: [Reason; 2] = [Reason::Doorbell, Reason::Console];
    /// Words for the reasons, by number.
    pub const NAMES: [&str; Self::COUNT] = [
        "hvc",
        "smc",
        "sysreg",
        "mmio",
        "interrupt",
        "sibling",
        "maintenance",
        "deferred",
        "doorbell",
        "console",
        "control",
        "other",
        "abort",
    ];
}
