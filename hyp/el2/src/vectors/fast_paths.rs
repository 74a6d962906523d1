//! The fast paths that touch the GIC: the doorbell call, the doorbell SGI, an interrupt of the
//! guest's. On GICv3 its CPU interface is in system registers, on GICv2 in memory: the macros that
//! access it exist twice.

/// Macros that the table uses.
macro_rules! fast_macros {
    () => {
        r#"
    .if     {is_v3}
.macro send_sgi                         // x0 = value of the register; x1 is lost
    msr     S3_0_C12_C11_5, x0          // ICC_SGI1R_EL1
.endm

.macro read_empty reg                   // x1 = core
    mrs     x\reg, S3_4_C12_C11_5       // ICH_ELRSR_EL2
.endm

.macro list_software                    // x1 = core, w0 = list register, x5 = entry; loses x6, x7
    adr     x7, 9f
    b       write_list_register
9:
.endm
    .else
.macro send_sgi
    mrs     x1, TPIDR_EL2
    ldr     x1, [x1, #{gicd}]
    str     w0, [x1, #0xf00]            // GICD_SGIR
.endm

.macro read_empty reg
    ldr     x\reg, [x1, #{gich}]
    ldr     w\reg, [x\reg, #0x30]       // GICH_ELRSR0
.endm

.macro narrow entry, high               // as `gicv2::narrow`
    lsr     x\high, x\entry, #32
    bfi     w\entry, w\high, #10, #10
    lsr     w\high, w\high, #19
    bfi     w\entry, w\high, #23, #5
    lsr     w\high, w\high, #9
    bfi     w\entry, w\high, #30, #2
    lsr     w\high, w\high, #2
    bfi     w\entry, w\high, #28, #2
.endm

.macro list_software
    narrow  5, 6
    ldr     x6, [x1, #{gich}]
    add     x6, x6, x0, lsl #2
    str     w5, [x6, #0x100]            // GICH_LR<n>
.endm
    .endif

// x1 = core, x6 = INTID of a software interrupt: x5 = its list register's content, x0 = the list
// register it was last in, if that is free. If that has held another interrupt since, `room` finds
// a free one and continues after this macro.
.macro listable room
    add     x5, x1, x6, lsl #3
    ldr     x5, [x5, #{cached_entry}]
    cbz     x5, doorbell_rust
    add     x0, x1, x6
    ldrb    w0, [x0, #{last_lr}]
    add     x7, x1, x0, lsl #1
    ldrh    w7, [x7, #{lr_intid}]
    sub     w7, w7, #1
    cmp     w7, w6
    b.ne    \room
    read_empty 7
    lsr     w7, w7, w0
    tbz     w7, #0, doorbell_rust
    ldr     w7, [x1, #{free_for_arrival}]
    lsr     w7, w7, w0
    tbz     w7, #0, doorbell_rust
.endm

// x1 = core, x6 = INTID that is not listed: x0 = a free list register, recorded as that INTID's.
.macro find_room
    .if     {is_v3}
    isb                                 // ICH_ELRSR_EL2 may not show yet what this entry listed
    .endif
    ldr     w0, [x1, #{free_for_arrival}]
    read_empty 7
    and     w0, w0, w7
    and     w0, w0, #0xfffe             // 0 is for physical interrupts
    cbz     w0, doorbell_rust
    rbit    w0, w0
    clz     w0, w0
    add     x7, x1, x6
    strb    w0, [x7, #{last_lr}]
    add     x7, x1, x0, lsl #1
    add     w6, w6, #1
    strh    w6, [x7, #{lr_intid}]
    sub     w6, w6, #1
.endm

    .if     {is_v3}
.macro private_interrupt                // x1 = core
    mrs     x0, S3_0_C12_C12_0          // ICC_IAR1_EL1
    cmp     w0, #{doorbell}
    b.eq    doorbell
    sub     w2, w0, #16
    cmp     w2, #({intids} - 16)
    b.hs    interrupt
    ldr     x2, [x1, #{requests}]           // the guest's: as `Vcpu::physical`
    ldr     w2, [x2]
    cbnz    w2, interrupt
    add     x2, x1, x0, lsl #3
    ldr     x3, [x2, #{cached_entry}]
    cbz     x3, interrupt
    mrs     x2, S3_4_C12_C11_5          // ICH_ELRSR_EL2
    tbz     w2, #0, interrupt
    ldr     w2, [x1, #{free_for_arrival}]
    tbz     w2, #0, interrupt
    msr     S3_4_C12_C12_0, x3          // ICH_LR0_EL2
    msr     S3_0_C12_C12_1, x0          // ICC_EOIR1_EL1
    add     x2, x1, x0
    strb    wzr, [x2, #{last_lr}]
    add     w2, w0, #1
    strh    w2, [x1, #{lr_intid}]
    ldr     x2, [x1, #{mine}]
    tst     w0, #~0x1f
    b       owned_interrupt
.endm
    .else
.macro private_interrupt
    ldr     x3, [x1, #{gicc}]
    ldr     w0, [x3, #0xc]              // GICC_IAR
    tst     w0, #0x3f0
    b.eq    software
    and     w0, w0, #0x3ff
    cmp     w0, #{intids}
    b.hs    interrupt
    add     x2, x1, x0, lsl #3
    ldr     x2, [x2, #{cached_entry}]
    cbz     x2, interrupt
    ldr     x3, [x1, #{requests}]           // as above
    ldr     w3, [x3]
    cbnz    w3, interrupt
    ldr     w3, [x1, #{free_for_arrival}]
    tbz     w3, #0, interrupt
    narrow  2, 3
// Hardware signals an interrupt again only after its end, so if it was the last in list register 0,
// that is free: no need to look.
    ldrh    w3, [x1, #{lr_intid}]
    sub     w3, w3, #1
    cmp     w3, w0
    b.eq    list_physical
    b       look_for_room
.endm
    .endif
"#
    };
}

/// The paths.
macro_rules! fast_paths {
    () => {
        r#"
    .if     {fast}
ring:                                   // as `doorbell::ring`
    ldr     x0, [sp, #8]
    ldr     x2, [x1, #{bell_count}]
    cmp     x0, x2
    b.hs    call_rust
    add     x2, x1, x0, lsl #6
    add     x2, x2, #{bells}            // its end
    ldr     x3, [x2, #{peer}]
    ldr     w3, [x3]
    cmp     w3, #{running}
    b.ne    call_rust
    stp     x4, x5, [sp, #16 * 2]
    ldp     x3, x4, [x2, #{peer_word}]  // the peer's pending word, the bit
    ldr     x5, [x3]
    tst     x5, x4                      // only this core sets it, so a clear bit stays clear
    b.ne    4f
    mrs     x5, CNTPCT_EL0
    ldr     x1, [x2, #{tolerance}]
    add     x1, x1, x5
    ldr     x0, [x2, #{arrival}]
    cmp     x1, x0
    b.lo    4f
5:  ldaxr   x1, [x3]
    orr     x1, x1, x4
    stlxr   w0, x1, [x3]
    cbnz    w0, 5b
    ldr     x1, [x3, #{masked}]
    tst     x1, x4
    b.ne    6f
    ldp     x0, x1, [x2, #{arrival}]    // arrival and interval
    cmp     x0, x5
    csel    x0, x0, x5, hi
    add     x0, x0, x1
    str     x0, [x2, #{arrival}]
    ldr     x0, [x2, #{sgi}]
    dsb     ishst                       // the SGI's taker must see the bit
    send_sgi
6:  ldr     x2, [x2, #{counters}]
    count   x2, {sent}, x0
    mov     x0, #{ring_sent}
    ldp     x4, x5, [sp, #16 * 2]
    b       call_done
4:  mrs     x1, TPIDR_EL2
    ldp     x4, x5, [sp, #16 * 2]
    b       call_rust

    .if     {is_v3}
doorbell:                               // w0 = INTID, x1 = core: as `doorbell::handle_doorbell_sgi`
    msr     S3_0_C12_C12_1, x0          // ICC_EOIR1_EL1
    msr     S3_0_C12_C11_1, x0          // ICC_DIR_EL1
// a kick after the acknowledgement sends a new SGI, so look only now
    dsb     sy
    .else
software:                               // w0 = IAR of an SGI, x1 = core, x3 = its CPU interface
    str     w0, [x3, #0x10]             // GICC_EOIR: with the sender
    str     w0, [x3, #0x1000]           // GICC_DIR
    dsb     sy                          // as above
    and     w0, w0, #0xf
    cmp     w0, #{doorbell}
    b.ne    interrupt
    .endif
    stp     x4, x5, [sp, #16 * 2]
    stp     x6, x7, [sp, #16 * 3]
    ldr     x4, [x1, #{requests}]
    ldr     w0, [x4]
    cbz     w0, 3f
// siblings' SGIs, as `Vcpu::take_requests`; anything else is for Rust
2:  lsr     w3, w0, #16
    cbnz    w3, doorbell_rust
    rbit    w6, w0
    clz     w6, w6
    .if     {is_v3} == 0
    ldr     x2, [x1, #{senders}]
    add     x2, x2, x6, lsl #2
    ldr     w3, [x2]
    cbz     w3, doorbell_rust
    .endif
    listable sgi_room
sgi_listable:
    mov     w7, #1
    lsl     w6, w7, w6
8:  ldaxr   w3, [x4]
    bic     w3, w3, w6
    stxr    w7, w3, [x4]
    cbnz    w7, 8b
    .if     {is_v3} == 0
// as `Vcpu::next_source`; after the request, so that a sender of a source that is not seen here
// finds the request clear, and sends a new SGI
    ldr     w3, [x2]
    neg     w7, w3
    and     w7, w7, w3
9:  ldaxr   w3, [x2]
    bic     w3, w3, w7
    stxr    w6, w3, [x2]
    cbnz    w6, 9b
    rbit    w7, w7
    clz     w7, w7
    bfi     x5, x7, #32, #3
    cbz     w3, 1f
    orr     x5, x5, #{report_end}
1:
    .endif
    list_software
    ldr     w0, [x4]
    cbnz    w0, 2b
    ldr     x2, [x1, #{mine}]
    ldp     x0, x3, [x2]                // pending, masked
    bics    x0, x0, x3
    b.ne    7f
    count   x2, {count_sibling}, x3
    b       4f
3:  ldr     x2, [x1, #{mine}]
    ldp     x0, x3, [x2]
    bics    x0, x0, x3
    b.eq    doorbell_rust
7:  rbit    x3, x0
    clz     x3, x3
    add     x4, x1, x3, lsl #2
    ldr     w6, [x4, #{bell_intids}]
    add     x4, x2, x3, lsl #5          // its counters
    listable bell_room
bell_listable:
    mov     x6, #1
    lsl     x6, x6, x3
8:  ldaxr   x3, [x2]
    bic     x3, x3, x6
    stxr    w7, x3, [x2]
    cbnz    w7, 8b
    count   x4, {received}, x6
    list_software
    ldp     x0, x3, [x2]
    bics    x0, x0, x3
    b.ne    7b
    count   x2, {count_doorbell}, x3
4:  ldp     x6, x7, [sp, #16 * 3]
    ldp     x4, x5, [sp, #16 * 2]
    ldp     x2, x3, [sp, #16 * 1]
    ldp     x0, x1, [sp], #256
    return_to_guest
doorbell_rust:
    .if     {is_v3}
    isb                                 // see there
    .endif
    mov     w0, #{doorbell}
    ldp     x6, x7, [sp, #16 * 3]
    ldp     x4, x5, [sp, #16 * 2]
    b       interrupt

sgi_room:
    find_room
    b       sgi_listable

bell_room:
    ldr     x7, [x1, #{holders}]
    add     x7, x7, x6
    ldr     w0, [x1, #{holder}]
    strb    w0, [x7, #-32]
    find_room
    b       bell_listable

    .if     {is_v3} == 0
look_for_room:                          // w0 = INTID, x1 = core, w2 = list register's value
    read_empty 3
    tbz     w3, #0, interrupt
    add     w3, w0, #1
    strh    w3, [x1, #{lr_intid}]
list_physical:
    ldr     x3, [x1, #{gich}]
    str     w2, [x3, #0x100]            // GICH_LR0
    ldr     x3, [x1, #{gicc}]
    str     w0, [x3, #0x10]             // GICC_EOIR
    add     x2, x1, x0
    strb    wzr, [x2, #{last_lr}]
    ldr     x2, [x1, #{mine}]
    tst     w0, #~0x1f
    .endif
owned_interrupt:                        // the end of the fast path: flags = not an SPI
    b.eq    1f
    ldr     x3, [x1, #{holders}]
    add     x3, x3, x0
    ldr     w0, [x1, #{holder}]
    strb    w0, [x3, #-32]
1:  count   x2, {count_interrupt}, x3
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp], #256
    return_to_guest
    .endif
    .popsection
"#
    };
}

pub(super) use {fast_macros, fast_paths};
