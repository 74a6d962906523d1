// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device tree as nodes and properties, and the differences of two.

use super::wellformed;

/// Properties whose cells are only phandles (`clocks`: the fixed clock takes no cells).
const REFERENCES: [&str; 3] = ["interrupt-parent", "clocks", "bulkhead,cpu"];

/// Numbers that are not phandles (Devicetree Specification, 2.3.3; libfdt's and Linux's
/// `of_find_node_by_phandle`).
const NO_PHANDLES: [u32; 2] = [0, u32::MAX];

/// A node. Phandles are resolved: a reference has the paths of its targets, and nodes lose their
/// numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name with unit address; the root's is empty.
    pub name: String,
    /// Properties in order.
    pub properties: Vec<(String, Vec<u8>)>,
    /// Children in order.
    pub children: Vec<Node>,
}

impl Node {
    /// Reads a flattened device tree.
    ///
    /// # Errors
    /// The part that is malformed.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        // The library relies on this check of its input.
        wellformed::check(bytes)?;
        let tree = fdt::Fdt::new(bytes).map_err(|error| error.to_string())?;
        let root = tree.find_node("/").ok_or("the tree has no root")?;
        let mut root = Self::of(root);
        root.name = String::new();
        let mut numbers = Vec::new();
        root.numbers("", &mut numbers)?;
        root.resolve("", &numbers)?;
        Ok(root)
    }

    fn of(node: fdt::node::FdtNode<'_, '_>) -> Self {
        let properties = node.properties();
        Self {
            name: node.name.to_string(),
            properties: properties
                .map(|property| (property.name.to_string(), property.value.to_vec()))
                .collect(),
            children: node.children().map(Self::of).collect(),
        }
    }

    /// Every phandle with its node's path.
    fn numbers(&self, path: &str, list: &mut Vec<(u32, String)>) -> Result<(), String> {
        let mut own = self.properties.iter().filter(|(name, _)| name == "phandle");
        if let Some((_, value)) = own.next() {
            let cell = value.as_slice().try_into().ok().map(u32::from_be_bytes);
            let number = cell.filter(|number| !NO_PHANDLES.contains(number));
            let number =
                number.ok_or_else(|| format!("{path}/ has the invalid phandle {value:02x?}"))?;
            if own.next().is_some() {
                return Err(format!("{path}/ has two phandles"));
            }
            if list.iter().any(|(known, _)| *known == number) {
                return Err(format!("two nodes have phandle {number}"));
            }
            list.push((number, format!("{path}/")));
        }
        let mut children = self.children.iter();
        children.try_for_each(|child| child.numbers(&format!("{path}/{}", child.name), list))
    }

    fn resolve(&mut self, path: &str, numbers: &[(u32, String)]) -> Result<(), String> {
        // A phandle's number has no meaning; only the targets of references do.
        self.properties.retain(|(name, _)| name != "phandle");
        for (name, value) in &mut self.properties {
            if name == "interrupt-map" {
                *value = resolved_map(value, numbers).ok_or_else(|| {
                    format!(
                        "{path}/: {name} = {} is malformed, or refers to a node that does not \
                         exist",
                        shown(name, value)
                    )
                })?;
            }
        }
        let references = self.properties.iter_mut();
        for (name, value) in references.filter(|(name, _)| REFERENCES.contains(&name.as_str())) {
            let (cells, rest) = value.as_chunks();
            let targets = cells.iter().map(|&cell| {
                let number = u32::from_be_bytes(cell);
                let known = numbers.iter().find(|(known, _)| *known == number);
                known.map(|(_, path)| path.as_str())
            });
            let targets: Option<Vec<_>> = targets.collect();
            let targets = targets.filter(|all| rest.is_empty() && !all.is_empty());
            // Unresolved bytes are removed: they could read like a path.
            *value = match targets {
                Some(targets) => self::references(targets.into_iter()),
                None => {
                    return Err(format!(
                        "{path}/: {name} = {} refers to a node that does not exist",
                        shown(name, value)
                    ));
                }
            };
        }
        let mut children = self.children.iter_mut();
        children.try_for_each(|child| child.resolve(&format!("{path}/{}", child.name), numbers))
    }

    /// A child by its name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// A property's value.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        let found = self.properties.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// A property of eight bytes.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        Some(u64::from_be_bytes(self.property(name)?.try_into().ok()?))
    }

    /// Compares the node that was found with this expected one: `report` takes a path and what is
    /// wrong there.
    pub fn compare(&self, found: &Node, path: &str, report: &mut dyn FnMut(&str, String)) {
        let at = if path.is_empty() { "/" } else { path };
        for (name, must) in &self.properties {
            match found.property(name) {
                None => report(at, format!("{name} is missing, must be {}", shown(name, must))),
                Some(value) if value != must => report(
                    at,
                    format!("{name} is {}, must be {}", shown(name, value), shown(name, must)),
                ),
                Some(_) => {}
            }
        }
        for (n, (name, value)) in found.properties.iter().enumerate() {
            if self.property(name).is_none() {
                report(at, format!("{name} = {} is not expected", shown(name, value)));
            }
            if found.properties[..n].iter().any(|(known, _)| known == name) {
                report(at, format!("{name} appears twice"));
            }
        }
        for must in &self.children {
            let path = format!("{path}/{}", must.name);
            match found.child(&must.name) {
                None => report(&path, "the node is missing".into()),
                Some(child) => must.compare(child, &path, report),
            }
        }
        for (n, child) in found.children.iter().enumerate() {
            let path = format!("{path}/{}", child.name);
            if self.child(&child.name).is_none() {
                report(&path, "the node is not expected".into());
            }
            if found.children[..n].iter().any(|known| known.name == child.name) {
                report(&path, "the node appears twice".into());
            }
        }
    }
}

