//! Starting and stopping vCPUs and partitions: the actions that PSCI calls result in, and the end
//! of a partition.

use core::mem::replace;
use core::sync::atomic::Ordering::AcqRel;

use ::console::LineBuffer;
use abi::state;

use super::{console, doorbell, ipi, vgic};
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
        Until::Never => None,
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
/// of it.
pub fn stop_partition(cpu: &mut PerCpu, stop: Stop) {
    end(cpu, stop);
    // These are done once: if EL2 faults in one of them it comes here again, and the console core
    // still has other partitions' lines to print.
    if !replace(&mut cpu.stopped, true) {
        console::end_partition(cpu);
        doorbell::notify_peers_of_stop(cpu);
        vgic::vcpu(cpu).reset();
    }
}

/// Ends the partition for its other cores, unless a sibling has done so.
fn end(cpu: &mut PerCpu, stop: Stop) {
    let mut line = console::partition_line(cpu);
    let to = match stop {
        Stop::BySibling => return,
        Stop::Off => state::OFF,
        Stop::Reset => {
            line.str("asked for a reset: halted");
            state::RESET
        }
        Stop::Failed => {
            line.str("vCPU ").dec(cpu.row.vcpu.into());
            line.str(" reported failure: code ").hex(cpu.fail_code);
            state::FAILED
        }
        Stop::Fault => {
            describe_fault(cpu, &mut line);
            state::HALTED
        }
    };
    // If several vCPUs stop their partition at once, one wins and the others do nothing here.
    if !cpu.shared.change_state(cpu.row.partition as usize, state::RUNNING, to) {
        return;
    }
    cpu.state.power.halt_all();
    console::end_partition(cpu);
    if to != state::OFF {
        console::print_line(cpu, &line);
    }
    console::say_lost(cpu, true);
    for index in cpu.vcpus.iter().map(|&index| index as usize) {
        if index != cpu.index {
            ipi::send_control(cpu, index, control::STOP);
        }
    }
    if cpu.shared.global.alive.fetch_sub(1, AcqRel) == 1 {
        console::wake_console_core(cpu);
    }
}

fn describe_fault(cpu: &PerCpu, line: &mut LineBuffer) {
    let fault = &cpu.fault;
    line.str("vCPU ").dec(cpu.row.vcpu.into());
    line.str(" on core ").dec(cpu.index as u64);
    line.str(" halted: ").str(fault.cause).str(fault.detail);
    let names = [" (ESR ", " ELR ", " FAR ", " HPFAR "];
    for (name, value) in names.into_iter().zip(fault.registers) {
        line.str(name).hex(value);
    }
    line.str(")");
}
