//! A miniature boot loader: an arm64 Image that is 2 MiB before Bulkhead's. At EL2, on the boot
//! core, it leaves the state that its case asks for, and continues at the image.
//! `xtask/src/test/loader.rs` puts both into one file and writes the two words after the header:
//! what to leave (one bit each, `system_tests::Mischief`), and the offset of the boot device tree,
//! or 0 for the one that came in x0.
#![no_std]
#![no_main]

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .head, "ax"
    .arch_extension fp
    .arch_extension simd
    .global _start
_start:
    b       0f                          // arm64 Image header
    .word   0
    .quad   0                           // text_offset
    .quad   0x1000000                   // image_size
    .quad   0xa                         // flags: 4 KiB pages, anywhere
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0
    .quad   0                           // what to leave
    .quad   0                           // where the tree is

.macro li reg, value
    movz    \reg, #((\value) & 0xffff)
    movk    \reg, #(((\value) >> 16) & 0xffff), lsl #16
    movk    \reg, #(((\value) >> 32) & 0xffff), lsl #32
    movk    \reg, #(((\value) >> 48) & 0xffff), lsl #48
.endm
.macro set register, value
    li      x9, \value
    msr     \register, x9
.endm
.macro when bit                         // else on at the label 1
    tbz     x19, #\bit, 1f
.endm

