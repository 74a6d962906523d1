// SPDX-License-Identifier: MIT OR Apache-2.0
//! An index of the items that Rust sources define: functions, types, constants, modules, fields,
//! variants.
//!
//! It reads rustfmt's layout instead of Rust's grammar: an item starts a line, and its closing
//! brace is below its first letter. The check `format` of `cargo xtask test` keeps every file in
//! that layout.

use std::path::{Path, PathBuf};

/// The kind of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Function or method.
    Function,
    /// Struct, enum, union, trait or type alias.
    Type,
    /// Constant or static.
    Constant,
    /// Module.
    Module,
    /// Macro.
    Macro,
    /// Field of a struct or variant of an enum.
    Member,
}

/// One item.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// Crate, modules and type around it, outermost first.
    pub scope: Vec<String>,
    /// Its kind.
    pub kind: Kind,
    /// Whether it is `pub` without restriction.
    pub public: bool,
    /// Its file, from the repository's root.
    pub file: PathBuf,
}

/// All items of some files.
#[derive(Debug, Default)]
pub struct Items {
    /// The items, in the order of the files.
    pub all: Vec<Item>,
}

impl Items {
    /// Adds the items of one file.
    pub fn add(&mut self, file: &Path, source: &str) {
        let modules = modules_of(file);
        let mut open: Vec<(usize, String, bool)> = Vec::new();
        if let Some((name, scope)) = modules.split_last() {
            self.push(name, scope.to_vec(), Kind::Module, true, file);
        }
        for line in source.lines() {
            let indent = line.len() - line.trim_start().len();
            let text = line.trim();
            if text.starts_with('}') {
                open.retain(|(at, ..)| *at < indent);
                continue;
            }
            let scope: Vec<String> = modules
                .iter()
                .cloned()
                .chain(open.iter().map(|(_, name, _)| name.clone()))
                .collect();
            let opens = !text.ends_with([';', '}', ',']);
            if let Some(name) = implemented(text) {
                if opens {
                    open.push((indent, name, false));
                }
            } else if let Some((kind, name, public)) = item(text) {
                self.push(&name, scope, kind, public, file);
                let is_body = matches!(kind, Kind::Type | Kind::Module) && opens;
                if is_body {
                    open.push((indent, name, kind == Kind::Type));
                }
            } else if let Some((at, _, true)) = open.last()
                && indent == at + 4
                && let Some((name, public)) = member(text)
            {
                self.push(&name, scope, Kind::Member, public, file);
            }
        }
    }

    fn push(&mut self, name: &str, scope: Vec<String>, kind: Kind, public: bool, file: &Path) {
        self.all.push(Item {
            name: name.to_owned(),
            scope,
            kind,
            public,
            file: file.to_path_buf(),
        });
    }

    /// Returns the items that a path such as `bell::ring` can mean: the last word is the item's
    /// name, the others are among the names around it, in this order (re-exports leave some out).
    /// `Type::field.other` means the field.
    pub fn find(&self, path: &str) -> Vec<&Item> {
        let path = path.split(['(', '.', '<']).next().unwrap_or_default();
        let words: Vec<&str> = path.split("::").filter(|word| *word != "crate").collect();
        let Some((name, around)) = words.split_last() else {
            return Vec::new();
        };
        let fits = |item: &&Item| {
            let mut scope = item.scope.iter();
            item.name == *name && around.iter().all(|word| scope.any(|s| s == word))
        };
        self.all.iter().filter(fits).collect()
    }

    /// Returns every item as `around::name`, to look for the nearest one.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.all.iter().map(|item| match item.scope.last() {
            Some(around) => format!("{around}::{}", item.name),
            None => item.name.clone(),
        })
    }
}

/// The modules of a file by its path: `hyp/el2/src/drivers/gicv3.rs` is `el2`, `gic`, `v3`.
fn modules_of(file: &Path) -> Vec<String> {
    let words = file.with_extension("");
    let words = words.iter().map(|word| word.to_string_lossy());
    let skipped = ["hyp", "guests", "src", "mod", "lib", "main", "boards", "benches"];
    words
        .filter(|word| !skipped.contains(&word.as_ref()))
        .map(|word| word.replace('-', "_"))
        .collect()
}

/// The type that an `impl` line is for.
fn implemented(text: &str) -> Option<String> {
    let rest = text.strip_prefix("unsafe impl").or_else(|| text.strip_prefix("impl"))?;
    let rest = match rest.strip_prefix('<') {
        Some(generic) => {
            let mut depth = 1;
            let end = generic.char_indices().find(|(_, c)| {
                match c {
                    '<' => depth += 1,
                    '>' => depth -= 1,
                    _ => {}
                }
                depth == 0
            })?;
            &generic[end.0 + 1..]
        }
        None if rest.starts_with(' ') => rest,
        None => return None,
    };
    let target = rest.rsplit_once(" for ").map_or(rest, |(_, target)| target);
    let target = target.trim().trim_start_matches(['&', '(']);
    let target = target.strip_prefix("mut ").unwrap_or(target);
    let path = target.split(['<', ' ', '{']).next()?;
    path.rsplit("::").next().map(str::to_owned)
}

/// The item that starts at this line.
fn item(text: &str) -> Option<(Kind, String, bool)> {
    if let Some(rest) = text.strip_prefix("macro_rules! ") {
        return Some((Kind::Macro, word(rest)?, true));
    }
    let (public, mut rest) = visibility(text);
    loop {
        let (first, after) = rest.split_once(' ')?;
        let kind = match first {
            "fn" => Kind::Function,
            "struct" | "enum" | "union" | "trait" | "type" => Kind::Type,
            "const" if after.starts_with("fn ") || after.starts_with("unsafe ") => {
                rest = after;
                continue;
            }
            "const" | "static" => Kind::Constant,
            "mod" => Kind::Module,
            "unsafe" | "async" | "extern" | "\"C\"" => {
                rest = after;
                continue;
            }
            _ => return None,
        };
        let after = after.strip_prefix("mut ").unwrap_or(after);
        return Some((kind, word(after)?, public));
    }
}

/// A field or variant.
fn member(text: &str) -> Option<(String, bool)> {
    let (public, rest) = visibility(text);
    let name = word(rest)?;
    let after = rest[name.len()..].trim_start();
    let variant = name.starts_with(char::is_uppercase)
        && (after.is_empty() || after.starts_with([',', '(', '{', '=']));
    let field = after.starts_with(':') && !after.starts_with("::");
    (variant || field).then_some((name, public || variant))
}

/// Returns whether an item is visible to everyone, and the rest of the line.
fn visibility(text: &str) -> (bool, &str) {
    if let Some(rest) = text.strip_prefix("pub ") {
        return (true, rest);
    }
    let restricted = text.strip_prefix("pub(").and_then(|rest| rest.split_once(") "));
    (false, restricted.map_or(text, |(_, rest)| rest))
}

/// The identifier at the start of a text.
fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}
