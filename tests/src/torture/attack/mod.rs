//! The attacks, as frames.

mod router;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use privatelink_common::Mac;

use super::{
    marker::Marker,
    noise::Noise,
    scene::{
        CLIENT, ENDPOINT, HOST_SERVER, Held, LISTENERS, OWN, SERVER, SOURCES, Scene, TARGET_PORTS,
    },
};
use crate::packet::{Given, Packet, flags, neighbour};

/// An attack; the letters are those of `docs/security.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Attack {
    /// A: through the gateway's host to other networks.
    HostForward,
    /// A: servers of the gateway's host.
    HostListener,
    /// A: pings that seem to come from another network.
    ForgedPing,
    /// A: segments and datagrams that seem to, and that a host answers with resets and errors.
    ForgedReset,
    /// A: router advertisements and redirects.
    Router,
    /// A: ARP and neighbour discovery for addresses of others.
    Neighbour,
    /// A: senders that no host can be.
    Sender,
    /// B: every source port.
    Ports,
    /// B: half-open connections of forged clients.
    HalfOpen,
    /// B: connections that end at once, so that ports are used again.
    Reuse,
    /// B: IPv4 addresses written as IPv6.
    Mapped,
    /// C: "packet too big" with small sizes.
    PathMtu,
    /// C: every other error.
    Signals,
    /// C: options that record or command the way.
    Options,
    /// D: resets with any sequence number, from both sides.
    Reset,
    /// Fragments that do not fit together.
    Fragments,
    /// A provider that speaks first.
    Provider,
    /// Frames with bytes changed anywhere.
    Garbage,
}

impl Attack {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostForward => "host-forward",
            Self::HostListener => "host-listener",
            Self::ForgedPing => "forged-ping",
            Self::ForgedReset => "forged-reset",
            Self::Router => "router",
            Self::Neighbour => "neighbour",
            Self::Sender => "sender",
            Self::Ports => "ports",
            Self::HalfOpen => "half-open",
            Self::Reuse => "reuse",
            Self::Mapped => "mapped",
            Self::PathMtu => "path-mtu",
            Self::Signals => "signals",
            Self::Options => "options",
            Self::Reset => "reset",
            Self::Fragments => "fragments",
            Self::Provider => "provider",
            Self::Garbage => "garbage",
        }
    }

    /// Its number, which goes into the seed of its round.
    pub fn number(self) -> u64 {
        self as u64
    }
}

/// Which tenants are which, as `Scene` has them.
const ACME: usize = 0;
const CONSUMERS: u64 = 2;
const PROVIDER: usize = 3;

/// Makes the frames of one attack.
#[derive(Debug)]
pub struct Generator {
    attack: Attack,
    seed: u64,
    noise: Noise,
    number: u32,
    /// Device and gateway's device of each tenant.
    macs: Vec<[Mac; 2]>,
    /// The flow opened last, for what refers to one.
    flow: (usize, Option<[SocketAddr; 2]>),
    /// The only attacker, if there is one.
    only: Option<usize>,
    /// Both ways into connections that are to be cut: the sender, and the ends.
    held: Vec<(usize, [SocketAddr; 2])>,
}

impl Generator {
    /// Starts an attack.
    pub fn new(scene: &Scene, attack: Attack, seed: u64, noise: Noise) -> Self {
        let macs = scene.tenants.iter().map(|one| [one.mac, one.gateway_mac]).collect();
        Self {
            attack,
            seed,
            noise,
            number: 0,
            macs,
            flow: (ACME, None),
            only: None,
            held: Vec::new(),
        }
    }

    /// Lets it attack these connections.
    #[must_use]
    pub fn against(mut self, held: &[Held]) -> Self {
        let ways = |one: &Held| [(one.tenant, one.ends), (PROVIDER, one.beyond)];
        self.held = held.iter().flat_map(ways).collect();
        self
    }

    /// Starts an attack of one tenant alone.
    pub fn of_one(scene: &Scene, attack: Attack, seed: u64, noise: Noise, only: usize) -> Self {
        Self { only: Some(only), ..Self::new(scene, attack, seed, noise) }
    }

