//! privatelink's program under test, with one endpoint in front of one target.

use std::iter;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use aya::maps::{Array, DevMap, HashMap, Map, MapData, PerCpuArray, ProgramArray, RingBuf};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use ipnet::Ipv4Net;
use privatelink_common::flow::{REGION_SLOTS, regions_for};
use privatelink_common::hash::HashKeys;
use privatelink_common::{
    Admission, Endpoint, EndpointCounters, Listener, ListenerKey, Local, LocalKey, LocalKind, Pool,
    Reason, RuleKey, RuleNode, Service, Source, Stage, TCP, Target, TargetState, UDP, maps,
    ticks_from_millis,
};

use privatelink_user::desired::rule_set::{Rule, compile};

use super::conversation;
use super::host::Ports;
use super::packet::{ENDPOINT, FIRST_SOURCE, FlowTuple, Protocol, TARGET};
use super::subject::{Outcome, Subject, xdp};

const CONSUMER_NETWORK: u32 = 0;
const PROVIDER_NETWORK: u32 = 1;
const SOURCES: u32 = 64;
const MTU: u16 = 1500;
/// Longer than any run.
const IDLE_MILLIS: u64 = 24 * 3600 * 1000;
/// Where the clients are.
pub const CLIENTS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 1, 0, 0), 16);

/// The datapath as the daemon would load it.
pub struct Gateway {
    ebpf: Ebpf,
    object: PathBuf,
    capacity: u32,
    /// Flows that the sweeps have ended.
    ends: Option<RingBuf<MapData>>,
    /// A program array is emptied when the last process closes it.
    _stages: ProgramArray<MapData>,
}

impl Gateway {
    /// Loads the object at `path`, with a flow table for `capacity` flows.
    ///
    /// # Errors
    ///
    /// When there is no object, or the kernel refuses it.
    pub fn load(path: &Path, capacity: u32, ports: &Ports) -> Result<Self> {
        let regions = regions_for(capacity);
        let keys: [u32; HashKeys::LEN] =
            std::array::from_fn(|index| (index as u32 + 1).wrapping_mul(0x9e37_79b9));
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(maps::SLOTS, regions * REGION_SLOTS)
            .map_max_entries(maps::REGIONS, regions)
            .override_global("MAX_FLOWS", &capacity, true)
            .override_global("REGION_COUNT", &regions, true)
            // A sender that is refused gets no answer, whose cost is not that of the refusal.
            .override_global("ERRORS_PER_TICK", &0_u32, true)
            .override_global("HASH_KEYS", keys.as_slice(), true)
            .load_file(path)
            .with_context(|| format!("loading the datapath from {}", path.display()))?;
        let names = Stage::ALL.iter().map(|stage| stage.program());
        for name in iter::once(maps::PROGRAM).chain(names) {
            let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
            let program: &mut Xdp = program.try_into()?;
            program.load().with_context(|| format!("the kernel refused the program {name}"))?;
        }
        let mut stages: ProgramArray<_> =
            ebpf.take_map(maps::STAGES).context("the object has no stages")?.try_into()?;
        for stage in Stage::ALL {
            stages.set(*stage as u32, xdp(&ebpf, stage.program())?.fd()?, 0)?;
        }
        let mut this =
            Self { ebpf, object: path.to_owned(), capacity, ends: None, _stages: stages };
        this.attach(ports)?;
        this.publish(ports)?;
        // As for an endpoint without rules of its own: one prefix, all ports.
        this.allow(&[Rule::new(CLIENTS.into(), 0..=u16::MAX)])?;
        Ok(this)
    }

