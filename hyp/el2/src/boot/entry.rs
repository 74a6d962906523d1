//! The first instructions of a core, before it has a stack or an address it was linked for.
//!
//! The image may be at any address (arm64 Image, Linux `Documentation/arch/arm64/booting.rst`).
//! `.head` is its first page: the header, and the loop that moves the whole image. That loop
//! survives any overlap of source and target: moving down, it copies its own page first and
//! continues in the copy; moving up, its own page is the last to change. The MMU is off throughout,
//! so caches are maintained by address to the point of coherency on both sides of the move.

use core::arch::global_asm;
use core::mem::offset_of;

use plan::{Header, PRIVATE_SIZE, PRIVATE_STATE};

/// Bytes of the boot stack, which the boot core uses until it takes its own.
const BOOT_STACK: usize = 16 * 1024;

/// `HCR_EL2` for EL2 itself: EL1 is AArch64, no VHE.
const HCR: u64 = 1 << 31;
/// `SCTLR_EL2` with the MMU off: RES1 bits and the instruction cache (DDI 0487, `SCTLR_EL2`).
const SCTLR_OFF: u64 = 0x30c5_0830 | 1 << 12;
/// `SCTLR_EL2` with the MMU on: M, C, SA and WXN too.
const SCTLR_ON: u64 = SCTLR_OFF | 1 << 0 | 1 << 2 | 1 << 3 | 1 << 19;

