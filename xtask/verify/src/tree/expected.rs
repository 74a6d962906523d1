//! The device tree that a guest must get: its cores, memory, interrupt controller, timers, PL011,
//! channels and devices, from the manifest, the board and the rows that its stage 2 and interrupts
//! are compared with (`docs/guest-abi.md`, "Device tree"; bindings of Linux,
//! Documentation/devicetree/bindings).

use super::node::{Node, references};
use crate::board::{Device, GICR_SIZE, Trigger};
use crate::claims::interrupts::TIMERS;
use crate::claims::{Context, GUEST_GICC, GUEST_GICD, GUEST_GICR, GUEST_PL011, GUEST_PL011_INTID};
use crate::manifest::{FIRST_SPI, Kind, Partition, Wait};
use plan::Range;

/// Interrupt types of the GIC binding.
const SPI: u32 = 0;
const PPI: u32 = 1;
const FIRST_PPI: u32 = 16;
/// The secure and the EL2 physical timer, which the timer's binding lists and guests do not have.
const OTHER_TIMERS: [u32; 2] = [29, 26];
/// The clock rate that the tree gives for the emulated PL011.
const UART_HZ: u32 = 24_000_000;

impl Node {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    fn set(mut self, name: &str, value: Vec<u8>) -> Self {
        self.properties.push((name.into(), value));
        self
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.texts(name, &[value])
    }

    fn texts(self, name: &str, values: &[&str]) -> Self {
        let bytes = values.iter().flat_map(|v| v.bytes().chain([0]));
        self.set(name, bytes.collect())
    }

    fn cells(self, name: &str, cells: &[u32]) -> Self {
        self.set(name, cells.iter().flat_map(|cell| cell.to_be_bytes()).collect())
    }

    fn empty(self, name: &str) -> Self {
        self.set(name, Vec::new())
    }

    fn words(self, name: &str, words: &[u64]) -> Self {
        self.set(name, words.iter().flat_map(|word| word.to_be_bytes()).collect())
    }

    fn refers(self, name: &str, paths: &[&str]) -> Self {
        self.set(name, references(paths.iter().copied()))
    }

    fn with(mut self, child: Node) -> Self {
        self.children.push(child);
        self
    }
}

/// Returns the tree of a partition; `initrd` is its initial RAM disk's guest address and bytes, if
/// it has one.
pub fn expected(context: &Context<'_>, p: usize, initrd: Option<(u64, u64)>) -> Node {
    let partition = &context.manifest().partition[p];
    let gic = format!("/interrupt-controller@{:x}/", GUEST_GICD.base);
    let mut root = Node::new("")
        .text("compatible", "bulkhead,guest-v1")
        .text("model", &format!("Bulkhead partition {}", partition.name))
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .refers("interrupt-parent", &[&gic])
        .with(chosen(context, p, initrd))
        .with(cpus(partition))
        .with(memory(context, p))
        .with(
            Node::new("psci")
                .texts("compatible", &["arm,psci-1.0", "arm,psci-0.2"])
                .text("method", "hvc"),
        )
        .with(
            Node::new("watchdog")
                .text("compatible", "arm,smc-wdt")
                .cells("arm,smc-id", &[0x8200_3d06]),
        )
        .with(timer(context, partition))
        .with(controller(context, partition))
        .with(
            Node::new("apb-pclk")
                .text("compatible", "fixed-clock")
                .cells("#clock-cells", &[0])
                .cells("clock-frequency", &[UART_HZ])
                .text("clock-output-names", "clk24mhz"),
        )
        .with(Node::new("hypervisor").text("compatible", "bulkhead,hypervisor-v1"));
    if partition.console {
        let node = Node::new(format!("serial@{:x}", GUEST_PL011.base))
            .texts("compatible", &["arm,pl011", "arm,primecell"])
            .words("reg", &[GUEST_PL011.base, GUEST_PL011.size])
            .cells("interrupts", &line(GUEST_PL011_INTID, Trigger::Level));
        root.children.push(clocks(node, &["uartclk", "apb_pclk"]));
    }
    root.children.extend(channels(context, p));
    root.children.extend(bus(context, p));
    if partition.supervisor {
        let intid = context.image.partitions[p].row.supervisor;
        let names = context.manifest().partition.iter().map(|other| &*other.name);
        root.children.push(
            Node::new("supervisor")
                .text("compatible", "bulkhead,supervisor-v1")
                .cells("interrupts", &line(intid, Trigger::Edge))
                .texts("bulkhead,partitions", &names.collect::<Vec<_>>()),
        );
    }
    let devices = context.devices(p).filter(|device| !device.compatible.is_empty());
    root.children.extend(devices.flat_map(device));
    root
}

