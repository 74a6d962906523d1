// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of a crate and their imports from each other: in `use`, in paths, in macros (`sym`
//! operands of assembly too), and by link name.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A crate's sources.
#[derive(Default)]
pub struct Tree {
    /// Files by path from the crate's `src`.
    pub files: BTreeMap<PathBuf, File>,
}

/// One of its files.
#[derive(Default)]
pub struct File {
    /// Other files that it imports from.
    pub imports: BTreeSet<PathBuf>,
    /// Symbols that it defines for others: `.global` in assembly, `no_mangle`.
    pub defines: BTreeSet<String>,
    /// Words of its assembly, and the declarations of its `extern` blocks.
    pub symbols: BTreeSet<String>,
    /// `#[path]` on a module: such a file would be on two floors.
    pub has_path: bool,
}

/// A file's text, tokens and module path.
struct Source {
    module: Vec<String>,
    tokens: Vec<TokenTree>,
}

impl Tree {
    /// Reads the crate whose root is in `folder`.
    pub fn read(folder: &Path) -> Self {
        let mut texts = BTreeMap::new();
        read_folder(folder, folder, &mut texts);
        Self::of(&texts)
    }

    /// Reads the crate of these files: their paths from `src`, and their texts.
    pub fn of(texts: &BTreeMap<PathBuf, String>) -> Self {
        // A library's `main.rs` is another crate, which names the library's files by its name.
        let beside =
            |path: &Path| path == Path::new("main.rs") && texts.contains_key(Path::new("lib.rs"));
        let sources: BTreeMap<_, _> = texts
            .iter()
            .filter(|(path, _)| !beside(path))
            .map(|(path, text)| {
                let tokens: TokenStream =
                    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let tokens = tokens.into_iter().collect();
                (path.clone(), Source { module: module_of(path), tokens })
            })
            .collect();
        // A folder's `mod.rs` has the folder's own path.
        let modules: BTreeMap<_, _> =
            sources.iter().map(|(path, source)| (source.module.clone(), path.clone())).collect();
        let files = sources
            .iter()
            .map(|(path, source)| (path.clone(), file(path, source, &modules)))
            .collect();
        Self { files }
    }
}

fn read_folder(root: &Path, folder: &Path, texts: &mut BTreeMap<PathBuf, String>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let path = entry.expect("a folder's entry").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            // Tests may import from any file.
            if !path.ends_with("tests") {
                read_folder(root, &path, texts);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
        {
            let text = std::fs::read_to_string(&path).expect("a source is readable");
            texts.insert(path.strip_prefix(root).expect("it is below").to_owned(), text);
        }
    }
}

/// The module path of a file: `boot/mod.rs` and `boot.rs` are `[boot]`, `main.rs` and `lib.rs` are
/// `[]`.
fn module_of(path: &Path) -> Vec<String> {
    let mut module: Vec<_> =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let is_root = module.len() == 1 && ["main", "lib"].contains(&module[0].as_str());
    if is_root || module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

fn file(path: &Path, source: &Source, modules: &BTreeMap<Vec<String>, PathBuf>) -> File {
    let mut file = File::default();
    let mut paths = Vec::new();
    walk(&source.tokens, &mut paths, &mut file);
    for written in paths {
        let Some(target) = resolve(&written, &source.module, modules) else {
            continue;
        };
        if target != path {
            file.imports.insert(target);
        }
    }
    file
}

/// Returns the file that the path `written` in module `here` leads to: the longest module that
/// begins it.
fn resolve(
    written: &[String],
    here: &[String],
    modules: &BTreeMap<Vec<String>, PathBuf>,
) -> Option<PathBuf> {
    let mut absolute = here.to_vec();
    let mut rest = written;
    match rest.first().map(String::as_str)? {
        "crate" => {
            absolute.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                absolute.pop()?;
                rest = &rest[1..];
            }
        }
        // A module of this file's own folder, or a name from a `use`, which was handled there.
        child => {
            let mut module = here.to_vec();
            module.push(child.to_owned());
            modules.get(&module)?;
        }
    }
    absolute.extend(rest.iter().cloned());
    (0..=absolute.len()).rev().find_map(|length| modules.get(&absolute[..length]).cloned())
}

/// Collects every path of `tokens`, with the groups of `use` written out, and symbols.
fn walk(tokens: &[TokenTree], paths: &mut Vec<Vec<String>>, file: &mut File) {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(word) if word == "mod" => {
                // This is a declaration, not an import.
                at += 2;
                continue;
            }
            TokenTree::Ident(_) => {
                at = path(tokens, at, Vec::new(), paths);
                continue;
            }
            // `pub(super)` imports nothing.
            TokenTree::Group(_) if at > 0 && tokens[at - 1].to_string() == "pub" => {}
            TokenTree::Group(group) if group.stream().to_string().starts_with("doc =") => {}
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                note_symbols(tokens, at, &inner, file);
                walk(&inner, paths, file);
            }
            TokenTree::Literal(literal) => note_assembly(&literal.to_string(), file),
            TokenTree::Punct(_) => {}
        }
        at += 1;
    }
}

/// Reads the path that continues at `at` after `before`; returns where it ends.
fn path(
    tokens: &[TokenTree],
    mut at: usize,
    mut before: Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let mut is_path = false;
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(word)) => {
                before.push(word.to_string());
                is_path = true;
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                let mut next = 0;
                while next < inner.len() {
                    next = path(&inner, next, before.clone(), paths).max(next + 1);
                }
                return at + 1;
            }
            _ => break,
        }
        at += 1;
        let is_colon =
            |index| matches!(tokens.get(index), Some(TokenTree::Punct(p)) if p.as_char() == ':');
        if !(is_colon(at) && is_colon(at + 1)) {
            break;
        }
        at += 2;
    }
    if before.last().is_some_and(|last| last == "self") && before.len() > 1 {
        before.pop();
    }
    if is_path && before.len() > 1 {
        paths.push(before);
    }
    at
}

/// Records `extern` blocks, attributes and `.global` of assembly.
fn note_symbols(tokens: &[TokenTree], at: usize, inner: &[TokenTree], file: &mut File) {
    let word = |index: usize| match tokens.get(index) {
        Some(TokenTree::Ident(word)) => word.to_string(),
        _ => String::new(),
    };
    // `extern "C" { ... }`
    if at >= 2 && word(at - 2) == "extern" {
        for pair in inner.windows(2) {
            if let [TokenTree::Ident(kind), TokenTree::Ident(name)] = pair
                && (kind == "fn" || kind == "static")
            {
                file.symbols.insert(name.to_string());
            }
        }
    }
    let text: String = inner.iter().map(ToString::to_string).collect();
    if text.starts_with("path=") {
        file.has_path = true;
    }
    if text.contains("no_mangle") {
        let mut rest = tokens[at..].iter().skip_while(|token| token.to_string() != "fn");
        if let Some(name) = rest.nth(1) {
            file.defines.insert(name.to_string());
        }
    }
}

/// Records the symbols in a literal, if it is assembly.
fn note_assembly(literal: &str, file: &mut File) {
    let mut words = literal
        .split(|c: char| !(c.is_alphanumeric() || "_.".contains(c)))
        .filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        if word == ".global" {
            file.defines.extend(words.next().map(str::to_owned));
        } else {
            file.symbols.insert(word.to_owned());
        }
    }
}
