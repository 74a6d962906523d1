//! The registers that an entry saves, and the return to the guest.

/// Macros that the table and the fast paths use.
macro_rules! save_macros {
    () => {
        r#"
.macro save_rest                        // after x0 to x3
    stp     x4, x5, [sp, #16 * 2]
    stp     x6, x7, [sp, #16 * 3]
    stp     x8, x9, [sp, #16 * 4]
    stp     x10, x11, [sp, #16 * 5]
    stp     x12, x13, [sp, #16 * 6]
    stp     x14, x15, [sp, #16 * 7]
    stp     x16, x17, [sp, #16 * 8]
    stp     x18, x19, [sp, #16 * 9]
    stp     x30, xzr, [sp, #16 * 15]
.endm

.macro save_all                         // after save_rest
    stp     x20, x21, [sp, #16 * 10]
    stp     x22, x23, [sp, #16 * 11]
    stp     x24, x25, [sp, #16 * 12]
    stp     x26, x27, [sp, #16 * 13]
    stp     x28, x29, [sp, #16 * 14]
    mov     x0, sp
.endm

.macro count base, offset, scratch
    ldr     \scratch, [\base, #\offset]
    add     \scratch, \scratch, #1
    str     \scratch, [\base, #\offset]
.endm

.macro return_to_guest
    eret
    dsb     nsh                         // no speculation past ERET
    isb
.endm
"#
    };
}

/// The code that restores registers and returns.
macro_rules! restore {
    () => {
        r#"
return_all:
    ldp     x20, x21, [sp, #16 * 10]
    ldp     x22, x23, [sp, #16 * 11]
    ldp     x24, x25, [sp, #16 * 12]
    ldp     x26, x27, [sp, #16 * 13]
    ldp     x28, x29, [sp, #16 * 14]
return_clobbered:
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
    ldp     x0, x1, [sp], #256
    return_to_guest

// x0 = frame: drops all that is on the stack and enters the guest.
    .global enter_guest
enter_guest:
    mrs     x1, TPIDR_EL2               // the state, right above the stack
    sub     x1, x1, #256
    mov     x2, #256
2:  sub     x2, x2, #8                  // from the end: the frame may overlap its place at the top
    ldr     x3, [x0, x2]
    str     x3, [x1, x2]
    cbnz    x2, 2b
    mov     sp, x1
    b       return_all
"#
    };
}

pub(super) use {restore, save_macros};
