//! The bench's runs, several at a time: each is repeatable under any load of the host.

use super::figure::Figure;
use super::growth;
use super::operations::{self, Operations};
use super::restart::{self, Restarts};
use super::run::Bench;
use super::stream::Stream;
use super::systems::{self, Path, WAITS};
use anyhow::{Context, Result, bail};
use runner::build::Builder;
use runner::ui::{self, Progress};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A run.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// The operations of the budget table, on a GIC of this version. A GICv2 is treated as a
    /// GIC-400, with [`LINKED`].
    Operations(u32),
    /// Those operations that cost more on a GICv2 that is not a GIC-400: with [`UNLINKED`].
    Unlinked,
    /// Restarts, on a GIC of this version.
    Restarts(u32),
    /// The operations before and after a restart, on a GIC of this version.
    Restarted(u32),
    /// The same, with [`UNLINKED`].
    RestartedUnlinked,
    /// A stream.
    Stream(Path, &'static str),
    /// A doorbell among this number of partitions and channels.
    Growth((usize, usize)),
    /// All channels of two partitions full.
    Flood,
}

/// Hardware-linked interrupts are listed with `GICH_LR.HW` = 1.
const LINKED: &str = "bulkhead.gich-hw=1";
/// With `GICH_LR.HW` = 0: what QEMU's GICv2 needs.
const UNLINKED: &str = "bulkhead.gich-hw=0";

/// The runs whose figures have a baseline.
pub const OPERATIONS: [Task; 8] = [
    Task::Operations(3),
    Task::Restarts(3),
    Task::Restarted(3),
    Task::Operations(2),
    Task::Restarts(2),
    Task::Restarted(2),
    Task::Unlinked,
    Task::RestartedUnlinked,
];

/// All runs, the longest first.
#[must_use]
pub fn all() -> Vec<Task> {
    let growth = growth::POINTS.map(Task::Growth);
    OPERATIONS.into_iter().chain([Task::Flood]).chain(streams()).chain(growth).collect()
}

/// Returns the runs that compare the paths.
pub fn streams() -> impl Iterator<Item = Task> {
    let of = |path| WAITS.map(|wait| Task::Stream(path, wait));
    [Path::Relayed, Path::Direct].into_iter().flat_map(of)
}

impl Task {
    /// Describes the run for people.
    fn title(self) -> String {
        match self {
            Self::Operations(gic) => format!("EL2's operations with a GICv{gic}, traced"),
            Self::Unlinked => "EL2's operations with a GICv2 and HW = 0, traced".to_string(),
            Self::Restarts(gic) => format!("restarts with a GICv{gic}, traced"),
            Self::Restarted(gic) => format!("EL2's operations after a restart, with a GICv{gic}"),
            Self::RestartedUnlinked => {
                "EL2's operations after a restart, with a GICv2 and HW = 0".to_string()
            }
            Self::Stream(path, wait) => format!("messages {}, by {wait}", path.name()),
            Self::Growth((partitions, channels)) => {
                format!("doorbells among {partitions} partitions, {channels} channels")
            }
            Self::Flood => "a million messages beside compute cores".to_string(),
        }
    }

    fn manifest(self) -> Result<String> {
        match self {
            Self::Operations(_) | Self::Unlinked => Ok(operations::SYSTEM.to_string()),
            Self::Restarts(_) => Ok(restart::SYSTEM.to_string()),
            Self::Restarted(_) | Self::RestartedUnlinked => systems::restarted(operations::SYSTEM),
            Self::Stream(path, wait) => systems::stream(path, wait),
            Self::Growth((partitions, channels)) => systems::growth(partitions, channels),
            Self::Flood => systems::flood(),
        }
    }

    /// Returns the GIC version of its machine.
    fn gic(self) -> u32 {
        match self {
            Self::Operations(gic) | Self::Restarts(gic) | Self::Restarted(gic) => gic,
            Self::Unlinked | Self::RestartedUnlinked => 2,
            _ => 3,
        }
    }

    /// Words for EL2 on the boot command line.
    fn append(self) -> Option<&'static str> {
        match self {
            Self::Operations(2) | Self::Restarts(2) | Self::Restarted(2) => Some(LINKED),
            Self::Unlinked | Self::RestartedUnlinked => Some(UNLINKED),
            _ => None,
        }
    }

    /// Runs it.
    fn figures(
        self,
        bench: Bench,
        elf: &std::path::Path,
        first: Option<&Bench>,
    ) -> Result<Vec<Figure>> {
        let name = if self.gic() == 2 { "gicv2" } else { "el2" };
        match self {
            Self::Restarts(_) => Ok(Restarts::run(&bench, elf)?.figures(name)),
            Self::Restarted(_) | Self::RestartedUnlinked => {
                let first = first.context("the same system without a restart")?;
                let unlinked = matches!(self, Self::RestartedUnlinked);
                restart::change(if unlinked { "gicv2-hw0" } else { name }, first, &bench)
            }
            Self::Operations(2) => Operations::run(bench, elf)?.gicv2_figures(),
            Self::Operations(_) => Operations::run(bench, elf)?.figures(),
            Self::Unlinked => Operations::run(bench, elf)?.unlinked_figures(),
            Self::Stream(path, wait) => {
                let printed = bench.run()?;
                Stream { path, wait, printed, by_clock: false }.figures()
            }
            Self::Growth(point) => growth::figures(point, &bench.run()?),
            Self::Flood => growth::flood(&bench.run()?),
        }
    }
}

/// Runs `tasks`, at most `parallel` at a time; returns their figures in the tasks' order.
///
/// # Errors
/// If a system does not build, or a run fails.
pub fn run(tasks: &[Task], parallel: usize) -> Result<Vec<Figure>> {
    let mut builder = Builder::default();
    let mut jobs = VecDeque::new();
    for (index, task) in tasks.iter().enumerate() {
        builder.gic = Some(task.gic());
        let mut bench = Bench::build(&mut builder, &task.manifest()?)?;
        let elf: PathBuf = builder.hypervisor_of(&bench.system)?;
        bench.append = task.append();
        let first = match task {
            Task::Restarted(_) | Task::RestartedUnlinked => {
                let mut first = Bench::build(&mut builder, operations::SYSTEM)?;
                first.append = task.append();
                Some(first)
            }
            _ => None,
        };
        jobs.push_back((index, *task, bench, elf, first));
    }
    let progress = Progress::start("measuring", tasks.len());
    let jobs = Mutex::new(jobs);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..parallel {
            scope.spawn(|| {
                while let Some((index, task, bench, elf, first)) = ui::next(&jobs) {
                    progress.begin(&task.title());
                    let result =
                        task.figures(bench, &elf, first.as_ref()).with_context(|| task.title());
                    progress.done();
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((index, result));
                }
            });
        }
    });
    drop(progress);
    if ui::interrupted() {
        bail!("interrupted");
    }
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    let mut figures = Vec::new();
    for (_, result) in results {
        figures.extend(result?);
    }
    Ok(figures)
}
