// SPDX-License-Identifier: MIT OR Apache-2.0
//! The call graph: cycles, and the deepest stack.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Result, bail};

use super::walk::{Base, Depth, Edge, Function};

/// Functions by their first address.
pub type Functions = BTreeMap<u32, Function>;

/// A cycle: each edge leads to the next one's function, the last to the first's.
pub type Cycle = Vec<Edge>;

/// The deepest stack of a function, and the functions on the path there, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Bytes.
    pub bytes: i32,
    /// Each function's first address, and the stack's depth when the next is called.
    pub path: Vec<(u32, i32)>,
}

/// Returns the edges from `from`, except those in `cut`.
fn ways(
    functions: &Functions,
    from: u32,
    cut: &BTreeSet<(u32, u32)>,
) -> impl Iterator<Item = Edge> {
    let edges = functions.get(&from).into_iter().flat_map(|f| &f.edges);
    edges.filter(move |edge| !cut.contains(&(from, edge.to))).copied()
}

/// Returns a shortest path from `from` to `to`, of at least one edge.
pub fn way(
    functions: &Functions,
    from: u32,
    to: u32,
    cut: &BTreeSet<(u32, u32)>,
) -> Option<Vec<Edge>> {
    // For each function: the edge that first reached it, and the function where that starts.
    let mut by: BTreeMap<u32, (Edge, u32)> = BTreeMap::new();
    let mut open = VecDeque::from([from]);
    while let Some(at) = open.pop_front() {
        for edge in ways(functions, at, cut) {
            if by.contains_key(&edge.to) {
                continue;
            }
            by.insert(edge.to, (edge, at));
            open.push_back(edge.to);
        }
    }
    let mut path = Vec::new();
    let mut at = to;
    loop {
        let (edge, before) = by.get(&at)?;
        path.push(*edge);
        at = *before;
        if at == from {
            path.reverse();
            return Some(path);
        }
    }
}

/// Returns cycles of which no two share a function, each as short as possible; at least one if
/// there is any.
pub fn cycles(functions: &Functions, cut: &BTreeSet<(u32, u32)>) -> Vec<Cycle> {
    let mut told = BTreeSet::new();
    let mut found: Vec<Cycle> = Vec::new();
    for &start in functions.keys() {
        if told.contains(&start) {
            continue;
        }
        let Some(cycle) = way(functions, start, start, cut) else {
            continue;
        };
        if !cycle.iter().any(|edge| told.contains(&edge.to)) {
            told.extend(cycle.iter().map(|edge| edge.to));
            found.push(cycle);
        }
    }
    found
}

/// The depth of each function's stack, callees included, by the base it is counted from.
pub struct Needs<'a> {
    functions: &'a Functions,
    cut: &'a BTreeSet<(u32, u32)>,
    known: BTreeMap<u32, BTreeMap<Base, Need>>,
}

impl<'a> Needs<'a> {
    /// Prepares the needs of functions, which do not recur if the edges in `cut` are left out.
    pub fn new(functions: &'a Functions, cut: &'a BTreeSet<(u32, u32)>) -> Self {
        Self { functions, cut, known: BTreeMap::new() }
    }

    /// Returns the need of the function at `start`.
    pub fn of(&mut self, start: u32) -> BTreeMap<Base, Need> {
        if let Some(known) = self.known.get(&start) {
            return known.clone();
        }
        let mut needs: BTreeMap<Base, Need> = BTreeMap::new();
        let mut deeper = |base, need: Need| {
            let known = needs.entry(base).or_default();
            if known.path.is_empty() || need.bytes > known.bytes {
                *known = need;
            }
        };
        let Some(function) = self.functions.get(&start) else {
            return needs;
        };
        let above = |base| {
            if base == Base::Entry { 0 } else { function.lift }
        };
        for (&base, &bytes) in &function.deepest {
            let bytes = bytes + above(base);
            let path = vec![(start, bytes)];
            deeper(base, Need { bytes, path });
        }
        for edge in ways(self.functions, start, self.cut) {
            for (base, need) in self.of(edge.to) {
                if base != Base::Entry {
                    deeper(base, need);
                    continue;
                }
                let here = edge.depth.bytes + above(edge.depth.base);
                let mut path = vec![(start, here)];
                path.extend(need.path.iter().map(|(at, bytes)| (*at, bytes + here)));
                let bytes = need.bytes + here;
                deeper(edge.depth.base, Need { bytes, path });
            }
        }
        self.known.insert(start, needs.clone());
        needs
    }
}

/// Returns the stack pointer when the function at `start` returns, itself or by a function that it
/// branches to.
pub fn returns(
    functions: &Functions,
    start: u32,
    known: &mut BTreeMap<u32, BTreeSet<Depth>>,
) -> BTreeSet<Depth> {
    if let Some(known) = known.get(&start) {
        return known.clone();
    }
    // A cycle of branches adds nothing.
    known.insert(start, BTreeSet::new());
    let Some(function) = functions.get(&start) else {
        return BTreeSet::new();
    };
    let mut all = function.returns.clone();
    for edge in function.edges.iter().filter(|edge| !edge.is_call) {
        for depth in returns(functions, edge.to, known) {
            all.insert(match depth.base {
                Base::Entry => {
                    Depth { base: edge.depth.base, bytes: edge.depth.bytes + depth.bytes }
                }
                _ => depth,
            });
        }
    }
    known.insert(start, all.clone());
    all
}

/// Fails unless each called function returns with the stack pointer unchanged, and only called
/// functions return.
///
/// # Errors
/// If one does not; the error names the first.
pub fn balanced(
    functions: &Functions,
    entries: impl Iterator<Item = u32>,
    name: impl Fn(u32) -> String,
) -> Result<()> {
    let mut known = BTreeMap::new();
    let edges = functions.values().flat_map(|function| &function.edges);
    let called: BTreeSet<_> = edges.filter(|e| e.is_call).map(|e| e.to).collect();
    for start in called {
        for depth in returns(functions, start, &mut known) {
            if depth.base != Base::Entry || depth.bytes != 0 {
                let Depth { base, bytes } = depth;
                bail!(
                    "{} returns with {bytes} bytes on the stack, counted from {base:?}",
                    name(start)
                );
            }
        }
    }
    for entry in entries {
        if !returns(functions, entry, &mut known).is_empty() {
            bail!("{} returns, but nothing called it", name(entry));
        }
    }
    Ok(())
}
