//! A gateway in memory: two consumer networks, one provider network, one endpoint.

use crate::packets::{Packet, SYN, Transport};
use privatelink_common::{
    Addr, Admission, Endpoint, Listener, ListenerKey, Local, LocalKey, LocalKind, Mac, Pool,
    Refusal, RuleKey, RuleNode, Service, Source, TCP, Target, TargetState, UDP, hash::HashKeys,
    host,
};
use privatelink_ebpf::{MemoryFrame, MemoryTables, Verdict, process};
use std::net::{IpAddr, SocketAddr};

/// The interface of the endpoint's network.
pub const ACME: u32 = 11;
/// The interface of another consumer's network.
pub const GLOBEX: u32 = 12;
/// The interface of the provider's network.
pub const VENDOR: u32 = 13;
/// An interface that is not attached.
pub const STRANGER: u32 = 14;

/// The networks behind the interfaces.
pub const NETWORKS: [(u32, u32); 3] = [(ACME, 1), (GLOBEX, 2), (VENDOR, 3)];

pub const ACME_MAC: Mac = [0x02, 0xaa, 1, 2, 3, 4];
pub const VENDOR_MAC: Mac = [0x02, 0xbb, 1, 2, 3, 4];
pub const CLIENT_MAC: Mac = [0x02, 0xcc, 1, 2, 3, 4];
pub const TARGET_MAC: Mac = [0x02, 0xdd, 1, 2, 3, 4];

/// Indices of the records.
pub const ENDPOINT: u32 = 7;
pub const SERVICE: u32 = 5;
pub const TARGET: u32 = 9;
const FIRST_SOURCE: u32 = 20;

pub const SEND_TO_TARGET: Verdict = Verdict::Send { ifindex: VENDOR };
pub const SEND_TO_CLIENT: Verdict = Verdict::Send { ifindex: ACME };

/// Who talks to whom; all of one family.
#[derive(Clone, Debug)]
pub struct Parties {
    pub client: SocketAddr,
    pub endpoint: SocketAddr,
    pub target: SocketAddr,
    pub sources: Vec<IpAddr>,
}

impl Parties {
    pub fn v4() -> Self {
        Self {
            client: "10.1.0.2:40000".parse().unwrap(),
            endpoint: "10.1.0.50:80".parse().unwrap(),
            target: "10.0.0.10:8080".parse().unwrap(),
            sources: vec!["10.0.0.240".parse().unwrap(), "10.0.0.241".parse().unwrap()],
        }
    }

    pub fn v6() -> Self {
        Self {
            client: "[fd00:1::2]:40000".parse().unwrap(),
            endpoint: "[fd00:1::50]:80".parse().unwrap(),
            target: "[fd00::10]:8080".parse().unwrap(),
            sources: vec!["fd00::f0".parse().unwrap(), "fd00::f1".parse().unwrap()],
        }
    }

    /// A client of one family and a target of the other.
    pub fn across(client_v4: bool) -> Self {
        let (own, other) =
            if client_v4 { (Self::v4(), Self::v6()) } else { (Self::v6(), Self::v4()) };
        Self { target: other.target, sources: other.sources, ..own }
    }

    /// Of both families, for what must hold in each.
    pub fn both() -> [Self; 2] {
        [Self::v4(), Self::v6()]
    }
}

/// The set of rules that allows every client.
const EVERYONE: [u32; 2] = [1, 0];

/// Secret keys of the datapath.
pub const KEYS: HashKeys = HashKeys([
    0x9e37_79b9,
    7,
    0x1234_5678,
    11,
    13,
    0xdead_beef,
    19,
    23,
    29,
    31,
    0x0bad_cafe,
    41,
    43,
    0x8000_0001,
]);

pub struct Gateway {
    pub parties: Parties,
    pub tables: MemoryTables,
}

impl Gateway {
    pub fn new(parties: &Parties) -> Self {
        Self::with_room_for(parties, 60)
    }

    pub fn with_room_for(parties: &Parties, max_flows: u32) -> Self {
        Self::with_keys(parties, max_flows, KEYS)
    }

    pub fn with_keys(parties: &Parties, max_flows: u32, keys: HashKeys) -> Self {
        let mut tables = MemoryTables::new(max_flows, keys);
        tables.networks.extend(NETWORKS);
        // What is not for the gateway passes; `host.rs` is about the other setting.
        tables.hosts.extend(NETWORKS.map(|(_, network)| (network, host::ALL)));
        tables.targets.insert(TARGET, target_record(parties));
        tables.backends.insert(0, TARGET);
        let one = Pool { first: 0, count: 1 };
        let sources = Pool { first: FIRST_SOURCE, count: parties.sources.len() as u32 };
        for (index, address) in (FIRST_SOURCE..).zip(&parties.sources) {
            tables.sources.insert(index, Source::at((*address).into(), 1));
        }
        tables.services.insert(SERVICE, Service { sources_v4: sources, sources_v6: sources });
        for protocol in [TCP, UDP] {
            let port = parties.endpoint.port().to_be();
            let key = ListenerKey { service: SERVICE, port, protocol: protocol.into() };
            let listener = Listener {
                backends_v4: one,
                backends_v6: one,
                target_port: parties.target.port().to_be(),
                flags: 0,
                idle_ticks: 1000,
            };
            tables.listeners.insert(key, listener);
        }
        let mut gateway = Self { parties: parties.clone(), tables };
        gateway.add_endpoint(ENDPOINT, ACME, parties.endpoint.ip(), ACME_MAC);
        for (index, address) in (FIRST_SOURCE..).zip(&parties.sources) {
            gateway.add_local(VENDOR, *address, LocalKind::Source, index, VENDOR_MAC);
        }
        gateway
    }

