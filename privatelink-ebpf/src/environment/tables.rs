//! Access to the gateway's state.

use privatelink_common::{
    End, Endpoint, EndpointCounters, Limits, Listener, ListenerKey, Local, LocalKey, MeterCell,
    RefusedFlow, RuleKey, RuleNode, Scratch, SenderKey, Service, Share, Source, Suspect,
    TICK_SHIFT, TagKey, Target, TargetCounters,
    cell::{Word32, Word64},
    flow::{RegionCell, Slot},
    fragment::Fragmented,
    share::OccupancyCell,
};

/// What the packet path knows of the world besides the frame: the maps, a clock, and two
/// primitives that the kernel has and plain code lacks (atomic words and bounded loops).
pub trait Tables: Sized {
    /// The time in nanoseconds, as coarse as the kernel's jiffies.
    fn nanos(&self) -> u64;
    /// The time in ticks.
    #[inline(always)]
    fn now(&self) -> u32 {
        (self.nanos() >> TICK_SHIFT) as u32
    }
    /// Notes that the stages pass on about the current packet.
    fn scratch(&self) -> Option<&Scratch>;
    /// Index of the network that an interface is attached to.
    fn network(&self, ifindex: u32) -> Option<u32>;
    /// Index of the network that is a VLAN of an interface.
    fn tagged(&self, key: &TagKey) -> Option<u32>;
    /// The gateway's own address of this key, if it is one.
    fn local(&self, key: &LocalKey) -> Option<Local>;
    /// What reaches the host's stack from a network, bits of [`host`](privatelink_common::host).
    fn host(&self, network: u32) -> u32;
    /// Whether a network's hosts may have an address, by its address ranges.
    fn has_sender(&self, key: &SenderKey) -> bool;
    /// An endpoint by index.
    fn endpoint(&self, index: u32) -> Option<&Endpoint>;
    /// A node of a set of security rules.
    fn rule(&self, key: &RuleKey) -> Option<&RuleNode>;
    /// The limits of an endpoint.
    fn limits(&self, endpoint: u32) -> Option<&Limits>;
    /// The consumption that is counted against an endpoint's limits.
    fn meter(&self, endpoint: u32) -> Option<&MeterCell>;
    /// The [`Path`](privatelink_common::path::Path) of an endpoint.
    fn path(&self, endpoint: u32) -> Option<&Word64>;
    /// What is kept for an endpoint.
    fn share(&self, endpoint: u32) -> Option<&Share>;
    /// How much of the flow table is in use.
    fn occupancy(&self) -> Option<&OccupancyCell>;
    /// A [`Block`](privatelink_common::share::Block) of ports.
    fn port_block(&self, index: u32) -> Option<&Word64>;
    /// How many flows there may be.
    fn max_flows(&self) -> u32;
    /// A service by index.
    fn service(&self, index: u32) -> Option<&Service>;
    /// A listener port.
    fn listener(&self, key: &ListenerKey) -> Option<Listener>;
    /// An entry of the backend table: the index of a target.
    fn backend(&self, index: u32) -> Option<u32>;
    /// A target by index.
    fn target(&self, index: u32) -> Option<&Target>;
    /// A source address by index.
    fn source(&self, index: u32) -> Option<&Source>;

    /// An entry of the table of fragmented datagrams.
    fn fragmented(&self, index: u32) -> Option<&Fragmented>;
    /// How many regions the flow table has.
    fn regions(&self) -> u32;
    /// A part of the flow table by index.
    fn region(&self, index: u32) -> Option<&RegionCell>;
    /// A slot of the flow table by index.
    fn slot(&self, index: u32) -> Option<&Slot>;
    /// A note of the sweep about the current region, by number.
    fn suspect(&self, number: u32) -> Option<&Suspect>;
    /// One of the secret keys.
    fn hash_key(&self, index: usize) -> u32;

    /// Reports to user space that a flow has ended; `fill` writes every field of the record.
    fn ended(&self, fill: impl FnOnce(&mut End));
    /// Reports to user space that a flow of a network was refused, unless the network's limit of
    /// reports is reached; `fill` writes every field of the record.
    fn refused(&self, network: u32, fill: impl FnOnce(&mut RefusedFlow));
    /// Whether the rate limit admits one more ICMP error into a network now; counts it either way.
    fn may_complain(&self, network: u32) -> bool;
    /// Updates the counters of an endpoint.
    fn count_endpoint(&self, endpoint: u32, count: impl FnOnce(&mut EndpointCounters));
    /// Updates the counters of a target.
    fn count_target(&self, target: u32, count: impl FnOnce(&mut TargetCounters));

    /// Replaces `old` by `new`, and returns whether the word was `old`; a full barrier.
    fn exchange(&self, cell: &Word32, old: u32, new: u32) -> bool;
    /// [`Tables::exchange`] of a 64-bit word.
    fn exchange64(&self, cell: &Word64, old: u64, new: u64) -> bool;
    /// Adds to a word atomically, modulo 2^32.
    fn add(&self, cell: &Word32, by: u32);
    /// [`Tables::add`] to a 64-bit word, modulo 2^64.
    fn add64(&self, cell: &Word64, by: u64);
    /// Adds one to a word atomically, and returns what it was; a full barrier.
    fn count_up(&self, cell: &Word32) -> u32;
    /// Takes steps until one returns `true` or `limit` is reached.
    fn walk<W: Walk<Self>>(&self, limit: u32, walk: &mut W);
}

/// A loop whose body the verifier checks once, instead of once for each round: in the kernel it is
/// a call of `bpf_loop`.
pub trait Walk<T> {
    /// The step of this number; `true` ends the walk.
    fn step(&mut self, tables: &T, number: u32) -> bool;
}
