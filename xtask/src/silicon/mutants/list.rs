// SPDX-License-Identifier: MIT OR Apache-2.0
//! The instructions of EL2 that mutants are made of, and their names.

use silicon_model::decode;

use crate::silicon::code::Code;

/// `ERET`.
pub const ERET: u32 = 0xd69f_03e0;

/// A cache, TLB, barrier or event instruction of EL2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its offset in the image.
    pub offset: u32,
    /// Its word.
    pub word: u32,
    /// Its text.
    pub text: String,
    /// The functions that have it, the outermost first.
    pub functions: Vec<String>,
    /// Source file and line.
    pub line: Option<String>,
    /// Whether it is directly after an `ERET`. Such a barrier ends speculation and never executes.
    pub follows_eret: bool,
}

impl Instruction {
    /// Returns the innermost function that is EL2's own code, without its path.
    #[must_use]
    pub fn function(&self) -> String {
        let foreign = |name: &&String| name.contains("aarch64_cpu::");
        let own = self.functions.iter().rev().find(|name| !foreign(name));
        own.map_or_else(|| "?".to_string(), |name| last_parts(name))
    }

    /// Returns the mutants of it: the text of each, and its word.
    #[must_use]
    pub fn mutants(&self) -> Vec<(String, u32)> {
        decode::mutants(self.word).into_iter().map(|word| (text(word), word)).collect()
    }
}

/// Returns the last two parts of a path: `traps::irq::end_level` becomes `irq::end_level`.
fn last_parts(name: &str) -> String {
    // `<T as Trait>::function`: only the type and the function say where it is.
    let name = match name.split_once(" as ") {
        Some((of, rest)) => {
            let function = rest.rsplit("::").next().unwrap_or(rest);
            format!("{}::{function}", of.trim_start_matches('<'))
        }
        None => name.to_string(),
    };
    let name = name.replace("<impl ", "").replace(['<', '>'], "");
    let mut parts: Vec<&str> = name.rsplit("::").take(2).collect();
    parts.reverse();
    parts.join("::")
}

/// Returns every such instruction of `code`, in the order of addresses.
#[must_use]
pub fn instructions(code: &Code) -> Vec<Instruction> {
    let mut all = Vec::new();
    let mut after_eret = false;
    for (offset, word) in code.all() {
        let is_one = decode::is_maintenance(word);
        if is_one {
            all.push(Instruction {
                offset,
                word,
                text: text(word),
                functions: code.symbols.functions(offset),
                line: code.symbols.line(offset),
                follows_eret: after_eret,
            });
        }
        after_eret = word == ERET || after_eret && is_one;
    }
    all
}

/// Returns the text of an instruction, without the number of its register.
#[must_use]
pub fn text(word: u32) -> String {
    let text = decode::words(word);
    text.split(',').next().unwrap_or(&text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_by_their_last_parts() {
        for (name, short) in [
            ("traps::irq::end_level", "irq::end_level"),
            ("clean_invalidate", "clean_invalidate"),
            ("<el2::drivers::Gicv3 as el2::drivers::gic::GicDriver>::send", "Gicv3::send"),
            ("vgic::sync::<impl vgic::vcpu::Vcpu<H>>::post", "VcpuH::post"),
        ] {
            assert_eq!(last_parts(name), short);
        }
    }

    #[test]
    fn texts_have_no_registers() {
        assert_eq!(text(0xd50b_7e20), "DC CIVAC");
        assert_eq!(text(0xd503_3f9f), "DSB SY");
    }
}