/// Encodes an SPI as the GIC's binding does; the interrupt map's claim refuses INTIDs below the
/// first SPI.
fn line(intid: u32, trigger: Trigger) -> [u32; 3] {
    let trigger = match trigger {
        Trigger::Edge => 1,
        Trigger::Level => 4,
    };
    [SPI, intid.wrapping_sub(FIRST_SPI), trigger]
}

fn chosen(context: &Context<'_>, p: usize, initrd: Option<(u64, u64)>) -> Node {
    let partition = &context.manifest().partition[p];
    let mut node = Node::new("chosen");
    if let Some(line) = &partition.command_line {
        node = node.text("bootargs", line);
    }
    if partition.console {
        node = node.text("stdout-path", &format!("/serial@{:x}", GUEST_PL011.base));
    }
    if context.bus(p).is_some() {
        node = node.cells("linux,pci-probe-only", &[1]);
    }
    if let Some((start, size)) = initrd {
        node = node
            .words("linux,initrd-start", &[start])
            .words("linux,initrd-end", &[start.saturating_add(size)]);
    }
    node
}

fn cpus(partition: &Partition) -> Node {
    let mut cpus = Node::new("cpus").cells("#address-cells", &[1]).cells("#size-cells", &[0]);
    for (number, vcpu) in (0..).zip(&partition.vcpus) {
        cpus = cpus.with(
            Node::new(format!("cpu@{number:x}"))
                .text("device_type", "cpu")
                .text("compatible", "arm,armv8")
                .cells("reg", &[number])
                .text("enable-method", "psci")
                .text("bulkhead,class", vcpu.class.word()),
        );
    }
    cpus
}

fn memory(context: &Context<'_>, p: usize) -> Node {
    let pieces = &context.manifest().partition[p].memory;
    let reg: Vec<_> = pieces
        .iter()
        .filter(|piece| piece.kind == Kind::Ram)
        .flat_map(|piece| [piece.ipa(), piece.size.0])
        .collect();
    Node::new(format!("memory@{:x}", pieces[0].ipa()))
        .text("device_type", "memory")
        .words("reg", &reg)
}

fn timer(context: &Context<'_>, partition: &Partition) -> Node {
    let [secure, el2] = OTHER_TIMERS;
    let [virt, phys] = TIMERS;
    // The GICv2 binding gives a PPI's target cores in bits 15:8.
    let cores = match context.board().gic[0].version {
        2 => ((1u32 << partition.vcpus.len()) - 1) << 8,
        _ => 0,
    };
    let cells = [secure, phys, virt, el2].map(|intid| [PPI, intid - FIRST_PPI, 4 | cores]);
    Node::new("timer")
        .text("compatible", "arm,armv8-timer")
        .cells("interrupts", cells.as_flattened())
        .empty("always-on")
}

fn controller(context: &Context<'_>, partition: &Partition) -> Node {
    let gic = &context.board().gic[0];
    let (compatible, second) = match gic.version {
        2 => ("arm,cortex-a15-gic", GUEST_GICC),
        _ => {
            let size = partition.vcpus.len() as u64 * GICR_SIZE;
            let base = GUEST_GICR;
            ("arm,gic-v3", Range { base, size })
        }
    };
    Node::new(format!("interrupt-controller@{:x}", GUEST_GICD.base))
        .text("compatible", compatible)
        .empty("interrupt-controller")
        .cells("#interrupt-cells", &[3])
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .words("reg", &[GUEST_GICD.base, GUEST_GICD.size, second.base, second.size])
}

