//! Packets that open flows, and packets about flows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Attack, Generator, PROVIDER, addresses::address};
use crate::{
    packet::{Packet, flags},
    torture::scene::{CLIENT, ENDPOINT, HOST_SERVER, LISTENERS, SERVER, SOURCES, TARGET_PORTS},
};

impl Generator {
    /// Opens a flow to a listener.
    pub(super) fn opening(&mut self, tenant: usize, from: IpAddr, to: IpAddr) -> Packet {
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

    pub(super) fn ping(&mut self, tenant: usize, from: IpAddr, to: IpAddr) -> Packet {
        let request = if from.is_ipv6() { (128, 0) } else { (8, 0) };
        let (from, to) = (SocketAddr::new(from, 0), SocketAddr::new(to, 0));
        let payload = self.payload(tenant);
        Packet::icmp(from, to, request, self.number).payload(&payload)
    }

    /// Something that a host would answer or pass on.
    pub(super) fn any(&mut self, tenant: usize, from: IpAddr, to: IpAddr) -> Packet {
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
    pub(super) fn signal(&mut self, tenant: usize, v6: bool) -> Packet {
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
    pub(super) fn reuse(&mut self, tenant: usize, v6: bool) -> Packet {
        if let Some([client, endpoint]) = self.flow.1.take() {
            return Packet::tcp(client, endpoint).flags(flags::RST).payload(&self.payload(tenant));
        }
        let client = SocketAddr::new(self.any_client(v6), self.noise.port());
        let endpoint = SocketAddr::new(address(&ENDPOINT, v6), LISTENERS[1]);
        self.flow = (tenant, Some([client, endpoint]));
        Packet::tcp(client, endpoint).flags(flags::SYN).payload(&self.payload(tenant))
    }

    pub(super) fn reset(&mut self, tenant: usize, v6: bool) -> Packet {
        let ends = if tenant == PROVIDER {
            [(address(&SERVER, v6), TARGET_PORTS[1]), (address(&SOURCES, v6), self.noise.port())]
        } else {
            [(address(&CLIENT, v6), self.noise.port()), (address(&ENDPOINT, v6), LISTENERS[1])]
        };
        let mut ends = ends.map(|(address, port)| SocketAddr::new(address, port));
        let own: Vec<_> = self.held.iter().filter(|(sender, _)| *sender == tenant).collect();
        let spared = self.spared.contains(&(tenant, ends));
        if !own.is_empty() && (spared || self.noise.below(4) > 0) {
            ends = own[self.noise.below(own.len() as u64) as usize].1;
        }
        let [from, to] = ends;
        let set = self.noise.one(&[flags::RST, flags::RST | flags::ACK, flags::SYN]);
        Packet::tcp(from, to).flags(set).payload(&self.payload(tenant))
    }

    pub(super) fn provider(&mut self, tenant: usize, v6: bool) -> Packet {
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

    pub(super) fn mapped(&mut self, tenant: usize) -> Packet {
        let mapped = |text: &str| text.parse::<Ipv4Addr>().map(|one| one.to_ipv6_mapped().into());
        let plain = [address(&CLIENT, true), address(&ENDPOINT, true)];
        let from = self.noise.one(&[mapped(CLIENT[0]).unwrap_or(plain[0]), plain[0]]);
        let mut to = mapped(ENDPOINT[0]).unwrap_or(plain[1]);
        if from != plain[0] && self.noise.below(2) == 0 {
            to = plain[1];
        }
        self.opening(tenant, from, to)
    }

    pub(super) fn with_options(&mut self, tenant: usize, v6: bool) -> Packet {
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
}
