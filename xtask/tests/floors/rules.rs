// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules of imports.

use crate::imports::Tree;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A symbol that `user` takes from `owner`, on a floor above it, by its link name.
pub struct LinkName {
    /// The symbol.
    pub name: &'static str,
    /// Path from `src`.
    pub user: &'static str,
    /// Path from `src`.
    pub owner: &'static str,
}

/// Returns the floor of a file, counted from the top; none for a file outside the floors.
fn floor(path: &Path, floors: &[&str]) -> Option<usize> {
    let folder = path.iter().next()?.to_str()?;
    floors.iter().position(|&floor| floor == folder)
}

/// Returns imports from a floor above, files on no floor that import, and `#[path]`.
pub fn upward(tree: &Tree, floors: &[&str]) -> Vec<String> {
    let mut failures = hidden(tree);
    for (path, file) in &tree.files {
        let own = floor(path, floors);
        for import in &file.imports {
            let (path, import) = (path.display(), import.display());
            match (own, floor(Path::new(&import.to_string()), floors)) {
                (Some(own), Some(theirs)) if theirs >= own => {}
                (Some(own), Some(theirs)) => failures.push(format!(
                    "{path}: imports {import}, from floor `{}` above its own, `{}`",
                    floors[theirs], floors[own],
                )),
                _ => failures.push(format!("{path}: imports {import}, one of them is on no floor")),
            }
        }
    }
    failures
}

/// Files with `#[path]`.
pub fn hidden(tree: &Tree) -> Vec<String> {
    let hidden = tree.files.iter().filter(|(_, file)| file.has_path);
    hidden.map(|(path, _)| format!("{}: `#[path]` hides where a file is", path.display())).collect()
}

/// Circles of files that import each other, each once, by its smallest file.
pub fn circles(tree: &Tree) -> Vec<String> {
    let mut failures = Vec::new();
    let mut known: BTreeSet<&PathBuf> = BTreeSet::new();
    for start in tree.files.keys() {
        if known.contains(start) {
            continue;
        }
        if let Some(circle) = shortest_way_back(tree, start) {
            known.extend(circle.iter().copied());
            let names: Vec<_> = circle.iter().map(|path| path.display().to_string()).collect();
            failures.push(format!("a circle: {} -> {}", names.join(" -> "), names[0]));
        }
    }
    failures
}

/// Returns the shortest path from `start` over its imports back to it.
fn shortest_way_back<'a>(tree: &'a Tree, start: &'a PathBuf) -> Option<Vec<&'a PathBuf>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let last = way.last().expect("a way has a start");
            for import in tree.files.get(*last).into_iter().flat_map(|file| &file.imports) {
                if import == start {
                    return Some(way);
                }
                if seen.insert(import) {
                    longer.push([&way[..], &[import]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

/// Returns symbols that are used by link name from below, unless `allowed` lists them; and entries
/// of `allowed` without use.
pub fn link_names(tree: &Tree, floors: &[&str], allowed: &[LinkName]) -> Vec<String> {
    let mut failures = Vec::new();
    let mut used = vec![false; allowed.len()];
    for (owner, defining) in &tree.files {
        for name in &defining.defines {
            for (user, file) in &tree.files {
                if user == owner || !file.symbols.contains(name) {
                    continue;
                }
                if floor(owner, floors) >= floor(user, floors) {
                    continue;
                }
                let entry = allowed.iter().position(|entry| {
                    entry.name == name
                        && Path::new(entry.user) == user
                        && Path::new(entry.owner) == owner
                });
                match entry {
                    Some(entry) => used[entry] = true,
                    None => failures.push(format!(
                        "{}: uses `{name}` of {} by its link name, from a floor above",
                        user.display(),
                        owner.display(),
                    )),
                }
            }
        }
    }
    for (entry, _) in allowed.iter().zip(used).filter(|(_, used)| !used) {
        failures.push(format!(
            "{} does not use `{}` of {} any more",
            entry.user, entry.name, entry.owner
        ));
    }
    failures
}
