//! The vector table: one slot of 128 bytes per exception, and the code that the slots of the
//! guest's exceptions branch to.

macro_rules! table {
    () => {
        r#"
    .pushsection .text.vectors, "ax"
    .balign 2048
    .global vectors
vectors:
// DDI 0487, table D1-8; the assembler refuses a slot that runs into the next

    .macro from_el2 index               // a fault of EL2 itself, or SP_EL0, which it never uses
    .org    vectors + 128 * \index
// the state, right above the stack, whose contents are not needed any more
    mrs     x0, TPIDR_EL2
    cbz     x0, 9f
    str     x1, [x0, #8 - 256]          // a frame with the stack pointer in place of x0
    mov     x1, sp
    str     x1, [x0, #-256]
    mov     sp, x0
    sub     sp, sp, #256
    stp     x2, x3, [sp, #16]
    save_rest
    save_all
    mov     x1, x0
    mrs     x0, TPIDR_EL2
9:  b       {fault}
    .endm

    .macro enter index
    .org    vectors + 128 * \index
    stp     x0, x1, [sp, #-256]!
    stp     x2, x3, [sp, #16]
    mrs     x1, TPIDR_EL2
    .endm

    .irp    index, 0, 1, 2, 3, 4, 5, 6, 7
    from_el2 \index
    .endr

    enter   8                           // lower EL, AArch64: synchronous
    mrs     x2, ESR_EL2
    mov     w3, #{hvc}
    cmp     w2, w3
    b.eq    call
    save_rest
    .if     {fast}
    mov     x0, sp
    bl      {trapped}
    cbnz    w0, return_clobbered
    .endif
    save_all
    mrs     x1, TPIDR_EL2
    bl      {synchronous}
    b       return_all

    enter   9                           // IRQ
    .if     {fast}
    private_interrupt
    .else
    save_rest
    mov     x0, x1
    bl      {take_interrupt}
    b       return_clobbered
    .endif

    enter   10                          // FIQ: EL2's and guests' interrupts are not in Group 0
    mov     w0, #{special}
    b       interrupt

// SError: it is this core's partition's (policy: docs/security.md)
    enter   11
    save_rest
    save_all
    bl      {synchronous}
    b       return_all

    .irp    index, 12, 13, 14, 15       // lower EL, AArch32: partitions may not run it
    enter   \index
    save_rest
    save_all
    bl      {aarch32}
    b       return_all
    .endr
    .org    vectors + 2048

call:                                   // HVC #0; x0 = function, x1 = core
    ldr     x2, [x1, #{mine}]
    count   x2, {count_hvc}, x3
    .if     {fast}
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
1:
    cmp     w2, #{ring}
    b.eq    ring
    .endif

call_rust:
    save_rest
    mov     x0, sp
    bl      {hypercall}
    b       return_clobbered

// The guest's partition stops: `irq::follow` returned here, and not to the guest, with all of the
// guest's registers.
    .global guest_left
guest_left:
    stp     x0, x1, [sp, #-256]!
    stp     x2, x3, [sp, #16]
    save_rest
    save_all
    mrs     x1, TPIDR_EL2
    bl      {guest_stopped}

interrupt:                              // w0 = INTID, x1 = core
    save_rest
    bl      {interrupt}
    b       return_clobbered
"#
    };
}

pub(super) use table;
