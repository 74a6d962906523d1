//! Words for the line that says why a partition was halted.

use crate::{DataAbort, FaultKind, Trap, ec};

/// Exception classes and their words (DDI 0487, D24.2 `ESR_EL2`, table of EC values).
const CLASSES: [(u32, &str); 27] = [
    (ec::SERROR, "SError (asynchronous external abort)"),
    (0x00, "instruction that this machine does not know"),
    (0x03, "AArch32 coprocessor access"),
    (0x04, "AArch32 coprocessor access"),
    (0x05, "AArch32 coprocessor access"),
    (0x06, "AArch32 coprocessor access"),
    (0x07, "trapped floating point"),
    (0x09, "pointer authentication, which it does not have"),
    (0x0a, "trapped 64-byte load, store or other instruction"),
    (0x0c, "AArch32 coprocessor access"),
    (0x0d, "branch target exception"),
    (0x0e, "illegal execution state"),
    (0x12, "AArch32 HVC"),
    (0x13, "AArch32 SMC"),
    (0x14, "128-bit system register access"),
    (0x19, "SVE, which it does not have"),
    (0x1a, "trapped exception return"),
    (0x1c, "pointer authentication failure"),
    (0x1d, "SME, which it does not have"),
    (0x22, "misaligned program counter"),
    (0x26, "misaligned stack pointer"),
    (0x27, "memory copy or set exception"),
    (0x2c, "trapped floating-point exception"),
    (0x30, "breakpoint"),
    (0x32, "single step"),
    (0x34, "watchpoint"),
    (0x3c, "BRK instruction"),
];

/// Why a guest that EL2 does not let go on was stopped, in plain words.
pub fn cause(trap: &Trap) -> &'static str {
    match trap {
        Trap::Wfx { .. } => "trapped wait",
        Trap::Hvc { .. } => "HVC",
        Trap::Smc { .. } => "SMC",
        Trap::SysReg(access) if access.write => "write of a system register",
        Trap::SysReg(_) => "read of a system register",
        Trap::DataAbort(abort) => data(abort),
        Trap::InstructionAbort(fault) if fault.walk => walk(fault.kind()),
        Trap::InstructionAbort(fault) => match fault.kind() {
            FaultKind::Permission => "execution of memory it may not execute",
            kind => outside(kind, "execution outside its memory"),
        },
        Trap::Other { ec } => CLASSES
            .iter()
            .find(|(class, _)| *class == u32::from(*ec))
            .map_or("exception of an unknown class", |(_, words)| words),
    }
}

fn data(abort: &DataAbort) -> &'static str {
    let kind = abort.fault.kind();
    match (kind, abort.write) {
        _ if abort.fault.walk => walk(kind),
        (FaultKind::Permission, true) => "write to memory it may not write",
        (FaultKind::Permission, false) => "read of memory it may not read",
        _ if abort.maintenance => outside(kind, "cache maintenance outside its memory"),
        (_, true) => outside(kind, "write outside its memory"),
        (_, false) => outside(kind, "read outside its memory"),
    }
}

fn walk(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Permission => "translation tables in memory it may not use for them",
        _ => outside(kind, "translation tables outside its memory"),
    }
}

/// `words` if stage 2 had nothing there, else what kind of fault it was.
fn outside(kind: FaultKind, words: &'static str) -> &'static str {
    match kind {
        FaultKind::Translation | FaultKind::AddressSize => words,
        FaultKind::AccessFlag => "access flag fault",
        FaultKind::External => "external abort",
        FaultKind::Alignment => "alignment fault",
        FaultKind::Permission | FaultKind::Other => "memory fault",
    }
}
