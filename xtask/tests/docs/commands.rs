// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: asks the built `cargo xtask` for its help, and compares the commands on pages
//! with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;

/// Help texts that were read, by command.
#[derive(Default)]
pub struct Commands {
    help: RefCell<BTreeMap<String, Option<String>>>,
}

impl Commands {
    /// Returns why the `cargo xtask …` in a line is not an existing command, if the line has one.
    pub fn check(&self, line: &str) -> Option<String> {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("cargo xtask") {
            let end = after.find(['`', ';', '|', '&', '#', ')']).unwrap_or(after.len());
            if let Some(why) = self.one(&after[..end]) {
                return Some(why);
            }
            rest = &after[end..];
        }
        None
    }

    /// Checks the words after `cargo xtask`.
    fn one(&self, words: &str) -> Option<String> {
        let mut words = words.split_whitespace().take_while(|word| *word != "--");
        let command = words.next()?.trim_end_matches([',', '.', ':']);
        let is_word = |c: char| c.is_ascii_lowercase() || c == '-';
        if command.starts_with('-') || !command.chars().all(is_word) {
            return None;
        }
        let Some(help) = self.help(command) else {
            return Some(format!("there is no command `cargo xtask {command}`"));
        };
        let flags = words.filter(|word| word.starts_with('-'));
        for flag in flags {
            let flag = flag.trim_end_matches([',', '.', ':', ']']);
            let flag = flag.split('=').next().unwrap_or(flag);
            let spelt = |c: char| c.is_whitespace() || ",[<=".contains(c);
            if !help.split(spelt).any(|word| word == flag) {
                return Some(format!("`cargo xtask {command}` has no option `{flag}`"));
            }
        }
        None
    }

    /// Returns the help of a command; none if there is no such command.
    fn help(&self, command: &str) -> Option<String> {
        let mut known = self.help.borrow_mut();
        let ask = || {
            let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
                .args([command, "--help"])
                .output()
                .expect("cargo built it");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success().then_some(text)
        };
        known.entry(command.to_owned()).or_insert_with(ask).clone()
    }
}
