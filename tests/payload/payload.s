// A raw payload like a third party's, for the case `payload/raw`: it gets its device tree in x0,
// starts its other seven vCPUs (CPU_ON by HVC), waits until each has run (they end by CPU_OFF, by
// SMC), prints a line on the PL011 and switches its partition off. It uses no stack and no MMU.
// `payload.bin` has its bytes: clang --target=aarch64-none-elf -c payload.s && llvm-objcopy -O
// binary payload.o payload.bin
        ldr     w1, [x0]
        movz    w2, #0x0dd0
        movk    w2, #0xedfe, lsl #16    // FDT_MAGIC, big-endian
        cmp     w1, w2
        b.ne    off
        adr     x20, seen
        mov     x21, #1
start:  movz    w0, #0x0003
        movk    w0, #0xc400, lsl #16    // CPU_ON
        mov     x1, x21
        adr     x2, other
        mov     x3, x21
        hvc     #0
        cbnz    x0, off
        add     x21, x21, #1
        cmp     x21, #8
        b.ne    start
        mov     x21, #1
wait:   yield
        ldrb    w1, [x20, x21]
        cbz     w1, wait
        add     x21, x21, #1
        cmp     x21, #8
        b.ne    wait
        movz    x3, #0x0900, lsl #16    // the PL011
        adr     x1, text
say:    ldrb    w2, [x1], #1
        cbz     w2, off
        str     w2, [x3]
        b       say
off:    movz    w0, #0x0008
        movk    w0, #0x8400, lsl #16    // SYSTEM_OFF
        smc     #0
other:  adr     x1, seen                // x0 = context = vCPU
        mov     w2, #1
        strb    w2, [x1, x0]
        dsb     sy
        movz    w0, #0x0002
        movk    w0, #0x8400, lsl #16    // CPU_OFF
        smc     #0
text:   .asciz  "tree at x0, 8 vCPUs ran\n"
        .balign 8
seen:   .zero   8