/// Every clock is the fixed one.
fn clocks(node: Node, names: &[&str]) -> Node {
    node.refers("clocks", &vec!["/apb-pclk/"; names.len()]).texts("clock-names", names)
}

/// Returns the node of the PCI bus, if the guest sees any end as a function:
/// `pci-host-ecam-generic` (Linux, Documentation/devicetree/bindings/pci/host-generic-pci.yaml).
fn bus(context: &Context<'_>, p: usize) -> Option<Node> {
    let bus = context.bus(p)?;
    let gic = format!("/interrupt-controller@{:x}/", GUEST_GICD.base);
    let cells = |number: u64| [(number >> 32) as u32, number as u32];
    let window = |kind: u32, range: Range| {
        let [base, size] = [range.base, range.size].map(cells);
        [kind, base[0], base[1], base[0], base[1], size[0], size[1]]
    };
    let mut map = Vec::new();
    let ends = context.ends_of(p).filter(|(end, _)| context.manifest().is_function(*end));
    for (number, (_, row)) in (0u32..).zip(ends) {
        // Device, pin A; then the GIC with an address of two cells.
        map.extend([number << 11, 0, 0, 1].map(u32::to_be_bytes).as_flattened());
        map.extend(references([gic.as_str()].into_iter()));
        let line = line(row.intid, Trigger::Edge);
        map.extend([0, 0, line[0], line[1], line[2]].map(u32::to_be_bytes).as_flattened());
    }
    Some(
        Node::new(format!("pcie@{:x}", bus.ecam.base))
            .text("compatible", "pci-host-ecam-generic")
            .text("device_type", "pci")
            .cells("#address-cells", &[3])
            .cells("#size-cells", &[2])
            .words("reg", &[bus.ecam.base, bus.ecam.size])
            .cells("bus-range", &[0, 0])
            .cells(
                "ranges",
                [window(0x0200_0000, bus.registers), window(0x4300_0000, bus.shared)]
                    .as_flattened(),
            )
            .cells("#interrupt-cells", &[1])
            .cells("interrupt-map-mask", &[0x1f << 11, 0, 0, 7])
            .set("interrupt-map", map),
    )
}

/// Returns one node per end that is not a PCI function, with the contents of its row.
fn channels(context: &Context<'_>, p: usize) -> Vec<Node> {
    let ends = context.ends_of(p).filter(|(end, _)| !context.manifest().is_function(*end));
    let nodes = ends.map(|(end, row)| {
        let manifest = context.manifest();
        let wait = manifest.wait(end);
        let mut node = Node::new(format!("channel@{:x}", row.tx_ipa))
            .text("compatible", "bulkhead,channel-v2")
            .words("reg", &[row.tx_ipa, row.tx_size, row.rx_ipa, row.rx_size]);
        if wait == Wait::Doorbell {
            node = node.cells("interrupts", &line(row.intid, Trigger::Edge));
        }
        node = node
            .text("bulkhead,wait", wait.word())
            .text("bulkhead,peer-wait", manifest.wait(context.peer(end)).word())
            .text("bulkhead,name", &manifest.channel[end.channel].name);
        if manifest.channel[end.channel].has_function() {
            node = node.empty("bulkhead,non-cacheable");
        }
        node.cells("bulkhead,handle", &[end.handle as u32])
            .refers("bulkhead,cpu", &[&format!("/cpus/cpu@{:x}/", end.vcpu)])
    });
    nodes.collect()
}

fn device(device: &Device) -> Vec<Node> {
    let nodes = device.nodes().map(|(name, regs, lines)| {
        let mut node = Node::new(name)
            .texts("compatible", &strings(&device.compatible))
            .words("reg", &[regs.base, regs.size]);
        if !lines.is_empty() {
            let lines = lines.iter().map(|l| line(l.intid, l.trigger));
            node = node.cells("interrupts", lines.collect::<Vec<_>>().as_flattened());
        }
        if !device.clock_names.is_empty() {
            node = clocks(node, &strings(&device.clock_names));
        }
        device.flags.iter().fold(node, |node, flag| node.empty(flag))
    });
    nodes.collect()
}

fn strings(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}