    /// A datagram of one flow, which may be sent again and again.
    pub fn of_one_flow(&mut self, tenant: usize) -> Vec<u8> {
        let from = SocketAddr::new(address(&CLIENT, false), 5000);
        let to = SocketAddr::new(address(&ENDPOINT, false), LISTENERS[1]);
        let [own, gateway] = self.macs[tenant];
        let packet = Packet::udp(from, to).payload(&self.payload(tenant));
        packet.between(own, gateway).build(&Given::default())
    }

    /// The next frame, and the tenant that sends it.
    pub fn draw(&mut self) -> (usize, Vec<u8>) {
        self.number += 1;
        let tenant = self.tenant();
        match self.attack {
            Attack::Router => (tenant, self.router(tenant)),
            Attack::Neighbour => (tenant, self.neighbour(tenant)),
            Attack::Garbage => (tenant, self.garbage(tenant)),
            Attack::HostForward
            | Attack::HostListener
            | Attack::ForgedPing
            | Attack::ForgedReset
            | Attack::Sender
            | Attack::Ports
            | Attack::HalfOpen
            | Attack::Reuse
            | Attack::Mapped
            | Attack::PathMtu
            | Attack::Signals
            | Attack::Options
            | Attack::Reset
            | Attack::Fragments
            | Attack::Provider => {
                let packet = self.packet(tenant);
                (tenant, self.finish(tenant, packet))
            }
        }
    }

    fn tenant(&mut self) -> usize {
        if let Some(only) = self.only {
            return only;
        }
        match self.attack {
            Attack::Provider => PROVIDER,
            Attack::Ports | Attack::HalfOpen => ACME,
            Attack::Reset if self.number.is_multiple_of(2) => PROVIDER,
            // What refers to a flow comes from the tenant that opened it.
            Attack::PathMtu | Attack::Signals | Attack::Reuse if self.flow.1.is_some() => {
                self.flow.0
            }
            Attack::Sender
            | Attack::Mapped
            | Attack::PathMtu
            | Attack::Signals
            | Attack::Reuse
            | Attack::Options
            | Attack::Reset
            | Attack::Fragments => self.noise.below(CONSUMERS) as usize,
            Attack::HostForward
            | Attack::HostListener
            | Attack::ForgedPing
            | Attack::ForgedReset
            | Attack::Router
            | Attack::Neighbour
            | Attack::Garbage => self.noise.below(self.macs.len() as u64) as usize,
        }
    }

    fn finish(&mut self, tenant: usize, packet: Packet) -> Vec<u8> {
        let [own, gateway] = self.macs[tenant];
        let sender = match (self.attack, self.noise.below(8)) {
            // A group, and the gateway itself.
            (Attack::Sender, 0) => [3, 0, 0, 0, 0, 1],
            (Attack::Sender, 1) => gateway,
            _ => own,
        };
        packet.between(sender, gateway).build(&Given::default())
    }

    fn payload(&self, tenant: usize) -> Vec<u8> {
        Marker { tenant: tenant as u8, number: self.number }.bytes(self.seed).to_vec()
    }

