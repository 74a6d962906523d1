// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first instructions: the arm64 Image header (Linux `Documentation/arch/arm64/booting.rst`),
//! the move to the top of RAM, and the vectors.

use core::arch::global_asm;

use loader_protocol::board::ROOM;

/// Bytes of the stack.
const STACK: usize = 32 * 1024;
/// `SCTLR_EL2` while the loader runs: RES1 bits and the instruction cache (DDI 0487, `SCTLR_EL2`).
const SCTLR: u64 = 0x30c5_0830 | 1 << 12;

global_asm!(
    r#"
    .pushsection .head, "ax"
    .global _image_start
_image_start:
    b       0f                          // arm64 Image header
    .word   0
    .quad   0                           // text_offset
    .quad   _image_end - _image_start
    .quad   0xa                         // flags: 4 KiB pages, anywhere
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0
    .space  {room}                      // the board, written by xtask

0:  mov     x20, x0                     // device tree
    msr     DAIFSet, #0xf
    mrs     x21, CurrentEL
    cmp     x21, #(2 << 2)
    b.ne    wait_for_ever               // there is nothing to hand over at another level
    msr     SPSel, #1
    mrs     x22, SCTLR_EL2
    mrs     x23, VBAR_EL2
    mov     x1, #({sctlr} & 0xffff)
    movk    x1, #({sctlr} >> 16), lsl #16
    msr     SCTLR_EL2, x1
    adr     x1, vectors
    msr     VBAR_EL2, x1
    isb
    adr     x19, _image_start
    adrp    x25, _image_end
    add     x25, x25, :lo12:_image_end
    sub     x25, x25, x19               // bytes
    mov     x0, x19
    bl      relocate
    adrp    x1, stack_top
    add     sp, x1, :lo12:stack_top
    mov     x0, x20
    mov     x1, x19
    mov     x2, x25
    bl      {choose_place}
    mov     x24, x0
    cmp     x24, x19
    b.eq    2f
    mov     x1, x25                     // nothing dirty may land on the copy later
    bl      clean_invalidate
    mov     x0, x24
    mov     x1, x19
    add     x2, x19, x25
1:  ldp     x3, x4, [x1], #16
    stp     x3, x4, [x0], #16
    cmp     x1, x2
    b.lo    1b
    mov     x0, x24                     // nor anything stale be read instead of it
    mov     x1, x25
    bl      clean_invalidate
    ic      iallu
    dsb     sy
    isb
    adr     x1, 2f                      // continue in the copy
    sub     x1, x1, x19
    add     x1, x1, x24
    br      x1
2:  mov     x0, x24
    bl      relocate
    adr     x1, vectors
    msr     VBAR_EL2, x1
    isb
    adrp    x1, stack_top
    add     sp, x1, :lo12:stack_top
    mov     x0, x20
    mov     x1, x22
    mov     x2, x23
    mov     x3, x24
    mov     x4, x25
    bl      {main}

    .global wait_for_ever
wait_for_ever:
    wfe
    b       wait_for_ever

// x0 = the loader's address: adds it to every address in it (only R_AARCH64_RELATIVE occurs).
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

// x0 = device tree, x1 = the image, x2 = SCTLR_EL2, x3 = VBAR_EL2: starts it as firmware would.
    .global start_image
start_image:
    msr     VBAR_EL2, x3
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    msr     SCTLR_EL2, x2
    isb
    mov     x4, x1
    mov     x1, xzr
    mov     x2, xzr
    mov     x3, xzr
    br      x4
    .popsection

    .pushsection .text.vectors, "ax"
    .balign 2048
vectors:
    .rept   16
    .balign 128
    mrs     x0, ESR_EL2
    mrs     x1, ELR_EL2
    mrs     x2, FAR_EL2
    b       {fault}
    .endr
    .popsection

    .pushsection .bss.stack, "aw", @nobits
    .balign 16
    .space  {stack}
stack_top:
    .popsection
"#,
    room = const ROOM,
    sctlr = const SCTLR,
    stack = const STACK,
    choose_place = sym crate::choose_place,
    main = sym crate::main,
    fault = sym crate::cpu::fault,
);
