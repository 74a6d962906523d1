//! Starting and stopping vCPUs and partitions: the actions that PSCI calls result in, and the end
//! of a partition.

use core::mem::replace;
use core::sync::atomic::Ordering::{Acquire, Release};

use ::console::LineBuffer;
use abi::state;
use plan::{ACTION_HALT, ACTION_RESTART, ACTION_STOP_SYSTEM};

use super::restart::{self, Planned};
use super::{console, doorbell, ipi, ivshmem, record, shutdown, supervision, vgic};
use crate::arch::el1_context;
use crate::drivers::{Gic, gic::GicDriver};
use crate::state::frame::Frame;
use crate::state::next::{Next, Stop, Until};
use crate::state::percpu::PerCpu;
use crate::state::shared::control;

/// Wakes the core of vCPU `vcpu`, whose `CPU_ON` was granted.
pub fn wake(cpu: &PerCpu, vcpu: usize) {
    if let Some(index) = ipi::vcpu_core(cpu, vcpu) {
        ipi::send_control(cpu, index, control::START);
    }
}

/// Switches this core's vCPU off, whose `CPU_OFF` was granted.
pub fn vcpu_off(cpu: &mut PerCpu) -> Next {
    vgic::vcpu(cpu).park();
    match cpu.state.power.all_off() {
        true => Next::Stop(Stop::Off),
        false => Next::Idle(Until::Started),
    }
}

/// Returns what this core does next if the event that it waits for has come, otherwise `None`. A
/// WFI at EL2 does not wake for a virtual interrupt, so the caller checks this before each WFI.
pub fn ends_wait(cpu: &mut PerCpu, until: Until) -> Option<Next> {
    match until {
        Until::Restarted => restart::next(cpu),
        Until::Pending => vgic::vcpu(cpu).is_pending().then_some(Next::Resume),
        Until::Woken => vgic::vcpu(cpu).is_woken().then(|| {
            vgic::vcpu(cpu).forget_priorities();
            Next::Start
        }),
        Until::Started => {
            cpu.start = cpu.state.power.take_start(cpu.row.vcpu as usize)?;
            vgic::vcpu(cpu).unpark();
            Some(Next::Start)
        }
    }
}

/// Stops this core's partition, notifies its other cores and its peers, and resets this core's part
/// of it. `frame` has the registers for the crash record, if there are any.
pub fn stop_partition(cpu: &mut PerCpu, stop: Stop, frame: Option<&Frame>) {
    if matches!(stop, Stop::Defect) {
        // EL2 may have failed while its loading tables were in use.
        restart::use_tables(cpu.row.ttbr_run);
    }
    end(cpu, stop, frame);
    // These are done once: if EL2 faults in one of them it comes here again, and the console core
    // still has other partitions' lines to print.
    if !replace(&mut cpu.stopped, true) {
        Gic::reset_guest_interface();
        el1_context::stop_timers();
        vgic::vcpu(cpu).reset();
        console::end_partition(cpu);
        ivshmem::show(cpu, false);
        doorbell::notify_peers(cpu);
        restart::rest(cpu);
    } else if restart::is_final(cpu) {
        // It was to start again, and peers wait for that.
        doorbell::notify_peers(cpu);
    }
    restart::set_deadline(cpu);
}

