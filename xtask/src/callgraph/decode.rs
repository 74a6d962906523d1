// SPDX-License-Identifier: MIT OR Apache-2.0
//! The A64 instructions that change the flow of control or EL2's stack pointer (DDI 0487, C4.1).
//! All others are treated alike.

/// Number of the register that `BL` sets and a plain `RET` reads.
pub const LINK: u8 = 30;
/// Number of the stack pointer where an instruction may name it, else of XZR.
const SP: u32 = 31;

/// The effect of an instruction on the flow of control or on the stack. Offsets are bytes from the
/// instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `B`.
    Branch(i32),
    /// `B.cond`, `CBZ`, `CBNZ`, `TBZ`, `TBNZ`.
    Conditional(i32),
    /// `BL`.
    Call(i32),
    /// `BR`, to the address in a register.
    Jump(u8),
    /// `BLR`.
    CallRegister(u8),
    /// `RET`.
    Return(u8),
    /// `ERET`.
    ExceptionReturn,
    /// `UDF`, `BRK`, `HLT`: execution does not go on.
    Trap,
    /// `ADR`: a register gets an address.
    Address(u8, i32),
    /// `ADRP`: a register gets the page at this distance from the instruction's page.
    Page(u8, i32),
    /// The stack pointer moves down by this number of bytes; up if negative.
    Push(i32),
    /// The stack pointer gets a register's value plus a constant.
    SetStack(u8, i32),
    /// Another instruction that changes the stack pointer, or branches.
    Unknown,
    /// Any other instruction.
    Other,
}

/// Returns bits `from` to `from + count - 1` of `word`.
fn bits(word: u32, from: u32, count: u32) -> u32 {
    word >> from & ((1 << count) - 1)
}

/// Returns the same bits as a two's complement number.
fn signed(word: u32, from: u32, count: u32) -> i32 {
    ((bits(word, from, count) << (32 - count)) as i32) >> (32 - count)
}

/// Decodes `word`.
#[must_use]
pub fn decode(word: u32) -> Instruction {
    let register = |from| bits(word, from, 5) as u8;
    let is = |mask: u32, value: u32| word & mask == value;
    if is(0xfc00_0000, 0x1400_0000) {
        return Instruction::Branch(signed(word, 0, 26) * 4);
    }
    if is(0xfc00_0000, 0x9400_0000) {
        return Instruction::Call(signed(word, 0, 26) * 4);
    }
    if is(0xff00_0000, 0x5400_0000) || is(0x7e00_0000, 0x3400_0000) {
        return Instruction::Conditional(signed(word, 5, 19) * 4);
    }
    if is(0x7e00_0000, 0x3600_0000) {
        return Instruction::Conditional(signed(word, 5, 14) * 4);
    }
    if is(0xfe00_0000, 0xd600_0000) {
        // Instructions that authenticate pointers are not for this target.
        let plain = is(0x001f_fc1f, 0x001f_0000);
        return match bits(word, 21, 4) {
            0 if plain => Instruction::Jump(register(5)),
            1 if plain => Instruction::CallRegister(register(5)),
            2 if plain => Instruction::Return(register(5)),
            4 if word == 0xd69f_03e0 => Instruction::ExceptionReturn,
            _ => Instruction::Unknown,
        };
    }
    if is(0x1f00_0000, 0x1000_0000) {
        let offset = signed(word, 5, 19) << 2 | bits(word, 29, 2) as i32;
        return match word >> 31 {
            0 => Instruction::Address(register(0), offset),
            _ => Instruction::Page(register(0), offset),
        };
    }
    if is(0xffff_0000, 0) || is(0xffe0_001f, 0xd420_0000) || is(0xffe0_001f, 0xd440_0000) {
        return Instruction::Trap;
    }
    stack(word)
}

/// Decodes instructions that write the stack pointer.
fn stack(word: u32) -> Instruction {
    let is = |mask: u32, value: u32| word & mask == value;
    let (to, base) = (bits(word, 0, 5), bits(word, 5, 5));
    let sets_flags = bits(word, 29, 1) == 1;
    // ADD and SUB of an immediate; with flags, 31 is XZR.
    if is(0x1f80_0000, 0x1100_0000) && to == SP && !sets_flags {
        let value = (bits(word, 10, 12) << (12 * bits(word, 22, 1))) as i32;
        let up = if bits(word, 30, 1) == 0 { value } else { -value };
        return match (word >> 31, base) {
            (0, _) => Instruction::Unknown,
            (_, SP) => Instruction::Push(-up),
            (_, base) => Instruction::SetStack(base as u8, up),
        };
    }
    // ADD and SUB of an extended register, and logical operations with an immediate, except ANDS.
    let extended = is(0x1fe0_0000, 0x0b20_0000) && !sets_flags;
    let logical = is(0x1f80_0000, 0x1200_0000) && bits(word, 29, 2) != 3;
    if (extended || logical) && to == SP {
        return Instruction::Unknown;
    }
    // Pairs with writeback of the base, before the access or after it.
    if is(0x3a80_0000, 0x2880_0000) && base == SP {
        let vector = bits(word, 26, 1) == 1;
        let scale = match (vector, bits(word, 30, 2)) {
            (false, 2) => 8,
            (false, 0) => 4,
            (true, size @ 0..3) => 4 << size,
            _ => return Instruction::Unknown,
        };
        return Instruction::Push(-signed(word, 15, 7) * scale);
    }
    // One register, likewise.
    if is(0x3b20_0400, 0x3800_0400) && base == SP {
        return Instruction::Push(-signed(word, 12, 9));
    }
    Instruction::Other
}
