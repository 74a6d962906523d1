//! A channel as both its ends see it: how they wait, the layout of its pages, what their device
//! trees say.

/// How an end of a channel waits. It is fixed when the system is built.
pub mod wait {
    /// Sleeps until a doorbell's interrupt.
    pub const DOORBELL: u32 = 0;
    /// Watches the peer's index by WFE: takes no doorbells.
    pub const WFE: u32 = 1;
    /// Polls the peer's index: takes no doorbells.
    pub const POLL: u32 = 2;
    /// Words for them, by number: values of [`super::tree::WAIT`] and [`super::tree::PEER_WAIT`].
    pub const NAMES: [&str; 3] = ["doorbell", "wfe", "poll"];
}

/// A channel's pages. Each side has one region that only it writes and its peer reads: one page of
/// indices, then the data it sends. Offsets are bytes from the region's start, values little-endian
/// `u64`. `PRODUCED` and `CONSUMED` have the index in bits 31:0, the generation of their writer's
/// partition in bits 47:32, and that of the peer's partition, as the writer knows it, in bits
/// 63:48. They are valid for a reader that knows the same two generations. Both generations are
/// zero in a ring within a partition.
pub mod layout {
    /// How much its writer has produced into its own data, bytes modulo 2^32.
    pub const PRODUCED: usize = 0x000;
    /// How much its writer has consumed of the peer's data, bytes modulo 2^32.
    pub const CONSUMED: usize = 0x080;
    /// The `PRODUCED` value of the peer at which its writer, as a consumer, wants a doorbell.
    pub const WANT_DATA: usize = 0x100;
    /// The `CONSUMED` value of the peer at which its writer, as a producer, wants a doorbell (it
    /// waits for room).
    pub const WANT_ROOM: usize = 0x180;
    /// Where the data starts. Its size is a power of two, at least one page, or 0 if its writer
    /// sends nothing.
    pub const DATA: usize = 0x1000;
}

/// Strings and properties of the guest's device tree.
pub mod tree {
    /// `compatible` of the node `/hypervisor`.
    pub const HYPERVISOR: &str = "bulkhead,hypervisor-v1";
    /// `compatible` of a channel's node, a child of the root: `reg` is the pages its vCPU writes,
    /// then the peer's; `interrupts` is the SPI (edge) a doorbell makes pending, absent from an end
    /// that takes none.
    pub const CHANNEL: &str = "bulkhead,channel-v2";
    /// `u32`: the handle, in a channel's node.
    pub const HANDLE: &str = "bulkhead,handle";
    /// `phandle` of the cpu node whose vCPU the end belongs to, in a channel's node.
    pub const CPU: &str = "bulkhead,cpu";
    /// String: the channel's name, in a channel's node.
    pub const NAME: &str = "bulkhead,name";
    /// String: how this end waits, of [`super::wait::NAMES`], in a channel's node.
    pub const WAIT: &str = "bulkhead,wait";
    /// String: how the peer waits, in a channel's node. Ring it only if that is `doorbell`.
    pub const PEER_WAIT: &str = "bulkhead,peer-wait";
    /// Without a value: the pages are Normal Non-cacheable, in a channel's node. The peer's guest
    /// sees the channel as a PCI function.
    pub const NON_CACHEABLE: &str = "bulkhead,non-cacheable";
    /// `compatible` of a supervisor's node, a child of the root: `interrupts` is the SPI (edge)
    /// that tells vCPU 0 that a partition's state has changed.
    pub const SUPERVISOR: &str = "bulkhead,supervisor-v1";
    /// Strings: the names of all partitions in the order of their numbers, in a supervisor's node.
    pub const PARTITIONS: &str = "bulkhead,partitions";
    /// String: `comm` or `compute`, in a cpu node.
    pub const CLASS: &str = "bulkhead,class";
}