/// Resolves the GIC's phandles in an `interrupt-map` (Devicetree Specification, 2.4.3) whose rows
/// have three cells of address, a pin, the phandle, two cells of address and three of interrupt.
fn resolved_map(value: &[u8], numbers: &[(u32, String)]) -> Option<Vec<u8>> {
    let (rows, rest) = value.as_chunks::<40>();
    let mut resolved = Vec::new();
    for row in rows {
        let (before, after) = row.split_at(16);
        let (phandle, after) = after.split_first_chunk()?;
        let number = u32::from_be_bytes(*phandle);
        let (_, path) = numbers.iter().find(|(known, _)| *known == number)?;
        resolved.extend_from_slice(before);
        resolved.extend(references([path.as_str()].into_iter()));
        resolved.extend_from_slice(after);
    }
    (rest.is_empty() && !rows.is_empty()).then_some(resolved)
}

/// The value of a reference whose phandles are resolved.
pub fn references<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<u8> {
    paths.flat_map(|path| format!("&{path} ").into_bytes()).collect()
}

/// Returns a value in readable form.
fn shown(name: &str, value: &[u8]) -> String {
    let text = value.strip_suffix(&[0]).unwrap_or(value);
    let printable = |byte: &u8| (0x20..0x7f).contains(byte) || *byte == 0;
    if !text.is_empty() && text[0] != 0 && text.iter().all(printable) {
        return format!("\"{}\"", String::from_utf8_lossy(text).replace('\0', "\", \""));
    }
    if !value.len().is_multiple_of(4) {
        return format!("{value:02x?}");
    }
    let cells = value.chunks_exact(4).filter_map(|cell| cell.try_into().ok());
    let cells: Vec<_> = cells.map(u32::from_be_bytes).collect();
    let all: Vec<_> = cells.iter().map(|cell| format!("{cell:#x}")).collect();
    let all = format!("<{}>", all.join(" "));
    if name != "interrupts" {
        return all;
    }
    let intids = cells.chunks_exact(3).map(|row| match row {
        [0, number, _] => format!("INTID {}", u64::from(*number) + 32),
        [1, number, _] => format!("INTID {}", u64::from(*number) + 16),
        _ => "no INTID".into(),
    });
    format!("{all} ({})", intids.collect::<Vec<_>>().join(", "))
}