    /// Another endpoint of the service.
    pub fn add_endpoint(&mut self, index: u32, ifindex: u32, address: IpAddr, mac: Mac) {
        let address_of = Addr::from(address);
        let (v4, v6) = match address {
            IpAddr::V4(_) => (address_of.words()[3], Addr::default()),
            IpAddr::V6(_) => (0, address_of),
        };
        let record = Endpoint {
            v6,
            v4,
            admission: Admission::Available as u32,
            refusal: Refusal::Reset as u32,
            network: network_of(ifindex),
            service: SERVICE,
            ifindex,
            mac,
            mtu: 1500,
            rules: EVERYONE,
            ..Endpoint::default()
        };
        for number in RuleNode::ROOTS {
            let key = RuleKey { set: EVERYONE, number };
            self.tables.rules.insert(key, RuleNode::EVERYONE);
        }
        self.tables.endpoints.insert(index, record);
        self.add_local(ifindex, address, LocalKind::Endpoint, index, mac);
    }

    fn add_local(&mut self, ifindex: u32, ip: IpAddr, kind: LocalKind, index: u32, mac: Mac) {
        let key = LocalKey { network: network_of(ifindex), address: ip.into() };
        self.tables.locals.insert(key, Local { kind: kind as u32, index, mac, reserved: 0 });
    }

    pub fn endpoint(&mut self) -> &mut Endpoint {
        self.tables.endpoints.get_mut(&ENDPOINT).unwrap()
    }

    pub fn target(&mut self) -> &mut Target {
        self.tables.targets.get_mut(&TARGET).unwrap()
    }

    pub fn admit(&mut self, admission: Admission) {
        self.endpoint().admission = admission as u32;
    }

    /// What the gateway makes of a frame.
    pub fn outcome(&self, ifindex: u32, bytes: &[u8]) -> (Verdict, Vec<u8>) {
        let mut frame = MemoryFrame::new(bytes.to_vec(), ifindex);
        let verdict = process(&mut frame, &self.tables);
        (verdict, frame.bytes)
    }

    /// What the gateway makes of a frame, whether or not its sender is told of a refusal.
    pub fn run(&self, ifindex: u32, bytes: &[u8]) -> (Verdict, Vec<u8>) {
        match self.outcome(ifindex, bytes) {
            (Verdict::Reply { refused, .. }, out) => (Verdict::Drop(refused), out),
            outcome => outcome,
        }
    }

    /// The verdict on a packet from the endpoint's network.
    pub fn verdict(&self, packet: &Packet) -> Verdict {
        self.run(ACME, &packet.bytes()).0
    }

    /// A packet from the client to the endpoint.
    pub fn client_packet(&self, transport: Transport) -> Packet {
        Packet::new(self.parties.client, self.parties.endpoint, transport)
            .macs(CLIENT_MAC, ACME_MAC)
    }

    pub fn syn(&self) -> Packet {
        self.client_packet(Transport::Tcp(SYN, 1))
    }

    /// Opens the client's flow with its first packet: the source address and port that it got.
    pub fn open(&self, transport: Transport) -> SocketAddr {
        let opener = match transport {
            Transport::Tcp(..) => Transport::Tcp(SYN, 1),
            Transport::Udp | Transport::BareUdp => transport,
        };
        let (verdict, out) = self.run(ACME, &self.client_packet(opener).bytes());
        assert_eq!(verdict, SEND_TO_TARGET);
        sender(&out)
    }

    /// A packet from the target to a flow's source address and port.
    pub fn target_packet(&self, source: SocketAddr, transport: Transport) -> Packet {
        Packet::new(self.parties.target, source, transport).macs(TARGET_MAC, VENDOR_MAC)
    }

    /// Asserts that a frame passes as it came.
    pub fn assert_passes(&self, ifindex: u32, bytes: &[u8]) {
        let (verdict, out) = self.run(ifindex, bytes);
        assert_eq!(verdict, Verdict::Pass, "{bytes:02x?}");
        assert_eq!(out, bytes);
    }
}

fn target_record(parties: &Parties) -> Target {
    Target {
        address: parties.target.ip().into(),
        state: TargetState::Present as u32,
        network: network_of(VENDOR),
        ifindex: VENDOR,
        hop: TARGET_MAC,
        mac: VENDOR_MAC,
        mtu: 1500,
        ..Target::default()
    }
}

fn network_of(ifindex: u32) -> u32 {
    NETWORKS.iter().find(|(attached, _)| *attached == ifindex).unwrap().1
}

/// The sender of a TCP or UDP packet.
pub fn sender(frame: &[u8]) -> SocketAddr {
    let ports = crate::packets::transport_at(frame);
    let port = u16::from_be_bytes([frame[ports], frame[ports + 1]]);
    let ip = if ports == 34 {
        IpAddr::from(<[u8; 4]>::try_from(&frame[26..30]).unwrap())
    } else {
        IpAddr::from(<[u8; 16]>::try_from(&frame[22..38]).unwrap())
    };
    SocketAddr::new(ip, port)
}
