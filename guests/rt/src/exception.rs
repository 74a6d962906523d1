//! Exception vectors. Every exception is a fault, unless the guest has set a hook that handles it.

use core::arch::naked_asm;

use spin::Once;

/// Registers at an exception, in the order in which `vectors` stores them; written back when the
/// hook returns `true`.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// ELR_EL1: where execution continues.
    pub elr: u64,
    /// SPSR_EL1.
    pub spsr: u64,
    /// ESR_EL1, the syndrome.
    pub esr: u64,
    /// FAR_EL1, the address.
    pub far: u64,
    _pad: u64,
}

const _: () = assert!(size_of::<Frame>() == 288);

/// Handles an exception taken through vector `slot` (0 to 15, DDI 0487 D1.3.1); returns `true` if
/// the program may go on.
pub type Hook = fn(slot: usize, frame: &mut Frame) -> bool;

static HOOK: Once<Hook> = Once::new();

/// Vector of an IRQ taken at EL1.
pub const IRQ: usize = 5;
/// Vector of a synchronous exception taken at EL1.
pub const SYNC: usize = 4;

/// Sets the hook, which all vCPUs share.
pub fn set_hook(hook: Hook) {
    HOOK.call_once(|| hook);
}

extern "C" fn exception(slot: usize, frame: &mut Frame) {
    if HOOK.get().is_some_and(|hook| hook(slot, frame)) {
        return;
    }
    crate::fail!(
        "exception {slot} on vCPU {} (ESR {:#x} ELR {:#x} FAR {:#x} SPSR {:#x})",
        crate::smp::vcpu(),
        frame.esr,
        frame.elr,
        frame.far,
        frame.spsr
    )
}

/// The vector table: 16 entries of 128 bytes, each of which passes its number.
#[unsafe(naked)]
#[unsafe(link_section = ".text.vectors")]
pub(crate) extern "C" fn vectors() {
    naked_asm!(
        ".balign 2048",
        ".set slot, 0",
        ".rept 16",
        ".balign 128",
        "    sub  sp, sp, #288",
        "    stp  x0, x1, [sp]",
        "    mov  x0, #slot",
        "    b    1f",
        ".set slot, slot + 1",
        ".endr",
        ".balign 128",
        "1:  stp  x2, x3, [sp, #16]",
        "    stp  x4, x5, [sp, #32]",
        "    stp  x6, x7, [sp, #48]",
        "    stp  x8, x9, [sp, #64]",
        "    stp  x10, x11, [sp, #80]",
        "    stp  x12, x13, [sp, #96]",
        "    stp  x14, x15, [sp, #112]",
        "    stp  x16, x17, [sp, #128]",
        "    stp  x18, x19, [sp, #144]",
        "    stp  x20, x21, [sp, #160]",
        "    stp  x22, x23, [sp, #176]",
        "    stp  x24, x25, [sp, #192]",
        "    stp  x26, x27, [sp, #208]",
        "    stp  x28, x29, [sp, #224]",
        "    mrs  x1, elr_el1",
        "    mrs  x2, spsr_el1",
        "    stp  x30, x1, [sp, #240]",
        "    mrs  x1, esr_el1",
        "    stp  x2, x1, [sp, #256]",
        "    mrs  x1, far_el1",
        "    str  x1, [sp, #272]",
        "    mov  x1, sp",
        "    bl   {exception}",
        "    ldp  x30, x1, [sp, #240]",
        "    ldr  x2, [sp, #256]",
        "    msr  elr_el1, x1",
        "    msr  spsr_el1, x2",
        "    ldp  x2, x3, [sp, #16]",
        "    ldp  x4, x5, [sp, #32]",
        "    ldp  x6, x7, [sp, #48]",
        "    ldp  x8, x9, [sp, #64]",
        "    ldp  x10, x11, [sp, #80]",
        "    ldp  x12, x13, [sp, #96]",
        "    ldp  x14, x15, [sp, #112]",
        "    ldp  x16, x17, [sp, #128]",
        "    ldp  x18, x19, [sp, #144]",
        "    ldp  x20, x21, [sp, #160]",
        "    ldp  x22, x23, [sp, #176]",
        "    ldp  x24, x25, [sp, #192]",
        "    ldp  x26, x27, [sp, #208]",
        "    ldp  x28, x29, [sp, #224]",
        "    ldp  x0, x1, [sp]",
        "    add  sp, sp, #288",
        "    eret",
        exception = sym exception,
    )
}
