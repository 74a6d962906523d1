//! Firmware in miniature, for QEMU's `virt` with `secure=on`: at EL3, on every core, from the first
//! instruction. It leaves the GIC to the Non-secure world except for the private interrupts that
//! its case keeps, answers PSCI by SMC, and starts the boot core at EL2 at an arm64 Image.
//! `xtask/src/test/loader.rs` writes the words after the first instruction.
//!
//! Sources: Arm DDI 0487 (`SCR_EL3`), IHI 0069 and IHI 0048 (groups in the Secure view), DEN 0022
//! (PSCI), QEMU's `hw/arm/virt.c` (addresses).
#![no_std]
#![no_main]

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .head, "ax"
    .global _start
_start:
    b       0f
    .word   0                           // the GIC's version
    .word   0                           // groups of the private interrupts, GIC(D|R)_IGROUPR0
    .word   0                           // the address of the image

.macro li reg, value
    movz    \reg, #((\value) & 0xffff)
    movk    \reg, #(((\value) >> 16) & 0xffff), lsl #16
.endm
.macro set register, value
    li      x9, \value
    msr     \register, x9
.endm

.equ SECURE_RAM, 0x0e000000             // a mailbox per core, then stacks
.equ POWER, 0x090b0000                  // the Secure world's PL061: pin 0 resets, pin 1 powers off

0:  mrs     x6, MPIDR_EL1
    and     x6, x6, #0xff
    set     SCR_EL3, 0x531              // EL2 is AArch64 and Non-secure, HVC and SMC are allowed
    msr     CPTR_EL3, xzr
    set     CNTFRQ_EL0, 62500000
    adr     x9, vectors
    msr     VBAR_EL3, x9
    li      x9, SECURE_RAM + 0x10000
    add     x9, x9, x6, lsl #12
    mov     sp, x9
    adr     x19, _start
    ldp     w20, w21, [x19, #4]

    li      x1, 0x08000000              // distributor
    cmp     w20, #2
    b.eq    2f
    mov     w0, #0x37                   // affinity routing in both worlds, all groups
    str     w0, [x1]
    li      x2, 0x080a0000              // this core's redistributor
    add     x2, x2, x6, lsl #17
    str     wzr, [x2, #0x14]            // GICR_WAKER
    add     x2, x2, #0x10, lsl #12
    str     w21, [x2, #0x80]
    str     wzr, [x2, #0xd00]           // Group 0, not Secure Group 1
    set     S3_6_C12_C12_5, 0xf         // ICC_SRE_EL3
    isb
    b       3f
2:  mov     w0, #3                      // both groups
    str     w0, [x1]
    li      x2, 0x08010000              // CPU interface
    mov     w0, #0x1e7
    str     w0, [x2]
    mov     w0, #0xff
    str     w0, [x2, #4]
    str     w21, [x1, #0x80]
3:  mov     x4, #0x84                   // every SPI is the Non-secure world's
    mov     w0, #-1
4:  str     w0, [x1, x4]
    add     x4, x4, #4
    cmp     x4, #0xa4
    b.lo    4b

    ldr     w4, [x19, #12]
    mov     x0, xzr
    cbz     x6, 6f
    li      x5, SECURE_RAM
5:  wfe
    ldr     x4, [x5, x6, lsl #3]
    cbz     x4, 5b
    str     xzr, [x5, x6, lsl #3]
6:  set     SCTLR_EL2, 0x30c50830
    set     SPSR_EL3, 0x3c9             // EL2h, all masked
    msr     ELR_EL3, x4
    eret

    .balign 2048
vectors:
    .rept   8
    .balign 128
    b       .
    .endr
    .balign 128                         // synchronous, from AArch64: SMC, which may change x0 to x3
    mov     x3, x0
    mov     x0, xzr
    stp     x9, x10, [sp, #-16]!
    li      x9, 0xc4000003              // CPU_ON
    cmp     x3, x9
    b.eq    1f
    li      x10, POWER
    mov     w0, #3
    li      x9, 0x84000008              // SYSTEM_OFF
    cmp     x3, x9
    b.eq    2f
    li      x9, 0x84000009              // SYSTEM_RESET
    cmp     x3, x9
    b.eq    3f
    mov     x0, #-1                     // NOT_SUPPORTED
    b       4f
1:  and     x1, x1, #0xff
    li      x9, SECURE_RAM
    str     x2, [x9, x1, lsl #3]
    dsb     sy
    sev
    b       4f
2:  str     w0, [x10, #0x400]           // GPIODIR
    str     w0, [x10, #8]               // GPIODATA of pin 1
    b       .
3:  str     w0, [x10, #0x400]
    str     w0, [x10, #4]
    b       .
4:  ldp     x9, x10, [sp], #16
    eret
    .popsection
"#
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
