//! The code from the entry point to Rust: stack, MMU and vectors, in the same way for the first
//! vCPU and for later ones.

use core::arch::global_asm;

use crate::{MAX_VCPUS, Tree, console, exception, heap, interrupt, mmu, psci, smp};

/// Bytes of each vCPU's stack.
const STACK: usize = 32 * 1024;

#[repr(align(16))]
struct Stacks(
    #[allow(dead_code, reason = "only the entry code takes its address")] [u8; STACK * MAX_VCPUS],
);

// SAFETY (of the writes to it): each vCPU uses only its own part; nothing in Rust refers to it.
static mut STACKS: Stacks = Stacks([0; STACK * MAX_VCPUS]);

// The loader has cleared .bss and cleaned the image to the point of coherency, so that code, tables
// and data are right with the caches off. x0 (the device tree, or CPU_ON's context) is kept in x19
// until Rust takes it.
global_asm!(
    ".section .text.entry, \"ax\"",
    ".global _start",
    "_start:",
    "    adrp x20, {primary}",
    "    add  x20, x20, :lo12:{primary}",
    "    b    1f",
    ".global secondary_start",
    "secondary_start:",
    "    adrp x20, {secondary}",
    "    add  x20, x20, :lo12:{secondary}",
    "1:  mov  x19, x0",
    "    mrs  x1, mpidr_el1",
    "    and  x1, x1, #0xff",
    "    cmp  x1, #{max_vcpus}",
    "2:  b.hs 2b",
    "    add  x1, x1, #1",
    "    mov  x2, #{stack}",
    "    adrp x3, {stacks}",
    "    add  x3, x3, :lo12:{stacks}",
    "    madd x3, x1, x2, x3",
    "    mov  sp, x3",
    "    adrp x1, {vectors}",
    "    add  x1, x1, :lo12:{vectors}",
    "    msr  vbar_el1, x1",
    "    ldr  x1, ={mair}",
    "    msr  mair_el1, x1",
    "    ldr  x1, ={tcr}",
    "    msr  tcr_el1, x1",
    "    adrp x1, {root}",
    "    add  x1, x1, :lo12:{root}",
    "    msr  ttbr0_el1, x1",
    "    tlbi vmalle1",
    "    ic   iallu",
    "    dsb  nsh",
    "    isb",
    "    ldr  x1, ={sctlr}",
    "    msr  sctlr_el1, x1",
    "    isb",
    "    mov  x0, x19",
    "    blr  x20",
    "3:  b    3b",
    primary = sym primary,
    secondary = sym secondary,
    stacks = sym STACKS,
    vectors = sym exception::vectors,
    root = sym mmu::ROOT,
    max_vcpus = const MAX_VCPUS,
    stack = const STACK,
    mair = const mmu::MAIR,
    tcr = const mmu::TCR,
    sctlr = const mmu::SCTLR,
);

unsafe extern "Rust" {
    /// The guest's main function: see [`crate::main`].
    safe fn guest_main(tree: &'static Tree);
}

unsafe extern "C" {
    /// Entry of a vCPU that CPU_ON starts.
    pub safe fn secondary_start();
}

extern "C" fn primary(device_tree: usize) -> ! {
    let tree = crate::tree::init(device_tree);
    console::init(tree);
    heap::init(tree);
    interrupt::init(tree);
    interrupt::init_vcpu();
    guest_main(tree);
    psci::system_off()
}

extern "C" fn secondary(_context: usize) -> ! {
    interrupt::init_vcpu();
    smp::run();
    psci::cpu_off()
}