/// Ends the partition for its other cores, unless a sibling has done so.
fn end(cpu: &mut PerCpu, stop: Stop, frame: Option<&Frame>) {
    let mut line = console::partition_line(cpu);
    let policy = &cpu.partition.policy;
    let is_ending = cpu.shared.global.ending.load(Acquire) != 0;
    let (to, action) = match stop {
        Stop::BySibling if !is_ending => return,
        Stop::BySibling => (state::STOPPED, ACTION_HALT),
        Stop::Off => {
            line.str("switched itself off");
            (state::OFF, policy.on_off)
        }
        Stop::Reset => {
            line.str("asked for a reset");
            (state::RESET, policy.on_reset)
        }
        Stop::Failed => {
            line.str("vCPU ").dec(cpu.row.vcpu.into());
            line.str(" reported failure: code ").hex(cpu.fail_code);
            (state::FAILED, policy.on_fault)
        }
        Stop::Watchdog => {
            line.str("missed its watchdog");
            (state::HALTED, policy.on_fault)
        }
        Stop::Ordered => {
            line.str("ordered to stop");
            (state::STOPPED, ACTION_HALT)
        }
        Stop::OrderedRestart => {
            line.str("ordered to restart");
            (state::STOPPED, ACTION_RESTART)
        }
        Stop::Device => {
            line.str("a device does not fall silent: halted");
            (state::HALTED, ACTION_HALT)
        }
        Stop::Fault => {
            describe_fault(cpu, &mut line);
            (state::HALTED, policy.on_fault)
        }
        Stop::Defect => {
            describe_fault(cpu, &mut line);
            // EL2's state of the partition may be half written, so it is not started again.
            if let Some(life) = restart::life(cpu) {
                life.damaged.store(1, Release);
            }
            match policy.on_fault {
                ACTION_RESTART => (state::HALTED, ACTION_HALT),
                action => (state::HALTED, action),
            }
        }
    };
    let plan = (action == ACTION_RESTART).then(|| match stop {
        Stop::OrderedRestart => Planned::now(),
        _ => Planned::new(cpu),
    });
    let restarts = plan.as_ref().is_some_and(Planned::is_allowed);
    let to = if restarts { state::RESTARTING } else { to };
    // If several vCPUs stop their partition at once, one wins and the others do nothing here. A
    // partition between two lives can still be stopped for good; it may start between two tries.
    let partition = cpu.row.partition as usize;
    let is_final = is_ending || matches!(stop, Stop::Defect | Stop::Device | Stop::Ordered);
    let tries = if is_final { 3 } else { 1 };
    let from = [state::RUNNING, state::RESTARTING, state::RUNNING];
    if !from.into_iter().take(tries).any(|from| cpu.shared.change_state(partition, from, to)) {
        return;
    }
    supervision::announce(cpu);
    cpu.state.power.halt_all();
    console::end_partition(cpu);
    let record = record::begin(cpu, stop, frame.is_some());
    if let Some(plan) = plan {
        plan.record(cpu, line.str(": "));
    } else if to == state::RESET {
        line.str(": halted");
    }
    if let Some(record) = &record {
        record.name(cpu, &mut line);
    }
    if action == ACTION_RESTART || !matches!(stop, Stop::Off | Stop::BySibling) {
        console::print_line(cpu, &line);
    }
    console::say_lost(cpu, true);
    if action == ACTION_STOP_SYSTEM {
        cpu.shared.global.ending.store(1, Release);
    }
    let all = 0..cpu.cores.len();
    let is_own = |index: &usize| cpu.vcpus.contains(&(*index as u32));
    for index in all.filter(|index| action == ACTION_STOP_SYSTEM || is_own(index)) {
        if index != cpu.index {
            ipi::send_control(cpu, index, control::STOP);
        }
    }
    if let Some(record) = record {
        record.write(cpu, frame);
    }
    if !restarts {
        shutdown::leave(cpu);
    }
}

fn describe_fault(cpu: &PerCpu, line: &mut LineBuffer) {
    let fault = &cpu.fault;
    line.str("vCPU ").dec(cpu.row.vcpu.into());
    line.str(" on core ").dec(cpu.index as u64);
    line.str(" halted: ");
    if fault.cause.has_syndrome() {
        line.str(trap::cause(fault.registers[0]));
    }
    line.str(fault.cause.words());
    let names = [" (ESR ", " ELR ", " FAR ", " HPFAR "];
    for (name, value) in names.into_iter().zip(fault.registers) {
        line.str(name).hex(value);
    }
    line.str(")");
}