    fn packet(&mut self, tenant: usize) -> Packet {
        let v6 = self.noise.below(2) == 1;
        match self.attack {
            Attack::HostForward => {
                let from = self.client(tenant, v6);
                let to = self.elsewhere(v6);
                self.any(tenant, from, to)
            }
            Attack::HostListener => {
                let (from, to) = (self.client(tenant, v6), self.own(v6));
                self.any(tenant, from, to)
            }
            Attack::ForgedPing => {
                let (from, to) = (self.elsewhere(v6), self.own(v6));
                self.ping(tenant, from, to)
            }
            Attack::ForgedReset => {
                let (from, to) = (self.elsewhere(v6), self.own(v6));
                self.any(tenant, from, to)
            }
            Attack::Sender => {
                let from = self.impossible(v6);
                self.opening(tenant, from, ENDPOINT[usize::from(v6)].parse().unwrap_or(from))
            }
            Attack::Mapped => self.mapped(tenant),
            Attack::PathMtu | Attack::Signals => self.signal(tenant, v6),
            Attack::Reuse => self.reuse(tenant, v6),
            Attack::Reset => self.reset(tenant, v6),
            Attack::Provider => self.provider(tenant, v6),
            Attack::Options => self.with_options(tenant, v6),
            Attack::Fragments => {
                let from = self.any_client(v6);
                let packet = self.opening(tenant, from, address(&ENDPOINT, v6));
                let (offset, more) = (self.noise.below(4) as u16, self.noise.below(2) == 1);
                packet.label(self.noise.below(16) as u32).fragment(offset, more)
            }
            // The last three never come here.
            Attack::Ports
            | Attack::HalfOpen
            | Attack::Router
            | Attack::Neighbour
            | Attack::Garbage => {
                let from = self.any_client(v6);
                self.opening(tenant, from, address(&ENDPOINT, v6))
            }
        }
    }

    /// Opens a flow to a listener.
    fn opening(&mut self, tenant: usize, from: IpAddr, to: IpAddr) -> Packet {
        let from = SocketAddr::new(from, self.noise.port());
        let always = matches!(self.attack, Attack::HalfOpen | Attack::Reuse);
        let never = self.attack == Attack::Ports;
        let tcp = always || !never && self.noise.below(2) == 0;
        let payload = self.payload(tenant);
        if tcp {
            let to = SocketAddr::new(to, self.noise.one(&LISTENERS));
            Packet::tcp(from, to).flags(flags::SYN).payload(&payload)
        } else {
            Packet::udp(from, SocketAddr::new(to, LISTENERS[1])).payload(&payload)
        }
    }

    fn ping(&mut self, tenant: usize, from: IpAddr, to: IpAddr) -> Packet {
        let request = if from.is_ipv6() { (128, 0) } else { (8, 0) };
        let (from, to) = (SocketAddr::new(from, 0), SocketAddr::new(to, 0));
        let payload = self.payload(tenant);
        Packet::icmp(from, to, request, self.number).payload(&payload)
    }

    /// Something that a host would answer or pass on.
    fn any(&mut self, tenant: usize, from: IpAddr, to: IpAddr) -> Packet {
        let port = self.noise.port();
        let ports = [HOST_SERVER, 53, 80, 7, TARGET_PORTS[0], TARGET_PORTS[1], port];
        let ends =
            [SocketAddr::new(from, self.noise.port()), SocketAddr::new(to, self.noise.one(&ports))];
        let payload = self.payload(tenant);
        match self.noise.below(6) {
            0 => Packet::udp(ends[0], ends[1]).payload(&payload),
            1 => Packet::tcp(ends[0], ends[1]).flags(flags::SYN).payload(&payload),
            2 => Packet::tcp(ends[0], ends[1]).payload(&payload),
            3 => self.ping(tenant, from, to),
            4 => Packet::of(self.noise.one(&[2, 4, 41, 47, 50, 89, 132]), ends[0], ends[1])
                .payload(&payload),
            _ => Packet::udp(ends[0], ends[1]).ttl(1).payload(&payload),
        }
    }

    /// A flow is opened, and then something is said about it.
    fn signal(&mut self, tenant: usize, v6: bool) -> Packet {
        let Some([client, endpoint]) = self.flow.1.take() else {
            let from = SocketAddr::new(self.any_client(v6), self.noise.port());
            let to = SocketAddr::new(address(&ENDPOINT, v6), LISTENERS[1]);
            self.flow = (tenant, Some([from, to]));
            return Packet::udp(from, to).payload(&self.payload(tenant));
        };
        let quote = Packet::udp(endpoint, client).payload(&[0; 600]);
        let v6 = client.is_ipv6();
        let (kind, rest) = if self.attack == Attack::PathMtu {
            let mtu = self.noise.one(&[0, 68, 296, 552, 575, 576, 1000, 1279, 1280, 1400]);
            (if v6 { (2, 0) } else { (3, 4) }, mtu)
        } else {
            let kinds: &[u8] = if v6 { &[1, 3, 4, 100, 137] } else { &[3, 4, 5, 11, 12, 13, 17] };
            let code = self.noise.below(8) as u8;
            let kind = (self.noise.one(kinds), code);
            // A smaller MTU is the other attack.
            (if !v6 && kind == (3, 4) { (3, 1) } else { kind }, self.noise.word() as u32)
        };
        Packet::icmp(client, endpoint, kind, rest).about(quote, 64)
    }

