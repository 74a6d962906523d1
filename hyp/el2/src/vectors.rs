//! The exception vectors (DDI 0487, D1.3): save what the path clobbers, call one Rust function, restore, return.
//!
//! What happens most has a short path in assembly, for a Rust function would save eighteen registers first: the doorbell
//! call, the doorbell SGI, a private interrupt of the guest's. Each does what the Rust function it names does in the usual
//! case, looks at everything before it changes anything, and leaves all other cases to that function. `docs/performance.md`
//! has their lengths.
//!
//! A frame holds x0 to x30. Rust keeps x19 to x29 across calls, so the interrupt and hypercall paths save the others
//! alone; only emulation, which may name any register, saves all. Nothing at EL2 is interruptible, so ELR and SPSR stay
//! in their registers. `TPIDR_EL2` is the core's state: the vector hands it out once an entry, as an exclusive borrow.

use core::arch::global_asm;
use core::mem::offset_of;

use abi::{Reason, call, state};
use doorbell::{Bucket, End, Line};
use plan::INTIDS;
use vgic::Delivery;

use crate::cpu::core::{Bell, Core};
use crate::gic;
use crate::shared::PerCore;

/// Where the count of entries for `reason` is in [`PerCore`].
const fn entries(reason: Reason) -> usize {
    offset_of!(PerCore, entries) + 8 * reason as usize
}

/// Where the channel ends are in [`Core`].
const BELLS: usize = offset_of!(Core, bells);
// What the vectors take for granted beside the offsets they are given.
const _: () = assert!(offset_of!(PerCore, line) == 0 && offset_of!(Line, pending) == 0);
const _: () = assert!(offset_of!(Bell, bit) == offset_of!(Bell, line) + 8);
const _: () = assert!(offset_of!(Bucket, interval) == offset_of!(Bucket, arrival) + 8);
const _: () = assert!(offset_of!(Line, masked) == 8);

/// The guest's general registers, and XZR: of x20 to x29, which Rust keeps, only a synchronous exception other than HVC has
/// them, and not at first.
#[repr(C)]
pub struct Frame([u64; 32]);

/// The registers a frame has at first, one bit each.
pub const AT_FIRST: u32 = !(0x3ff << 20);
/// All registers.
pub const ALL: u32 = !0;

impl Frame {
    /// A frame of zeros.
    pub const ZERO: Self = Self([0; 32]);

    /// Register `index` as an instruction names it: 31 is XZR.
    #[inline(always)]
    pub fn get(&self, index: u8) -> u64 {
        self.0[usize::from(index) & 31]
    }

    /// Sets register `index`; 31 discards the value.
    #[inline(always)]
    pub fn set(&mut self, index: u8, value: u64) {
        if index != 31 {
            self.0[usize::from(index) & 31] = value;
        }
    }
}

