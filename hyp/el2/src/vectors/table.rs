//! The vector table itself. In the room that the slots of EL2's own exceptions leave lies what the other slots share.

macro_rules! table {
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

    .pushsection .text.vectors, "ax"
    .balign 2048
    .global vectors
vectors:
    .macro slot index                   // DDI 0487, table D1-8; the assembler refuses one that runs into the next
    .org    vectors + 128 * \index
    .endm

    .macro from_el2 index               // a fault of EL2 itself, or SP_EL0, which it never uses
    slot    \index
    mrs     x0, TPIDR_EL2               // the state, right above the stack: nothing on that is needed any more
    cbz     x0, 9f
    mov     sp, x0
9:  b       {fault}
    .endm

    .macro enter index
    slot    \index
    stp     x0, x1, [sp, #-256]!
    stp     x2, x3, [sp, #16]
    mrs     x1, TPIDR_EL2
    .endm

    from_el2 0                          // what follows lies in the room that its slot leaves
call:                                   // HVC #0; x0 = function, x1 = core
    ldr     x2, [x1, #{mine}]
    count   x2, {count_hvc}, x3
    mov     w2, #{version}
    subs    w2, w0, w2
    b.ne    1f
    mov     x0, #{minor}
    movk    x0, #{major}, lsl #16
call_done:
    ldp     x2, x3, [sp, #16]
    ldr     x1, [sp, #8]
    add     sp, sp, #256
    return_to_guest
1:  .if     {is_v3}
    cmp     w2, #{ring}
    b.eq    ring
    .endif
    b       call_rust

    from_el2 1
call_rust:
    save_rest
    mov     x0, sp
    bl      {hypercall}
    b       return_clobbered

    from_el2 2
interrupt:                              // w0 = INTID, x1 = core
    save_rest
    mov     w2, w0
    mov     x0, x1
    mov     w1, w2
    bl      {interrupt}
    b       return_clobbered

    from_el2 3
owned_interrupt:                        // the end of the short path: flags = not an SPI
    b.eq    1f
    ldr     x3, [x1, #{holders}]
    add     x3, x3, x0
    ldr     w0, [x1, #{holder}]
    strb    w0, [x3, #-32]
1:  count   x2, {count_interrupt}, x3
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp], #256
    return_to_guest

    from_el2 4
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

    from_el2 5
// x0 = frame: drops whatever the stack held and enters the guest.
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

    from_el2 6
    .if     {is_v3}
sgi_room:
    find_room
    b       sgi_listable
    .endif

    from_el2 7
    .if     {is_v3}
bell_room:
    ldr     x7, [x1, #{holders}]
    add     x7, x7, x6
    ldr     w0, [x1, #{holder}]
    strb    w0, [x7, #-32]
    find_room
    b       bell_listable
    .endif

    enter   8                           // lower EL, AArch64: synchronous
    mrs     x2, ESR_EL2
    mov     w3, #{hvc}
    cmp     w2, w3
    b.eq    call
    save_rest
    mov     x0, sp
    bl      {trapped}
    cbnz    w0, return_clobbered
    save_all
    mrs     x1, TPIDR_EL2
    bl      {synchronous}
    b       return_all

    enter   9                           // IRQ
    .if     {is_v3}
    private_interrupt
    .else
    save_rest
    mov     x0, x1
    bl      {take_interrupt}
    b       return_clobbered
    .endif

    enter   10                          // FIQ: no interrupt of EL2's or a partition's is in Group 0
    mov     w0, #{special}
    b       interrupt

    enter   11                          // SError: it is this core's partition's (policy: docs/security.md)
    save_rest
    save_all
    bl      {synchronous}
    b       return_all

    .irp    index, 12, 13, 14, 15       // lower EL, AArch32: no partition may run it
    enter   \index
    save_rest
    save_all
    bl      {aarch32}
    b       return_all
    .endr
    .org    vectors + 2048
"#
    };
}

pub(super) use table;