global_asm!(
    r#"
    .pushsection .head, "ax"
    .global _image_start
_image_start:
    b       0f                          // arm64 Image header
    .word   0
    .quad   0                           // text_offset
    .quad   0                           // image_size: the packer's
    .quad   0                           // flags: the packer's
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0
    .global _plan_offset
_plan_offset:
    .quad   0                           // the packer's: the plan, bytes from the image's start
    .quad   0                           // the packer's: bytes of EL2's segments

// sets, independent of firmware: interrupts masked, no VHE, MMU off
.macro known_state
    msr     DAIFSet, #0xf
    msr     SPSel, #1
    msr     TPIDR_EL2, xzr              // no state yet (state/percpu.rs)
    adr     x1, vectors                 // a fault of boot's has its line
    msr     VBAR_EL2, x1
    msr     MDCR_EL2, xzr
    mov     x1, #{hcr}
    msr     HCR_EL2, x1
    mov     x1, #({sctlr_off} & 0xffff)
    movk    x1, #({sctlr_off} >> 16), lsl #16
    msr     SCTLR_EL2, x1
    isb
.endm

0:  mov     x20, x0                     // device tree
    mrs     x21, CurrentEL
    lsr     x21, x21, #2
    msr     DAIFSet, #0xf
    msr     SPSel, #1
    cmp     x21, #2
// to be refused; the boot protocol has the MMU off at each level
    b.ne    1f
    known_state
1:  adr     x19, _image_start
    mov     x0, x19
    bl      relocate
    adrp    x1, boot_stack_top
    add     sp, x1, :lo12:boot_stack_top
    mov     x0, x20
    mov     x1, x21
// x0 = target, x1 = bytes; a machine that does not fit never returns
    bl      {check_machine}
    mov     x21, x0
    mov     x20, x1
    cmp     x21, x19
    b.eq    5f
    bl      clean_invalidate            // nothing dirty may land on the copy later
move_image:
    mov     x0, x21
    mov     x1, x19
    cmp     x21, x19
    b.hi    3f

    add     x2, x21, #4096              // down: this page first
1:  ldp     x3, x4, [x1], #16
    ldp     x5, x6, [x1], #16
    stp     x3, x4, [x0], #16
    stp     x5, x6, [x0], #16
    cmp     x0, x2
    b.lo    1b
    add     x2, x21, x20
    cmp     x0, x2
    b.hs    image_moved
// the page is fetched from: nothing stale may be read instead of it
    mov     x22, x0
    mov     x23, x1
    mov     x0, x21
    mov     x1, #4096
    bl      clean_invalidate
    mov     x0, x22
    mov     x1, x23
    ic      iallu
    dsb     sy
    isb
    add     x2, x21, x20                // from here to the end without a break
    adr     x3, 1b                      // continue in the copy, which holds this code by now
    sub     x3, x3, x19
    add     x3, x3, x21
    br      x3

3:  add     x0, x0, x20                 // up: from the end
    add     x1, x1, x20
7:  ldp     x3, x4, [x1, #-16]!
    ldp     x5, x6, [x1, #-16]!
    stp     x3, x4, [x0, #-16]!
    stp     x5, x6, [x0, #-16]!
    cmp     x0, x21
    b.hi    7b

image_moved:
    mov     x0, x21
    mov     x1, x20
    bl      clean_invalidate            // nor anything stale be read instead of it, on any core
    ic      ialluis
    dsb     sy
    isb
    adr     x1, 5f                      // continue in the copy, from either place
    adr     x2, _image_start
    sub     x1, x1, x2
    add     x1, x1, x21
    br      x1
5:  adr     x1, vectors
    msr     VBAR_EL2, x1
    mov     x0, x21
    bl      relocate
    mov     x0, x21
    adrp    x1, _image_end
    add     x1, x1, :lo12:_image_end
    sub     x1, x1, x21
// the words just relocated may have been prefetched with their old values; they are data, and the
// clean ends with a DSB
    bl      clean_invalidate
    adrp    x1, boot_stack_top
    add     sp, x1, :lo12:boot_stack_top
    bl      {moved}
    b       park_core

// x0 = the image's address: adds it to every address in the image (R_AARCH64_RELATIVE is the only
// kind there).
relocate:
    adrp    x1, _rela_start
    add     x1, x1, :lo12:_rela_start
    adrp    x2, _rela_end
    add     x2, x2, :lo12:_rela_end
1:  cmp     x1, x2
    b.hs    2f
    ldp     x3, x4, [x1], #16
    ldr     x5, [x1], #8
    add     x5, x5, x0
    str     x5, [x0, x3]
    b       1b
2:  ret

// x0 = address, x1 = bytes: cleans and invalidates to the point of coherency.
    .global clean_invalidate
clean_invalidate:
    cbz     x1, 2f
    mrs     x2, CTR_EL0
    ubfx    x2, x2, #16, #4             // DminLine: log2 of words
    mov     x3, #4
    lsl     x2, x3, x2
    add     x1, x0, x1
    sub     x3, x2, #1
    bic     x0, x0, x3
1:  dc      civac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy
2:  ret

// x0 = address, x1 = bytes, x2 = tables that map them, x3 = tables to use after. With the data
// cache off, accesses and table walks are not cacheable, so nothing is fetched meanwhile; there is
// no load and no store here.
    .global clean_invalidate_unmapped
clean_invalidate_unmapped:
    mov     x4, x2
    mov     x5, x3
    mov     x6, x30
    mrs     x7, SCTLR_EL2
    bic     x8, x7, #(1 << 2)           // C
    dsb     sy
    msr     SCTLR_EL2, x8
// the cache is off before the tables map the memory: no line is fetched by speculation
    isb
    msr     TTBR0_EL2, x4
    isb
// walks may continue from cached table entries, also of the other root
    tlbi    alle2
    dsb     nsh
    isb
    bl      clean_invalidate
    msr     TTBR0_EL2, x5
    isb
    tlbi    alle2
    dsb     nsh
    isb
    msr     SCTLR_EL2, x7
    isb
    ret     x6

// Other cores start here, from PSCI or a spin table: the MPIDR finds the core's row in the plan.
    .global secondary_start
secondary_start:
    known_state
    adr     x19, _image_start
    ldr     x20, _plan_offset
    add     x20, x19, x20
    mrs     x1, MPIDR_EL1
    mov     x2, #0xffffff
    movk    x2, #0xff, lsl #32
    and     x1, x1, x2
    ldp     w2, w3, [x20, #{cores}]
    add     x19, x20, x2
1:  cbz     w3, park_core
    ldr     x4, [x19, #{mpidr}]
    cmp     x4, x1
    b.eq    start_core_row
    add     x19, x19, #{core_size}
    sub     w3, w3, #1
    b       1b

// x0 = the core's row, x1 = plan: leaves the boot stack for the core's own.
    .global start_core
start_core:
    mov     x19, x0
    mov     x20, x1
start_core_row:
    ldr     x21, [x19, #{private}]
    mov     x1, #{stack_top}
    add     x21, x21, x1
    mov     sp, x21
    mov     x0, x19
    bl      {check_core}
    ldr     x0, [x19, #{private}]       // what the check wrote here went past the caches:
    mov     x1, #{stack_top}            // no older line may be read once they are on
    bl      clean_invalidate
    mov     x1, #({mair} & 0xffff)
    movk    x1, #({mair} >> 16), lsl #16
    msr     MAIR_EL2, x1
    msr     AMAIR_EL2, xzr
    ldr     x1, [x20, #{tcr}]
    msr     TCR_EL2, x1
    ldr     x1, [x19, #{ttbr_load}]
    msr     TTBR0_EL2, x1
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     VBAR_EL2, x1
// the MMU is off: neither depends on the registers above
    tlbi    alle2
    ic      iallu
    dsb     nsh
    isb
    mov     x1, #({sctlr_on} & 0xffff)
    movk    x1, #({sctlr_on} >> 16), lsl #16
    msr     SCTLR_EL2, x1
    isb
    mov     x0, x19
    bl      run_core

    .global park_core
park_core:
    wfe
    b       park_core
    .popsection

    .pushsection .bss.boot_stack, "aw", @nobits
// the stack shares no line with data that other cores use with their caches on
    .balign 128
    .space  {boot_stack}
boot_stack_top:
    .balign 128
    .popsection
"#,
    hcr = const HCR,
    sctlr_off = const SCTLR_OFF,
    sctlr_on = const SCTLR_ON,
    mair = const plan::MAIR_EL2,
    check_machine = sym super::check_machine,
    moved = sym super::moved,
    check_core = sym super::check_core,
    cores = const offset_of!(Header, cores),
    tcr = const offset_of!(Header, tcr),
    mpidr = const offset_of!(plan::Core, mpidr),
    core_size = const size_of::<plan::Core>(),
    private = const offset_of!(plan::Core, private),
    ttbr_load = const offset_of!(plan::Core, ttbr_load),
    stack_top = const PRIVATE_SIZE - PRIVATE_STATE,
    boot_stack = const BOOT_STACK,
);