    /// A connection opens, and the next frame ends it.
    fn reuse(&mut self, tenant: usize, v6: bool) -> Packet {
        if let Some([client, endpoint]) = self.flow.1.take() {
            return Packet::tcp(client, endpoint).flags(flags::RST).payload(&self.payload(tenant));
        }
        let client = SocketAddr::new(self.any_client(v6), self.noise.port());
        let endpoint = SocketAddr::new(address(&ENDPOINT, v6), LISTENERS[1]);
        self.flow = (tenant, Some([client, endpoint]));
        Packet::tcp(client, endpoint).flags(flags::SYN).payload(&self.payload(tenant))
    }

    fn reset(&mut self, tenant: usize, v6: bool) -> Packet {
        let ends = if tenant == PROVIDER {
            [(address(&SERVER, v6), TARGET_PORTS[1]), (address(&SOURCES, v6), self.noise.port())]
        } else {
            [(address(&CLIENT, v6), self.noise.port()), (address(&ENDPOINT, v6), LISTENERS[1])]
        };
        let mut ends = ends.map(|(address, port)| SocketAddr::new(address, port));
        let own: Vec<_> = self.held.iter().filter(|(sender, _)| *sender == tenant).collect();
        if !own.is_empty() && self.noise.below(4) > 0 {
            ends = own[self.noise.below(own.len() as u64) as usize].1;
        }
        let [from, to] = ends;
        let set = self.noise.one(&[flags::RST, flags::RST | flags::ACK, flags::SYN]);
        Packet::tcp(from, to).flags(set).payload(&self.payload(tenant))
    }

    fn provider(&mut self, tenant: usize, v6: bool) -> Packet {
        let from = SocketAddr::new(address(&SERVER, v6), self.noise.one(&TARGET_PORTS));
        let to = self.noise.one(&[SOURCES, SOURCES, CLIENT, ENDPOINT]);
        let to = SocketAddr::new(address(&to, v6), self.noise.port());
        let payload = self.payload(tenant);
        match self.noise.below(3) {
            0 => Packet::udp(from, to).payload(&payload),
            1 => Packet::tcp(from, to).flags(flags::SYN).payload(&payload),
            _ => Packet::tcp(from, to).flags(flags::SYN | flags::ACK).payload(&payload),
        }
    }

    fn mapped(&mut self, tenant: usize) -> Packet {
        let mapped = |text: &str| text.parse::<Ipv4Addr>().map(|one| one.to_ipv6_mapped().into());
        let plain = [address(&CLIENT, true), address(&ENDPOINT, true)];
        let from = self.noise.one(&[mapped(CLIENT[0]).unwrap_or(plain[0]), plain[0]]);
        let mut to = mapped(ENDPOINT[0]).unwrap_or(plain[1]);
        if from != plain[0] && self.noise.below(2) == 0 {
            to = plain[1];
        }
        self.opening(tenant, from, to)
    }

    fn with_options(&mut self, tenant: usize, v6: bool) -> Packet {
        let packet = {
            let from = self.any_client(v6);
            self.opening(tenant, from, address(&ENDPOINT, v6))
        };
        if v6 {
            return packet.extension(self.noise.one(&[0, 43, 60]));
        }
        let all: [&[u8]; 5] = [
            &[7, 7, 4, 0, 0, 0, 0, 0],
            &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[131, 7, 4, 10, 0, 0, 10, 0],
            &[137, 7, 4, 10, 0, 0, 10, 0],
            &[148, 4, 0, 0],
        ];
        packet.options(self.noise.one(&all))
    }