    /// Gives the endpoint these security rules.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn allow(&mut self, rules: &[Rule]) -> Result<()> {
        let mut endpoints: Array<_, Endpoint> = self.map(maps::ENDPOINTS)?.try_into()?;
        let mut endpoint = endpoints.get(&0, 0)?;
        endpoint.rules = [endpoint.rules[0] + 1, 0];
        endpoints.set(0, endpoint, 0)?;
        let mut nodes: HashMap<_, RuleKey, RuleNode> = self.map(maps::RULES)?.try_into()?;
        for (number, node) in compile(rules) {
            nodes.insert(RuleKey { set: endpoint.rules, number }, node, 0)?;
        }
        Ok(())
    }

    /// The table's capacity in flows.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Loads the program that sweeps the flow table.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn load_sweep(&mut self) -> Result<()> {
        let program = self.ebpf.program_mut(maps::SWEEP_PROGRAM).context("no sweep")?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load().context("the kernel refused the sweep")?;
        let ends = self.ebpf.take_map(maps::ENDS).context("the object has no map of ends")?;
        self.ends = Some(ends.try_into()?);
        Ok(())
    }

    /// Sweeps some regions, and asks security rules if `with_rules`; returns how many flows were
    /// ended.
    ///
    /// # Errors
    ///
    /// When the kernel does not run the program.
    pub fn sweep(&self, first: u32, regions: u32, with_rules: bool) -> Result<u32> {
        let mut packet = [0; maps::SWEEP_RANGE + 4 * maps::SWEEP_WORDS];
        let (_, range) = packet.split_at_mut(maps::SWEEP_RANGE);
        let words: [u32; maps::SWEEP_WORDS] = [first, regions, with_rules.into(), 0, 0];
        range.copy_from_slice(words.map(u32::to_ne_bytes).as_flattened());
        let mut options = TestRunOptions::new();
        options.data_in = Some(&packet);
        let program = self.ebpf.program(maps::SWEEP_PROGRAM).context("no sweep")?;
        let program: &SchedClassifier = program.try_into()?;
        Ok(program.test_run(options).context("the kernel did not sweep")?.return_value)
    }

    /// Reads the flows that the sweeps have ended, and returns their number.
    ///
    /// # Errors
    ///
    /// Before [`Gateway::load_sweep`].
    pub fn read_ends(&mut self) -> Result<usize> {
        let ends = self.ends.as_mut().context("the sweep is not loaded")?;
        Ok(std::iter::from_fn(|| ends.next().map(drop)).count())
    }

    /// Sets how long flows may be silent.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn set_patience(&mut self, patience: Duration) -> Result<()> {
        let mut listeners: HashMap<_, ListenerKey, Listener> =
            self.map(maps::LISTENERS)?.try_into()?;
        let keys = listeners.keys().collect::<Result<Vec<_>, _>>()?;
        for key in keys {
            let idle_ticks = ticks_from_millis(patience.as_millis() as u64);
            let listener = Listener { idle_ticks, ..listeners.get(&key, 0)? };
            listeners.insert(key, listener, 0)?;
        }
        Ok(())
    }

    /// Packets not forwarded, by reason.
    fn drops(&self) -> Result<Vec<(Reason, u64)>> {
        let map = self.ebpf.map(maps::DROPS).context("the object counts no drops")?;
        let drops: PerCpuArray<_, u64> = map.try_into()?;
        let mut found = Vec::new();
        for &reason in Reason::ALL {
            let count = drops.get(&(reason as u32), 0)?.iter().sum();
            if count > 0 {
                found.push((reason, count));
            }
        }
        Ok(found)
    }

    fn map(&mut self, name: &str) -> Result<&mut Map> {
        self.ebpf.map_mut(name).with_context(|| format!("the object has no map {name}"))
    }

    /// Sets up the two networks, and the gateway's addresses in them.
    fn attach(&mut self, ports: &Ports) -> Result<()> {
        let mut networks: Array<_, u32> = self.map(maps::ATTACHMENTS)?.try_into()?;
        networks.set(ports.consumer, CONSUMER_NETWORK + 1, 0)?;
        networks.set(ports.provider, PROVIDER_NETWORK + 1, 0)?;
        let mut devices: DevMap<_> = self.map(maps::DEVICES)?.try_into()?;
        for port in [ports.consumer, ports.provider] {
            devices.set(port, port, None, 0)?;
        }
        let mut sources: Array<_, Source> = self.map(maps::SOURCES)?.try_into()?;
        let first = u32::from(FIRST_SOURCE);
        let pool: Vec<_> = (0..SOURCES).map(|index| Ipv4Addr::from(first + index).into()).collect();
        for (index, &address) in (0..).zip(&pool) {
            sources.set(index, Source::at(address, 1), 0)?;
        }
        let mut locals: HashMap<_, LocalKey, Local> = self.map(maps::LOCALS)?.try_into()?;
        let key = LocalKey { network: CONSUMER_NETWORK, address: (*ENDPOINT.ip()).into() };
        let kind = LocalKind::Endpoint as u32;
        let mac = ports.macs.consumer_port;
        locals.insert(key, Local { kind, index: 0, mac, ..Local::default() }, 0)?;
        for (index, address) in (0..).zip(pool) {
            let key = LocalKey { network: PROVIDER_NETWORK, address };
            let kind = LocalKind::Source as u32;
            let mac = ports.macs.provider_port;
            locals.insert(key, Local { kind, index, mac, ..Local::default() }, 0)?;
        }
        Ok(())
    }

    /// Sets up one service with one target, and the endpoint in front of it.
    fn publish(&mut self, ports: &Ports) -> Result<()> {
        let mut services: Array<_, Service> = self.map(maps::SERVICES)?.try_into()?;
        let sources_v4 = Pool { first: 0, count: SOURCES };
        services.set(0, Service { sources_v4, ..Service::default() }, 0)?;
        let mut backends: Array<_, u32> = self.map(maps::BACKENDS)?.try_into()?;
        backends.set(0, 0, 0)?;
        let mut listeners: HashMap<_, ListenerKey, Listener> =
            self.map(maps::LISTENERS)?.try_into()?;
        for protocol in [TCP, UDP] {
            let port = ENDPOINT.port().to_be();
            let listener = Listener {
                backends_v4: Pool { first: 0, count: 1 },
                target_port: TARGET.port().to_be(),
                idle_ticks: ticks_from_millis(IDLE_MILLIS),
                ..Listener::default()
            };
            listeners.insert(
                ListenerKey { service: 0, port, protocol: protocol.into() },
                listener,
                0,
            )?;
        }
        let target = Target {
            address: (*TARGET.ip()).into(),
            state: TargetState::Present as u32,
            network: PROVIDER_NETWORK,
            ifindex: ports.provider,
            hop: ports.macs.target,
            mac: ports.macs.provider_port,
            mtu: MTU,
            ..Target::default()
        };
        let mut targets: Array<_, Target> = self.map(maps::TARGETS)?.try_into()?;
        targets.set(0, target, 0)?;
        let endpoint = Endpoint {
            v4: u32::from_ne_bytes(ENDPOINT.ip().octets()),
            admission: Admission::Available as u32,
            network: CONSUMER_NETWORK,
            service: 0,
            ifindex: ports.consumer,
            mac: ports.macs.consumer_port,
            mtu: MTU,
            ..Endpoint::default()
        };
        let mut endpoints: Array<_, Endpoint> = self.map(maps::ENDPOINTS)?.try_into()?;
        endpoints.set(0, endpoint, 0)?;
        Ok(())
    }
}

impl Subject for Gateway {
    fn name(&self) -> &'static str {
        "privatelink"
    }

    fn outcome(&self) -> Outcome {
        Outcome::Translate
    }

    fn program(&self) -> Result<&Xdp> {
        xdp(&self.ebpf, maps::PROGRAM)
    }

    fn prepare(&mut self, flows: &[FlowTuple], protocol: Protocol, ports: &Ports) -> Result<()> {
        let program = self.program()?;
        for flow in flows {
            conversation::open(program, flow, protocol, ports)
                .with_context(|| format!("drops counted: {:?}", self.drops()))?;
        }
        Ok(())
    }

    fn forget(&mut self, ports: &Ports) -> Result<()> {
        *self = Self::load(&self.object, self.capacity, ports)?;
        Ok(())
    }

    fn forwarded(&self) -> Result<Option<u64>> {
        let map = self.ebpf.map(maps::ENDPOINT_COUNTERS).context("the object has no counters")?;
        let counters: PerCpuArray<_, EndpointCounters> = map.try_into()?;
        let counters = counters.get(&0, 0)?;
        Ok(Some(counters.iter().map(|counters| counters.packets_in).sum()))
    }
}
