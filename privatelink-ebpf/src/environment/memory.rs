//! Frame and tables in plain memory: the packet function outside of the kernel.

use super::{
    frame::{Frame, Socket},
    tables::{Tables, Walk},
};
use crate::wire::{ETHERNET_LEN, Ip, Wire};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use privatelink_common::{
    Addr, End, Endpoint, EndpointCounters, Limits, Listener, ListenerKey, Local, LocalKey,
    MeterCell, RefusedFlow, RuleKey, RuleNode, Sampling, Scratch, SenderKey, Service, Share,
    Source, Suspect, TICK_SHIFT, TagKey, Target, TargetCounters,
    cell::{Word32, Word64},
    flow::{REGION_SLOTS, RegionCell, Slot, regions_for},
    fragment::{self, Fragmented},
    hash::HashKeys,
    share::{BLOCK_TABLES, BLOCKS, OccupancyCell},
};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Endpoints whose consumption is counted.
const METERS: u32 = 64;

std::thread_local! {
    /// A thread stands for a CPU of the kernel. There are few, so what each leaks does not matter.
    static SCRATCH: &'static Scratch = Box::leak(Box::default());
    static SUSPECTS: &'static [Suspect] =
        Box::leak((0..REGION_SLOTS).map(|_| Suspect::default()).collect());
}

/// All tables, filled by the caller.
pub struct MemoryTables {
    /// The time in nanoseconds.
    pub nanos: AtomicU64,
    /// Network index by interface index.
    pub networks: BTreeMap<u32, u32>,
    /// Network index by VLAN.
    pub tagged: BTreeMap<TagKey, u32>,
    /// The gateway's own addresses.
    pub locals: BTreeMap<LocalKey, Local>,
    /// What reaches the host's stack, by network index.
    pub hosts: BTreeMap<u32, u32>,
    /// The address ranges of networks.
    pub senders: BTreeMap<SenderKey, u32>,
    /// Endpoints by index.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Sets of security rules.
    pub rules: BTreeMap<RuleKey, RuleNode>,
    /// Limits of endpoints, by index.
    pub limits: BTreeMap<u32, Limits>,
    /// What is kept for endpoints, by index.
    pub shares: BTreeMap<u32, Share>,
    /// Services by index.
    pub services: BTreeMap<u32, Service>,
    /// Listener ports.
    pub listeners: BTreeMap<ListenerKey, Listener>,
    /// Target indices.
    pub backends: BTreeMap<u32, u32>,
    /// Targets by index.
    pub targets: BTreeMap<u32, Target>,
    /// Source addresses by index.
    pub sources: BTreeMap<u32, Source>,
    /// Counters of endpoints, by index.
    pub counters: Mutex<BTreeMap<u32, EndpointCounters>>,
    /// Counters of targets, by index.
    pub target_counters: Mutex<BTreeMap<u32, TargetCounters>>,
    /// Records of refused flows, in the order of reporting.
    pub refused: Mutex<Vec<RefusedFlow>>,
    sampling: Mutex<BTreeMap<u32, Sampling>>,
    errors: Mutex<BTreeMap<u32, Sampling>>,
    /// The most ICMP errors that go into a network in one tick.
    pub errors_per_tick: u32,
    /// Records of ended flows, in the order of reporting.
    pub ends: Mutex<Vec<End>>,
    meters: Vec<MeterCell>,
    paths: Vec<Word64>,
    occupancy: OccupancyCell,
    max_flows: u32,
    /// One table for each source address, allocated when it is first needed.
    port_blocks: Vec<OnceLock<Vec<Word64>>>,
    /// Allocated when it is first needed: most tests send no fragments.
    fragments: OnceLock<Vec<Fragmented>>,
    keys: HashKeys,
    regions: Vec<RegionCell>,
    slots: Vec<Slot>,
}