    fn neighbour(&mut self, tenant: usize) -> Vec<u8> {
        let [own, _] = self.macs[tenant];
        let (holder, asked) = (self.elsewhere(false), self.elsewhere(false));
        if let (IpAddr::V4(holder), IpAddr::V4(asked), 0) = (holder, asked, self.noise.below(2)) {
            return match self.noise.below(2) {
                0 => neighbour::arp_request((own, holder), asked),
                _ => neighbour::arp_reply((own, holder), (neighbour::BROADCAST, asked)),
            };
        }
        let (IpAddr::V6(holder), IpAddr::V6(asked)) = (self.elsewhere(true), self.elsewhere(true))
        else {
            return neighbour::arp_request((own, Ipv4Addr::LOCALHOST), Ipv4Addr::LOCALHOST);
        };
        match self.noise.below(2) {
            0 => neighbour::Discovery::solicitation((own, holder), asked).build(),
            _ => {
                let all = (neighbour::ALL_NODES_MAC, neighbour::ALL_NODES);
                neighbour::Discovery::advertisement((own, holder), all, 0x20).build()
            }
        }
    }

    /// A frame of another attack with bytes changed.
    fn garbage(&mut self, tenant: usize) -> Vec<u8> {
        let v6 = self.noise.below(2) == 1;
        let from = self.client(tenant, v6);
        let own = self.own(v6);
        let to = self.noise.one(&[address(&ENDPOINT, v6), own]);
        let packet = self.any(tenant, from, to);
        let mut frame = self.finish(tenant, packet);
        for _ in 0..=self.noise.below(3) {
            // The addresses of the devices stay: it is to reach the gateway.
            let at = 12 + self.noise.below(frame.len() as u64 - 12 - 16) as usize;
            frame[at] = self.noise.word() as u8;
        }
        frame.truncate(14 + self.noise.below(2 * frame.len() as u64) as usize);
        frame
    }

    /// The tenant's own host.
    fn client(&self, tenant: usize, v6: bool) -> IpAddr {
        address(if tenant == PROVIDER { &SERVER } else { &CLIENT }, v6)
    }

    /// Any host of a consumer's network.
    fn any_client(&mut self, v6: bool) -> IpAddr {
        let low = 256 + self.noise.below(65_000) as u16;
        if v6 {
            Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 1, low).into()
        } else {
            let [high, low] = low.to_be_bytes();
            Ipv4Addr::new(10, 1, high, low).into()
        }
    }

    /// Any address of any network.
    fn elsewhere(&mut self, v6: bool) -> IpAddr {
        let random: IpAddr = if v6 {
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, self.noise.port()).into()
        } else {
            Ipv4Addr::new(10, 0, self.noise.below(256) as u8, self.noise.below(256) as u8).into()
        };
        let all = [SERVER, CLIENT, SOURCES, ENDPOINT, OWN[0], OWN[1]].map(|one| address(&one, v6));
        if self.noise.below(8) == 0 { random } else { self.noise.one(&all) }
    }

    fn own(&mut self, v6: bool) -> IpAddr {
        let own = self.noise.one(&OWN);
        address(&own, v6)
    }

    fn impossible(&mut self, v6: bool) -> IpAddr {
        let all: &[&str] = if v6 {
            &[
                "::",
                "::1",
                "ff02::1",
                "ff0e::1",
                "2001:db8::8",
                "fd00::10",
                "fd00:1::50",
                "fd00:1::",
                "fe80::1",
            ]
        } else {
            &[
                "0.0.0.0",
                "127.0.0.1",
                "224.0.0.1",
                "255.255.255.255",
                "8.8.8.8",
                "10.0.0.10",
                "10.1.0.50",
                "10.1.0.0",
                "10.1.255.255",
                "240.0.0.1",
                "169.254.1.1",
            ]
        };
        self.noise.one(all).parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

fn address(of: &[&str; 2], v6: bool) -> IpAddr {
    of[usize::from(v6)].parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
