//! The exception vectors (DDI 0487, D1.3): save what the path clobbers, call one Rust function, restore, return.
//!
//! A frame holds x0 to x30. Rust keeps x19 to x29 across calls, so the interrupt and hypercall paths save the others
//! alone; only emulation, which may name any register, saves all. Nothing at EL2 is interruptible, so ELR and SPSR stay
//! in their registers. `TPIDR_EL2` is the core's state: the vector hands it out once an entry, as an exclusive borrow.

use core::arch::global_asm;

/// The guest's general registers.
#[repr(C)]
pub struct Frame {
    /// x0 to x30; x19 to x29 are valid in a synchronous exception other than HVC.
    pub x: [u64; 31],
    padding: u64,
}

const _: () = assert!(size_of::<Frame>() == 256);

impl Frame {
    /// A frame of zeros.
    pub const ZERO: Self = Self {
        x: [0; 31],
        padding: 0,
    };

    /// Register `index` as an instruction names it: 31 is XZR.
    pub fn get(&self, index: u8) -> u64 {
        self.x.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// Sets register `index`; 31 discards the value.
    pub fn set(&mut self, index: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(index)) {
            *x = value;
        }
    }
}

global_asm!(
    r#"
.macro save_clobbered
    sub     sp, sp, #256
    stp     x0, x1, [sp, #16 * 0]
    stp     x2, x3, [sp, #16 * 1]
    stp     x4, x5, [sp, #16 * 2]
    stp     x6, x7, [sp, #16 * 3]
    stp     x8, x9, [sp, #16 * 4]
    stp     x10, x11, [sp, #16 * 5]
    stp     x12, x13, [sp, #16 * 6]
    stp     x14, x15, [sp, #16 * 7]
    stp     x16, x17, [sp, #16 * 8]
    stp     x18, x19, [sp, #16 * 9]
    str     x30, [sp, #16 * 15]
    mov     x0, sp
    mrs     x1, TPIDR_EL2
.endm

.macro save_rest
    stp     x20, x21, [sp, #16 * 10]
    stp     x22, x23, [sp, #16 * 11]
    stp     x24, x25, [sp, #16 * 12]
    stp     x26, x27, [sp, #16 * 13]
    stp     x28, x29, [sp, #16 * 14]
.endm

    .pushsection .text.vectors, "ax"
    .balign 2048
    .global vectors
vectors:
    .macro from_el2 kind
    .balign 128
    mrs     x0, TPIDR_EL2               // the state, right above the stack: nothing on that is needed any more
    cbz     x0, 9f
    mov     sp, x0
9:  mov     w1, #\kind
    b       {fault}
    .endm
    from_el2 0                          // current EL with SP_EL0: never used
    from_el2 1
    from_el2 2
    from_el2 3
    from_el2 4                          // current EL: a fault of EL2 itself
    from_el2 5
    from_el2 6
    from_el2 7

    .balign 128                         // lower EL, AArch64: synchronous
    save_clobbered
    mrs     x2, ESR_EL2
    lsr     w3, w2, #26
    cmp     w3, #0x16                   // HVC from AArch64
    b.ne    1f
    bl      {hypercall}
    b       return_clobbered
1:  save_rest
    bl      {synchronous}
    b       return_all

    .balign 128                         // IRQ
    save_clobbered
    bl      {interrupt}
    b       return_clobbered

    .balign 128                         // FIQ: no interrupt of EL2's or a partition's is in Group 0
    save_clobbered
    bl      {interrupt}
    b       return_clobbered

    .balign 128                         // SError: it is this core's partition's (policy: docs/security.md)
    save_clobbered
    save_rest
    bl      {system_error}
    b       return_all

    .rept 4                             // lower EL, AArch32: no partition may run it
    .balign 128
    save_clobbered
    save_rest
    bl      {aarch32}
    b       return_all
    .endr

return_all:
    ldp     x20, x21, [sp, #16 * 10]
    ldp     x22, x23, [sp, #16 * 11]
    ldp     x24, x25, [sp, #16 * 12]
    ldp     x26, x27, [sp, #16 * 13]
    ldp     x28, x29, [sp, #16 * 14]
return_clobbered:
    ldp     x0, x1, [sp, #16 * 0]
    ldp     x2, x3, [sp, #16 * 1]
    ldp     x4, x5, [sp, #16 * 2]
    ldp     x6, x7, [sp, #16 * 3]
    ldp     x8, x9, [sp, #16 * 4]
    ldp     x10, x11, [sp, #16 * 5]
    ldp     x12, x13, [sp, #16 * 6]
    ldp     x14, x15, [sp, #16 * 7]
    ldp     x16, x17, [sp, #16 * 8]
    ldp     x18, x19, [sp, #16 * 9]
    ldr     x30, [sp, #16 * 15]
    add     sp, sp, #256
    eret
    dsb     nsh                         // no speculation past ERET
    isb

// x0 = frame, x1 = top of the stack: drops whatever the stack held and enters the guest.
    .global enter_guest
enter_guest:
    sub     x1, x1, #256
    mov     x2, #256
2:  sub     x2, x2, #8                  // from the end: the frame may overlap its place at the top
    ldr     x3, [x0, x2]
    str     x3, [x1, x2]
    cbnz    x2, 2b
    mov     sp, x1
    b       return_all
    .popsection
"#,
    fault = sym crate::exits::fault,
    hypercall = sym crate::exits::hypercall,
    synchronous = sym crate::exits::synchronous,
    interrupt = sym crate::exits::interrupt,
    system_error = sym crate::exits::system_error,
    aarch32 = sym crate::exits::aarch32,
);