impl MemoryTables {
    /// Empty tables with room for this many flows.
    pub fn new(max_flows: u32, keys: HashKeys) -> Self {
        let regions = regions_for(max_flows);
        Self {
            nanos: AtomicU64::new(1_000_000 << TICK_SHIFT),
            networks: BTreeMap::new(),
            tagged: BTreeMap::new(),
            locals: BTreeMap::new(),
            hosts: BTreeMap::new(),
            senders: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            rules: BTreeMap::new(),
            limits: BTreeMap::new(),
            shares: BTreeMap::new(),
            occupancy: OccupancyCell::default(),
            max_flows,
            port_blocks: (0..BLOCK_TABLES).map(|_| OnceLock::new()).collect(),
            services: BTreeMap::new(),
            listeners: BTreeMap::new(),
            backends: BTreeMap::new(),
            targets: BTreeMap::new(),
            sources: BTreeMap::new(),
            counters: Mutex::new(BTreeMap::new()),
            target_counters: Mutex::new(BTreeMap::new()),
            refused: Mutex::new(Vec::new()),
            sampling: Mutex::default(),
            errors: Mutex::new(BTreeMap::new()),
            errors_per_tick: u32::MAX,
            ends: Mutex::new(Vec::new()),
            meters: (0..METERS).map(|_| MeterCell::default()).collect(),
            paths: (0..METERS).map(|_| Word64::default()).collect(),
            fragments: OnceLock::new(),
            keys,
            regions: (0..regions).map(|_| RegionCell::default()).collect(),
            slots: (0..regions * REGION_SLOTS).map(|_| Slot::default()).collect(),
        }
    }

    /// Lets this many ticks pass.
    pub fn wait(&self, ticks: u32) {
        self.nanos.fetch_add(u64::from(ticks) << TICK_SHIFT, SeqCst);
    }

    /// Every slot of the flow table.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }
}

/// The content of a lock, even if a test has panicked while it held the lock.
fn guarded<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tables for MemoryTables {
    fn nanos(&self) -> u64 {
        self.nanos.load(SeqCst)
    }

    fn scratch(&self) -> Option<&Scratch> {
        Some(SCRATCH.with(|scratch| *scratch))
    }

    fn network(&self, ifindex: u32) -> Option<u32> {
        self.networks.get(&ifindex).copied()
    }

    fn tagged(&self, key: &TagKey) -> Option<u32> {
        self.tagged.get(key).copied()
    }

    fn local(&self, key: &LocalKey) -> Option<Local> {
        self.locals.get(key).copied()
    }

    fn host(&self, network: u32) -> u32 {
        self.hosts.get(&network).copied().unwrap_or_default()
    }

    fn has_sender(&self, key: &SenderKey) -> bool {
        self.senders.keys().any(|prefix| prefix.covers(key.network, key.address))
    }

    fn endpoint(&self, index: u32) -> Option<&Endpoint> {
        self.endpoints.get(&index)
    }

    fn rule(&self, key: &RuleKey) -> Option<&RuleNode> {
        self.rules.get(key)
    }

    fn limits(&self, endpoint: u32) -> Option<&Limits> {
        self.limits.get(&endpoint)
    }

    fn meter(&self, endpoint: u32) -> Option<&MeterCell> {
        self.meters.get(endpoint as usize)
    }

    fn share(&self, endpoint: u32) -> Option<&Share> {
        self.shares.get(&endpoint)
    }

    fn path(&self, endpoint: u32) -> Option<&Word64> {
        self.paths.get(endpoint as usize)
    }

    fn occupancy(&self) -> Option<&OccupancyCell> {
        Some(&self.occupancy)
    }

    fn port_block(&self, index: u32) -> Option<&Word64> {
        let new = || (0..BLOCKS).map(|_| Word64::default()).collect();
        let table = self.port_blocks.get((index / BLOCKS) as usize)?;
        table.get_or_init(new).get((index % BLOCKS) as usize)
    }

    fn max_flows(&self) -> u32 {
        self.max_flows
    }

    fn service(&self, index: u32) -> Option<&Service> {
        self.services.get(&index)
    }

    fn listener(&self, key: &ListenerKey) -> Option<Listener> {
        self.listeners.get(key).copied()
    }

    fn backend(&self, index: u32) -> Option<u32> {
        self.backends.get(&index).copied()
    }

    fn target(&self, index: u32) -> Option<&Target> {
        self.targets.get(&index)
    }

    fn source(&self, index: u32) -> Option<&Source> {
        self.sources.get(&index)
    }

    fn fragmented(&self, index: u32) -> Option<&Fragmented> {
        let new = || (0..fragment::ENTRIES).map(|_| Fragmented::default()).collect();
        self.fragments.get_or_init(new).get(index as usize)
    }

    fn regions(&self) -> u32 {
        self.regions.len() as u32
    }

    fn region(&self, index: u32) -> Option<&RegionCell> {
        self.regions.get(index as usize)
    }

    fn slot(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)
    }

    fn suspect(&self, number: u32) -> Option<&Suspect> {
        SUSPECTS.with(|suspects| suspects.get(number as usize))
    }

    fn hash_key(&self, index: usize) -> u32 {
        self.keys.0.get(index).copied().unwrap_or_default()
    }

    fn ended(&self, fill: impl FnOnce(&mut End)) {
        let mut end = End::default();
        fill(&mut end);
        guarded(&self.ends).push(end);
    }

    fn refused(&self, network: u32, fill: impl FnOnce(&mut RefusedFlow)) {
        let takes = {
            let mut sampling = guarded(&self.sampling);
            sampling.entry(network).or_default().takes(self.now(), Sampling::REFUSED_FLOWS)
        };
        if takes {
            let mut refused = RefusedFlow::default();
            fill(&mut refused);
            guarded(&self.refused).push(refused);
        }
    }

    fn may_complain(&self, network: u32) -> bool {
        guarded(&self.errors).entry(network).or_default().takes(self.now(), self.errors_per_tick)
    }

    fn count_endpoint(&self, endpoint: u32, count: impl FnOnce(&mut EndpointCounters)) {
        count(guarded(&self.counters).entry(endpoint).or_default());
    }

    fn count_target(&self, target: u32, count: impl FnOnce(&mut TargetCounters)) {
        count(guarded(&self.target_counters).entry(target).or_default());
    }

    fn exchange(&self, cell: &Word32, old: u32, new: u32) -> bool {
        cell.exchange(old, new)
    }

    fn exchange64(&self, cell: &Word64, old: u64, new: u64) -> bool {
        cell.exchange(old, new)
    }

    fn add(&self, cell: &Word32, by: u32) {
        cell.add(by);
    }

    fn add64(&self, cell: &Word64, by: u64) {
        cell.add(by);
    }

    fn count_up(&self, cell: &Word32) -> u32 {
        cell.count_up()
    }

    fn walk<W: Walk<Self>>(&self, limit: u32, walk: &mut W) {
        for number in 0..limit {
            if walk.step(self, number) {
                break;
            }
        }
    }
}