0:  adr     x20, _start
    ldr     x19, [x20, #64]
    ldr     x1, [x20, #72]
    cbz     x1, 1f
    add     x0, x20, x1
1:  mov     x21, x0

    when    0                           // GICv3: a Group 0 interrupt, the most urgent, is active
    bl      system_registers
    set     S3_0_C12_C8_4, 1            // ICC_AP0R0_EL1
    isb
1:  when    1                           // nobody has set the counter's frequency
    msr     CNTFRQ_EL0, xzr
1:  when    2                           // it is another than on the cores that firmware starts
    set     CNTFRQ_EL0, 50000000
1:  when    3
    bl      registers
1:  when    4
    bl      gicv3
1:  when    5
    bl      gicv2
1:  when    6                           // there is no memory
    li      x21, 0x600000000
1:  add     x2, x20, #0x200, lsl #12
    li      x1, 0xdeadbeefcafef00d
    mov     x0, x21
    br      x2

system_registers:                       // ICC_SRE_EL2: the GICv3's are there
    mrs     x9, S3_4_C12_C9_5
    orr     x9, x9, #0xf
    msr     S3_4_C12_C9_5, x9
    isb
    ret

registers:                              // everything that is UNKNOWN when a core starts
    set     S3_4_C1_C0_1, 0x73          // ACTLR_EL2
    set     S3_4_C1_C1_7, 0xffffffff    // HACR_EL2
    msr     CPTR_EL2, xzr
    set     FPCR, 0x07c00000
    set     FPSR, 0xf800009f
    li      x9, 0xdeadbeefcafef00d
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    dup     v\i\().2d, x9
    .endr
    set     DBGBVR0_EL1, 0x40080000
    set     DBGBCR0_EL1, 0x1e7
    set     DBGBVR5_EL1, 0x40080000
    set     DBGBCR5_EL1, 0x1e7
    set     DBGWVR3_EL1, 0x40080000
    set     DBGWCR3_EL1, 0x1fff
    set     MDSCR_EL1, 0xa000
    set     MDCCINT_EL1, 0x60000000
    set     OSLAR_EL1, 1
    set     PMCR_EL0, 0x41
    set     PMCNTENSET_EL0, 0xffffffff
    set     PMINTENSET_EL1, 0xffffffff
    set     PMOVSSET_EL0, 0xffffffff
    set     PMUSERENR_EL0, 0xf
    set     HCR_EL2, 0x3bffffff
    set     MDCR_EL2, 0xfff
    set     CPTR_EL2, 0xffffffff
    set     HSTR_EL2, 0xffff
    set     CNTHCTL_EL2, 0xfc
    set     VBAR_EL2, 0xffff000000000800
    set     SCTLR_EL1, 0x34d5d91d
    set     CPACR_EL1, 0x300000
    set     CNTKCTL_EL1, 0x3ff
    .irp register, CNTVOFF_EL2, VTTBR_EL2, TTBR0_EL2, MAIR_EL2, AMAIR_EL2, TPIDR_EL2, VPIDR_EL2
    set     \register, 0xdeadbeefcafef00d
    .endr
    .irp register, VMPIDR_EL2, TTBR0_EL1, TTBR1_EL1, TCR_EL1, MAIR_EL1, AMAIR_EL1, VBAR_EL1
    set     \register, 0xdeadbeefcafef00d
    .endr
    .irp register, TPIDR_EL0, TPIDR_EL1, SP_EL0, SP_EL1, ELR_EL1, FAR_EL1
    set     \register, 0xdeadbeefcafef00d
    .endr
    .irp timer, CNTHP_CTL_EL2, CNTV_CTL_EL0, CNTP_CTL_EL0
    set     \timer, 1
    .endr
    msr     CNTHP_CVAL_EL2, xzr
    msr     CNTV_CVAL_EL0, xzr
    msr     CNTP_CVAL_EL0, xzr
    isb
    ret

gicv3:
    mov     x22, x30
    bl      system_registers
    li      x9, 0xffffffff
    msr     S3_0_C12_C8_4, x9           // ICC_AP0R0_EL1
    msr     S3_0_C12_C9_0, x9           // ICC_AP1R0_EL1
    msr     S3_4_C12_C8_0, x9           // ICH_AP0R0_EL2
    msr     S3_4_C12_C9_0, x9           // ICH_AP1R0_EL2
    set     S3_4_C12_C11_7, 0x9f000000  // ICH_VMCR_EL2
    set     S3_4_C12_C12_0, 0x501000000000001b
    set     S3_4_C12_C12_3, 0x900000000000002a
    set     S3_4_C12_C11_0, 0xff        // ICH_HCR_EL2
    msr     S3_0_C4_C6_0, xzr           // ICC_PMR_EL1
    set     S3_0_C12_C12_6, 1           // ICC_IGRPEN0_EL1
    li      x1, 0x080a0000              // this core's redistributor
    li      x2, 0x08000000
    mov     w9, #1
    str     w9, [x1]                    // GICR_CTLR: LPIs
    mov     w9, #0x37
    str     w9, [x2]                    // GICD_CTLR
    add     x1, x1, #0x10000
    mov     w3, #~0
    str     wzr, [x1, #0x80]            // Group 0, enabled, pending, active
    str     w3, [x1, #0x100]
    str     w3, [x1, #0x200]
    str     w3, [x1, #0x300]
    mov     x4, #4
2:  add     x5, x2, x4
    str     wzr, [x5, #0x80]
    str     w3, [x5, #0x100]
    str     w3, [x5, #0x200]
    str     w3, [x5, #0x300]
    add     x4, x4, #4
    cmp     x4, #36
    b.lo    2b
    dsb     sy
    isb
    ret     x22

gicv2:                                  // QEMU's virt: GICD, GICC, GICH
    li      x1, 0x08010000
    li      x2, 0x08000000
    li      x5, 0x08030000
    mov     w3, #~0
    mov     w9, #3
    str     w9, [x2]
    mov     w9, #0x1e7
    str     w9, [x1]
    str     wzr, [x1, #4]
    str     w3, [x1, #0xd0]             // GICC_APR, GICC_NSAPR
    str     w3, [x1, #0xe0]
    str     w3, [x5, #0xf0]             // GICH_APR
    li      x9, 0x1000001b
    str     w9, [x5, #0x100]
    str     w9, [x5, #0x10c]
    li      x9, 0x9f000000
    str     w9, [x5, #8]
    mov     w9, #0xff
    str     w9, [x5]
    li      x9, 0x0f0f0f0f
    str     w9, [x2, #0xf20]            // SGIs from every core
    mov     x4, #0
2:  add     x5, x2, x4
    str     w3, [x5, #0x80]             // Group 1, enabled, pending, active
    str     w3, [x5, #0x100]
    str     w3, [x5, #0x200]
    str     w3, [x5, #0x300]
    add     x4, x4, #4
    cmp     x4, #36
    b.lo    2b
    dsb     sy
    ret
    .popsection
"#
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
