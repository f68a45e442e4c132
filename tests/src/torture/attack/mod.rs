//! The attacks, as frames.

mod addresses;
mod flows;
mod router;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use privatelink_common::Mac;

use self::addresses::address;
use super::{
    marker::Marker,
    noise::Noise,
    scene::{CLIENT, ENDPOINT, Held, LISTENERS, Scene},
};
use crate::packet::{Given, Packet, neighbour};

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
    /// Its name on the command line and in reports.
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
    /// One way into each connection that is to be cut: the sender, and the ends.
    held: Vec<(usize, [SocketAddr; 2])>,
    /// The other ways, which no frame takes.
    spared: Vec<(usize, [SocketAddr; 2])>,
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
            spared: Vec::new(),
        }
    }

    /// Lets it attack these connections, each from one end: in each family one at the client's end
    /// and one at the target's. A reset that both ends confirm ends a connection rightly.
    #[must_use]
    pub fn against(mut self, held: &[Held]) -> Self {
        for (number, one) in held.iter().enumerate() {
            let mut ways = [(one.tenant, one.ends), (PROVIDER, one.beyond)];
            if (number + number / 2) % 2 == 1 {
                ways.reverse();
            }
            self.held.push(ways[0]);
            self.spared.push(ways[1]);
        }
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
}
