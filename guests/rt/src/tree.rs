//! The guest's description of itself in its device tree.

use channel::tree as names;
use fdt::Fdt;
use fdt::node::FdtNode;
use spin::Once;

use crate::Wait;

/// The guest's device tree.
#[derive(Debug)]
pub struct Tree {
    address: usize,
    fdt: Fdt<'static>,
}

/// The GIC as the device tree describes it.
#[derive(Clone, Copy, Debug)]
pub struct GicNode {
    /// 2 or 3.
    pub version: u32,
    /// Distributor, and redistributors or (GICv2) CPU interface: addresses and sizes.
    pub regs: [(u64, u64); 2],
}

/// A channel end as the device tree describes it. Addresses are IPA, sizes bytes.
#[derive(Clone, Copy, Debug)]
pub struct ChannelNode {
    /// The channel's name.
    pub name: &'static str,
    /// The handle for calls.
    pub handle: u64,
    /// The vCPU that has the end.
    pub vcpu: usize,
    /// INTID that a doorbell raises, if this end takes doorbells.
    pub intid: Option<u32>,
    /// This end's way of waiting.
    pub wait: Wait,
    /// Its peer's way of waiting.
    pub peer_wait: Wait,
    /// Pages the vCPU writes: address and size.
    pub own: (u64, u64),
    /// Pages its peer writes.
    pub peer: (u64, u64),
    /// Whether these pages are Normal Non-cacheable.
    pub non_cacheable: bool,
}

static TREE: Once<Tree> = Once::new();

pub(crate) fn init(address: usize) -> &'static Tree {
    TREE.call_once(|| {
        // SAFETY: x0 at the entry is the address of a device tree that does not move (Linux
        // booting.rst).
        let fdt = unsafe { Fdt::from_ptr(address as *const u8) };
        Tree { address, fdt: fdt.expect("no device tree") }
    })
}

/// Returns the first cell of a property.
fn cell(node: FdtNode, name: &str) -> Option<u32> {
    let bytes = node.property(name)?.value.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// Returns the `reg` entry number `index`: address and size.
fn reg(node: FdtNode, index: usize) -> Option<(u64, u64)> {
    let region = node.reg()?.nth(index)?;
    Some((region.starting_address as u64, region.size? as u64))
}

/// Returns the INTID of a node's first interrupt, if that is an SPI. Three cells: 0 for an SPI, its
/// number, its trigger.
fn spi(node: FdtNode) -> Option<u32> {
    let (kind, rest) = node.property("interrupts")?.value.split_first_chunk()?;
    let number = u32::from_be_bytes(*rest.first_chunk()?);
    (u32::from_be_bytes(*kind) == 0).then_some(32 + number)
}

/// Returns a way of waiting; doorbells if the tree has no property, because revision 1.0 had no
/// other way.
fn wait(node: FdtNode, name: &str) -> Option<Wait> {
    match node.property(name) {
        Some(property) => Wait::named(property.as_str()?),
        None => Some(Wait::Doorbell),
    }
}

impl Tree {
    /// Returns the tree's address.
    pub fn address(&self) -> usize {
        self.address
    }

    /// Returns the command line, `/chosen/bootargs`.
    pub fn command_line(&self) -> &'static str {
        let chosen = self.fdt.find_node("/chosen");
        let bootargs = chosen.and_then(|node| node.property("bootargs"));
        bootargs.and_then(|property| property.as_str()).unwrap_or("")
    }

    /// Returns the value of `name=value` on the command line.
    pub fn option(&self, name: &str) -> Option<&'static str> {
        let words = self.command_line().split_ascii_whitespace();
        words
            .filter_map(|word| word.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Returns the number of vCPUs.
    pub fn vcpus(&self) -> usize {
        self.cpus().count()
    }

    /// Returns the class of a vCPU's core: `comm` or `compute`; `?` if the tree does not give it.
    pub fn class(&self, vcpu: usize) -> &'static str {
        let cpu = self.cpus().nth(vcpu);
        cpu.and_then(|node| node.property(names::CLASS)?.as_str()).unwrap_or("?")
    }

    /// Returns all channel ends of the partition.
    pub fn channels(&self) -> impl Iterator<Item = ChannelNode> {
        let nodes = self.nodes("/").filter(|node| {
            node.compatible().is_some_and(|list| list.all().any(|name| name == names::CHANNEL))
        });
        nodes.filter_map(|node| self.channel(node))
    }

    /// Returns address and size of the first device compatible with `name`.
    pub fn device(&self, name: &str) -> Option<(u64, u64)> {
        reg(self.fdt.find_compatible(&[name])?, 0)
    }

    /// Returns the INTID of that device's first interrupt, if it is an SPI.
    pub fn device_spi(&self, name: &str) -> Option<u32> {
        spi(self.fdt.find_compatible(&[name])?)
    }

    /// Returns the names of all partitions in the order of their numbers; none unless this one is
    /// a supervisor.
    pub fn partitions(&self) -> impl Iterator<Item = &'static str> {
        let node = self.fdt.find_compatible(&[names::SUPERVISOR]);
        let list = node.and_then(|node| node.property(names::PARTITIONS)?.as_str());
        list.unwrap_or("").split_terminator('\0')
    }

    /// Returns the GIC.
    pub fn gic_node(&self) -> Option<GicNode> {
        let versions = [(3, "arm,gic-v3"), (2, "arm,cortex-a15-gic")].into_iter();
        let mut nodes = versions.filter_map(|(version, name)| {
            let node = self.fdt.find_compatible(&[name])?;
            let regs = [reg(node, 0)?, reg(node, 1)?];
            Some(GicNode { version, regs })
        });
        nodes.next()
    }

    /// Returns its registers: distributor, and redistributors or (GICv2) CPU interface.
    pub fn gic(&self) -> Option<[(u64, u64); 2]> {
        Some(self.gic_node()?.regs)
    }

    /// Returns the piece of memory around `address`: start and bytes.
    pub fn memory_at(&self, address: usize) -> Option<(usize, usize)> {
        let nodes = self.nodes("/").filter(|node| node.name.starts_with("memory"));
        let regions = nodes.filter_map(|node| node.reg()).flatten();
        let mut regions = regions.map(|r| (r.starting_address as usize, r.size.unwrap_or(0)));
        regions.find(|&(start, size)| (start..start + size).contains(&address))
    }

    fn nodes(&self, parent: &str) -> impl Iterator<Item = FdtNode<'_, 'static>> {
        self.fdt.find_node(parent).into_iter().flat_map(|node| node.children())
    }

    fn cpus(&self) -> impl Iterator<Item = FdtNode<'_, 'static>> {
        self.nodes("/cpus").filter(|node| node.name.starts_with("cpu@"))
    }

    fn channel(&self, node: FdtNode<'_, 'static>) -> Option<ChannelNode> {
        let cpu = cell(node, names::CPU)?;
        let vcpu = self.cpus().position(|node| cell(node, "phandle") == Some(cpu))?;
        Some(ChannelNode {
            name: node.property(names::NAME)?.as_str()?,
            handle: cell(node, names::HANDLE)?.into(),
            vcpu,
            intid: spi(node),
            wait: wait(node, names::WAIT)?,
            peer_wait: wait(node, names::PEER_WAIT)?,
            own: reg(node, 0)?,
            peer: reg(node, 1)?,
            non_cacheable: node.property(names::NON_CACHEABLE).is_some(),
        })
    }
}