/// The bytes in front of a frame before they are written: no code may rely on them.
const STALE: u8 = 0xdb;

/// A frame in plain memory.
pub struct MemoryFrame {
    /// The frame from its Ethernet header on, without a checksum behind it.
    pub bytes: Vec<u8>,
    /// Index of the interface that it came in on.
    pub ingress: u32,
    /// The host's sockets: both addresses of a packet that one gets, ports, protocol, and which.
    pub sockets: Vec<(Addr, Addr, u32, u32, Socket)>,
}

impl MemoryFrame {
    /// A frame that came in on an interface of a host without sockets.
    pub fn new(bytes: Vec<u8>, ingress: u32) -> Self {
        Self { bytes, ingress, sockets: Vec::new() }
    }
}

impl Frame for MemoryFrame {
    fn view<H: Wire>(&mut self, offset: usize) -> Option<&mut H> {
        let (header, _) = H::mut_from_prefix(self.bytes.get_mut(offset..)?).ok()?;
        Some(header)
    }

    fn holds(&self, length: usize) -> bool {
        self.bytes.len() >= length
    }

    fn resize(&mut self, length: usize) -> Option<()> {
        self.bytes.resize(length, 0);
        Some(())
    }

    fn shift(&mut self, by: i32) -> Option<()> {
        let bytes = usize::try_from(by.unsigned_abs()).ok()?;
        if by < 0 {
            let front = core::iter::repeat_n(STALE, bytes);
            self.bytes.splice(0..0, front);
        } else {
            // As in the kernel, an Ethernet header is left.
            self.bytes.len().checked_sub(bytes).filter(|rest| *rest >= ETHERNET_LEN)?;
            self.bytes.drain(..bytes);
        }
        Some(())
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn socket<I: Ip>(
        &self,
        source: I::Address,
        destination: I::Address,
        ports: u32,
        protocol: u32,
    ) -> Socket {
        let wanted = (I::to_addr(source), I::to_addr(destination), ports, protocol);
        let found = self
            .sockets
            .iter()
            .find(|(from, to, ports, protocol, _)| (*from, *to, *ports, *protocol) == wanted);
        found.map_or(Socket::None, |(.., socket)| *socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_moves_the_beginning() {
        let mut frame = MemoryFrame::new((0..20).collect(), 1);
        frame.shift(4).unwrap();
        assert_eq!(frame.bytes, (4..20).collect::<Vec<u8>>());
        frame.shift(-2).unwrap();
        assert_eq!(frame.bytes[..3], [STALE, STALE, 4]);
        assert_eq!(frame.bytes.len(), 18);
        assert!(frame.shift(5).is_none(), "no Ethernet header would be left");
        assert_eq!(frame.bytes.len(), 18);
    }
}
