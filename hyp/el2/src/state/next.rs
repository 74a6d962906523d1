//! What a core does after a handler: every handler returns it to the one loop in `traps/irq.rs`.

use trap::Cause;

/// What a core does next. It fits a register; its parameters are in
/// [`PerCpu`](super::percpu::PerCpu).
#[must_use]
#[derive(Clone, Copy)]
pub enum Next {
    /// Returns to its guest.
    Resume,
    /// Waits at EL2, taking interrupts.
    Idle(Until),
    /// Starts its vCPU as `PerCpu::start` says.
    Start,
    /// Stops its partition.
    Stop(Stop),
    /// Loads its partition again, together with the partition's other cores.
    Reload,
    /// Ends the system: every partition has stopped.
    Off,
}

/// What ends a wait at EL2.
#[derive(Clone, Copy)]
pub enum Until {
    /// A virtual interrupt is pending; the vCPU resumes (`CPU_SUSPEND` to standby).
    Pending,
    /// An interrupt that may wake the vCPU is pending; it starts (`CPU_SUSPEND` to power-down).
    Woken,
    /// A sibling's `CPU_ON` starts the vCPU.
    Started,
    /// The partition, which has stopped, starts again.
    Restarted,
}

/// Why a partition stops.
#[derive(Clone, Copy)]
pub enum Stop {
    /// A sibling vCPU has stopped it.
    BySibling,
    /// `SYSTEM_OFF`, or the last vCPU's `CPU_OFF`.
    Off,
    /// `SYSTEM_RESET`.
    Reset,
    /// The call `FAIL`, with the code in `PerCpu::fail_code`.
    Failed,
    /// A missed watchdog.
    Watchdog,
    /// An order to stop.
    Ordered,
    /// An order to restart.
    OrderedRestart,
    /// A device that does not fall silent before a restart.
    Device,
    /// The fault in `PerCpu::fault`, the guest's.
    Fault,
    /// The fault in `PerCpu::fault`, EL2's own: the partition is not started again.
    Defect,
}

/// A fault that halts a partition.
#[derive(Default)]
pub struct Fault {
    /// The cause.
    pub cause: Cause,
    /// `ESR_EL2`, `ELR_EL2`, `FAR_EL2` and `HPFAR_EL2` of the cause.
    pub registers: [u64; 4],
}

const _: () = assert!(size_of::<Next>() <= 8);