global_asm!(
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

// x1 = core, x6 = INTID of a software interrupt: x5 = its list register's content, x0 = the one it was last in, if that is
// free. Where another has been since, `room` finds one and goes on behind this.
.macro listable room
    add     x5, x1, x6, lsl #3
    ldr     x5, [x5, #{ready}]
    cbz     x5, doorbell_rust
    add     x0, x1, x6
    ldrb    w0, [x0, #{register}]
    add     x7, x1, x0, lsl #1
    ldrh    w7, [x7, #{noted}]
    sub     w7, w7, #1
    cmp     w7, w6
    b.ne    \room
    mrs     x7, S3_4_C12_C11_5          // ICH_ELRSR_EL2
    lsr     w7, w7, w0
    tbz     w7, #0, doorbell_rust
    ldr     w7, [x1, #{open}]
    lsr     w7, w7, w0
    tbz     w7, #0, doorbell_rust
.endm

// x1 = core, x6 = INTID that is in no list register: x0 = one that is free, and noted as its.
.macro find_room
    isb                                 // ICH_ELRSR_EL2 may not show yet what this entry listed
    ldr     w0, [x1, #{open}]
    mrs     x7, S3_4_C12_C11_5          // ICH_ELRSR_EL2
    and     w0, w0, w7
    and     w0, w0, #0xfffe             // 0 is for physical ones
    cbz     w0, doorbell_rust
    rbit    w0, w0
    clz     w0, w0
    add     x7, x1, x6
    strb    w0, [x7, #{register}]
    add     x7, x1, x0, lsl #1
    add     w6, w6, #1
    strh    w6, [x7, #{noted}]
    sub     w6, w6, #1
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
1:  cmp     w2, #{ring}
    b.eq    ring
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
sgi_room:
    find_room
    b       sgi_listable

    from_el2 7
bell_room:
    ldr     x7, [x1, #{holders}]
    add     x7, x7, x6
    ldr     w0, [x1, #{holder}]
    strb    w0, [x7, #-32]
    find_room
    b       bell_listable

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
    mrs     x0, S3_0_C12_C12_0          // ICC_IAR1_EL1
    cmp     w0, #{doorbell}
    b.eq    doorbell
    sub     w2, w0, #16
    cmp     w2, #({intids} - 16)
    b.hs    interrupt
    ldr     x2, [x1, #{mail}]           // the guest's: as `Vcpu::physical`
    ldr     w2, [x2]
    cbnz    w2, interrupt
    add     x2, x1, x0, lsl #3
    ldr     x3, [x2, #{ready}]
    cbz     x3, interrupt
    mrs     x2, S3_4_C12_C11_5          // ICH_ELRSR_EL2
    tbz     w2, #0, interrupt
    ldr     w2, [x1, #{open}]
    tbz     w2, #0, interrupt
    msr     S3_4_C12_C12_0, x3          // ICH_LR0_EL2
    msr     S3_0_C12_C12_1, x0          // ICC_EOIR1_EL1
    add     x2, x1, x0
    strb    wzr, [x2, #{register}]
    add     w2, w0, #1
    strh    w2, [x1, #{noted}]
    ldr     x2, [x1, #{mine}]
    tst     w0, #~0x1f
    b       owned_interrupt

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

ring:                                   // as `bell::ring`
    ldr     x0, [sp, #8]
    ldr     x2, [x1, #{bell_count}]
    cmp     x0, x2
    b.hs    call_rust
    add     x2, x0, x0, lsl #1
    add     x2, x1, x2, lsl #5
    add     x2, x2, #{bells}            // its end
    ldr     x3, [x2, #{peer}]
    ldr     w3, [x3]
    cmp     w3, #{running}
    b.ne    call_rust
    stp     x4, x5, [sp, #16 * 2]
    ldp     x3, x4, [x2, #{line}]       // the peer's line, the bit
    ldr     x5, [x3]
    tst     x5, x4                      // set: only this core sets it, so clear it stays
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
    ldp     x0, x1, [x2, #{arrival}]    // and the interval
    cmp     x0, x5
    csel    x0, x0, x5, hi
    add     x0, x0, x1
    str     x0, [x2, #{arrival}]
    ldr     x0, [x2, #{sgi}]
    dsb     ishst                       // the SGI's taker must see the bit
    msr     S3_0_C12_C11_5, x0          // ICC_SGI1R_EL1
6:  count   x2, {sent}, x0
    mov     x0, #{ring_sent}
    ldp     x4, x5, [sp, #16 * 2]
    b       call_done
4:  mrs     x1, TPIDR_EL2
    ldp     x4, x5, [sp, #16 * 2]
    b       call_rust

doorbell:                               // w0 = INTID, x1 = core: as `bell::take`
    msr     S3_0_C12_C12_1, x0          // ICC_EOIR1_EL1
    msr     S3_0_C12_C11_1, x0          // ICC_DIR_EL1
    isb                                 // a kick after the acknowledgement sends an SGI anew: look only now
    stp     x4, x5, [sp, #16 * 2]
    stp     x6, x7, [sp, #16 * 3]
    ldr     x4, [x1, #{mail}]
    ldr     w0, [x4]
    cbz     w0, 3f
2:  lsr     w3, w0, #16                 // siblings' SGIs, as `Vcpu::inbox`; anything else is for Rust
    cbnz    w3, doorbell_rust
    rbit    w6, w0
    clz     w6, w6
    listable sgi_room
sgi_listable:
    mov     w2, #1
    lsl     w6, w2, w6
8:  ldaxr   w3, [x4]
    bic     w3, w3, w6
    stxr    w7, w3, [x4]
    cbnz    w7, 8b
    adr     x7, 1f
    b       write_list_register
1:  ldr     w0, [x4]
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
    add     x4, x3, x3, lsl #1
    add     x4, x1, x4, lsl #5          // its end
    ldr     w6, [x4, #{intid}]
    listable bell_room
bell_listable:
    mov     x6, #1
    lsl     x6, x6, x3
8:  ldaxr   x3, [x2]
    bic     x3, x3, x6
    stxr    w7, x3, [x2]
    cbnz    w7, 8b
    count   x4, {received}, x6
    adr     x7, 1f
    b       write_list_register
1:  ldp     x0, x3, [x2]
    bics    x0, x0, x3
    b.ne    7b
    count   x2, {count_doorbell}, x3
4:  ldp     x6, x7, [sp, #16 * 3]
    ldp     x4, x5, [sp, #16 * 2]
    ldp     x2, x3, [sp, #16 * 1]
    ldp     x0, x1, [sp], #256
    return_to_guest
doorbell_rust:
    isb                                 // see there
    mov     w0, #{doorbell}
    ldp     x6, x7, [sp, #16 * 3]
    ldp     x4, x5, [sp, #16 * 2]
    b       interrupt
    .popsection
"#,
    fault = sym crate::exits::fault,
    hypercall = sym crate::exits::hypercall,
    trapped = sym crate::exits::trapped,
    synchronous = sym crate::exits::synchronous,
    interrupt = sym crate::exits::interrupt,
    aarch32 = sym crate::exits::aarch32,
    hvc = const 0x5a00_0000,            // ESR_EL2 of HVC #0 from AArch64
    doorbell = const gic::DOORBELL,
    special = const gic::SPECIAL,
    intids = const INTIDS,
    holders = const offset_of!(Core, holders),
    holder = const offset_of!(Core, holder),
    version = const call::VERSION,
    ring = const call::RING - call::VERSION,
    major = const abi::REVISION_MAJOR,
    minor = const abi::REVISION_MINOR,
    running = const state::RUNNING,
    ring_sent = const abi::ring::SENT,
    mine = const offset_of!(Core, mine),
    mail = const offset_of!(Core, mail),
    bell_count = const offset_of!(Core, bell_count),
    open = const offset_of!(Core, delivery) + offset_of!(Delivery, open),
    register = const offset_of!(Core, delivery) + offset_of!(Delivery, register),
    noted = const offset_of!(Core, delivery) + offset_of!(Delivery, noted),
    ready = const offset_of!(Core, delivery) + offset_of!(Delivery, ready),
    bells = const BELLS,
    peer = const offset_of!(Bell, peer),
    line = const offset_of!(Bell, line),
    sgi = const offset_of!(Bell, sgi),
    intid = const BELLS + offset_of!(Bell, intid),
    arrival = const offset_of!(Bell, end) + offset_of!(End, bucket) + offset_of!(Bucket, arrival),
    tolerance = const offset_of!(Bell, end) + offset_of!(End, bucket) + offset_of!(Bucket, tolerance),
    sent = const offset_of!(Bell, end) + offset_of!(End, sent),
    received = const BELLS + offset_of!(Bell, end) + offset_of!(End, received),
    masked = const offset_of!(Line, masked),
    count_hvc = const entries(Reason::Hvc),
    count_interrupt = const entries(Reason::Interrupt),
    count_sibling = const entries(Reason::Sibling),
    count_doorbell = const entries(Reason::Doorbell),
);
